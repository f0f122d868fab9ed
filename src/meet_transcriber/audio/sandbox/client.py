"""
An AudioDecoder that runs all decoding of recordings in confined child processes.

A child may be under the control of a hostile recording, so nothing that it sends is trusted.
"""

import io
import json
import math
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from functools import cache, cached_property, partial
from typing import Any, BinaryIO, NamedTuple, TypeVar, cast

from pydantic import TypeAdapter, ValidationError

from meet_transcriber.audio.sandbox import protocol
from meet_transcriber.audio.sandbox.protocol import STARTED, STATUS, Channel, Limits
from meet_transcriber.core.errors import (
    AudioTooLong,
    DecoderStopped,
    EngineError,
    InvalidAudio,
    StorageFull,
    TranscriptionError,
    UnreadableAudio,
    UnsupportedFormat,
)
from meet_transcriber.core.media import (
    MAX_CHANNELS,
    MAX_SPLIT,
    PEAKS_PER_SECOND,
    MediaInfo,
    Peaks,
    PreparedAudio,
)
from meet_transcriber.core.options import Options
from meet_transcriber.observability.logging import get_logger
from meet_transcriber.ports.engines import SAMPLE_RATE_HZ, AudioSource, Progress, usable_memory

log = get_logger(__name__)

T = TypeVar("T")

# -- child processes -----------------------------------------------------------------------------

DECODER = "meet_transcriber.audio.decoder:PyavDecoder"
PROBER = "meet_transcriber.audio.probe:Prober"
"""Classes for `ChildPool`: the full decoder, and the prober, which needs less memory."""

_MODULE = "meet_transcriber.audio.sandbox.forkserver"
# what Python and its libraries need; any other variable may hold a secret
_KEPT = ("LANG", "LC_ALL", "LC_CTYPE", "LD_LIBRARY_PATH", "PATH", "PYTHONHOME", "TMPDIR", "TZ")
_ATTEMPTS = 2  # the first may find a server that has just died
_ENDING_SECONDS = 2.0  # a server ends as soon as its control socket closes
_DYING_SECONDS = 0.5  # a server that closed its sockets is gone by then, unless it is alive
_STATUS_SECONDS = 10.0
_START_SECONDS = 60.0  # starting Python and FFmpeg from a cold disk is slow
_LEAST_AT_ONCE = 4  # children also wait for recordings from remote stores, without using a CPU
_OWN_BYTES = 512 << 20  # of the memory of this process's container, for the process itself
_NO_CHILD = "The process that decodes recordings ended or cannot be started; try again."


class Child(NamedTuple):
    """A child process; it lives as long as `lifetime` is open."""

    channel: Channel
    lifetime: socket.socket

    def wait_status(self) -> int | None:
        """Return the exit status of a child that closed its channel; None if unknown."""
        self.lifetime.settimeout(_STATUS_SECONDS)
        with suppress(OSError):
            data = self.lifetime.recv(STATUS.size)
            if len(data) == STATUS.size:
                return int(STATUS.unpack(data)[0])
        return None


