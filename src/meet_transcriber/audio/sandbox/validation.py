"""What a child said, believed only as far as it makes sense."""

import json
import math
import signal
from typing import Any, NoReturn, TypeVar

from meet_transcriber.audio.sandbox.child import DISK_FULL, TOO_MUCH_MEMORY
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
from meet_transcriber.core.serialization import from_plain

T = TypeVar("T")

_OURS = {kind.code: kind for kind in (AudioTooLong, InvalidAudio, UnreadableAudio)}
_OURS[UnsupportedFormat.code] = UnsupportedFormat
_MAX_MESSAGE = 1000
_MAX_NAME = 200
_MAX_RATE_HZ = 1 << 31
_MAX_WARNINGS = 10
_MAX_GAIN_DB = 60.0
_MEBIBYTE = 1 << 20
_DO = "Send its sound alone, as WAV, FLAC or MP3"
BROKEN_SENTENCE = (
    "The recording broke the decoder, which was working on it in a process of its own; "
    "the file is damaged. Export it again."
)


def info(data: bytes) -> MediaInfo:
    """
    What a child found out about a recording.

    Raises:
        UnreadableAudio: it says what cannot be.
    """
    found = _read(MediaInfo, data)
    _must(found.duration is None or 0 <= found.duration < math.inf)
    _must(1 <= found.channels <= MAX_CHANNELS and 0 < found.sample_rate_hz <= _MAX_RATE_HZ)
    _must(len(found.container) + len(found.codec) < _MAX_NAME)
    _must((found.container + found.codec).isprintable())
    return found


def prepared(data: bytes, max_duration: float) -> PreparedAudio:
    """
    What a child found out while it wrote working audio.

    Raises:
        UnreadableAudio: it says what cannot be.
    """
    found = _read(PreparedAudio, data)
    _must(0 < found.duration <= max_duration + 1 and 1 <= found.channels <= MAX_SPLIT)
    _must(len(found.gains_db) == found.channels)
    _must(all(abs(gain) <= _MAX_GAIN_DB for gain in found.gains_db))
    _must(len(found.warnings) <= _MAX_WARNINGS)
    _must(all(len(warning.message) <= _MAX_MESSAGE for warning in found.warnings))
    _must(all((warning.code + warning.message).isprintable() for warning in found.warnings))
    return found


def outline(data: bytes, duration: float) -> Peaks:
    """The outline of so many seconds; raises UnreadableAudio where it is none."""
    _must(data[:1] == bytes([PEAKS_PER_SECOND]))
    _must(len(data) <= 1 + 2 * math.ceil(duration * PEAKS_PER_SECOND + 1))
    return Peaks(PEAKS_PER_SECOND, data[1:])


def share(data: bytes) -> float:
    """The share done, in [0, 1]."""
    try:
        told = float(data)
    except ValueError as error:
        raise UnreadableAudio(BROKEN_SENTENCE) from error
    _must(0 <= told <= 1)
    return told


def error(data: bytes, limits: Limits) -> TranscriptionError:
    """The error that a child reports, as one of ours."""
    told = _plain(data)
    code, message = str(told.get("code")), str(told.get("message"))
    if code in _OURS and message.isprintable():
        return _OURS[code](message[:_MAX_MESSAGE])
    if code == TOO_MUCH_MEMORY:
        return too_much_memory(limits)
    if code == DISK_FULL:
        return StorageFull(
            "The folder for temporary files is full; make room there, or name another by TMPDIR."
        )
    return UnreadableAudio(BROKEN_SENTENCE)


def death(status: int | None, limits: Limits) -> TranscriptionError:
    """The error for a child that ended without an answer."""
    if status is None:
        return EngineError(
            "The process that decodes recordings ended or could not be started; try again."
        )
    if status == -signal.SIGXCPU:
        return too_slow(limits.cpu_seconds)
    if status == -signal.SIGKILL:
        return UnreadableAudio(
            "The process that decoded the recording was killed, most likely because this machine "
            f"ran out of memory. Give it more memory, or {_DO[0].lower()}{_DO[1:]}."
        )
    return UnreadableAudio(BROKEN_SENTENCE)


def too_much_memory(limits: Limits) -> UnreadableAudio:
    """The error for a recording that wants more memory than it may have."""
    return UnreadableAudio(
        f"Decoding needs more memory than the {limits.memory_bytes // _MEBIBYTE} MiB allowed. "
        f"{_DO}; or raise DECODER_MEMORY_MB."
    )


def too_slow(seconds: float) -> UnreadableAudio:
    """The error for a recording that wants more time than it may have."""
    return UnreadableAudio(
        f"Decoding needs more than the {seconds:.0f} seconds allowed; "
        f"the file is damaged or made to do so. {_DO}."
    )


def _read(kind: type[T], data: bytes) -> T:
    try:
        return from_plain(kind, _plain(data))
    except StorageError as error:
        raise UnreadableAudio(BROKEN_SENTENCE) from error


def _plain(data: bytes) -> dict[str, Any]:
    try:
        told = json.loads(data, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise UnreadableAudio(BROKEN_SENTENCE) from error
    _must(isinstance(told, dict))
    return dict(told)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number that a child may tell")


def _must(sensible: bool) -> None:
    if not sensible:
        raise UnreadableAudio(BROKEN_SENTENCE)
