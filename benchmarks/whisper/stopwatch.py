"""Seconds by stage, and results of a run."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

from meet_transcriber.core.scoring import WordErrors, word_errors

P = ParamSpec("P")
R = TypeVar("R")


class Stopwatch:
    """Seconds of each stage; a nested stage pauses the outer one."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._open: list[str] = []
        self._since = 0.0

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count the time inside as this stage."""
        self._count()
        self._open.append(name)
        try:
            yield
        finally:
            self._count()
            self._open.pop()

    def timed(self, name: str, function: Callable[P, R]) -> Callable[P, R]:
        """Wrap a function so that its time is counted as a stage."""

        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            with self.stage(name):
                return function(*args, **kwargs)

        return call

    def reset(self) -> dict[str, float]:
        """Reset; returns the seconds so far."""
        counted, self.seconds = self.seconds, {}
        return counted

    def _count(self) -> None:
        now = time.perf_counter()
        if self._open:
            name = self._open[-1]
            self.seconds[name] = self.seconds.get(name, 0.0) + now - self._since
        self._since = now


@dataclass(frozen=True)
class Run:
    """Seconds by stage, the resulting words, and the codes of warnings."""

    stages: Mapping[str, float]
    words: list[str]
    warnings: tuple[str, ...] = ()

    @property
    def seconds(self) -> float:
        """Of all stages."""
        return sum(self.stages.values())

    def errors(self, reference: list[str]) -> WordErrors:
        """Return the word errors against the reference."""
        return word_errors(reference, self.words)


def told(name: str, run: Run) -> str:
    """Return a line with the seconds of a run and of its stages."""
    stages = ", ".join(f"{stage} {seconds:.1f}" for stage, seconds in run.stages.items())
    return f"{name:26s} {run.seconds:7.1f} s  ({stages})"


def scored(name: str, run: Run, reference: list[str]) -> str:
    """Return a line with the word errors of a run."""
    errors = run.errors(reference)
    return (
        f"{name:26s} WER {errors.rate:6.2%}: {errors.substitutions} substitutions, "
        f"{errors.deletions} deletions, {errors.insertions} insertions in {errors.total} words"
    )