class Places:
    """
    Limits how many children run at once, and how much memory they may take together.

    Args:
        most: children that run at once.
        memory_bytes: for all of them; one runs even if it may take more.
    """

    def __init__(self, most: int, memory_bytes: int) -> None:
        self._most, self._memory_bytes = most, memory_bytes
        self._held: list[int] = []
        self._changed = threading.Condition()

    def count(self, memory_bytes: int) -> int:
        """How many children that may take so much memory each run at once."""
        return max(1, min(self._most, self._memory_bytes // memory_bytes))

    @contextmanager
    def hold(self, memory_bytes: int) -> Iterator[None]:
        """Wait for a place and hold it within the context."""
        with self._changed:
            self._changed.wait_for(lambda: self._fits(memory_bytes))
            self._held.append(memory_bytes)
        try:
            yield
        finally:
            with self._changed:
                self._held.remove(memory_bytes)
                self._changed.notify_all()

    def _fits(self, memory_bytes: int) -> bool:
        if not self._held:
            return True
        fits = sum(self._held) + memory_bytes <= self._memory_bytes
        return fits and len(self._held) < self._most


@cache
def shared_places() -> Places:
    """The places of this process: one per CPU, at least four, as far as its memory suffices."""
    return Places(max(os.cpu_count() or 1, _LEAST_AT_ONCE), usable_memory() - _OWN_BYTES)


class ChildPool:
    """
    Starts the fork server when the first child is requested, and again when it died.

    The fork server gets no environment variable that could hold a secret and no open file but
    its control socket, so it and its children end with this process, however this one ends.
    Each process that uses a pool has its own fork server, forked processes too.

    Args:
        decoder: `module:Class` of the decoder that children use.
        places: where its children run, shared with other pools; None takes this process's.
    """

    def __init__(self, decoder: str, places: Places | None = None) -> None:
        self._decoder = decoder
        self.places = places or shared_places()
        self._lock = threading.Lock()
        self._server: _Server | None = None

    @property
    def pid(self) -> int | None:
        """The process id of the fork server; None before it is started."""
        return self._server.process.pid if self._server else None

    @contextmanager
    def child(self, memory_bytes: int) -> Iterator[Child]:
        """
        Start a child that may take so much memory, once there is a place for it.

        It is killed when the context ends, unless it has ended by itself.

        Raises:
            EngineError: no child can be started.
        """
        with self.places.hold(memory_bytes), ExitStack() as stack:
            try:
                started = self._start_child(stack)
            except OSError as error:  # no memory, process or file descriptor is left
                raise EngineError(_NO_CHILD) from error
            yield started

    def _start_child(self, stack: ExitStack) -> Child:
        """Ask the fork server for a child; a second time if the server has died."""
        for _ in range(_ATTEMPTS):
            ours, theirs = (stack.enter_context(end) for end in socket.socketpair())
            lifetime, held = (stack.enter_context(end) for end in socket.socketpair())
            lifetime.settimeout(_START_SECONDS)
            # The server has duplicates; ours are closed, or the end of the child would not be seen.
            with theirs, held, self._lock:
                server = self._running_server()
                with suppress(OSError):
                    socket.send_fds(server.control, [b"c"], [theirs.fileno(), held.fileno()])
            try:
                with suppress(ConnectionError):
                    if lifetime.recv(1) == STARTED:
                        return Child(Channel(ours), lifetime)
            # It hangs; the next attempt starts another one.
            except TimeoutError:
                server.process.kill()
            self._discard_dead(server)
        raise EngineError(_NO_CHILD)

    def _running_server(self) -> "_Server":
        """Return the fork server of this process; starts it if there is none."""
        if self._server is not None and self._server.owner != os.getpid():
            self._server.forget()  # a forked process has inherited it
            self._server = None
        if self._server is None:
            self._server = _Server(self, self._decoder)
        return self._server

    def _discard_dead(self, server: "_Server") -> None:
        """Forget a fork server that has died; one that only cannot fork now keeps its children."""
        with self._lock:
            if self._server is server:
                with suppress(subprocess.TimeoutExpired):
                    server.process.wait(_DYING_SECONDS)
                    server.forget()
                    self._server = None


class _Server:
    """A running fork server, which is stopped when its pool is deleted or this process exits."""

    def __init__(self, pool: ChildPool, decoder: str) -> None:
        self.owner = os.getpid()
        self.control, theirs = socket.socketpair()
        environment = {name: os.environ[name] for name in _KEPT if name in os.environ}
        environment |= {
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            "OPENBLAS_NUM_THREADS": "1",  # a process with one thread can fork safely
            "OMP_NUM_THREADS": "1",
            "OBJC_DISABLE_INITIALIZE_FORK_SAFETY": "YES",
        }
        with theirs:
            self.process = subprocess.Popen(  # noqa: S603 - the command is our own
                [sys.executable, "-P", "-m", _MODULE, decoder],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                env=environment,
                start_new_session=True,  # so that Ctrl-C reaches only this process
            )
        self._stop = weakref.finalize(pool, _stop_server, self.process, self.control, self.owner)

    def forget(self) -> None:
        """Close the control socket, for a server that has ended or is of another process."""
        self._stop.detach()
        self.control.close()


def _stop_server(process: subprocess.Popen[bytes], control: socket.socket, owner: int) -> None:
    # A forked process inherits the finalizer, but not the server.
    if os.getpid() != owner:
        return
    control.close()
    try:
        process.wait(_ENDING_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


shared_pool = cache(ChildPool)
"""Returns this process's pool for DECODER or PROBER."""


# -- requests ------------------------------------------------------------------------------------

_TICK_SECONDS = 0.5  # a cancelled job ends after at most this
_PROBE_CPU_SECONDS = 4  # ordinary recordings take hundredths of one
_PROBE_MEMORY_SHARE = 3 / 8  # of a decoder's
LEAST_MEMORY_BYTES = 384 << 20
"""Address space of a child that every ordinary recording needs, the program included."""

_CPU_SECONDS = 60.0
_CPU_SHARE = 0.1  # of the maximum duration; ordinary recordings take a hundredth
_WALL_FACTOR = 3.0  # on a busy machine a child gets only part of the CPU
_MEBIBYTE = 1 << 20
_SAMPLE_BYTES = 4 * 8  # eight channels, uncompressed


@dataclass(frozen=True)
class ConfinedDecoder:
    """
    Probes and prepares each recording in a child process with limits; see docs/security.md.

    A child that crashes, hangs or exceeds its limits ends as UnreadableAudio.

    Attributes:
        max_duration: seconds; longer recordings are refused.
        memory_bytes: address space of a child, including 230 MB for the program; one that only
            probes gets three eighths of it, but at least LEAST_MEMORY_BYTES.
        cpu_seconds: CPU time of a child; None derives it from max_duration, and takes a few
            seconds for one that only probes.
        pool, probe_pool: pools of children that decode, and that only probe; the fork server
            of each starts with the first request.
    """

    max_duration: float = 14_400.0
    memory_bytes: int = 1024 * _MEBIBYTE
    cpu_seconds: int | None = None
    pool: ChildPool = field(default_factory=partial(shared_pool, DECODER))
    probe_pool: ChildPool = field(default_factory=partial(shared_pool, PROBER))

    @property
    def probe_places(self) -> int:
        """How many recordings can be probed at once."""
        return self.probe_pool.places.count(self._probe_limits.memory_bytes)

    def probe(self, media: BinaryIO) -> MediaInfo:
        """Probe a recording; see the port."""
        with self.probe_pool.child(self._probe_limits.memory_bytes) as child:
            conversation = _Conversation(child, media, self._probe_limits)
            return parse_media_info(conversation.request(self.max_duration))

    def prepare(
        self, media: BinaryIO, working: BinaryIO, options: Options, progress: Progress
    ) -> tuple[PreparedAudio, Peaks]:
        """Decode a recording; see the port."""
        seconds = round(_CPU_SECONDS + _CPU_SHARE * self.max_duration)
        with ExitStack() as stack:
            written = _plain_file(working) or stack.enter_context(tempfile.TemporaryFile())
            scratch = stack.enter_context(tempfile.TemporaryFile())
            child = stack.enter_context(self.pool.child(self.memory_bytes))
            conversation = _Conversation(child, media, self._limits(seconds), progress)
            reply = conversation.request(self.max_duration, options, written, scratch)
            prepared = parse_prepared(reply, self.max_duration)
            if written is not working:
                written.seek(0)
                shutil.copyfileobj(written, working)
            return prepared, parse_peaks(conversation.peaks, prepared.duration)

    def open(self, working: BinaryIO, prepared: PreparedAudio) -> AudioSource:
        """Open working audio in this process; it is our own FLAC, not untrusted media."""
        # Imported here, because processes that only probe load neither FFmpeg nor numpy.
        from meet_transcriber.audio.working_audio import WorkingAudio  # noqa: PLC0415

        return WorkingAudio(working, prepared)

    @cached_property  # built once, as every submission probes
    def _probe_limits(self) -> Limits:
        memory = max(round(self.memory_bytes * _PROBE_MEMORY_SHARE), LEAST_MEMORY_BYTES)
        return replace(self._limits(_PROBE_CPU_SECONDS), memory_bytes=memory)

    def _limits(self, cpu_seconds: int) -> Limits:
        file_bytes = round(self.max_duration * SAMPLE_RATE_HZ * _SAMPLE_BYTES) + _MEBIBYTE
        return Limits(self.memory_bytes, self.cpu_seconds or cpu_seconds, file_bytes)


@dataclass
class _Conversation:
    """The exchange of one request and its replies with a child."""

    child: Child
    media: BinaryIO
    limits: Limits
    progress: Progress = lambda _share: None
    peaks: bytes = b""
    _share: float = 0.0
    _waited: float = 0.0

    def request(
        self, max_duration: float, options: Options | None = None, *writable: BinaryIO
    ) -> bytes:
        """
        Send what to do, with the open files for it, and serve the child until it sends its result.

        The media itself is sent along if it is a plain file.

        Raises:
            InvalidAudio: the child's error, or one for how the child ended.
            TranscriptionError: what `progress` or the recording's store raised.
        """
        file = _plain_file(self.media)
        request: dict[str, Any] = {
            "max_duration": max_duration,
            "limits": asdict(self.limits),
            "options": options and asdict(options),
            "writable": len(writable),
            "size": self.media.seek(0, os.SEEK_END),
        }
        self.media.seek(0)
        handles = tuple(each.fileno() for each in (file, *writable) if each is not None)
        with suppress(protocol.ChannelClosed):  # what the child sent before it exited is read
            self.child.channel.send(protocol.REQUEST, json.dumps(request).encode(), handles)
        try:
            while (frame := self._receive()).kind != protocol.RESULT:
                self._handle(frame)
        except protocol.ChannelClosed as error:
            status = self.child.wait_status()
            log.warning("decoder_died", status=status)
            raise exit_error(status, self.limits) from error
        return frame.data

    def _receive(self) -> protocol.Frame:
        """Return the next frame; only time spent waiting for the child counts as its time."""
        while True:
            since = time.monotonic()
            frame = self.child.channel.receive(_TICK_SECONDS)
            self._waited += time.monotonic() - since
            # also checked while it sends, or a hostile child could keep its place for ever
            if self._waited > _WALL_FACTOR * self.limits.cpu_seconds:
                raise timeout_error(_WALL_FACTOR * self.limits.cpu_seconds)
            if frame is not None:
                return frame
            self.progress(self._share)  # so that a job can be cancelled while the child is silent

    def _handle(self, frame: protocol.Frame) -> None:
        if frame.kind == protocol.READ:
            self.child.channel.send(protocol.DATA, protocol.read_requested(self.media, frame.data))
        elif frame.kind == protocol.SHARE:
            self._share = max(self._share, parse_share(frame.data))
            self.progress(self._share)
        elif frame.kind == protocol.PEAKS:
            self.peaks = frame.data
        elif frame.kind == protocol.FAILED:
            raise parse_error(frame.data, self.limits)
        elif frame.kind == protocol.UNFILTERED:
            _log_unfiltered()
        else:
            raise UnreadableAudio(BROKEN_MESSAGE)


@cache
def _log_unfiltered() -> None:
    """Warn once per process."""
    log.warning("decoder_unfiltered", reason="the kernel filters no system calls of decoders")


def _plain_file(file: BinaryIO) -> BinaryIO | None:
    """Return the file if it is a plain file that can be passed to a child, else None."""
    if not isinstance(file, io.BufferedReader | io.BufferedRandom):
        return None
    if not isinstance(file.raw, io.FileIO) or not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        return None
    if file.writable():
        file.flush()
    return file


# -- checks of replies ---------------------------------------------------------------------------

_ERRORS: dict[str, type[TranscriptionError]] = {
    kind.code: kind for kind in (AudioTooLong, InvalidAudio, UnreadableAudio, UnsupportedFormat)
}
_MAX_MESSAGE = 1000
_MAX_NAME = 200
_MAX_RATE_HZ = 1 << 31
_MAX_WARNINGS = 10
_MAX_GAIN_DB = 60.0
_REMEDY = "Send its sound alone, as WAV, FLAC or MP3"
BROKEN_MESSAGE = (
    "The recording crashed the decoder, which runs in a separate process; the file is damaged. "
    "Export it again."
)


def parse_media_info(data: bytes) -> MediaInfo:
    """Return the result of `probe`; raises UnreadableAudio for impossible values."""
    found = _parse(MediaInfo, data)
    _require(found.duration is None or 0 <= found.duration < math.inf)
    _require(1 <= found.channels <= MAX_CHANNELS and 0 < found.sample_rate_hz <= _MAX_RATE_HZ)
    _require(len(found.container) + len(found.codec) < _MAX_NAME)
    _require((found.container + found.codec).isprintable())
    return found


def parse_prepared(data: bytes, max_duration: float) -> PreparedAudio:
    """Return the result of `prepare` without its peaks; raises like `parse_media_info`."""
    found = _parse(PreparedAudio, data)
    _require(0 < found.duration <= max_duration + 1 and 1 <= found.channels <= MAX_SPLIT)
    _require(len(found.gains_db) == found.channels)
    _require(all(abs(gain) <= _MAX_GAIN_DB for gain in found.gains_db))
    _require(len(found.warnings) <= _MAX_WARNINGS)
    _require(all(len(warning.message) <= _MAX_MESSAGE for warning in found.warnings))
    _require(all((warning.code + warning.message).isprintable() for warning in found.warnings))
    return found


def parse_peaks(data: bytes, duration: float) -> Peaks:
    """Return the peaks of `duration` seconds; raises UnreadableAudio for impossible ones."""
    _require(data[:1] == bytes([PEAKS_PER_SECOND]))
    _require(len(data) <= 1 + 2 * math.ceil(duration * PEAKS_PER_SECOND + 1))
    return Peaks(PEAKS_PER_SECOND, data[1:])


def parse_share(data: bytes) -> float:
    """Return the progress in [0, 1]; raises UnreadableAudio for an impossible one."""
    share = _parse(float, data)
    _require(0 <= share <= 1)
    return share


def parse_error(data: bytes, limits: Limits) -> TranscriptionError:
    """Return the error that a child reported."""
    reported = _parse(dict[str, str], data)
    code, message = reported.get("code", ""), reported.get("message", "")
    if code in _ERRORS and message.isprintable():
        return _ERRORS[code](message[:_MAX_MESSAGE])
    if code == protocol.OUT_OF_MEMORY:
        return DecoderStopped(
            f"Decoding needs more memory than the {limits.memory_bytes >> 20} MiB allowed. "
            f"{_REMEDY}; or raise DECODER_MEMORY_MB."
        )
    if code == protocol.DISK_FULL:
        return StorageFull(
            "The folder for temporary files is full; make room there, or name another by TMPDIR."
        )
    return UnreadableAudio(BROKEN_MESSAGE)


def exit_error(status: int | None, limits: Limits) -> TranscriptionError:
    """Return the error for a child that ended without a result."""
    if status is None:
        return EngineError(_NO_CHILD)
    if status == -signal.SIGXCPU:
        return timeout_error(limits.cpu_seconds)
    if status == -signal.SIGKILL:
        return DecoderStopped(
            "The process that decoded the recording was killed, most likely because this machine "
            "ran out of memory. Give it more memory, or send its sound alone, as WAV, FLAC or MP3."
        )
    return DecoderStopped(BROKEN_MESSAGE)


def timeout_error(seconds: float) -> DecoderStopped:
    """Return the error for a recording that needs more time than allowed."""
    return DecoderStopped(
        f"Decoding needs more than the {seconds:.0f} seconds allowed; "
        f"the file is damaged or crafted to do so. {_REMEDY}."
    )


def _parse(kind: type[T], data: bytes) -> T:
    try:  # strictly: a string is not read as a number
        return cast(T, _adapter(cast(Any, kind)).validate_json(data, strict=True))
    except ValidationError as error:
        raise UnreadableAudio(BROKEN_MESSAGE) from error


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def _require(condition: bool) -> None:
    if not condition:
        raise UnreadableAudio(BROKEN_MESSAGE)
