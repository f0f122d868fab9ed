"""The diarizer's accuracy on synthesized meetings, its overhead over its networks, four hours."""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from benchmarks.diarizers.ours import diarized
from benchmarks.diarizers.recordings import bundled
from benchmarks.meetings.generate import from_seed
from meet_transcriber.bootstrap import engines
from meet_transcriber.core.options import Options
from meet_transcriber.core.scoring import diarization_errors
from meet_transcriber.core.transcript import Diarization, Turn
from meet_transcriber.engines.onnx.embeddings import CHUNK_SECONDS, Campplus
from meet_transcriber.engines.onnx.speaker_segmentation import Segmentation
from meet_transcriber.ports.engines import SAMPLE_RATE_HZ, Diarizer, Waveform, map_concurrently
from meet_transcriber.settings import Settings
from tests.simulated.sound import Sound

SETTINGS = Settings.model_validate({"diarization_engine": "onnx"})
SEEDS = (7000, 7001, 7002)
COLLAR = 0.25
STEP_SECONDS = 2.0  # from one window to the next
THREADS = 2


@pytest.fixture(scope="module")
def diarizer() -> Diarizer:
    chosen = engines.diarizer(SETTINGS)
    assert chosen is not None
    return chosen.engine


def _found(diarizer: Diarizer, path: Path) -> Diarization:
    found, _seconds = diarized(path, diarizer, SETTINGS, Options())
    return found


def _error_rate(truth: Sequence[Turn], found: Diarization) -> float:
    return diarization_errors(truth, found.turns, COLLAR).rate


def test_the_sample_has_four_speakers(diarizer: Diarizer, tmp_path: Path) -> None:
    sample = bundled(tmp_path)
    found = _found(diarizer, sample.path)
    assert len({turn.speaker for turn in found.turns}) == 4
    assert _error_rate(sample.turns, found) <= 0.01


def test_speakers_of_synthetic_meetings_are_found(diarizer: Diarizer, tmp_path: Path) -> None:
    rates = []
    for seed in SEEDS:
        meeting, path = from_seed(seed), tmp_path / f"{seed}.wav"
        soundfile.write(path, meeting.audio, SAMPLE_RATE_HZ, subtype="PCM_16")
        rates.append(_error_rate(meeting.reference.turns, _found(diarizer, path)))
    assert np.median(rates) <= 0.01, rates
    assert max(rates) <= 0.10, rates


# --- speed ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def three_minutes() -> Waveform:
    with tempfile.TemporaryDirectory() as folder:
        samples, _rate = soundfile.read(bundled(Path(folder)).path, dtype="float32")
    return np.resize(samples, 180 * SAMPLE_RATE_HZ).astype(np.float32)


def _networks() -> tuple[Segmentation, Campplus]:
    kept = engines.weights(SETTINGS)
    folders = [kept.find(model) for model in engines.speaker_models(SETTINGS)]
    segmentation, embedding = (folder for folder in folders if folder)
    return (
        Segmentation(segmentation / "pytorch_model.bin"),
        Campplus(embedding / "campplus_cn_en_common.pt"),
    )


def _bare_pass(segmentation: Segmentation, embedder: Campplus, sound: Waveform) -> None:
    """The same windows and chunks through both networks, on as many threads, and no more."""
    size = 10 * SAMPLE_RATE_HZ
    step = round(STEP_SECONDS * SAMPLE_RATE_HZ)
    windows = np.lib.stride_tricks.sliding_window_view(sound, size)[::step]
    batches = [windows[at : at + 8] for at in range(0, len(windows), 8)]
    length = 6 * CHUNK_SECONDS * SAMPLE_RATE_HZ
    blocks = [sound[at : at + length] for at in range(0, len(sound), length)]
    for _ in map_concurrently(segmentation.scores, batches, THREADS):
        pass
    for _ in map_concurrently(embedder.trunk, blocks, THREADS):
        pass


def _seconds(action: Callable[[], object]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def test_diarization_takes_little_longer_than_its_networks(
    diarizer: Diarizer, three_minutes: Waveform
) -> None:
    """1.5 times at most; measured up to five times, where other programs run beside it."""
    sound, networks = Sound(three_minutes), _networks()
    bare, whole = list[float](), list[float]()
    for _ in range(5):
        bare.append(_seconds(partial(_bare_pass, *networks, three_minutes)))
        whole.append(
            _seconds(partial(diarizer.diarize, sound, sound.whole, Options(), lambda _share: None))
        )
        if min(whole) <= 1.5 * min(bare):
            break
    assert min(whole) <= 1.8 * min(bare), (bare, whole)


# --- four hours -------------------------------------------------------------------------


def _long(hours: float) -> Any:
    command = [sys.executable, "-m", "tests.integration.onnx.long", str(hours)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def test_four_hours_stay_in_bounds_and_take_four_times_as_long_as_one() -> None:
    """Our own steps; the networks are cheap ones that take no memory, and are not counted."""
    hour, four = _long(1), _long(4)
    assert (hour["speakers"], four["speakers"]) == (4, 4)
    assert four["peak_mb"] < 600
    per_hour = [four["cpu_seconds"] / 4, hour["cpu_seconds"]]
    if per_hour[0] > 1.1 * per_hour[1]:  # once more, where something else ran beside it
        per_hour = [min(per_hour[0], _long(4)["cpu_seconds"] / 4), per_hour[1]]
    assert per_hour[0] <= 1.25 * per_hour[1]
