"""The acoustic diarizer: voices told apart by their sound alone, without a model."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from meet_transcriber.core.options import Options
from meet_transcriber.core.transcript import Diarization, Span, TranscriptWarning, Turn
from meet_transcriber.engines.acoustic.clustering import cluster
from meet_transcriber.engines.acoustic.embedding import Windows, embed
from meet_transcriber.engines.acoustic.features import HOP_SECONDS, Frames, extract
from meet_transcriber.engines.acoustic.growing import grow
from meet_transcriber.engines.acoustic.resegmentation import resegment
from meet_transcriber.ports.engines import AudioSource, Progress

_SHORT_SECONDS = 40.0  # of speech; in less, neighbouring windows are too few to whiten by
_PAUSE = 0.15  # a gap between frames at which speakers like to change
_ONE_TURN = 0.3  # seconds of silence inside a turn
_MIN_TURN = 0.2
_EDGE = 0.05  # a turn this close to the edge of speech reaches it
_MIN_VOICE_SECONDS = 2.0
_MIN_VOICE_SHARE = 0.01


class AcousticDiarizer:
    """
    A Diarizer without a model: windows of cepstra and pitch, clustered, then resegmented.

    It tells apart voices that sound different on one microphone. Where they do not it says one
    speaker, with a warning; in rooms with far microphones it is weak.
    """

    name = "acoustic"

    def diarize(
        self, audio: AudioSource, speech: Sequence[Span], options: Options, progress: Progress
    ) -> Diarization:
        """Turns without overlap; see the port."""
        frames = extract(audio, speech, lambda share: progress(0.6 * share))
        if not len(frames):
            return Diarization()
        fewest, most = options.speaker_range
        if len(frames) * HOP_SECONDS < _SHORT_SECONDS:
            path = grow(_standardized(frames), _pauses(frames), fewest, most)
        else:
            path = _clustered(frames, fewest, most, progress)
        progress(1.0)
        turns = _turns(frames, path, speech)
        return Diarization(turns, warnings=_doubts(turns, options))


def _clustered(frames: Frames, fewest: int, most: int, progress: Progress) -> npt.NDArray[np.int64]:
    """A voice per frame of a recording with many windows."""
    windows = embed(frames)
    labels = cluster(windows.vectors, fewest, most)
    voices = int(labels.max()) + 1 if len(labels) else 1
    progress(0.7)
    if voices == 1:
        return np.zeros(len(frames), dtype=np.int64)
    return _refined(frames, windows, labels, voices, progress, keep=fewest)


def _refined(
    frames: Frames,
    windows: Windows,
    labels: npt.NDArray[np.int64],
    voices: int,
    progress: Progress,
    keep: int,
) -> npt.NDArray[np.int64]:
    """A voice per frame, without voices that hardly speak."""
    features = _standardized(frames)
    pauses = _pauses(frames)
    guess = _frame_labels(len(frames), windows, labels, voices)
    path = resegment(features, pauses, guess, voices, lambda share: progress(0.7 + 0.25 * share))
    counts = np.bincount(path, minlength=voices) * HOP_SECONDS
    enough = max(_MIN_VOICE_SECONDS, _MIN_VOICE_SHARE * counts.sum())
    small = [voice for voice in np.argsort(counts) if counts[voice] < enough][: voices - keep]
    if small:
        path = np.where(np.isin(path, small), -1, path)
        path = resegment(features, pauses, path, voices, lambda _share: None)
    return path if len(np.unique(path)) >= keep else _filled(guess)


def _filled(guess: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The first guess, every frame without one following the last that has one."""
    known = np.flatnonzero(guess >= 0)
    places = np.searchsorted(known, np.arange(len(guess)), "right") - 1
    return guess[known[np.maximum(places, 0)]]


def _pauses(frames: Frames) -> npt.NDArray[np.bool_]:
    """(n,) whether silence lies before each frame."""
    return np.asarray(np.diff(frames.times, prepend=frames.times[0]) > _PAUSE)


def _standardized(frames: Frames) -> npt.NDArray[np.float64]:
    cepstra = frames.cepstra.astype(np.float64)
    cepstra -= cepstra.mean(axis=0)
    cepstra /= cepstra.std(axis=0) + 1e-6
    return cepstra


def _frame_labels(
    count: int, windows: Windows, labels: npt.NDArray[np.int64], voices: int
) -> npt.NDArray[np.int64]:
    """What most windows over a frame say; -1 outside all windows."""
    edges = np.zeros((count + 1, voices), dtype=np.int64)
    np.add.at(edges, (windows.starts, labels), 1)
    np.add.at(edges, (windows.ends, labels), -1)
    votes = np.cumsum(edges, axis=0)[:count]
    return np.where(votes.any(axis=1), np.argmax(votes, axis=1), -1)


def _turns(frames: Frames, path: npt.NDArray[np.int64], speech: Sequence[Span]) -> tuple[Turn, ...]:
    """Runs of one voice, reaching to the ends of the speech around them."""
    breaks = (np.diff(path) != 0) | (np.diff(frames.times) > _ONE_TURN)
    edges = [0, *(np.flatnonzero(breaks) + 1), len(path)]
    runs = [
        (float(frames.times[first]), float(frames.times[last - 1]), int(path[first]))
        for first, last in pairwise(edges)
    ]
    runs = [run for run in runs if run[1] - run[0] >= _MIN_TURN] or runs
    order = {voice: place for place, voice in enumerate(dict.fromkeys(run[2] for run in runs))}
    half = HOP_SECONDS / 2
    starts = np.array([span.start for span in speech])
    ends = np.array([span.end for span in speech])
    turns = []
    for first, last, voice in runs:
        start = starts[np.searchsorted(starts, first, "right") - 1]
        end = ends[min(int(np.searchsorted(ends, last)), len(ends) - 1)]
        begin = float(start) if first - start < _EDGE else first - half
        finish = float(end) if end - last < _EDGE else last + half
        turns.append(Turn(begin, finish, f"SPEAKER_{order[voice]:02d}"))
    return tuple(turns)


def _doubts(turns: Sequence[Turn], options: Options) -> tuple[TranscriptWarning, ...]:
    found = len({turn.speaker for turn in turns})
    fewest, most = options.speaker_range
    if found < fewest:
        message = f"{fewest} speakers were asked for, and the acoustic diarizer told {found} apart."
        return (TranscriptWarning("speakers_requested_found", message),)
    if found == 1 and most > 1:
        message = (
            "The acoustic diarizer found no second voice; if several people speak, say how many."
        )
        return (TranscriptWarning("speakers_not_separable", message),)
    return ()
