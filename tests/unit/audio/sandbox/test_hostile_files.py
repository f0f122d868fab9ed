"""Files made to do harm: refused in words, or read for what sound they hold."""

import io
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from meet_transcriber.audio.sandbox.client import ConfinedDecoder
from meet_transcriber.core.errors import (
    AudioTooLong,
    InvalidAudio,
    UnreadableAudio,
    UnsupportedFormat,
)
from meet_transcriber.core.options import Options
from tests.simulated import hostile

Make = Callable[..., Any]

PLAYLISTS = {
    "hls": "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{target}\n#EXT-X-ENDLIST\n",
    "ffconcat": "ffconcat version 1.0\nfile '{target}'\n",
    "dash": '<?xml version="1.0"?><MPD type="static"><Period><AdaptationSet><Representation>'
    "<BaseURL>{target}</BaseURL></Representation></AdaptationSet></Period></MPD>",
    "sdp": "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
    "m=audio 5004 RTP/AVP 0\r\na=control:{target}\r\n",
    "pls": "[playlist]\nFile1={target}\n",
    "subfile": "subfile,,start,0,end,9999,,:{target}",
    "concat": "concat:{target}|{target}",
    "file": "file:{target}",
    "xspf": "<playlist><trackList><track><location>{target}</location></track></trackList>",
}
DISGUISES = {"as it is": b"", "behind a tag": b"ID3\x03\0\0\0\0\0\x0a" + bytes(10), "late": b"\0"}


def probe(data: bytes, decoder: ConfinedDecoder | None = None) -> Any:
    return (decoder or ConfinedDecoder()).probe(io.BytesIO(data))


def prepare(data: bytes, **limits: Any) -> Any:
    decoder, working = ConfinedDecoder(**limits), io.BytesIO()
    prepared, _ = decoder.prepare(io.BytesIO(data), working, Options(), lambda _: None)
    return decoder.open(working, prepared)


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0)
        yield server


@pytest.mark.parametrize("disguise", DISGUISES)
@pytest.mark.parametrize("kind", PLAYLISTS)
def test_a_playlist_reads_no_other_file(kind: str, disguise: str, tmp_path: Path) -> None:
    target = tmp_path / "secret.wav"
    target.write_bytes(hostile.wav())
    with pytest.raises(UnsupportedFormat):
        probe(DISGUISES[disguise] + PLAYLISTS[kind].format(target=target).encode())


@pytest.mark.parametrize("kind", PLAYLISTS)
def test_a_playlist_reaches_no_host(kind: str, listener: socket.socket) -> None:
    target = f"http://127.0.0.1:{listener.getsockname()[1]}/a.wav"
    with pytest.raises(UnsupportedFormat):
        probe(PLAYLISTS[kind].format(target=target).encode())
    with pytest.raises(BlockingIOError):
        listener.accept()


def test_sound_that_a_movie_has_elsewhere_is_not_fetched(tmp_path: Path) -> None:
    target = tmp_path / "secret"
    target.write_bytes(hostile.movie())
    with pytest.raises(UnreadableAudio):
        prepare(hostile.with_sound_elsewhere(str(target)))


def test_hours_in_a_small_file_are_refused_while_decoding(quick: Make) -> None:
    data = hostile.hours_of_silence(4 * 3600)
    assert len(data) < 3_000_000
    with pytest.raises(AudioTooLong, match="limit is 10 minutes"):
        prepare(data, max_duration=600.0)
    quick(30)


def test_hours_between_two_sounds_are_refused_while_decoding() -> None:
    data = hostile.hours_of_holes((0.0, 3000.0, 6000.0, 9000.0))
    assert len(data) < 20_000
    with pytest.raises(AudioTooLong):
        prepare(data, max_duration=3600.0)


def test_64_channels_are_refused() -> None:
    with pytest.raises(UnsupportedFormat, match="64 channels"):
        probe(hostile.wav(channels=64))


@pytest.mark.parametrize(("rate", "channels"), [(0, 1), (16_000, 0), (4_000_000_000, 1)])
def test_0_hz_and_other_absurd_rates_are_refused(rate: int, channels: int) -> None:
    with pytest.raises(UnreadableAudio):
        probe(hostile.wav(rate, channels))


@pytest.mark.parametrize("streams", [129, 10_000])
def test_10_000_streams_are_refused(streams: int, quick: Make) -> None:
    with pytest.raises(UnreadableAudio, match="more than 128 streams"):
        probe(hostile.with_tracks(streams))
    quick(10)


def test_a_hundred_streams_are_fine() -> None:
    assert probe(hostile.with_tracks(100)).channels == 1


def test_a_gigantic_picture_is_never_made() -> None:
    audio = prepare(hostile.with_picture_of(65_535, 65_535), memory_bytes=400 << 20)
    assert audio.duration == pytest.approx(1.0, abs=0.01)
    assert np.abs(audio.read(0, 1)).max() > 0.05


@pytest.mark.parametrize("count", [0x7FFFFFFF, 0xFFFFFFFF, 0x0FFFFFFF])
def test_an_index_that_claims_billions_of_samples_is_harmless(count: int, quick: Make) -> None:
    with pytest.raises(InvalidAudio):
        prepare(hostile.claiming_samples(count), memory_bytes=400 << 20)
    quick(20)


def test_boxes_nested_a_hundred_thousand_deep_are_refused(quick: Make) -> None:
    with pytest.raises(InvalidAudio):
        probe(hostile.nested(100_000))
    quick(20)
