"""The whole acoustic diarizer on buzzing voices: harmonics under resonances."""

from itertools import pairwise

import numpy as np
import pytest

from meet_transcriber.core.options import Options
from meet_transcriber.core.scoring.der import diarization_errors
from meet_transcriber.core.transcript import Diarization, Span, Turn, total_seconds
from meet_transcriber.engines.acoustic import AcousticDiarizer
from meet_transcriber.ports.engines import SAMPLE_RATE_HZ, Waveform

_VOICES = {"low": (95.0, 1.0), "high": (210.0, 1.25), "middle": (140.0, 0.85)}
_VOWELS = ((730, 1090), (270, 2290), (300, 870), (530, 1840), (570, 840))


class _Array:
    """An AudioSource on an array."""

    channels = 1

    def __init__(self, samples: Waveform) -> None:
        self._samples = samples

    @property
    def duration(self) -> float:
        return len(self._samples) / SAMPLE_RATE_HZ

    def read(self, start: float, end: float, channel: int = 0) -> Waveform:
        assert channel == 0
        return self._samples[round(start * SAMPLE_RATE_HZ) : round(end * SAMPLE_RATE_HZ)]


def _vowel(voice: str, vowel: int, generator: np.random.Generator) -> Waveform:
    """Two tenths of a second: harmonics under two resonances, scaled by the voice."""
    hz, scale = _VOICES[voice]
    time = np.arange(SAMPLE_RATE_HZ // 5) / SAMPLE_RATE_HZ
    pitches = hz * (1 + 0.05 * generator.standard_normal()) * np.arange(1, int(4000 / hz))
    gains = sum(1 / (1 + np.square((pitches - scale * peak) / 120)) for peak in _VOWELS[vowel])
    phases = generator.uniform(0, 2 * np.pi, len(pitches))
    sound = np.asarray(gains) @ np.sin(2 * np.pi * pitches[:, None] * time + phases[:, None])
    return np.asarray(0.1 * sound / np.abs(sound).max(), dtype=np.float32)


def _meeting(turns: list[tuple[str, float]]) -> tuple[_Array, list[Turn]]:
    generator = np.random.default_rng(3)
    pieces, reference, at = [], list[Turn](), 0.0
    for voice, seconds in turns:
        count = round(seconds * 5)
        pieces += [
            _vowel(voice, int(generator.integers(len(_VOWELS))), generator) for _ in range(count)
        ]
        pieces.append(np.zeros(SAMPLE_RATE_HZ // 2, dtype=np.float32))
        reference.append(Turn(at, at + count / 5, voice))
        at += count / 5 + 0.5
    samples = np.concatenate(pieces)
    noise = 1e-3 * generator.standard_normal(len(samples))
    return _Array((samples + noise).astype(np.float32)), reference


def _diarize(audio: _Array, reference: list[Turn], options: Options | None = None) -> Diarization:
    speech = tuple(Span(turn.start, turn.end) for turn in reference)
    return AcousticDiarizer().diarize(audio, speech, options or Options(), lambda _share: None)


THREE = [("low", 4.0), ("high", 5.0), ("middle", 4.0), ("high", 3.0), ("low", 4.0)] * 4


def test_silence_has_no_turns() -> None:
    audio = _Array(np.zeros(SAMPLE_RATE_HZ, dtype=np.float32))
    assert _diarize(audio, []) == Diarization()


def test_three_voices_are_told_apart() -> None:
    audio, reference = _meeting(THREE)
    assert diarization_errors(reference, _diarize(audio, reference).turns, 0.25).rate < 0.05


def test_labels_follow_first_speech() -> None:
    audio, reference = _meeting(THREE)
    speakers = list(dict.fromkeys(turn.speaker for turn in _diarize(audio, reference).turns))
    assert speakers == ["SPEAKER_00", "SPEAKER_01", "SPEAKER_02"]


def test_the_same_recording_gives_the_same_turns() -> None:
    audio, reference = _meeting(THREE)
    assert _diarize(audio, reference) == _diarize(audio, reference)


def test_turns_cover_the_speech_once() -> None:
    audio, reference = _meeting(THREE)
    turns = _diarize(audio, reference).turns
    assert total_seconds(turns) == pytest.approx(total_seconds(reference), rel=0.02)
    assert all(one.end <= other.start + 1e-6 for one, other in pairwise(turns))


def test_one_voice_is_one_speaker_and_said_to_be_in_doubt() -> None:
    audio, reference = _meeting([("low", 4.0)] * 12)
    result = _diarize(audio, reference)
    assert {turn.speaker for turn in result.turns} == {"SPEAKER_00"}
    assert [warning.code for warning in result.warnings] == ["speakers_not_separable"]


def test_one_voice_that_was_asked_for_is_no_doubt() -> None:
    audio, reference = _meeting([("low", 4.0)] * 4)
    assert not _diarize(audio, reference, Options(num_speakers=1)).warnings


@pytest.mark.parametrize("wanted", [1, 2, 3, 4])
def test_a_wanted_number_of_speakers_is_kept(wanted: int) -> None:
    audio, reference = _meeting(THREE)
    turns = _diarize(audio, reference, Options(num_speakers=wanted)).turns
    assert len({turn.speaker for turn in turns}) == wanted


def test_a_number_that_cannot_be_met_is_said() -> None:
    audio, reference = _meeting([("low", 1.0)])
    result = _diarize(audio, reference, Options(min_speakers=5))
    assert [warning.code for warning in result.warnings] == ["speakers_requested_found"]
