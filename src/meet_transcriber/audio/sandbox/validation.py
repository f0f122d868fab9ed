"""Checks what a child replies; a child may be under the control of a hostile recording."""

import json
import math
import signal
from typing import Any, NoReturn, TypeVar

from meet_transcriber.audio.sandbox.child import DISK_FULL, OUT_OF_MEMORY
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

_ERRORS = {kind.code: kind for kind in (AudioTooLong, InvalidAudio, UnreadableAudio)}
_ERRORS[UnsupportedFormat.code] = UnsupportedFormat
_MAX_MESSAGE = 1000
_MAX_NAME = 200
_MAX_RATE_HZ = 1 << 31
_MAX_WARNINGS = 10
_MAX_GAIN_DB = 60.0
_MEBIBYTE = 1 << 20
_REMEDY = "Send its sound alone, as WAV, FLAC or MP3"
BROKEN_MESSAGE = (
    "The recording crashed the decoder, which runs in a separate process; the file is damaged. "
    "Export it again."
)


def parse_media_info(data: bytes) -> MediaInfo:
    """
    Return the result of `probe`.

    Raises:
        UnreadableAudio: a value is impossible.
    """
    found = _parse(MediaInfo, data)
    _require(found.duration is None or 0 <= found.duration < math.inf)
    _require(1 <= found.channels <= MAX_CHANNELS and 0 < found.sample_rate_hz <= _MAX_RATE_HZ)
    _require(len(found.container) + len(found.codec) < _MAX_NAME)
    _require((found.container + found.codec).isprintable())
    return found


def parse_prepared(data: bytes, max_duration: float) -> PreparedAudio:
    """
    Return the result of `prepare`, without its peaks.

    Raises:
        UnreadableAudio: a value is impossible.
    """
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
        return memory_error(limits)
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
            f"ran out of memory. Give it more memory, or {_REMEDY[0].lower()}{_REMEDY[1:]}."
        )
    return UnreadableAudio(BROKEN_MESSAGE)


def memory_error(limits: Limits) -> UnreadableAudio:
    """Return the error for a recording that needs more memory than allowed."""
    return UnreadableAudio(
        f"Decoding needs more memory than the {limits.memory_bytes // _MEBIBYTE} MiB allowed. "
        f"{_REMEDY}; or raise DECODER_MEMORY_MB."
    )


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
