"""An AudioDecoder that lets a confined child do what touches a recording."""

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

from meet_transcriber.audio.sandbox import validation
from meet_transcriber.audio.sandbox.confinement import Limits
from meet_transcriber.audio.sandbox.pool import DECODER, PROBER, Child, ChildPool, shared_pool
from meet_transcriber.audio.sandbox.protocol import (
    DATA,
    FAILED,
    ORDER,
    PEAKS,
    READ,
    RESULT,
    SHARE,
    UNFILTERED,
    ChannelClosed,
    Frame,
    read_requested,
)
from meet_transcriber.core.errors import TranscriptionError, UnreadableAudio
from meet_transcriber.core.media import MediaInfo, Peaks, PreparedAudio
from meet_transcriber.core.options import Options
from meet_transcriber.core.serialization import to_plain
from meet_transcriber.observability.logging import get_logger
from meet_transcriber.ports.engines import SAMPLE_RATE_HZ, AudioSource, Progress

log = get_logger(__name__)

_TICK_SECONDS = 0.5
_PROBE_CPU_SECONDS = 20
_CPU_SECONDS = 60.0
_CPU_SHARE = 0.1  # of the longest recording; ordinary ones take a hundredth
_WALL_FACTOR = 3.0  # a busy machine gives a child only part of its time
_MEBIBYTE = 1 << 20
_SAMPLE_BYTES = 4 * 8  # of eight channels, before they are compressed


@dataclass(frozen=True)
class ConfinedDecoder:
    """
    Probes and prepares each recording in a child process with limits; see docs/security.md.

    A child that crashes, hangs, or wants too much ends as UnreadableAudio.

    Attributes:
        max_duration: seconds; longer recordings are refused.
        memory_bytes: address space that a child may have, 230 MB of program included.
        cpu_seconds: computing time that a child may take; None has it follow max_duration.
        nursery, probing: where children come from that decode, and that only look; of each
            the process from which they are forked starts when one is first wanted.
    """

    max_duration: float = 14_400.0
    memory_bytes: int = 1024 * _MEBIBYTE
    cpu_seconds: int | None = None
    nursery: ChildPool = field(default_factory=partial(shared_pool, DECODER))
    probing: ChildPool = field(default_factory=partial(shared_pool, PROBER))

    def probe(self, media: BinaryIO) -> MediaInfo:
        """Look at a recording; see the port."""
        with self.probing.child() as child:
            talk = self._talk(child, media, _PROBE_CPU_SECONDS, _ignore_progress)
            talk.order(media, self.max_duration)
            return validation.parse_media_info(talk.result())

    def prepare(
        self, media: BinaryIO, working: BinaryIO, options: Options, progress: Progress
    ) -> tuple[PreparedAudio, Peaks]:
        """Decode a recording; see the port."""
        seconds = round(_CPU_SECONDS + _CPU_SHARE * self.max_duration)
        with ExitStack() as stack:
            written = _plain_file(working) or stack.enter_context(tempfile.TemporaryFile())
            scratch = stack.enter_context(tempfile.TemporaryFile())
            child = stack.enter_context(self.nursery.child())
            talk = self._talk(child, media, seconds, progress)
            talk.order(media, self.max_duration, options, written, scratch)
            prepared = validation.parse_prepared(talk.result(), self.max_duration)
            if written is not working:
                written.seek(0)
                shutil.copyfileobj(written, working)
            return prepared, validation.parse_peaks(talk.peaks, prepared.duration)

    def open(self, working: BinaryIO, prepared: PreparedAudio) -> AudioSource:
        """Open working audio, which is FLAC and nothing else, in this process."""
        # Who only looks at recordings has FFmpeg in no process of its own, and no numpy at all.
        from meet_transcriber.audio.working_audio import WorkingAudio  # noqa: PLC0415

        return WorkingAudio(working, prepared)

    def _talk(
        self, child: Child, media: BinaryIO, cpu_seconds: int, progress: Progress
    ) -> "_Conversation":
        limits = Limits(
            self.memory_bytes,
            self.cpu_seconds or cpu_seconds,
            round(self.max_duration * SAMPLE_RATE_HZ * _SAMPLE_BYTES) + _MEBIBYTE,
        )
        return _Conversation(child, media, limits, progress)


@dataclass
class _Conversation:
    """What is said between us and one child."""

    child: Child
    media: BinaryIO
    limits: Limits
    progress: Progress
    peaks: bytes = b""
    _share: float = 0.0
    _waited: float = 0.0

    def order(
        self,
        media: BinaryIO,
        max_duration: float,
        options: Options | None = None,
        *writable: BinaryIO,
    ) -> None:
        """Say what to do, and hand over the open files for it."""
        file = _plain_file(media)
        order: dict[str, Any] = {
            "max_duration": max_duration,
            "limits": to_plain(self.limits),
            "options": to_plain(options),
            "writable": len(writable),
            "size": media.seek(0, os.SEEK_END),
        }
        media.seek(0)
        handed = tuple(each.fileno() for each in (file, *writable) if each is not None)
        with suppress(ChannelClosed):  # `result` hears what it said before it went
            self.child.channel.send(ORDER, json.dumps(order).encode(), handed)

    def result(self) -> bytes:
        """
        Serve the child until it has its result.

        Raises:
            InvalidAudio: the child's error, or ours for how it ended.
            TranscriptionError: what `progress` or the recording's store raised.
        """
        try:
            while (frame := self._next()).kind != RESULT:
                self._hear(frame)
        except ChannelClosed as error:
            raise self._death() from error
        return frame.data

    def _death(self) -> TranscriptionError:
        """The error for a child that is gone; the log gets its exit status."""
        status = self.child.status()
        log.warning("decoder_died", status=status)
        return validation.exit_error(status, self.limits)

    def _next(self) -> Frame:
        """The next frame; only the time that the child takes for it counts."""
        while True:
            since = time.monotonic()
            frame = self.child.channel.receive(_TICK_SECONDS)
            self._waited += time.monotonic() - since
            if frame is not None:
                return frame
            if self._waited > _WALL_FACTOR * self.limits.cpu_seconds:
                raise validation.timeout_error(_WALL_FACTOR * self.limits.cpu_seconds)
            self.progress(self._share)  # a child that is silent can be cancelled, too

    def _hear(self, frame: Frame) -> None:
        if frame.kind == READ:
            self.child.channel.send(DATA, read_requested(self.media, frame.data))
        elif frame.kind == SHARE:
            self._share = max(self._share, validation.parse_share(frame.data))
            self.progress(self._share)
        elif frame.kind == PEAKS:
            self.peaks = frame.data
        elif frame.kind == FAILED:
            raise validation.parse_error(frame.data, self.limits)
        elif frame.kind == UNFILTERED:
            _log_unfiltered()
        else:
            raise UnreadableAudio(validation.BROKEN_MESSAGE)


@cache
def _log_unfiltered() -> None:
    """Once per process."""
    log.warning("decoder_unfiltered", why="this kernel does not keep decoders from files and hosts")


def _plain_file(file: BinaryIO) -> BinaryIO | None:
    """The file itself where it is a plain one of this machine, ready to be handed over."""
    buffered = isinstance(file, io.BufferedReader | io.BufferedRandom)
    if not buffered or not isinstance(getattr(file, "raw", None), io.FileIO):
        return None
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        return None
    if file.writable():
        file.flush()
    return file


def _ignore_progress(_share: float) -> None:
    """A Progress for nobody."""
