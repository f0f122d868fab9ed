"""Recognizers that fail in a child process as a GPU does."""

import os
import signal
import time
from collections.abc import Iterator, Sequence

from meet_transcriber.core.errors import EngineUnavailable
from meet_transcriber.core.options import Options
from meet_transcriber.core.transcript import Span
from meet_transcriber.engines.whisper.recognizer import WhisperRecognizer
from meet_transcriber.ports.engines import Finding, Progress, Waveform
from tests.unit.engines.whisper.scripted import Heard, Script, ScriptedModel

OUT_OF_MEMORY = "CUDA failed with error out of memory"


def script() -> Script:
    """The words that all of them recognize."""
    made = Script()
    made.say("six words that everybody may hear", 1.0)
    return made


def small_gpu(batch_size: int | None, fits: int, how: str) -> WhisperRecognizer:
    """
    A recognizer with too little memory for its batches.

    Args:
        fits: the largest batch that works.
        how: `error` raises as CTranslate2 does, the name of a signal ends the process by it.
    """
    size = batch_size or 8

    def change(heard: Heard, _language: str) -> tuple[Heard, float]:
        if size > fits:
            if how.startswith("SIG"):
                os.kill(os.getpid(), getattr(signal, how))
            raise RuntimeError(OUT_OF_MEMORY)
        return heard, -0.2

    model = ScriptedModel(script(), change)
    model.device = "cuda"
    return WhisperRecognizer(model, size)


def missing(batch_size: int | None) -> WhisperRecognizer:
    """Raises EngineUnavailable."""
    raise EngineUnavailable("no weights here")


class _Slow(WhisperRecognizer):
    def recognize(
        self, audio: Waveform, speech: Sequence[Span], options: Options, progress: Progress
    ) -> Iterator[Finding]:
        for step in range(600):
            progress(step / 600)
            time.sleep(0.1)
        yield from ()


def slow(batch_size: int | None) -> WhisperRecognizer:
    """Takes a minute and reports progress."""
    return _Slow(ScriptedModel(script()), batch_size)
