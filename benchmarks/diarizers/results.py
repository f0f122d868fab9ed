"""Scores, table rows and summaries."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import mean, median

from benchmarks.diarizers.command import Finding
from benchmarks.diarizers.recordings import Recording
from meet_transcriber.core.scoring import DiarizationErrors, diarization_errors

COLLAR = 0.25
"""Seconds on each side of a reference boundary that are not scored; overlap is scored."""

_NAME = 34
_CELL = 34


@dataclass(frozen=True)
class Score:
    """
    One diarizer on one recording.

    Attributes:
        speed: audio seconds per processing second.
    """

    group: str
    said: int
    found: int
    errors: DiarizationErrors
    speed: float
    peak_mb: float


def score(recording: Recording, finding: Finding) -> Score:
    """Score a finding against the reference."""
    errors = diarization_errors(recording.turns, finding.turns, COLLAR)
    return Score(
        recording.group,
        recording.speakers,
        finding.speakers,
        errors,
        recording.seconds / max(finding.total_seconds, 1e-9),
        finding.peak_mb,
    )


def header(names: Sequence[str]) -> list[str]:
    """Two lines: names of diarizers, and names of columns."""
    columns = " found     DER  x real time    MB"
    return [
        " " * (_NAME + 6) + "".join(f"  {name:>{_CELL - 2}}" for name in names),
        f"{'recording':{_NAME}}  said" + "".join(f"{columns:>{_CELL}}" for _ in names),
    ]


def row(recording: Recording, scores: Sequence[Score | None]) -> str:
    """The line of a recording: one cell per diarizer."""
    name = f"{recording.group}: {recording.name}"
    return f"{name:{_NAME}.{_NAME}}{recording.speakers:6d}" + "".join(map(_cell, scores))


def _cell(score: Score | None) -> str:
    if score is None:
        return f"{'failed':>{_CELL}}"
    rate = f"{score.errors.rate:.1%}"
    return f"{f'{score.found:>6}{rate:>8}{score.speed:>13.1f}{score.peak_mb:>6.0f}':>{_CELL}}"


def summary(name: str, scores: Sequence[Score]) -> Iterator[str]:
    """A line per group of recordings, in order of appearance."""
    for group in dict.fromkeys(score.group for score in scores):
        these = [score for score in scores if score.group == group]
        speed, memory = median(s.speed for s in these), max(s.peak_mb for s in these)
        cost = f"median {speed:.1f} x real time, peak {memory:.0f} MB"
        yield f"{name}, {group}: {_quality(these)}{cost}"


def _quality(scores: Sequence[Score]) -> str:
    """Summarize DER and speaker counts."""
    rates = [score.errors.rate for score in scores]
    right = sum(score.found == score.said for score in scores)
    off = mean(abs(score.found - score.said) for score in scores)
    return (
        f"DER mean {mean(rates):.1%}, median {median(rates):.1%}, worst {max(rates):.1%}; "
        f"speakers right in {right} of {len(scores)}, off by {off:.2f} on average; "
    )


def timing(name: str, minutes: float, finding: Finding) -> str:
    """The line of one long recording: speed, memory, seconds of each stage."""
    stages = ", ".join(f"{stage} {seconds:.1f}" for stage, seconds in finding.seconds.items())
    speed = 60 * minutes / finding.total_seconds
    return (
        f"{name}, {minutes:g} min: {finding.total_seconds:.1f} s ({stages}), "
        f"{speed:.1f} x real time, peak {finding.peak_mb:.0f} MB, {finding.speakers} speakers"
    )


def growth(runs: Sequence[tuple[float, Finding]]) -> Iterator[str]:
    """Seconds per minute of audio of every run, relative to the shortest recording."""
    by_length = sorted(runs, key=lambda run: run[0])
    minutes, first = by_length[0]
    base = first.total_seconds / minutes
    for length, finding in by_length[1:]:
        ratio = finding.total_seconds / length / base
        yield f"{length:g} min: {ratio:.2f} x of the seconds per minute that {minutes:g} min take"
