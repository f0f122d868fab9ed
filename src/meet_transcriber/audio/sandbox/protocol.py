"""
Frames between the service and a child, and checks of what a child replies.

A frame is one byte of kind, four bytes of length, and the data. A child may be under the control of
a hostile recording, so nothing that it sends is trusted.
"""

import json
import math
import signal
import socket
import struct
import time
from typing import Any, BinaryIO, NamedTuple, NoReturn, TypeVar

from meet_transcriber.audio.sandbox.confinement import Limits
from meet_transcriber.core.errors import (
    AudioTooLong,
    EngineError,
    InvalidAudio,
    StorageError,
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
from meet_transcriber.core.range_reader import open_blocks
from meet_transcriber.core.serialization import from_plain

T = TypeVar("T")

_HEAD = struct.Struct("<cI")
_MAX_FRAME_BYTES = 16 << 20
_PIECE_BYTES = 1 << 18
_SEND_SECONDS = 60.0  # a child that does not read what it requested hangs

REQUEST, DATA = b"O", b"D"
"""From the service: what to do; bytes of the recording."""
UNFILTERED, READ, SHARE, RESULT, PEAKS, FAILED = b"U", b"R", b"S", b"A", b"P", b"F"
"""From the child: no system call filter; bytes to read; progress; result; peaks; an error."""
OUT_OF_MEMORY, DISK_FULL, BROKEN = "too_much_memory", "disk_full", "broken"
"""Codes of failures that are not `InvalidAudio`."""


class ChannelClosed(Exception):
    """The other side has closed the channel or sent an invalid frame."""


class Frame(NamedTuple):
    """One message."""

    kind: bytes
    data: bytes


class Channel:
    """One side of a stream socket; for one thread."""

    def __init__(self, link: socket.socket) -> None:
        self._link = link
        self._buffer = bytearray()

    def send(self, kind: bytes, data: bytes = b"", files: tuple[int, ...] = ()) -> None:
        """Send a frame, and duplicates of file descriptors with it; raises ChannelClosed."""
        frame = _HEAD.pack(kind, len(data)) + data
        try:
            if files:
                sent = socket.send_fds(self._link, [frame], files)
                frame = frame[sent:]
            if frame:  # sending zero bytes fails once the other side has replied and exited
                self._link.sendall(frame)
        except OSError as error:
            raise ChannelClosed from error

    def receive(self, seconds: float | None = None) -> Frame | None:
        """
        Return the next frame; None if it is not complete after `seconds`.

        Without `seconds` it blocks and sets no socket option, which a confined child may not do.

        Raises:
            ChannelClosed: the other side has closed the channel.
        """
        end = None if seconds is None else time.monotonic() + seconds
        while (frame := self._complete()) is None:
            if end is not None:
                self._link.settimeout(max(end - time.monotonic(), 0.001))
            try:
                piece = self._link.recv(_PIECE_BYTES)
            except TimeoutError:
                return None
            except OSError as error:
                raise ChannelClosed from error
            finally:
                if end is not None:
                    self._link.settimeout(_SEND_SECONDS)
            if not piece:
                raise ChannelClosed
            self._buffer += piece
        return frame

    def receive_request(self, files: int) -> tuple[Frame, list[int]]:
        """Return the first frame, and the file descriptors with it; raises ChannelClosed."""
        head, handles, _, _ = socket.recv_fds(self._link, _HEAD.size, files)
        if not head:
            raise ChannelClosed
        self._buffer += head
        frame = self.receive()
        assert frame is not None  # noqa: S101 - without a timeout it returns a frame
        return frame, handles

    def _complete(self) -> Frame | None:
        if len(self._buffer) < _HEAD.size:
            return None
        kind, size = _HEAD.unpack_from(self._buffer)
        if size > _MAX_FRAME_BYTES:
            raise ChannelClosed
        end = _HEAD.size + size
        if len(self._buffer) < end:
            return None
        data = bytes(self._buffer[_HEAD.size : end])
        del self._buffer[:end]
        return Frame(kind, data)


_RANGE = struct.Struct("<QI")  # position, size


def open_remote(channel: Channel, size: int) -> BinaryIO:
    """Return a buffered, seekable file of `size` bytes that the other side serves."""

    def fetch(position: int) -> tuple[int, bytes]:
        channel.send(READ, _RANGE.pack(position, min(_PIECE_BYTES, size - position)))
        frame = channel.receive()
        if frame is None or frame.kind != DATA:
            raise OSError("the recording cannot be read")
        return position, frame.data

    return open_blocks(size, fetch)


def read_requested(media: BinaryIO, request: bytes) -> bytes:
    """Return the bytes that a child requested; errors of `media` pass through."""
    try:
        position, size = _RANGE.unpack(request)
        media.seek(position)
    except (struct.error, OverflowError, ValueError) as error:  # an impossible position
        raise ChannelClosed from error
    return media.read(min(size, _PIECE_BYTES))


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
    try:
        value = float(data)
    except ValueError as error:
        raise UnreadableAudio(BROKEN_MESSAGE) from error
    _require(0 <= value <= 1)
    return value


def parse_error(data: bytes, limits: Limits) -> TranscriptionError:
    """Return the error that a child reported."""
    value = _parse_json(data)
    code, message = str(value.get("code")), str(value.get("message"))
    if code in _ERRORS and message.isprintable():
        return _ERRORS[code](message[:_MAX_MESSAGE])
    if code == OUT_OF_MEMORY:
        return UnreadableAudio(
            f"Decoding needs more memory than the {limits.memory_bytes >> 20} MiB allowed. "
            f"{_REMEDY}; or raise DECODER_MEMORY_MB."
        )
    if code == DISK_FULL:
        return StorageFull(
            "The folder for temporary files is full; make room there, or name another by TMPDIR."
        )
    return UnreadableAudio(BROKEN_MESSAGE)


def exit_error(status: int | None, limits: Limits) -> TranscriptionError:
    """Return the error for a child that ended without a result."""
    if status is None:
        return EngineError(
            "The process that decodes recordings ended or could not be started; try again."
        )
    if status == -signal.SIGXCPU:
        return timeout_error(limits.cpu_seconds)
    if status == -signal.SIGKILL:
        return UnreadableAudio(
            "The process that decoded the recording was killed, most likely because this machine "
            "ran out of memory. Give it more memory, or send its sound alone, as WAV, FLAC or MP3."
        )
    return UnreadableAudio(BROKEN_MESSAGE)


def timeout_error(seconds: float) -> UnreadableAudio:
    """Return the error for a recording that needs more time than allowed."""
    return UnreadableAudio(
        f"Decoding needs more than the {seconds:.0f} seconds allowed; "
        f"the file is damaged or crafted to do so. {_REMEDY}."
    )


def _parse(kind: type[T], data: bytes) -> T:
    try:
        return from_plain(kind, _parse_json(data))
    except StorageError as error:
        raise UnreadableAudio(BROKEN_MESSAGE) from error


def _parse_json(data: bytes) -> dict[str, Any]:
    try:
        value = json.loads(data, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise UnreadableAudio(BROKEN_MESSAGE) from error
    _require(isinstance(value, dict))
    return dict(value)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a finite number")


def _require(condition: bool) -> None:
    if not condition:
        raise UnreadableAudio(BROKEN_MESSAGE)
