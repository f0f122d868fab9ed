"""Windows: what Whisper decodes at a time, up to 30 seconds, cut where the audio is quietest."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from meet_transcriber.core.transcript import Span
from meet_transcriber.ports.engines import SAMPLE_RATE_HZ, Waveform

MAX_WINDOW_SECONDS = 30.0  # audio that the encoder takes at a time

OVERLAP_SECONDS = 1.2
"""Audio on either side of a cut through running speech that both windows contain."""

_MARGIN_SECONDS = 0.2  # of silence around a window; a first consonant may be in it
_MAX_PAUSE_SECONDS = 0.6  # longer pauses inside a window are shortened to this
_SHORT_SECONDS = 12.0  # shorter windows have little context and are recognized worse
_SMOOTH_SAMPLES = round(0.12 * SAMPLE_RATE_HZ)  # about the length of a gap between words
_HOP_SAMPLES = round(0.01 * SAMPLE_RATE_HZ)
_CUT_FROM = 0.55  # share of the longest window after which a cut may be made


@dataclass(frozen=True)
class Window:
    """
    Stretches of audio that are decoded together, one after the other.

    Attributes:
        pieces: the stretches, in seconds of the audio, in order and not overlapping.
        speech: the speech detected in them.
        seam: where running speech was cut before this window, in seconds of the audio. The window
            before also contains some audio after it, and this one some before. None if the window
            begins in a pause.
    """

    pieces: tuple[Span, ...]
    speech: tuple[Span, ...]
    seam: float | None = None

    @property
    def start(self) -> float:
        """Seconds of the audio, like `end`."""
        return self.pieces[0].start

    @property
    def end(self) -> float:
        return self.pieces[-1].end

    @property
    def duration(self) -> float:
        """Seconds of audio in all pieces."""
        return sum(piece.duration for piece in self.pieces)

    def samples(self, audio: Waveform) -> Waveform:
        """Return the samples of all pieces, joined."""
        parts = [_samples(audio, piece) for piece in self.pieces]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def to_audio_time(self, start: float, end: float) -> Span:
        """Convert window time to seconds of the audio, in the piece that contains most of it."""
        best, at = (-1.0, Span(self.start, self.start)), 0.0
        for piece in self.pieces:
            low, high = max(start, at), min(end, at + piece.duration)
            shift = piece.start - at
            candidate = (high - low, Span(low + shift, max(low, high) + shift))
            best = max(best, candidate, key=lambda each: each[0])
            at += piece.duration
        return best[1]

    def to_window_time(self, seconds: float) -> float:
        """Convert seconds of the audio to window time; the nearest moment inside the window."""
        at = 0.0
        for piece in self.pieces:
            if seconds < piece.end:
                return at + max(seconds - piece.start, 0.0)
            at += piece.duration
        return at

    def clip(self, start: float, end: float) -> "Window":
        """Return the part between two moments of the audio, both in pauses or at seams."""
        pieces = tuple(_clip(self.pieces, start, end))
        return Window(pieces, tuple(_clip(self.speech, start, end)), self.seam)


def _clip(spans: Sequence[Span], start: float, end: float) -> Iterator[Span]:
    for span in spans:
        low, high = max(span.start, start), min(span.end, end)
        if high > low:
            yield Span(low, high)


def _samples(audio: Waveform, span: Span) -> Waveform:
    return audio[round(span.start * SAMPLE_RATE_HZ) : round(span.end * SAMPLE_RATE_HZ)]


def plan_windows(audio: Waveform, speech: Sequence[Span]) -> list[Window]:
    """
    Group speech into as few windows as possible, cut in the longest pauses.

    Pauses inside a window are shortened to 0.6 seconds. Speech without a pause that exceeds a
    window is cut where it is quietest; both windows extend `OVERLAP_SECONDS` beyond the cut.

    Args:
        speech: spans in seconds of `audio`, in order and not overlapping.
    """
    stretches = [stretch for span in speech for stretch in _split_long(audio, span)]
    windows = []
    for group in _group(stretches):
        spans = tuple(stretch.span for stretch in group)
        windows.append(Window(_pieces(spans), spans, group[0].seam))
    return windows


def split_window(audio: Waveform, window: Window) -> tuple[Window, Window] | None:
    """Split a window in its longest pause near the middle; None if it is too short."""
    if window.duration < 2 * OVERLAP_SECONDS:
        return None
    middle = window.duration / 2
    gaps = [(left, right) for left, right in pairwise(window.speech) if right.start > left.end]
    if gaps:

        def merit(gap: tuple[Span, Span]) -> float:
            offset = window.to_window_time(gap[1].start)
            # A pause at the edge has to be half a second longer than one in the middle.
            return gap[1].start - gap[0].end - abs(offset - middle) / window.duration

        at = window.speech.index(max(gaps, key=merit)[1])
        left, right = window.speech[:at], window.speech[at:]
        return Window(_pieces(left), left, window.seam), Window(_pieces(right), right)
    span = Span(window.start, window.end)
    seam = quietest_moment(audio, span.start + 0.3 * span.duration, span.end - 0.3 * span.duration)
    margin = min(OVERLAP_SECONDS, 0.2 * span.duration)
    first, second = Span(span.start, seam + margin), Span(seam - margin, span.end)
    return Window((first,), (first,), window.seam), Window((second,), (second,), seam)


def quietest_moment(audio: Waveform, start: float, end: float) -> float:
    """Return the moment between `start` and `end` with the least energy around it, in seconds."""
    samples = _samples(audio, Span(start, end))
    if len(samples) <= _SMOOTH_SAMPLES:
        return (start + end) / 2
    # A difference of cumulative sums is the energy of any stretch, without adding it up again.
    energy = np.concatenate([[0.0], np.cumsum(np.square(samples, dtype=np.float64))])
    sums = energy[_SMOOTH_SAMPLES:] - energy[:-_SMOOTH_SAMPLES]
    place = int(np.argmin(sums[::_HOP_SAMPLES])) * _HOP_SAMPLES
    return start + (place + _SMOOTH_SAMPLES / 2) / SAMPLE_RATE_HZ


@dataclass(frozen=True)
class _Stretch:
    """Speech without a pause; `span` begins before `seam` if running speech was cut there."""

    span: Span
    seam: float | None = None


def _split_long(audio: Waveform, span: Span) -> list[_Stretch]:
    """Return the span, in stretches that fit into a window."""
    found: list[_Stretch] = []
    seam, start = None, span.start
    # `_pieces` adds the margins.
    longest = MAX_WINDOW_SECONDS - 2 * _MARGIN_SECONDS
    while span.end - start > longest:
        latest = start + longest - OVERLAP_SECONDS
        cut_at = quietest_moment(audio, start + _CUT_FROM * longest, latest)
        found.append(_Stretch(Span(start, min(cut_at + OVERLAP_SECONDS, span.end)), seam))
        seam, start = cut_at, cut_at - OVERLAP_SECONDS
    found.append(_Stretch(Span(start, span.end), seam))
    return found


def _group(stretches: Sequence[_Stretch]) -> list[list[_Stretch]]:
    """Make as few groups as possible; among those, cut in long pauses and of similar length."""
    best: list[tuple[float, int]] = [(0.0, 0)]  # cost of the first n, start of their last group
    for end in range(1, len(stretches) + 1):
        options = []
        for start in range(end - 1, -1, -1):
            pieces = _pieces([stretch.span for stretch in stretches[start:end]])
            seconds = sum(piece.duration for piece in pieces)
            if start < end - 1 and (
                seconds > MAX_WINDOW_SECONDS or stretches[start + 1].seam is not None
            ):
                break
            options.append((best[start][0] + _cost(stretches, start, seconds), start))
        best.append(min(options))
    groups: list[list[_Stretch]] = []
    end = len(stretches)
    while end:
        start = best[end][1]
        groups.append(list(stretches[start:end]))
        end = start
    return groups[::-1]


def _cost(stretches: Sequence[_Stretch], start: int, seconds: float) -> float:
    """Cost of a window of `seconds` that begins with stretch `start`."""
    short = max(_SHORT_SECONDS - seconds, 0.0) / _SHORT_SECONDS
    if start == 0:
        return 1.0 + 0.3 * short
    pause = stretches[start].span.start - stretches[start - 1].span.end
    return 1.0 + 0.3 * short + 0.3 * max(1.0 - max(pause, 0.0), 0.0)


def _pieces(spans: Sequence[Span]) -> tuple[Span, ...]:
    """Return the audio of a window: the spans and the pauses between them, long ones shortened."""
    pieces = [Span(max(spans[0].start - _MARGIN_SECONDS, 0.0), spans[0].end)]
    for before, after in pairwise(spans):
        if after.start - before.end <= _MAX_PAUSE_SECONDS:
            pieces[-1] = Span(pieces[-1].start, after.end)
        else:
            pieces[-1] = Span(pieces[-1].start, before.end + _MAX_PAUSE_SECONDS / 2)
            pieces.append(Span(after.start - _MAX_PAUSE_SECONDS / 2, after.end))
    pieces[-1] = Span(pieces[-1].start, pieces[-1].end + _MARGIN_SECONDS)
    return tuple(pieces)
