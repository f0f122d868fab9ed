"""The parts of a recording: a few minutes each, cut in silence."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from meet_transcriber.core.media import PreparedAudio
from meet_transcriber.core.transcript import Removed, Segment, Span, TranscriptWarning, merge_spans

TARGET_SECONDS = 300.0
"""Length that parts aim at; they end at the longest silence near it."""

_SLACK = 0.4  # share of the target within which a silence is searched
_OVERLAP = 1.0  # seconds that both parts contain beyond a cut through speech
_MARGIN = 0.3  # seconds of silence kept around a part's speech


@dataclass(frozen=True, slots=True)
class Part:
    """One checkpoint of recognition.

    Attributes:
        start, end: seconds of the recording; parts of a channel follow each other.
        channel: of the working audio.
        seam: where speech was cut to begin this part; the part before contains some audio after
            it and this one some before. None if the part begins in a pause.
        speech: spans that hold speech, in seconds of the recording.
    """

    index: int
    start: float
    end: float
    channel: int
    speech: tuple[Span, ...]
    seam: float | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """The result of `prepare`, which the other tasks work from.

    `speech` holds the spans of each channel. With more than one channel every channel is
    one speaker.
    """

    audio: PreparedAudio
    speech: tuple[tuple[Span, ...], ...]
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class PartResult:
    """The words of one part, in seconds of the recording; `seam` as in `Part`."""

    index: int
    channel: int
    engine: str
    segments: tuple[Segment, ...]
    removed: tuple[Removed, ...] = ()
    warnings: tuple[TranscriptWarning, ...] = ()
    seam: float | None = None


def plan_parts(
    speech: Sequence[Sequence[Span]], duration: float, target: float = TARGET_SECONDS
) -> tuple[Part, ...]:
    """
    Cut each channel into parts of about `target` seconds, in silence.

    Speech without any pause is cut at the target; both parts then contain the same two seconds
    around the cut. Silence is in no part, so a silent recording has none.
    """
    parts: list[Part] = []
    for channel, spans in enumerate(speech):
        groups = _groups(spans, target)
        for before, group, after in zip([None, *groups], groups, [*groups[1:], None], strict=False):
            seam = _seam(before, group)
            heard = list(merge_spans(group))
            if seam is not None:
                heard[0] = Span(seam - _OVERLAP, heard[0].end)
            if after is not None and _seam(group, after) is not None:
                heard[-1] = Span(heard[-1].start, heard[-1].end + _OVERLAP)
            start = max(heard[0].start - (_MARGIN if seam is None else 0.0), 0.0)
            end = min(heard[-1].end + _MARGIN, duration)
            parts.append(Part(len(parts), start, end, channel, tuple(heard), seam))
    return tuple(parts)


def _seam(before: Sequence[Span] | None, after: Sequence[Span]) -> float | None:
    """Where speech was cut between two groups; None if there is a pause."""
    touching = before is not None and before[-1].end == after[0].start
    return after[0].start if touching else None


def _groups(spans: Sequence[Span], target: float) -> list[list[Span]]:
    rest = [piece for span in spans for piece in _chopped(span, target)]
    groups: list[list[Span]] = []
    while rest:
        cut = _cut_index(rest, target)
        groups.append(rest[:cut])
        rest = rest[cut:]
    return groups


def _chopped(span: Span, target: float) -> list[Span]:
    """Equal pieces no longer than the target; each ends exactly where the next begins."""
    pieces = max(1, int(-(-span.duration // target)))
    edges = [span.start + span.duration * at / pieces for at in range(pieces)] + [span.end]
    return [Span(low, high) for low, high in pairwise(edges)]


def _cut_index(spans: Sequence[Span], target: float) -> int:
    """How many spans the next part takes: up to the longest silence near the target."""
    start = spans[0].start
    if spans[-1].end - start <= target * (1 + _SLACK):
        return len(spans)
    low, high = start + target * (1 - _SLACK), start + target * (1 + _SLACK)
    candidates = [
        index for index in range(1, len(spans)) if low <= spans[index - 1].end <= high
    ] or [max(1, sum(span.end <= high for span in spans))]
    starts = [*(span.start for span in spans), float("inf")]
    return max(candidates, key=lambda index: starts[index] - spans[index - 1].end)
