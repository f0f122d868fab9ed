"""Whisper in the pipeline: parts, progress, cancelling, languages, with checkpoints on disk."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from meet_transcriber.audio.decoder import PyavDecoder
from meet_transcriber.core.errors import JobCancelled
from meet_transcriber.core.options import Options
from meet_transcriber.core.plan import Plan
from meet_transcriber.core.transcript import Diarization, Span
from meet_transcriber.engines.faster_whisper import FasterWhisperRecognizer
from meet_transcriber.pipeline import Chosen, FolderCheckpoints, Pipeline
from meet_transcriber.ports.engines import AudioSource, Progress
from meet_transcriber.stores.disk import DiskMediaStore
from scripts.make_tiny_whisper import HIGH_LANGUAGE, LOW_LANGUAGE, build

RATE_HZ = 16_000


class Clock:
    """A SpeechDetector by the clock, with its longest silence after two minutes."""

    def detect(self, audio: AudioSource, channel: int, progress: Progress) -> tuple[Span, ...]:
        return tuple(Span(start, start + 4) for start in range(3, 233, 15) if start != 108)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("whisper"), multilingual=True)


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two minutes of low sound, then as much of high sound."""
    path = tmp_path_factory.mktemp("recording") / "low-high.flac"
    chance = np.random.default_rng(0)
    low = np.convolve(chance.normal(0, 0.1, 120 * RATE_HZ), np.ones(12) / 4, "same")
    high = np.diff(chance.normal(0, 0.1, 120 * RATE_HZ + 2), 2) / 4
    soundfile.write(path, np.concatenate([low, high]), RATE_HZ)
    return path


@pytest.fixture
def pipeline(tmp_path: Path) -> Pipeline:
    store = DiskMediaStore(tmp_path)
    return Pipeline(store, FolderCheckpoints(store, "job"), Options(), PyavDecoder(), Clock())


@pytest.fixture
def plan(pipeline: Pipeline, recording: Path) -> Plan:
    with recording.open("rb") as media:
        plan = pipeline.prepare(media)
    assert len(plan.parts) == 2
    return plan


def whisper(model: Path, batch_size: int = 8) -> Chosen[FasterWhisperRecognizer]:
    return Chosen(FasterWhisperRecognizer(str(model), device="cpu", batch_size=batch_size))


def test_every_part_has_its_own_language(pipeline: Pipeline, plan: Plan, model: Path) -> None:
    recognizer = whisper(model)
    parts = [pipeline.recognize(plan, index, recognizer) for index in range(2)]
    spoken = [{segment.language for segment in part.segments} for part in parts]
    assert spoken == [{LOW_LANGUAGE}, {HIGH_LANGUAGE}]


def test_parts_in_any_order_and_batches_of_any_size_give_the_same(
    pipeline: Pipeline, plan: Plan, model: Path, tmp_path: Path
) -> None:
    forth = [pipeline.recognize(plan, index, whisper(model)) for index in (0, 1)]
    pipeline.store.delete("job/parts")
    back = [pipeline.recognize(plan, index, whisper(model, batch_size=2)) for index in (1, 0)]
    texts = [[segment.text for segment in part.segments] for part in forth]
    assert texts == [[segment.text for segment in part.segments] for part in back[::-1]]
    assert sorted(part.index for part in back) == [0, 1]


def test_every_word_has_its_time_within_the_recording(
    pipeline: Pipeline, plan: Plan, model: Path
) -> None:
    parts = [pipeline.recognize(plan, index, whisper(model)) for index in (1, 0)]
    words = pipeline.attribute(plan, parts, Diarization()).words
    starts = [word.start for word in words]
    assert starts == sorted(starts)
    assert len(words) > 100
    assert all(0 <= word.start <= word.end <= plan.audio.duration for word in words)
    assert not any(word.estimated for word in words)


def test_progress_rises_window_by_window(pipeline: Pipeline, plan: Plan, model: Path) -> None:
    heard: list[float] = []
    pipeline.recognize(plan, 0, whisper(model), heard.append)
    assert heard == sorted(heard)
    assert len(set(heard)) > 3
    assert heard[-1] == 1.0


def test_cancelling_ends_a_part_midway_and_keeps_nothing_of_it(
    pipeline: Pipeline, plan: Plan, model: Path
) -> None:
    recognizer = whisper(model)

    def cancel(share: float) -> None:
        raise JobCancelled(f"Cancelled at {share:.2f}.")

    with pytest.raises(JobCancelled, match=r"at 0\."):
        pipeline.recognize(plan, 1, recognizer, cancel)
    assert not pipeline.store.exists("job/parts/0001.json")
    assert pipeline.recognize(plan, 1, recognizer).segments
