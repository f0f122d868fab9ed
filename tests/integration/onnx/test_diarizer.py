"""The diarizer with the official networks: little speech, one voice, concurrent jobs."""

import json
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from meet_transcriber.core.errors import EngineUnavailable, JobCancelled
from meet_transcriber.core.options import Options
from meet_transcriber.core.transcript import Diarization
from meet_transcriber.engines.onnx.diarizer import OnnxDiarizer, load_diarizer
from meet_transcriber.ports.engines import SAMPLE_RATE_HZ
from tests.integration.hearing import BASE
from tests.simulated.sound import Sound
from tests.simulated.voices import conversation, hiss, voice

pytestmark = pytest.mark.xdist_group("speaker networks")  # loaded once, by one worker


def _found(diarizer: OnnxDiarizer, sound: Sound, **hints: Any) -> Diarization:
    return diarizer.diarize(sound, sound.whole, Options(**hints), lambda _share: None)


def _speakers(found: Diarization) -> int:
    return len({turn.speaker for turn in found.turns})


def test_silence_and_noise_have_no_turns(diarizer: OnnxDiarizer) -> None:
    for samples in (np.zeros(30 * SAMPLE_RATE_HZ, np.float32), hiss(1, 30.0)):
        sound = Sound(samples)
        assert diarizer.diarize(sound, [], Options(), lambda _share: None) == Diarization()


def test_speech_is_found_that_the_detector_missed(diarizer: OnnxDiarizer) -> None:
    sound = Sound(voice(1, 5.0, 120.0))
    found = diarizer.diarize(sound, [], Options(), lambda _share: None)
    assert found == _found(diarizer, sound)
    assert _speakers(found) == 1


@pytest.mark.parametrize("seconds", [0.01, 0.5, 1.0])
def test_a_second_or_less_has_at_most_one_speaker(diarizer: OnnxDiarizer, seconds: float) -> None:
    found = _found(diarizer, Sound(voice(1, seconds, 120.0)))
    assert _speakers(found) <= 1
    assert all(0 <= turn.start < turn.end <= seconds for turn in found.turns)


def test_one_voice_is_one_speaker(diarizer: OnnxDiarizer) -> None:
    found = _found(diarizer, Sound(voice(2, 40.0, 120.0)))
    assert _speakers(found) == 1
    assert sum(turn.end - turn.start for turn in found.turns) > 25


@pytest.mark.parametrize("level", [0.0, 0.001, 0.03])
def test_silence_and_noise_have_no_speakers(diarizer: OnnxDiarizer, level: float) -> None:
    """Even if the speech detector takes them for speech."""
    assert _found(diarizer, Sound(hiss(3, 30.0, level))).turns == ()


def test_two_voices_are_two_speakers(diarizer: OnnxDiarizer) -> None:
    low, high = voice(21, 24.0, 110.0, 1.15), voice(22, 24.0, 230.0, 0.85)
    turns = np.concatenate([low.reshape(4, -1), high.reshape(4, -1)], axis=1)
    found = _found(diarizer, Sound(turns.ravel()))
    assert _speakers(found) == 2
    first = {turn.speaker for turn in found.exclusive if turn.start % 12 < 5 and turn.end % 12 < 7}
    assert first == {"SPEAKER_00"}


@pytest.mark.parametrize("number", [1, 4])
def test_a_hint_is_met_exactly(diarizer: OnnxDiarizer, number: int) -> None:
    assert _speakers(_found(diarizer, Sound(conversation(1, 16.0)), num_speakers=number)) == number


def test_a_voice_is_recognized_again(diarizer: OnnxDiarizer) -> None:
    low, high = (110.0, 1.15), (230.0, 0.85)
    clips = [voice(31, 8.0, *low), voice(32, 8.0, *low), voice(33, 8.0, *high)]
    voices = [diarizer.voice(Sound(clip), Sound(clip).whole, lambda _share: None) for clip in clips]
    first, again, other = (np.array(each.vector) for each in voices if each)
    assert first @ again > first @ other + 0.1
    np.testing.assert_allclose(np.linalg.norm(first), 1, atol=1e-4)


def test_results_are_the_same_again_and_next_to_another_job(diarizer: OnnxDiarizer) -> None:
    sounds = [Sound(conversation(seed, 16.0)) for seed in (1, 2)]
    alone = [_found(diarizer, sound) for sound in sounds]
    with ThreadPoolExecutor(2) as pool:
        beside = list(pool.map(lambda sound: _found(diarizer, sound), sounds))
    assert beside == alone
    assert alone[0] != alone[1]


def test_silence_in_front_hardly_matters(diarizer: OnnxDiarizer) -> None:
    silence = np.zeros(24 * SAMPLE_RATE_HZ, np.float32)  # whole blocks, chunks and windows
    sound = conversation(3, 20.0)
    alone = _found(diarizer, Sound(sound))
    later = _found(diarizer, Sound(np.concatenate([silence, sound])))
    assert _speakers(later) == _speakers(alone)
    lengths = [sum(t.end - t.start for t in found.turns) for found in (alone, later)]
    assert lengths[1] == pytest.approx(lengths[0], rel=0.05)


def test_a_cancelled_job_leaves_no_thread(diarizer: OnnxDiarizer) -> None:
    shares = list[float]()

    def progress(share: float) -> None:
        shares.append(share)
        raise JobCancelled("job")

    sound = Sound(conversation(4, 12.0))
    with pytest.raises(JobCancelled):
        diarizer.diarize(sound, sound.whole, Options(), progress)
    assert len(shares) == 1
    assert not [each for each in threading.enumerate() if each.name.startswith("diarizer")]


def test_its_name_contains_its_networks(diarizer: OnnxDiarizer) -> None:
    assert diarizer.name == "onnx segmentation-3.0 campplus-zh-en-common"


def test_missing_weights_are_reported(tmp_path: Path) -> None:
    with pytest.raises(EngineUnavailable, match=r"pytorch_model\.bin"):
        load_diarizer(tmp_path, tmp_path, "campplus", "cpu", 1)


# --- processes of their own -------------------------------------------------------------


def _program(*arguments: str, **environment: str) -> Any:
    done = subprocess.run(
        [sys.executable, "-m", *arguments],
        env={**os.environ, **BASE, **environment},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return json.loads(done.stdout)


@pytest.mark.usefixtures("checkpoints")
def test_no_socket_is_opened_and_torch_is_not_imported(tmp_path: Path) -> None:
    """onnxruntime stores no identifier or events either, regardless of the environment."""
    places = dict.fromkeys(("HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME"), str(tmp_path))
    quiet = _program("tests.integration.onnx.guarded", ORT_DISABLE_TELEMETRY="0", **places)
    assert quiet["turns"] > 0
    assert quiet["attempts"] == []
    assert quiet["imported"] == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("checkpoints")
def test_the_guard_detects_a_socket() -> None:
    assert _program("tests.integration.onnx.guarded", "on")["attempts"] != []


def test_half_an_hour_stays_within_the_memory_limit() -> None:
    """With simulated networks; tests/system/test_speakers.py runs four hours."""
    figures = _program("tests.integration.onnx.long", "0.5")
    assert figures["speakers"] == 4
    assert figures["peak_mb"] < 230
