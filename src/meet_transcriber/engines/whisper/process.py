"""
Whisper in a process of its own, as a GPU needs it.

After a CUDA error, running out of memory among them, the process that met it can never use the
GPU again (CUDA C++ Programming Guide, error checking). So it is replaced by a new one with half
the batch, and the part that it worked on is done again.
"""

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from typing import Any

from meet_transcriber.core.errors import EngineUnavailable, TranscriptionError
from meet_transcriber.core.options import Options
from meet_transcriber.core.transcript import Span, TranscriptWarning
from meet_transcriber.engines.whisper.recognizer import check_options
from meet_transcriber.observability.logging import get_logger
from meet_transcriber.ports.engines import Finding, Progress, Waveform

log = get_logger(__name__)

_CHILD = "meet_transcriber.engines.whisper.child"
_GRACE_SECONDS = 5.0


@dataclass(frozen=True)
class Recipe:
    """
    How the process loads its recognizer.

    Attributes:
        loader: `module:function`, called with `arguments` and the batch size; returns a
            WhisperRecognizer.
        arguments: what the function takes by name.
        batch_size: None lets the loader choose.
    """

    loader: str
    arguments: dict[str, Any]
    batch_size: int | None = None


@dataclass(frozen=True)
class Loaded:
    """What the process says of its recognizer once it is there."""

    name: str
    languages: tuple[str, ...]
    batch_size: int


class ProcessLost(Exception):
    """The process died, or its GPU is of no use to it any more."""


class RecognizerProcess:
    """
    A Recognizer that lives in a process which is replaced when its GPU fails; one call at a time.

    Raises:
        EngineUnavailable: the model cannot be loaded there.
    """

    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection[Any, Any] | None = None
        self._loaded = self._start()

    @property
    def name(self) -> str:
        return self._loaded.name

    def check(self, options: Options) -> None:
        """Refuse what the model cannot do; see the port."""
        check_options(self.name, self._loaded.languages, options)

    def recognize(
        self, audio: Waveform, speech: Sequence[Span], options: Options, progress: Progress
    ) -> Iterator[Finding]:
        """Findings of the whole part at once; see the port."""
        self.check(options)
        notes: list[Finding] = []
        while True:
            try:
                found = self._ask(audio, speech, options, progress)
            except ProcessLost as error:
                notes.append(self._smaller(error))
                continue
            except BaseException:
                self.close()  # it is still at work, for nobody
                raise
            yield from notes
            yield from found
            return

    def close(self) -> None:
        """End the process."""
        if self._connection is not None:
            self._connection.close()
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.kill()
            self._process.wait(_GRACE_SECONDS)
        self._process = self._connection = None

    def _smaller(self, error: ProcessLost) -> TranscriptWarning:
        """Go on with half the batch, in a new process."""
        self.close()
        batch_size = self._loaded.batch_size
        if batch_size <= 1:
            raise EngineUnavailable(
                f"Whisper cannot run on this GPU, not even one window at a time ({error}); choose "
                "a smaller WHISPER_MODEL, WHISPER_COMPUTE_TYPE=int8_float16, or WHISPER_DEVICE=cpu."
            ) from error
        self._recipe = replace(self._recipe, batch_size=batch_size // 2)
        log.warning("batch_reduced", batch_size=batch_size // 2, error=str(error))
        self._loaded = self._start()
        return TranscriptWarning(
            "batch_reduced",
            f"The GPU failed ({error}); Whisper went on in a new process with batches of "
            f"{batch_size // 2} windows in place of {batch_size}.",
        )

    def _start(self) -> Loaded:
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603 - our own module
                [sys.executable, "-m", _CHILD, str(theirs.fileno())],
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
            )
        self._connection = Connection(ours.detach())
        try:
            self._send(self._recipe)
            answer = self._receive()
        except ProcessLost as error:
            self.close()
            raise EngineUnavailable(f"Whisper's process ended while loading ({error}).") from error
        if not isinstance(answer, Loaded):
            self.close()
            raise (
                answer
                if isinstance(answer, TranscriptionError)
                else EngineUnavailable(f"Whisper's process could not load its model: {answer}.")
            )
        return answer

    def _ask(
        self, audio: Waveform, speech: Sequence[Span], options: Options, progress: Progress
    ) -> list[Finding]:
        if self._process is None:
            self._loaded = self._start()
        self._send((audio, tuple(speech), options))
        while True:
            answer = self._receive()
            if isinstance(answer, float):
                progress(answer)
            elif isinstance(answer, TranscriptionError):
                raise answer
            else:
                found: list[Finding] = answer
                return found

    def _send(self, message: object) -> None:
        assert self._connection is not None  # noqa: S101 - there is a process
        try:
            self._connection.send(message)
        except OSError as error:
            raise ProcessLost(self._death()) from error

    def _receive(self) -> Any:
        assert self._connection is not None  # noqa: S101 - there is a process
        try:
            answer = self._connection.recv()
        except (EOFError, OSError) as error:
            raise ProcessLost(self._death()) from error
        if isinstance(answer, ProcessLost):
            raise answer
        return answer

    def _death(self) -> str:
        """How the process ended, in words."""
        if self._process is None:
            return "its process is gone"
        try:
            code = self._process.wait(_GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            return "its process does not answer"
        if code < 0:
            return f"its process was ended by {signal.Signals(-code).name}"
        return f"its process ended with code {code}"
