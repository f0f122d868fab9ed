"""The parts of a recording: a few minutes each, cut in silence."""

from collections.abc import Sequence
from dataclasses import dataclass

from meet_transcriber.core.media import PreparedAudio
from meet_transcriber.core.transcript import Removed, Segment, Span, TranscriptWarning

TARGET_SECONDS = 150.0
"""Length that parts aim at; they end at the longest silence near it."""

_SLACK = 0.4  # share of the target within which a silence is looked for
_MARGIN = 0.3  # seconds of silence kept around a part's speech


@dataclass(frozen=True, slots=True)
class Part:
    """One checkpoint of recognition.

    Attributes:
        start, end: seconds of the recording; parts of a channel follow each other.
        channel: of the working audio.
        speech: spans that hold speech, in seconds of the recording.
    """

    index: int
    start: float
    end: float
    channel: int
    speech: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """What `prepare` decided; everything else works from it.

    `speech` holds the spans of each channel. With more than one channel every channel is
    one speaker.
    """

    audio: PreparedAudio
    speech: tuple[tuple[Span, ...], ...]
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class PartResult:
    """The words of one part, in seconds of the recording."""

    index: int
    channel: int
    engine: str
    segments: tuple[Segment, ...]
    removed: tuple[Removed, ...] = ()
    warnings: tuple[TranscriptWarning, ...] = ()


def plan_parts(
    speech: Sequence[Sequence[Span]], duration: float, target: float = TARGET_SECONDS
) -> tuple[Part, ...]:
    """
    Cut each channel into parts of about `target` seconds, in silence.

    A stretch of speech without any pause is cut where the target falls. Silence makes no
    part of its own, so a silent recording has none.
    """
    parts: list[Part] = []
    for channel, spans in enumerate(speech):
        for group in _groups(spans, target):
            start = max(group[0].start - _MARGIN, 0.0)
            end = min(group[-1].end + _MARGIN, duration)
            parts.append(Part(len(parts), start, end, channel, tuple(group)))
    return tuple(parts)


def _groups(spans: Sequence[Span], target: float) -> list[list[Span]]:
    rest = [piece for span in spans for piece in _chopped(span, target)]
    groups: list[list[Span]] = []
    while rest:
        cut = _cut_index(rest, target)
        groups.append(rest[:cut])
        rest = rest[cut:]
    return groups


def _chopped(span: Span, target: float) -> list[Span]:
    """Equal pieces no longer than the target."""
    pieces = max(1, int(-(-span.duration // target)))
    step = span.duration / pieces
    return [
        Span(span.start + step * index, span.start + step * (index + 1)) for index in range(pieces)
    ]


def _cut_index(spans: Sequence[Span], target: float) -> int:
    """How many spans the next part takes: up to the longest silence near the target."""
    start = spans[0].start
    if spans[-1].end - start <= target * (1 + _SLACK):
        return len(spans)
    low, high = start + target * (1 - _SLACK), start + target * (1 + _SLACK)
    candidates = [
        index for index in range(1, len(spans)) if low <= spans[index - 1].end <= high
    ] or [max(1, sum(span.end <= high for span in spans))]
    return max(candidates, key=lambda index: _silence_before(spans, index))


def _silence_before(spans: Sequence[Span], index: int) -> float:
    return spans[index].start - spans[index - 1].end if index < len(spans) else float("inf")
