"""
Loads a recognizer: in this process on a CPU, in a child process on a GPU.

After a CUDA error, such as out of memory, a process can no longer use the GPU (CUDA C++
Programming Guide, error checking). The child is then replaced by a new one with half the batch
size, which processes the part again.

The child gets a function that loads its recognizer over a socket and answers with RecognizerInfo.
For each part it sends shares of progress, then the list of findings or an error. It ends with its
parent.
"""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, cast

from meet_transcriber.core.errors import EngineUnavailable, RecognitionFailed, TranscriptionError
from meet_transcriber.core.options import Options
from meet_transcriber.core.transcript import Span, TranscriptWarning
from meet_transcriber.engines.whisper.model import CTranslate2Model, import_library
from meet_transcriber.engines.whisper.recognizer import WhisperRecognizer, check_options
from meet_transcriber.observability.gpu import gpu_memory
from meet_transcriber.observability.logging import get_logger
from meet_transcriber.ports.engines import Finding, Progress, Recognizer, Waveform

log = get_logger(__name__)

_MAX_GPU_BATCH = 32  # larger ones are no faster (base on an H200)
# Memory of a window during decoding, relative to model.bin in float16: keys and values of 1,500
# steps in every layer, and of five beams of 448 tokens. From 0.2 (large-v3) to 0.4 (base).
_WINDOW_SHARE = 0.4
_USABLE_SHARE = 0.6  # of free memory; fragments and workspaces take the rest
# not run by -m, as pickle would look for the classes of this module in `__main__`
_CHILD = "from meet_transcriber.engines.whisper.loader import run_child; run_child()"
_GRACE_SECONDS = 5.0  # a killed process may wait for the driver of its GPU

Load = Callable[[int | None], WhisperRecognizer]
"""From a batch size to a recognizer; raises EngineUnavailable."""


def load_recognizer(
    folder: str, name: str, device: str, compute_type: str | None, threads: int
) -> Recognizer:
    """
    Load a model in CTranslate2's format; on a GPU in a child process.

    Args:
        device: `cpu`, `cuda` or `auto`.
        threads: CPU cores to use.

    Raises:
        EngineUnavailable: the model cannot be loaded.
    """
    if device == "auto":
        device = "cuda" if import_library("ctranslate2").get_cuda_device_count() else "cpu"
    load = partial(load_in_process, folder, name, device, compute_type, threads)
    return load(None) if device == "cpu" else ChildRecognizer(load)


def load_in_process(
    folder: str,
    name: str,
    device: str,
    compute_type: str | None,
    threads: int,
    batch_size: int | None,
) -> WhisperRecognizer:
    """Load a model in this process; raises EngineUnavailable."""
    model = CTranslate2Model(Path(folder), name, device, compute_type, threads)
    if device != "cpu" and batch_size is None:
        batch_size = _fitting_batch_size((Path(folder) / "model.bin").stat().st_size)
    return WhisperRecognizer(model, batch_size)


def _fitting_batch_size(model_bytes: int) -> int:
    """Return how many windows fit into the GPU's free memory, after loading; at least one."""
    gpus = gpu_memory()
    if not gpus:
        return _MAX_GPU_BATCH // 2
    # CUDA numbers only the visible GPUs, the driver's library all of them.
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")[0].strip()
    gpu = next((each for each in gpus if each.name == visible), gpus[0])
    free = gpu.size_bytes - gpu.used_bytes
    return max(min(int(free * _USABLE_SHARE / (model_bytes * _WINDOW_SHARE)), _MAX_GPU_BATCH), 1)


@dataclass(frozen=True)
class RecognizerInfo:
    """Properties of the recognizer that a child has loaded."""

    name: str
    languages: tuple[str, ...]
    batch_size: int


class ChildFailed(Exception):
    """The child ended, or can no longer use its GPU."""


