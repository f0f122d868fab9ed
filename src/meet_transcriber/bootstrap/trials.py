"""Trying an engine on a second of audio before anybody relies on it."""

from collections.abc import Callable
from typing import TypeVar

from meet_transcriber.core.errors import EngineUnavailable
from meet_transcriber.core.options import Options
from meet_transcriber.core.transcript import Span
from meet_transcriber.pipeline import Chosen, ignore_progress
from meet_transcriber.ports.engines import SAMPLE_RATE_HZ, Diarizer, Recognizer, Waveform

E = TypeVar("E", Recognizer, Diarizer)

_WHOLE = Span(0.0, 1.0)


def heard(recognizer: Recognizer) -> str:
    """The name of a recognizer that got through a second of noise."""
    for _ in recognizer.recognize(a_second(), [_WHOLE], Options(), ignore_progress):
        pass
    return recognizer.name


def told_apart(diarizer: Diarizer) -> str:
    """The same of a diarizer."""
    diarizer.diarize(_Second(), [_WHOLE], Options(), ignore_progress)
    return diarizer.name


def tried(chosen: Chosen[E], attempt: Callable[[E], str]) -> Chosen[E]:
    """
    An engine that got through an attempt just now, so that no job is the first to try it.

    Raises:
        EngineUnavailable: it did not; says how that went.
    """
    engine = chosen.engine
    try:
        attempt(engine)
    except EngineUnavailable:
        raise
    except Exception as error:  # whatever a library does that was loaded but does not work
        raise EngineUnavailable(
            f"{engine.name} was loaded, but failed on a second of audio when it was tried: "
            f"{str(error) or type(error).__name__}. 'meet-transcriber doctor' tries it again."
        ) from error
    return chosen


class _Second:
    """A second of quiet noise as an AudioSource."""

    duration, channels = 1.0, 1

    def read(self, start: float, end: float, channel: int = 0) -> Waveform:  # noqa: ARG002
        return a_second()[round(start * SAMPLE_RATE_HZ) : round(end * SAMPLE_RATE_HZ)]


def a_second() -> Waveform:
    """A second of quiet noise."""
    import numpy as np

    return np.random.default_rng(0).normal(0, 0.01, SAMPLE_RATE_HZ).astype(np.float32)
