"""Diarization error rate: seconds missed, invented or given to the wrong speaker."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from meet_transcriber.core.scoring.assignment import assign
from meet_transcriber.core.transcript import Span, Turn, total_seconds
from meet_transcriber.core.word_timing import merged


@dataclass(frozen=True, slots=True)
class DiarizationErrors:
    """
    Seconds of error; they add up over recordings with `+`.

    `total` is the reference speech, somebody speaking over somebody counted twice.
    """

    missed: float = 0.0
    false_alarm: float = 0.0
    confusion: float = 0.0
    total: float = 0.0

    @property
    def rate(self) -> float:
        """(missed + false alarm + confusion) / total; 0 or 1 where nobody speaks."""
        errors = self.missed + self.false_alarm + self.confusion
        if self.total == 0:
            return 1.0 if errors else 0.0
        return errors / self.total

    def __add__(self, other: "DiarizationErrors") -> "DiarizationErrors":
        return DiarizationErrors(
            self.missed + other.missed,
            self.false_alarm + other.false_alarm,
            self.confusion + other.confusion,
            self.total + other.total,
        )


@dataclass(frozen=True, slots=True)
class DetectionErrors:
    """Seconds of speech found and missed, whoever speaks; they add up with `+`."""

    detected: float = 0.0
    speech: float = 0.0
    false_alarm: float = 0.0
    non_speech: float = 0.0

    @property
    def detected_share(self) -> float:
        """Share of the reference's speech that was detected."""
        return self.detected / self.speech if self.speech else 1.0

    @property
    def false_alarm_share(self) -> float:
        """Share of the reference's non-speech that was taken for speech."""
        return self.false_alarm / self.non_speech if self.non_speech else 0.0

    def __add__(self, other: "DetectionErrors") -> "DetectionErrors":
        return DetectionErrors(
            self.detected + other.detected,
            self.speech + other.speech,
            self.false_alarm + other.false_alarm,
            self.non_speech + other.non_speech,
        )


def diarization_errors(
    reference: Sequence[Turn],
    hypothesis: Sequence[Turn],
    collar: float = 0.0,
    *,
    skip_overlap: bool = False,
) -> DiarizationErrors:
    """
    Compare turns under the best matching of speakers.

    Args:
        collar: seconds on EACH side of every reference boundary that do not count, as in
            NIST's md-eval; pyannote.metrics states the sum of both sides instead.
        skip_overlap: leave out where several people speak in the reference.
    """
    slices = list(_slices(reference, hypothesis, collar, skip_overlap=skip_overlap))
    mapping = _best_mapping(slices)
    missed = false_alarm = confusion = total = 0.0
    for seconds, said, claimed in slices:
        correct = sum(mapping.get(speaker) in said for speaker in claimed)
        total += seconds * len(said)
        missed += seconds * max(0, len(said) - len(claimed))
        false_alarm += seconds * max(0, len(claimed) - len(said))
        confusion += seconds * (min(len(said), len(claimed)) - correct)
    return DiarizationErrors(missed, false_alarm, confusion, total)


def detection_errors(
    reference: Iterable[Turn | Span], hypothesis: Iterable[Turn | Span], duration: float
) -> DetectionErrors:
    """Compare where there is speech at all, from 0 to `duration` seconds."""
    said, claimed = _within(reference, duration), _within(hypothesis, duration)
    either = total_seconds(merged((*said, *claimed)))
    speech, found = total_seconds(said), total_seconds(claimed)
    return DetectionErrors(
        detected=speech + found - either,
        speech=speech,
        false_alarm=either - speech,
        non_speech=max(duration - speech, 0.0),
    )


def _within(spans: Iterable[Turn | Span], duration: float) -> tuple[Span, ...]:
    cut = (Span(max(span.start, 0.0), min(span.end, duration)) for span in spans)
    return merged(span for span in cut if span.end > span.start)


Slice = tuple[float, frozenset[str], frozenset[str]]


def _slices(
    reference: Sequence[Turn], hypothesis: Sequence[Turn], collar: float, *, skip_overlap: bool
) -> Iterator[Slice]:
    """Stretches in which nothing changes: seconds, who speaks, who is said to speak."""
    events: list[tuple[float, int, int, str]] = []
    for side, turns in enumerate((reference, hypothesis)):
        for turn in turns:
            if turn.end > turn.start:
                events.append((turn.start, side, 1, turn.speaker))
                events.append((turn.end, side, -1, turn.speaker))
    if collar > 0:
        for turn in reference:
            for edge in (turn.start, turn.end):
                events.append((edge - collar, 2, 1, ""))
                events.append((edge + collar, 2, -1, ""))
    events.sort(key=lambda event: event[0])
    active: tuple[dict[str, int], ...] = ({}, {}, {})
    for (time, side, step, speaker), (following, *_) in pairwise([*events, (0.0, 0, 0, "")]):
        counts = active[side]
        counts[speaker] = counts.get(speaker, 0) + step
        if not counts[speaker]:
            del counts[speaker]
        said, claimed, ignored = active
        wanted = (said or claimed) and not ignored and not (skip_overlap and len(said) > 1)
        if following > time and wanted:
            yield following - time, frozenset(said), frozenset(claimed)


def _best_mapping(slices: Sequence[Slice]) -> dict[str, str]:
    """Hypothesis speaker to reference speaker, so that they share most seconds."""
    shared: dict[tuple[str, str], float] = {}
    for seconds, said, claimed in slices:
        for one in said:
            for other in claimed:
                shared[one, other] = shared.get((one, other), 0.0) + seconds
    references = sorted({one for one, _ in shared})
    hypotheses = sorted({other for _, other in shared})
    if not references:
        return {}
    # columns to spare let a reference speaker stay unmatched
    columns = [*hypotheses, *([None] * len(references))]
    costs = [[-shared.get((one, other or ""), 0.0) for other in columns] for one in references]
    matched = assign(costs)
    return {
        name: one
        for one, column in zip(references, matched, strict=True)
        if (name := columns[column]) is not None and (one, name) in shared
    }
