"""Handles one request in a child process: confine, decode, reply."""

import errno
import json
import os
import socket
from collections.abc import Callable
from typing import BinaryIO, NoReturn, cast

from meet_transcriber.audio.sandbox.confinement import Limits, confine
from meet_transcriber.audio.sandbox.protocol import (
    FAILED,
    PEAKS,
    RESULT,
    SHARE,
    UNFILTERED,
    Channel,
    ChannelClosed,
    open_remote,
)
from meet_transcriber.core.errors import InvalidAudio
from meet_transcriber.core.options import Options
from meet_transcriber.core.serialization import from_plain, to_plain
from meet_transcriber.ports.engines import AudioDecoder, AudioProber

MakeDecoder = Callable[[float, Callable[[], BinaryIO]], AudioProber]
"""Takes the maximum duration in seconds and a function that returns a scratch file."""

MAX_FILES = 3
OUT_OF_MEMORY, DISK_FULL, BROKEN = "too_much_memory", "disk_full", "broken"
"""Codes of failures that are not `InvalidAudio`."""


def run_child(link: socket.socket, make_decoder: MakeDecoder) -> NoReturn:
    """Receive one request, handle it under its limits and reply; never returns."""
    status = 1
    try:
        _run(Channel(link), make_decoder)
        status = 0
    finally:
        os._exit(status)


def _run(channel: Channel, make_decoder: MakeDecoder) -> None:
    frame, handles = channel.receive_request(MAX_FILES)
    request = json.loads(frame.data)
    split = len(handles) - request["writable"]
    readable = [os.fdopen(handle, "rb") for handle in handles[:split]]
    writable = [os.fdopen(handle, "r+b") for handle in handles[split:]]
    media = readable[0] if readable else open_remote(channel, request["size"])
    decoder = make_decoder(request["max_duration"], lambda: writable[1])
    if not confine(from_plain(Limits, request["limits"])):
        channel.send(UNFILTERED)
    try:
        if writable:
            options = from_plain(Options, request["options"])
            _prepare(channel, cast(AudioDecoder, decoder), media, writable[0], options)
        else:
            _send(channel, decoder.probe(media))
    except ChannelClosed:
        raise
    except BaseException as error:  # noqa: BLE001 - the outermost frame of a child
        channel.send(FAILED, json.dumps(_describe(error)).encode())


def _prepare(
    channel: Channel, decoder: AudioDecoder, media: BinaryIO, working: BinaryIO, options: Options
) -> None:
    def progress(share: float) -> None:
        channel.send(SHARE, repr(float(share)).encode())

    prepared, peaks = decoder.prepare(media, working, options, progress)
    working.flush()
    channel.send(PEAKS, bytes([peaks.per_second]) + peaks.data)
    _send(channel, prepared)


def _send(channel: Channel, result: object) -> None:
    channel.send(RESULT, json.dumps(to_plain(result)).encode())


def _describe(error: BaseException) -> dict[str, str]:
    """Return an error as code and message; the message of our own errors is kept."""
    if isinstance(error, InvalidAudio):
        return {"code": error.code, "message": str(error)}
    if isinstance(error, MemoryError):
        return {"code": OUT_OF_MEMORY, "message": ""}
    if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return {"code": DISK_FULL, "message": ""}
    return {"code": BROKEN, "message": f"{type(error).__name__}: {error}"}
