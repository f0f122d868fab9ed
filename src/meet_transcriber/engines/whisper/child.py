"""
The process that Whisper runs in on a GPU; see `process`.

    python -m meet_transcriber.engines.whisper.child DESCRIPTOR

The descriptor is a socket to the parent. It gets a Recipe and answers Loaded; then it gets parts
and answers shares of progress and the list of findings, or the error. It ends when the parent does.
"""

import importlib
import sys
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

from meet_transcriber.core.errors import EngineUnavailable, RecognitionFailed, TranscriptionError
from meet_transcriber.core.options import Options
from meet_transcriber.core.transcript import Span
from meet_transcriber.engines.whisper.process import Loaded, ProcessLost, Recipe
from meet_transcriber.engines.whisper.recognizer import WhisperRecognizer
from meet_transcriber.ports.engines import Waveform


def main(connection: "Connection[Any, Any]") -> None:
    """Serve the parent until it hangs up."""
    recipe: Recipe = connection.recv()
    try:
        recognizer = _load(recipe)
    except TranscriptionError as error:
        connection.send(error)
        return
    connection.send(Loaded(recognizer.name, tuple(recognizer.languages), recognizer.batch_size))
    while True:
        audio, speech, options = connection.recv()
        answer = _answer(recognizer, connection, audio, speech, options)
        connection.send(answer)
        if isinstance(answer, ProcessLost):
            return


def _load(recipe: Recipe) -> WhisperRecognizer:
    module, _, function = recipe.loader.partition(":")
    try:
        loader = getattr(importlib.import_module(module), function)
        recognizer: WhisperRecognizer = loader(**recipe.arguments, batch_size=recipe.batch_size)
    except RuntimeError as error:
        raise EngineUnavailable(f"Whisper cannot be loaded: {error}.") from error
    return recognizer


def _answer(
    recognizer: WhisperRecognizer,
    connection: "Connection[Any, Any]",
    audio: Waveform,
    speech: tuple[Span, ...],
    options: Options,
) -> object:
    """The findings of a part; an error in their place."""
    try:
        return list(recognizer.recognize(audio, speech, options, connection.send))
    except RecognitionFailed as error:
        return ProcessLost(str(error.__cause__ or error))
    except TranscriptionError as error:
        return error


if __name__ == "__main__":
    with suppress(EOFError, BrokenPipeError, ConnectionResetError, KeyboardInterrupt):
        main(Connection(int(sys.argv[1])))
