"""Loading a recognizer: where it computes, and how much at a time."""

import importlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from meet_transcriber.core.errors import EngineUnavailable, RecognitionFailed, TranscriptionError
from meet_transcriber.core.options import Options
from meet_transcriber.core.transcript import Span, TranscriptWarning
from meet_transcriber.engines.whisper.model import CTranslate2Model
from meet_transcriber.engines.whisper.recognizer import WhisperRecognizer, check_options
from meet_transcriber.observability.gpu import gpu_memory
from meet_transcriber.observability.logging import get_logger
from meet_transcriber.ports.engines import Finding, Progress, Recognizer, Waveform

MOST_WINDOWS = 32
"""Windows in a batch on a GPU; more gain nothing (base on an H200)."""

# Memory that a window takes while it is decoded, by the bytes of model.bin in float16: keys and
# values of 1,500 steps in every layer, and of five beams of 448 tokens. From 0.2 (large-v3) to
# 0.4 (base).
_WINDOW_SHARE = 0.4
_USABLE_SHARE = 0.6  # of the memory that is free; fragments and workspaces take the rest


def load_recognizer(
    folder: str, name: str, device: str, compute_type: str | None, threads: int
) -> Recognizer:
    """
    A recognizer on a folder in CTranslate2's format; in a process of its own on a GPU.

    Args:
        device: `cpu`, `cuda` or `auto`.
        threads: CPU cores to use.

    Raises:
        EngineUnavailable: the model cannot be loaded.
    """
    device = _device(device)
    if device == "cpu":
        return load_here(folder, name, device, compute_type, threads, None)
    loader = f"{load_here.__module__}:{load_here.__name__}"
    arguments = {"device": device, "compute_type": compute_type, "threads": threads}
    return RecognizerProcess(Recipe(loader, {"folder": folder, "name": name, **arguments}))


def load_here(
    folder: str,
    name: str,
    device: str,
    compute_type: str | None,
    threads: int,
    batch_size: int | None,
) -> WhisperRecognizer:
    """The same in this process; raises EngineUnavailable."""
    model = CTranslate2Model(Path(folder), name, device, compute_type, threads)
    if device != "cpu" and batch_size is None:
        batch_size = batch_that_fits((Path(folder) / "model.bin").stat().st_size)
    return WhisperRecognizer(model, batch_size)


def batch_that_fits(model_bytes: int) -> int:
    """Windows that the GPU's free memory holds, once the model is loaded; at least one."""
    gpus = gpu_memory()
    if not gpus:
        return MOST_WINDOWS // 2
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")[0].strip()
    gpu = next((each for each in gpus if each.name == visible), gpus[0])
    free = gpu.size_bytes - gpu.used_bytes
    return max(min(int(free * _USABLE_SHARE / (model_bytes * _WINDOW_SHARE)), MOST_WINDOWS), 1)


def _device(asked: str) -> str:
    if asked != "auto":
        return asked
    try:
        import ctranslate2  # noqa: PLC0415 - native code, loaded only where it is used
    except (ImportError, OSError) as error:
        raise EngineUnavailable(
            f"CTranslate2 cannot be loaded ({error}); run: pip install faster-whisper"
        ) from error
    return "cuda" if ctranslate2.get_cuda_device_count() else "cpu"


log = get_logger(__name__)

_CHILD = "from meet_transcriber.engines.whisper.loader import run_child; run_child()"
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
                [sys.executable, "-c", _CHILD, str(theirs.fileno())],
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


def run_child() -> None:
    """Serve the parent on the socket whose descriptor is the first argument, until it closes."""
    with suppress(EOFError, BrokenPipeError, ConnectionResetError, KeyboardInterrupt):
        _serve(Connection(int(sys.argv[1])))


def _serve(connection: "Connection[Any, Any]") -> None:
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
