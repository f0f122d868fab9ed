"""Filter banks as Kaldi's; the golden ones are torchaudio's port (scripts.make_speaker_goldens)."""

from pathlib import Path

import numpy as np
import pytest

from meet_transcriber.engines.onnx.embeddings import FRAME_SAMPLES, HOP_SAMPLES, fbank
from tests.simulated.voices import filter_bank_sound, hiss

GOLDEN = Path(__file__).parents[3] / "golden" / "speakers" / "filter_banks.npz"


@pytest.mark.parametrize(("window", "scale"), [("povey", 1.0), ("hamming", 32768.0)])
def test_they_are_those_of_kaldi(window: str, scale: float) -> None:
    found = fbank(filter_bank_sound(), window=window, scale=scale)
    with np.load(GOLDEN) as golden:
        np.testing.assert_allclose(found, golden[window], atol=1e-3)
    assert found.dtype == np.float32


def test_the_windows_differ() -> None:
    sound = filter_bank_sound()
    assert np.abs(fbank(sound, window="povey") - fbank(sound, window="hamming")).max() > 0.1


@pytest.mark.parametrize(
    ("samples", "frames"), [(0, 0), (399, 0), (400, 1), (559, 1), (560, 2), (64_240, 400)]
)
def test_the_number_of_frames(samples: int, frames: int) -> None:
    assert fbank(np.zeros(samples, np.float32)).shape == (frames, 80)


def test_silence_is_finite() -> None:
    found = fbank(np.zeros(8000, np.float32))
    np.testing.assert_allclose(found, np.log(np.finfo(np.float32).eps), atol=1e-4)


def test_a_constant_offset_has_no_effect() -> None:
    sound = hiss(1, 0.5)
    moved, still = (fbank(each, scale=32768.0) for each in (sound + np.float32(0.25), sound))
    np.testing.assert_allclose(moved, still, atol=0.01)


def test_a_frame_depends_on_its_own_samples_only() -> None:
    sound = hiss(2, 0.5)
    place = 7
    part = sound[place * HOP_SAMPLES : place * HOP_SAMPLES + FRAME_SAMPLES]
    np.testing.assert_allclose(fbank(sound)[place], fbank(part)[0], atol=1e-5)


def test_doubling_the_amplitude_adds_the_logarithm_of_four() -> None:
    sound = hiss(3, 0.5)
    loud, soft = (fbank(each, scale=32768.0) for each in (2 * sound, sound))
    np.testing.assert_allclose(loud - soft, np.log(4), atol=1e-3)
    np.testing.assert_array_equal(fbank(sound, scale=65536.0), loud)


@pytest.mark.parametrize("hertz", [200, 1000, 4000])
def test_a_tone_is_in_the_band_of_its_pitch(hertz: int) -> None:
    sound = np.sin(2 * np.pi * hertz * np.arange(8000) / 16_000).astype(np.float32)
    mel = [1127 * np.log(1 + f / 700) for f in (20, hertz, 8000)]
    expected = (mel[1] - mel[0]) / (mel[2] - mel[0]) * 81 - 1
    assert abs(fbank(sound).mean(axis=0).argmax() - expected) <= 1


def test_the_samples_are_not_modified() -> None:
    sound = hiss(4, 0.2)
    before = sound.copy()
    fbank(sound)
    np.testing.assert_array_equal(sound, before)
