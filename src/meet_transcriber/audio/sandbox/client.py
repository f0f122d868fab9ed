"""An AudioDecoder that runs all decoding of recordings in confined child processes."""

import io
import json
import os
import shutil
import stat
import tempfile
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any, BinaryIO

from meet_transcriber.audio.sandbox import protocol
from meet_transcriber.audio.sandbox.confinement import Limits
from meet_transcriber.audio.sandbox.pool import DECODER, PROBER, Child, ChildPool, shared_pool
from meet_transcriber.core.errors import UnreadableAudio
from meet_transcriber.core.media import MediaInfo, Peaks, PreparedAudio
from meet_transcriber.core.options import Options
from meet_transcriber.core.serialization import to_plain
from meet_transcriber.observability.logging import get_logger
from meet_transcriber.ports.engines import SAMPLE_RATE_HZ, AudioSource, Progress

log = get_logger(__name__)

_TICK_SECONDS = 0.5
_PROBE_CPU_SECONDS = 20
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
        memory_bytes: address space of a child, including 230 MB for the program.
        cpu_seconds: CPU time of a child; None derives it from max_duration.
        pool, probe_pool: pools of children that decode, and that only probe; the fork server
            of each starts with the first request.
    """

    max_duration: float = 14_400.0
    memory_bytes: int = 1024 * _MEBIBYTE
    cpu_seconds: int | None = None
    pool: ChildPool = field(default_factory=partial(shared_pool, DECODER))
    probe_pool: ChildPool = field(default_factory=partial(shared_pool, PROBER))

    def probe(self, media: BinaryIO) -> MediaInfo:
        """Probe a recording; see the port."""
        with self.probe_pool.child() as child:
            conversation = _Conversation(child, media, self._limits(_PROBE_CPU_SECONDS))
            return protocol.parse_media_info(conversation.request(self.max_duration))

    def prepare(
        self, media: BinaryIO, working: BinaryIO, options: Options, progress: Progress
    ) -> tuple[PreparedAudio, Peaks]:
        """Decode a recording; see the port."""
        seconds = round(_CPU_SECONDS + _CPU_SHARE * self.max_duration)
        with ExitStack() as stack:
            written = _plain_file(working) or stack.enter_context(tempfile.TemporaryFile())
            scratch = stack.enter_context(tempfile.TemporaryFile())
            child = stack.enter_context(self.pool.child())
            conversation = _Conversation(child, media, self._limits(seconds), progress)
            reply = conversation.request(self.max_duration, options, written, scratch)
            prepared = protocol.parse_prepared(reply, self.max_duration)
            if written is not working:
                written.seek(0)
                shutil.copyfileobj(written, working)
            return prepared, protocol.parse_peaks(conversation.peaks, prepared.duration)

    def open(self, working: BinaryIO, prepared: PreparedAudio) -> AudioSource:
        """Open working audio in this process; it is our own FLAC, not untrusted media."""
        # Imported here, because processes that only probe load neither FFmpeg nor numpy.
        from meet_transcriber.audio.working_audio import WorkingAudio  # noqa: PLC0415

        return WorkingAudio(working, prepared)

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
            "limits": to_plain(self.limits),
            "options": to_plain(options),
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
            raise protocol.exit_error(status, self.limits) from error
        return frame.data

    def _receive(self) -> protocol.Frame:
        """Return the next frame; only time spent waiting for the child counts as its time."""
        while True:
            since = time.monotonic()
            frame = self.child.channel.receive(_TICK_SECONDS)
            self._waited += time.monotonic() - since
            # also checked while it sends, or a hostile child could keep its place for ever
            if self._waited > _WALL_FACTOR * self.limits.cpu_seconds:
                raise protocol.timeout_error(_WALL_FACTOR * self.limits.cpu_seconds)
            if frame is not None:
                return frame
            self.progress(self._share)  # so that a job can be cancelled while the child is silent

    def _handle(self, frame: protocol.Frame) -> None:
        if frame.kind == protocol.READ:
            self.child.channel.send(protocol.DATA, protocol.read_requested(self.media, frame.data))
        elif frame.kind == protocol.SHARE:
            self._share = max(self._share, protocol.parse_share(frame.data))
            self.progress(self._share)
        elif frame.kind == protocol.PEAKS:
            self.peaks = frame.data
        elif frame.kind == protocol.FAILED:
            raise protocol.parse_error(frame.data, self.limits)
        elif frame.kind == protocol.UNFILTERED:
            _log_unfiltered()
        else:
            raise UnreadableAudio(protocol.BROKEN_MESSAGE)


@cache
def _log_unfiltered() -> None:
    """Warn once per process."""
    log.warning("decoder_unfiltered", reason="the kernel filters no system calls of decoders")


def _plain_file(file: BinaryIO) -> BinaryIO | None:
    """Return the file if it is a plain file that can be passed to a child, else None."""
    buffered = isinstance(file, io.BufferedReader | io.BufferedRandom)
    if not buffered or not isinstance(getattr(file, "raw", None), io.FileIO):
        return None
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        return None
    if file.writable():
        file.flush()
    return file