class ChildRecognizer:
    """
    The Recognizer port on a child process, replaced when its GPU fails; not thread-safe.

    Args:
        load: loads the recognizer in the child, given a batch size; picklable.
        batch_size: at first; None lets the function choose.

    Raises:
        EngineUnavailable: the child cannot load the model.
    """

    def __init__(self, load: Load, batch_size: int | None = None) -> None:
        self._load, self._batch_size = load, batch_size
        self._child: _Child | None = None
        self._info = self._start()

    @property
    def name(self) -> str:
        return self._info.name

    def check(self, options: Options) -> None:
        """Raise InvalidOptions if the model cannot do what is asked; see the port."""
        check_options(self.name, self._info.languages, options)

    def recognize(
        self, audio: Waveform, speech: Sequence[Span], options: Options, progress: Progress
    ) -> Iterator[Finding]:
        """Yield all findings of the part at its end; see the port."""
        self.check(options)
        warnings: list[Finding] = []
        while True:
            try:
                found = self._request((audio, tuple(speech), options), progress)
            except ChildFailed as error:
                warnings.append(self._restart_with_half_batch(error))
                continue
            except BaseException:
                self.close()  # it still computes a result that is no longer wanted
                raise
            yield from warnings
            yield from found
            return

    def close(self) -> None:
        """End the child."""
        if self._child is not None:
            self._child.close()
        self._child = None

    def _restart_with_half_batch(self, error: ChildFailed) -> TranscriptWarning:
        self.close()
        batch_size = self._info.batch_size
        if batch_size <= 1:
            raise EngineUnavailable(
                f"Whisper cannot run on this GPU, not even one window at a time ({error}); choose "
                "a smaller WHISPER_MODEL, WHISPER_COMPUTE_TYPE=int8_float16, or WHISPER_DEVICE=cpu."
            ) from error
        self._batch_size = batch_size // 2
        log.warning("batch_reduced", batch_size=batch_size // 2, error=str(error))
        self._info = self._start()
        return TranscriptWarning(
            "batch_reduced",
            f"The GPU failed ({error}); Whisper continued in a new process with a batch size of "
            f"{batch_size // 2} instead of {batch_size}.",
        )

    def _start(self) -> RecognizerInfo:
        try:
            self._child = _Child()
            self._child.send((self._load, self._batch_size))
            answer = self._child.receive()
        except (ChildFailed, OSError) as error:
            self.close()
            raise EngineUnavailable(f"Whisper's process ended while loading ({error}).") from error
        if isinstance(answer, RecognizerInfo):
            return answer
        self.close()
        if isinstance(answer, TranscriptionError):
            raise answer
        raise EngineUnavailable(f"Whisper's process could not load its model: {answer}.")

    def _request(self, part: object, progress: Progress) -> list[Finding]:
        if self._child is None:
            self._info = self._start()
        child = cast(_Child, self._child)
        child.send(part)
        while isinstance(answer := child.receive(), float):
            progress(answer)
        if isinstance(answer, TranscriptionError):
            raise answer
        found: list[Finding] = answer
        return found


class _Child:
    """A child process and the connection to it; raises ChildFailed when it has ended."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        self._connection: Connection[Any, Any] = Connection(ours.detach())
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603 - our own module
                [sys.executable, "-c", _CHILD, str(theirs.fileno())],
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
            )

    def send(self, message: object) -> None:
        try:
            self._connection.send(message)
        except OSError as error:
            raise ChildFailed(self._exit_reason()) from error

    def receive(self) -> Any:
        try:
            answer = self._connection.recv()
        except (EOFError, OSError) as error:
            raise ChildFailed(self._exit_reason()) from error
        if isinstance(answer, ChildFailed):
            raise answer
        return answer

    def close(self) -> None:
        """Kill the process, which may take long if the GPU's driver does not answer."""
        self._connection.close()
        self._process.kill()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_GRACE_SECONDS)

    def _exit_reason(self) -> str:
        try:
            code = self._process.wait(_GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            return "its process does not answer"
        if code < 0:  # `signal.Signals` has no names of real-time signals
            return f"its process was ended by signal {-code} ({signal.strsignal(-code)})"
        return f"its process ended with code {code}"


def run_child() -> None:
    """Serve the parent on the socket whose descriptor is the first argument, until it closes."""
    with suppress(EOFError, BrokenPipeError, ConnectionResetError, KeyboardInterrupt):
        _serve(Connection(int(sys.argv[1])))


def _serve(connection: "Connection[Any, Any]") -> None:
    load, batch_size = connection.recv()
    try:
        recognizer: WhisperRecognizer = load(batch_size)
    except (TranscriptionError, RuntimeError) as error:
        connection.send(error if isinstance(error, TranscriptionError) else str(error))
        return
    info = RecognizerInfo(recognizer.name, tuple(recognizer.languages), recognizer.batch_size)
    connection.send(info)
    while True:
        audio, speech, options = connection.recv()
        try:
            found = list(recognizer.recognize(audio, speech, options, connection.send))
        except RecognitionFailed as error:  # the GPU cannot be used any more
            # A CUDA context does not recover from an error; only a new process can go on.
            connection.send(ChildFailed(str(error.__cause__ or error)))
            return
        except TranscriptionError as error:
            connection.send(error)
        else:
            connection.send(found)
