"""Level, channels and outline."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from meet_transcriber.audio.levels import (
    TARGET_DBFS,
    ChannelStatistics,
    LoudnessMeter,
    PeakMeter,
    select_channels,
)
from meet_transcriber.core.media import PEAKS_PER_SECOND
from meet_transcriber.core.options import Options

Make = Callable[..., Any]


def turns(seconds: int = 40) -> Any:
    """(2, samples): two people by turns of two seconds, one a channel, over a soft floor."""
    noise = np.random.default_rng(11)
    samples = noise.normal(0, 1e-3, (2, seconds * 16_000))
    for second in range(seconds):
        stretch = slice(second * 16_000, (second + 1) * 16_000)
        samples[second // 2 % 2, stretch] += noise.normal(0, 0.1, 16_000)
    return samples.astype(np.float32)


def kept(samples: Any, mode: Any = "auto") -> list[int] | None:
    statistics = ChannelStatistics(len(samples))
    for first in range(0, samples.shape[1], 7000):
        statistics.add(samples[:, first : first + 7000])
    return select_channels(statistics, mode)


def test_one_speaker_a_channel_is_split() -> None:
    assert kept(turns()) == [0, 1]


def test_stereo_of_one_room_is_mixed() -> None:
    left, right = turns()
    assert kept(np.stack([left + 0.6 * right, right + 0.6 * left])) is None


def test_the_same_on_both_channels_is_mixed() -> None:
    assert kept(np.stack([turns()[0]] * 2)) is None


def test_uncorrelated_microphones_of_one_room_are_mixed() -> None:
    loud = np.abs(turns().sum(axis=0)) * np.random.default_rng(2).normal(0, 1, (2, 640_000))
    assert kept(loud.astype(np.float32)) is None


def test_people_on_own_lines_who_talk_over_each_other_are_split() -> None:
    samples = np.random.default_rng(6).normal(0, 0.1, (2, 80_000)).astype(np.float32)
    samples[0].reshape(10, 8000)[::4] *= 0.01
    samples[1, 45_000:] *= 1e-4
    assert kept(samples) == [0, 1]


def test_somebody_who_hardly_speaks_keeps_the_line() -> None:
    samples = turns(60)
    samples[1, : 54 * 16_000] = np.random.default_rng(8).normal(0, 1e-3, 54 * 16_000)
    assert kept(samples) == [0, 1]


def test_steady_noise_on_the_second_channel_is_no_speaker() -> None:
    noise = np.random.default_rng(9).normal(0, 0.005, 640_000)
    assert kept(np.stack([turns()[0], noise]).astype(np.float32)) is None


def test_a_dead_channel_is_no_speaker() -> None:
    left = turns()[0]
    assert kept(np.stack([left, left * 0])) is None
    assert kept(np.stack([left, left * 0]), "split") is None


def test_split_and_mix_are_obeyed() -> None:
    assert kept(np.stack([turns()[0]] * 2), "split") == [0, 1]
    assert kept(turns(), "mix") is None


def test_split_channels_reach_the_working_audio(write_wav: Make, prepare: Make) -> None:
    samples = turns()
    prepared, _, audio = prepare(write_wav(samples), Options())
    assert (prepared.channels, audio.channels, len(prepared.gains_db)) == (2, 2, 2)
    gain = 10 ** (prepared.gains_db[1] / 20)
    assert np.abs(audio.read(2, 3, 1) / gain - samples[1, 32_000:48_000]).max() < 1e-3


def level(samples: Any) -> float | None:
    meter = LoudnessMeter(1)
    for first in range(0, len(samples), 5000):
        meter.add(samples[np.newaxis, first : first + 5000])
    return meter.levels_dbfs()[0]


def test_long_silence_does_not_change_the_level(tone: Make) -> None:
    speech = tone(20.0)
    silence = np.random.default_rng(4).normal(0, 1e-4, 16_000 * 600).astype(np.float32)
    assert level(np.concatenate([silence, speech])) == pytest.approx(level(speech), abs=0.5)


def test_thirty_decibels_less_ask_for_thirty_more(write_wav: Make, prepare: Make) -> None:
    loud = turns()[0]
    gains = [prepare(write_wav(loud * scale))[0].gains_db[0] for scale in (1, 10**-1.5)]
    assert gains[1] - gains[0] == pytest.approx(30, abs=0.3)


def test_the_gain_is_bounded(write_wav: Make, prepare: Make, tone: Make) -> None:
    assert prepare(write_wav(tone(2.0, amplitude=1e-4)))[0].gains_db[0] <= 50
    assert prepare(write_wav(tone(2.0, amplitude=0.99)))[0].gains_db[0] >= TARGET_DBFS


def test_peaks_hold_the_extremes_of_every_step() -> None:
    samples = np.zeros((1, 16_000), np.float32)
    samples[0, 800 * 3 + 5], samples[0, 800 * 3 + 9] = 1.0, -0.5
    meter = PeakMeter()
    for first in range(0, 16_000, 333):
        meter.add(samples[:, first : first + 333])
    outline = np.frombuffer(meter.peaks().data, np.int8).reshape(-1, 2)
    assert outline.shape == (PEAKS_PER_SECOND, 2)
    assert outline[3].tolist() == [-64, 127]
    assert not np.delete(outline, 3, axis=0).any()


def test_peaks_cover_an_unfinished_step(write_wav: Make, prepare: Make, tone: Make) -> None:
    _, peaks, audio = prepare(write_wav(tone(1.02)))
    assert len(peaks.data) == 2 * (PEAKS_PER_SECOND + 1)
    assert audio.duration == 1.02
