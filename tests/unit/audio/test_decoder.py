"""Preparing: every container, true times, folding, limits."""

import io
import struct
from collections.abc import Callable
from typing import Any

import av
import numpy as np
import pytest

from meet_transcriber.audio.decoder import PyavDecoder
from meet_transcriber.core.errors import AudioTooLong, JobCancelled
from meet_transcriber.core.options import Options

Make = Callable[..., Any]

CONTAINERS = [
    ("wav", "pcm_s16le"),
    ("flac", "flac"),
    ("ogg", "libopus"),
    ("webm", "libopus"),
    ("matroska", "aac"),
    ("mp4", "aac"),
    ("mp3", "libmp3lame"),
    ("aiff", "pcm_s16be"),
]


def burst_at(second: float, seconds: float, rate: int) -> Any:
    """Near silence with a short burst of noise."""
    noise = np.random.default_rng(7)
    samples = noise.normal(0, 1e-4, round(seconds * rate))
    first = round(second * rate)
    samples[first : first + rate // 20] += noise.normal(0, 0.2, rate // 20)
    return samples.clip(-1, 1).astype(np.float32)


def onset(samples: Any) -> float:
    return float(np.argmax(np.abs(samples) > 0.5 * np.abs(samples).max()) / 16_000)


@pytest.mark.parametrize(("container", "codec"), CONTAINERS)
def test_what_sounds_at_two_seconds_is_found_there(
    container: str, codec: str, encode: Make, prepare: Make
) -> None:
    media = encode(burst_at(2.0, 4.0, 48_000), container, codec)
    prepared, _, audio = prepare(media)
    assert prepared.duration == pytest.approx(4.0, abs=0.06)
    assert onset(audio.read(0, 4)) == pytest.approx(2.0, abs=0.012)
    assert prepared.warnings == ()


def test_a_hole_in_the_timestamps_becomes_silence(encode: Make, prepare: Make, tone: Make) -> None:
    media = encode(tone(1.0, 48_000), "matroska", "pcm_s16le", starts=(0.0, 5.0))
    prepared, _, audio = prepare(media)
    assert prepared.duration == pytest.approx(6.0, abs=0.002)
    assert not audio.read(1.01, 4.99).any()
    assert np.abs(audio.read(5.1, 5.9)).max() > 0.01


def test_a_clock_that_jumps_by_hours_is_said_and_not_filled(
    encode: Make, prepare: Make, tone: Make
) -> None:
    media = encode(tone(1.0, 48_000), "matroska", "pcm_s16le", starts=(0.0, 50_000.0))
    prepared, _, _ = prepare(media, max_duration=1e6)
    assert prepared.duration == pytest.approx(2.0, abs=0.01)
    assert "clock_jumps" in [warning.code for warning in prepared.warnings]


def test_the_tail_that_was_cut_off_is_said_aloud(
    write_wav: Make, prepare: Make, tone: Make
) -> None:
    whole = write_wav(tone(4.0)).getvalue()
    prepared, _, _ = prepare(io.BytesIO(whole[: len(whole) // 2]))
    assert prepared.duration == pytest.approx(2.0, abs=0.01)
    assert [warning.code for warning in prepared.warnings] == ["truncated"]


def test_an_mp4_cut_in_its_samples_gives_what_is_there(
    encode: Make, prepare: Make, tone: Make
) -> None:
    media = encode(tone(8.0, 48_000), "mp4", "aac", options={"movflags": "faststart"}).getvalue()
    prepared, _, _ = prepare(io.BytesIO(media[: len(media) // 2]))
    assert 1.0 < prepared.duration < 7.0
    assert "truncated" in [warning.code for warning in prepared.warnings]


@pytest.mark.parametrize("channels", [3, 8, 9, 16, 32])
def test_many_channels_are_folded(
    channels: int, write_wav: Make, prepare: Make, tone: Make
) -> None:
    prepared, _, audio = prepare(write_wav(np.tile(tone(1.0), (channels, 1))))
    assert (prepared.channels, prepared.duration) == (1, 1.0)
    assert np.abs(audio.read(0, 1)).max() > 0.05


@pytest.mark.parametrize("second", [1.0, 0.0, -1.0])
def test_a_dead_or_inverted_channel_does_not_quieten_the_mix(
    second: float, write_wav: Make, prepare: Make, tone: Make
) -> None:
    one = tone(3.0)
    _, _, mono = prepare(write_wav(one))
    prepared, _, stereo = prepare(write_wav(np.stack([one, one * second])), Options(channels="mix"))
    assert prepared.channels == 1
    assert np.abs(stereo.read(1, 2) - mono.read(1, 2)).max() < 0.01


def test_a_recording_over_the_limit_is_refused_by_its_header(write_wav: Make, tone: Make) -> None:
    with pytest.raises(AudioTooLong, match="limit is 60 seconds"):
        PyavDecoder(60.0).probe(write_wav(tone(61.0)))


def test_a_length_that_the_header_hides_is_noticed_while_decoding(
    encode: Make, prepare: Make, tone: Make
) -> None:
    media = encode(tone(20.0, 48_000), "adts", "aac")
    with pytest.raises(AudioTooLong):
        prepare(media, max_duration=10.0)


def test_cancelling_passes_through(write_wav: Make, tone: Make) -> None:
    def cancel(_: float) -> None:
        raise JobCancelled("The job was cancelled.")

    with pytest.raises(JobCancelled):
        PyavDecoder().prepare(write_wav(tone(9.0)), io.BytesIO(), Options(), cancel)


def test_progress_rises_to_one(write_wav: Make, tone: Make) -> None:
    shares: list[float] = []
    stereo = np.stack([tone(9.0), tone(9.0, hz=300)])
    PyavDecoder().prepare(write_wav(stereo), io.BytesIO(), Options(), shares.append)
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1.0)


def test_silence_is_no_error(write_wav: Make, prepare: Make) -> None:
    prepared, _, audio = prepare(write_wav(np.zeros(32_000, np.float32)))
    assert (prepared.duration, prepared.gains_db, prepared.warnings) == (2.0, (0.0,), ())
    assert not audio.read(0, 2).any()


def test_sound_that_begins_after_the_pictures_keeps_its_time(
    encode: Make, prepare: Make, tone: Make
) -> None:
    audio_only = encode(tone(1.0, 48_000), "matroska", "pcm_s16le", starts=(0.0,))
    file = io.BytesIO()
    with av.open(audio_only) as source, av.open(file, "w", format="matroska") as output:
        video = output.add_stream("mpeg4", rate=10, width=32, height=32, pix_fmt="yuv420p")
        sound = output.add_stream_from_template(source.streams.audio[0])
        picture = av.VideoFrame(32, 32, "yuv420p")
        output.mux(video.encode(picture))
        output.mux(video.encode(None))
        for packet in source.demux():
            if packet.pts is not None:
                packet.pts = packet.dts = packet.pts + round(2 / packet.time_base)
                packet.stream = sound
                output.mux(packet)
    _, _, audio = prepare(file)
    assert audio.duration == pytest.approx(3.0, abs=0.01)


def float_wav(samples: Any) -> io.BytesIO:
    """A mono WAV file of 32-bit floats at 16 kHz."""
    data = samples.astype("<f4").tobytes()
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 3, 1, 16_000, 64_000, 4, 32)
    chunks = form + struct.pack("<4sI", b"data", len(data)) + data
    return io.BytesIO(struct.pack("<4sI4s", b"RIFF", 4 + len(chunks), b"WAVE") + chunks)


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
def test_a_sample_that_is_not_finite_does_not_change_the_level(
    prepare: Make, tone: Make, value: float
) -> None:
    samples = tone(10, amplitude=0.01)
    expected = prepare(float_wav(samples))[0].gains_db
    samples[5 * 16_000] = value
    assert prepare(float_wav(samples))[0].gains_db == pytest.approx(expected, abs=0.5)
