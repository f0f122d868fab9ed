"""What a child does with its one recording."""

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
"""From the longest duration in seconds, and what gives a file for its own use."""

MAX_FILES = 3
OUT_OF_MEMORY, DISK_FULL, BROKEN = "too_much_memory", "disk_full", "broken"
"""Codes for what is none of our own errors."""


def run_child(link: socket.socket, make_decoder: MakeDecoder) -> NoReturn:
    """Take one order, do it under its limits, and answer; never returns."""
    status = 1
    try:
        _run(Channel(link), make_decoder)
        status = 0
    finally:
        os._exit(status)


def _run(channel: Channel, make_decoder: MakeDecoder) -> None:
    frame, handles = channel.receive_order(MAX_FILES)
    order = json.loads(frame.data)
    mine = [os.fdopen(handle, "r+b") for handle in handles[len(handles) - order["writable"] :]]
    theirs = [os.fdopen(handle, "rb") for handle in handles[: len(handles) - order["writable"]]]
    media = theirs[0] if theirs else open_remote(channel, order["size"])
    decoder = make_decoder(order["max_duration"], lambda: mine[1])
    if not confine(from_plain(Limits, order["limits"])):
        channel.send(UNFILTERED)
    try:
        if mine:
            options = from_plain(Options, order["options"])
            _prepare(channel, cast(AudioDecoder, decoder), media, mine[0], options)
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
    """An error as plain data: our own with its sentence, others by what can be done."""
    if isinstance(error, InvalidAudio):
        return {"code": error.code, "message": str(error)}
    if isinstance(error, MemoryError):
        return {"code": OUT_OF_MEMORY, "message": ""}
    if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return {"code": DISK_FULL, "message": ""}
    return {"code": BROKEN, "message": f"{type(error).__name__}: {error}"}
