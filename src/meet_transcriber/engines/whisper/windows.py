"""What Whisper hears at a time: up to 30 seconds, cut where it is quietest."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from meet_transcriber.core.transcript import Span
from meet_transcriber.ports.engines import SAMPLE_RATE_HZ, Waveform

LONGEST_SECONDS = 30.0
"""Audio that the encoder takes at a time."""

OVERLAP_SECONDS = 1.2
"""Audio on either side of a cut through running speech that both windows hear."""

_MARGIN = 0.2  # seconds of silence around a window, in which a first consonant may hide
_PAUSE_SECONDS = 0.6  # longer pauses inside a window are shortened to this
_SHORT_SECONDS = 12.0  # shorter windows have little context and are heard worse
_SMOOTH = round(0.12 * SAMPLE_RATE_HZ)  # a gap between words lasts about this long
_HOP = round(0.01 * SAMPLE_RATE_HZ)
_CUT_FROM = 0.55  # share of the longest window from where on a cut may lie


@dataclass(frozen=True)
class Window:
    """
    Stretches of audio that are decoded together, played one after the other.

    Attributes:
        pieces: the stretches, in seconds of the audio, in order and apart from each other.
        speech: where speech was detected within them.
        seam: where running speech was cut to begin this window, in seconds of the audio; the
            window before hears some audio after it and this one some before. None where the
            window begins in a pause.
    """

    pieces: tuple[Span, ...]
    speech: tuple[Span, ...]
    seam: float | None = None

    @property
    def start(self) -> float:
        return self.pieces[0].start

    @property
    def end(self) -> float:
        return self.pieces[-1].end

    @property
    def duration(self) -> float:
        """Seconds that are decoded."""
        return sum(piece.duration for piece in self.pieces)

    def cut_from(self, audio: Waveform) -> Waveform:
        """The samples of all pieces in a row."""
        parts = [cut(audio, piece) for piece in self.pieces]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def located(self, start: float, end: float) -> Span:
        """A stretch of window time in seconds of the audio, within the piece that holds most."""
        best, at = (-1.0, Span(self.start, self.start)), 0.0
        for piece in self.pieces:
            low, high = max(start, at), min(end, at + piece.duration)
            shift = piece.start - at
            best = max(best, (high - low, Span(low + shift, max(low, high) + shift)), key=_shared)
            at += piece.duration
        return best[1]

    def between(self, start: float, end: float) -> "Window":
        """What of the window lies between two moments of the audio, both at pauses or seams."""
        pieces = tuple(_clipped(self.pieces, start, end))
        return Window(pieces, tuple(_clipped(self.speech, start, end)), self.seam)

    def offset_of(self, seconds: float) -> float:
        """Where in window time a moment of the audio lies; the nearest that is inside."""
        at = 0.0
        for piece in self.pieces:
            if seconds < piece.end:
                return at + max(seconds - piece.start, 0.0)
            at += piece.duration
        return at


def _clipped(spans: Sequence[Span], start: float, end: float) -> Iterator[Span]:
    for span in spans:
        low, high = max(span.start, start), min(span.end, end)
        if high > low:
            yield Span(low, high)


def _shared(candidate: tuple[float, Span]) -> float:
    return candidate[0]


def cut(audio: Waveform, span: Span) -> Waveform:
    """The samples of one stretch."""
    return audio[round(span.start * SAMPLE_RATE_HZ) : round(span.end * SAMPLE_RATE_HZ)]


def plan_windows(audio: Waveform, speech: Sequence[Span]) -> list[Window]:
    """
    Group speech into as few windows as hold it, cut in the longest pauses.

    Pauses inside a window are kept up to 0.6 seconds. Speech that runs on for longer than a
    window is cut where it is quietest, and both windows hear `OVERLAP_SECONDS` beyond the cut.

    Args:
        speech: spans in seconds of `audio`, in order and apart from each other.
    """
    stretches = [stretch for span in speech for stretch in _stretches(audio, span)]
    windows = []
    for group in _groups(stretches):
        pieces = _pieces([stretch.heard for stretch in group])
        spans = tuple(stretch.heard for stretch in group)
        windows.append(Window(pieces, spans, group[0].seam))
    return windows


def split_window(audio: Waveform, window: Window) -> tuple[Window, Window] | None:
    """Two windows in place of one, cut in its longest pause near the middle; None if short."""
    if window.duration < 2 * OVERLAP_SECONDS:
        return None
    middle = window.duration / 2
    gaps = [(left, right) for left, right in pairwise(window.speech) if right.start > left.end]
    if gaps:

        def merit(gap: tuple[Span, Span]) -> float:
            offset = window.offset_of(gap[1].start)
            return gap[1].start - gap[0].end - abs(offset - middle) / window.duration

        at = window.speech.index(max(gaps, key=merit)[1])
        left, right = window.speech[:at], window.speech[at:]
        return Window(_pieces(left), left, window.seam), Window(_pieces(right), right)
    span = Span(window.start, window.end)
    seam = quietest(audio, span.start + 0.3 * span.duration, span.end - 0.3 * span.duration)
    margin = min(OVERLAP_SECONDS, 0.2 * span.duration)
    first, second = Span(span.start, seam + margin), Span(seam - margin, span.end)
    return Window((first,), (first,), window.seam), Window((second,), (second,), seam)


def quietest(audio: Waveform, start: float, end: float) -> float:
    """The moment between `start` and `end` around which the least energy lies, in seconds."""
    samples = cut(audio, Span(start, end))
    if len(samples) <= _SMOOTH:
        return (start + end) / 2
    energy = np.concatenate([[0.0], np.cumsum(np.square(samples, dtype=np.float64))])
    sums = energy[_SMOOTH:] - energy[:-_SMOOTH]
    return start + (int(np.argmin(sums[::_HOP])) * _HOP + _SMOOTH / 2) / SAMPLE_RATE_HZ


@dataclass(frozen=True)
class _Stretch:
    """Speech without a pause; `heard` reaches beyond `seam` where running speech was cut."""

    heard: Span
    seam: float | None = None


def _stretches(audio: Waveform, span: Span) -> list[_Stretch]:
    """The span, or pieces of it that fit into a window."""
    found: list[_Stretch] = []
    seam, start = None, span.start
    longest = LONGEST_SECONDS - 2 * _MARGIN
    while span.end - start > longest:
        latest = start + longest - OVERLAP_SECONDS
        cut_at = quietest(audio, start + _CUT_FROM * longest, latest)
        found.append(_Stretch(Span(start, min(cut_at + OVERLAP_SECONDS, span.end)), seam))
        seam, start = cut_at, cut_at - OVERLAP_SECONDS
    found.append(_Stretch(Span(start, span.end), seam))
    return found


def _groups(stretches: Sequence[_Stretch]) -> list[list[_Stretch]]:
    """As few windows as possible; among those, cut in long pauses and of similar length."""
    best: list[tuple[float, int]] = [(0.0, 0)]  # cost of the first n, where their last begins
    for end in range(1, len(stretches) + 1):
        options = []
        for start in range(end - 1, -1, -1):
            seconds = _length(stretches[start:end])
            if start < end - 1 and (
                seconds > LONGEST_SECONDS or stretches[start + 1].seam is not None
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
    short = max(_SHORT_SECONDS - seconds, 0.0) / _SHORT_SECONDS
    if start == 0:
        return 1.0 + 0.3 * short
    pause = stretches[start].heard.start - stretches[start - 1].heard.end
    return 1.0 + 0.3 * short + 0.3 * max(1.0 - max(pause, 0.0), 0.0)


def _length(stretches: Sequence[_Stretch]) -> float:
    """Seconds that a window of these would have, its pauses shortened."""
    return sum(piece.duration for piece in _pieces([stretch.heard for stretch in stretches]))


def _pieces(spans: Sequence[Span]) -> tuple[Span, ...]:
    """The audio of a window: the spans with the pauses between them, long ones shortened."""
    pieces = [Span(max(spans[0].start - _MARGIN, 0.0), spans[0].end)]
    for before, after in pairwise(spans):
        if after.start - before.end <= _PAUSE_SECONDS:
            pieces[-1] = Span(pieces[-1].start, after.end)
        else:
            pieces[-1] = Span(pieces[-1].start, before.end + _PAUSE_SECONDS / 2)
            pieces.append(Span(after.start - _PAUSE_SECONDS / 2, after.end))
    pieces[-1] = Span(pieces[-1].start, pieces[-1].end + _MARGIN)
    return tuple(pieces)
