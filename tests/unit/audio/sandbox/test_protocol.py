"""A child that somebody took over may say anything."""

import json
import struct
from typing import Any

import pytest

from meet_transcriber.audio.sandbox import client, protocol
from meet_transcriber.audio.sandbox.protocol import Limits
from meet_transcriber.core.errors import (
    AudioTooLong,
    EngineError,
    StorageFull,
    UnreadableAudio,
    UnsupportedFormat,
)
from meet_transcriber.core.range_reader import open_blocks

LIMITS = Limits(1 << 30, 60, 1 << 30)
INFO = {"container": "wav", "codec": "pcm", "duration": 1.0, "sample_rate_hz": 8000, "channels": 1}
PREPARED = {"duration": 9.0, "channels": 1, "gains_db": [0.0], "warnings": []}
WARNING = {"code": "x", "message": "y"}


@pytest.mark.parametrize(
    "lie",
    [
        {"duration": float("nan")},
        {"duration": float("inf")},
        {"duration": -1.0},
        {"channels": 0},
        {"channels": 33},
        {"sample_rate_hz": 0},
        {"sample_rate_hz": "fast"},
        {"sample_rate_hz": 10**100},
        {"codec": "x" * 300},
        {"codec": "\x1b[2J"},
        {"container": "\ud800"},
        {"container": None},
    ],
)
def test_facts_that_cannot_be_are_not_believed(lie: dict[str, Any]) -> None:
    with pytest.raises(UnreadableAudio):
        client.parse_media_info(json.dumps(INFO | lie).encode())


@pytest.mark.parametrize("position", [1 << 63, (1 << 64) - 1])
def test_bytes_that_no_file_has_are_not_looked_for(position: int) -> None:
    media = open_blocks(4, lambda _: (0, b"tape"))
    with pytest.raises(protocol.ChannelClosed):
        protocol.read_requested(media, struct.pack("<QI", position, 4))
    assert protocol.read_requested(media, struct.pack("<QI", 1, 4)) == b"ape"


def test_an_error_cannot_write_to_a_terminal() -> None:
    told = {"code": "unreadable_audio", "message": "\x1b]0;mine\x07"}
    assert str(client.parse_error(json.dumps(told).encode(), LIMITS)) == client.BROKEN_MESSAGE


@pytest.mark.parametrize(
    "lie",
    [
        {"duration": 0.0},
        {"duration": 62.0},
        {"channels": 9, "gains_db": [0.0] * 9},
        {"channels": 2},
        {"gains_db": [1e9]},
        {"warnings": [WARNING] * 11},
        {"warnings": [WARNING | {"message": "m" * 2000}]},
    ],
)
def test_results_that_cannot_be_are_not_believed(lie: dict[str, Any]) -> None:
    with pytest.raises(UnreadableAudio):
        client.parse_prepared(json.dumps(PREPARED | lie).encode(), 60.0)


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"\xff", b"[" * 99_999, b'{"duration": ' + b"9" * 5000]
)
def test_what_is_no_object_is_not_read(data: bytes) -> None:
    with pytest.raises(UnreadableAudio):
        client.parse_media_info(data)


@pytest.mark.parametrize("data", [b"", b"\x14" + bytes(500), b"\x13\0\0"])
def test_an_outline_fits_its_duration(data: bytes) -> None:
    with pytest.raises(UnreadableAudio):
        client.parse_peaks(data, 9.0)


@pytest.mark.parametrize("data", [b"nan", b"2", b"-0.1", b"half", b""])
def test_a_share_is_between_nothing_and_all(data: bytes) -> None:
    with pytest.raises(UnreadableAudio):
        client.parse_share(data)


def test_only_errors_about_recordings_are_taken_over() -> None:
    told: dict[str, type[Exception]] = {
        "unsupported_format": UnsupportedFormat,
        "audio_too_long": AudioTooLong,
    }
    told |= {"lease_lost": UnreadableAudio, "disk_full": StorageFull}
    for code, kind in told.items():
        error = client.parse_error(json.dumps({"code": code, "message": "m"}).encode(), LIMITS)
        assert type(error) is kind


def test_a_message_has_an_end() -> None:
    data = json.dumps({"code": "unreadable_audio", "message": "m" * 9999}).encode()
    assert len(str(client.parse_error(data, LIMITS))) <= 1000


def test_a_death_that_nobody_saw_is_not_the_recording_s_fault() -> None:
    assert type(client.exit_error(None, LIMITS)) is EngineError
    assert isinstance(client.exit_error(-11, LIMITS), UnreadableAudio)
