"""Whisper tiny.en in the pipeline: parts in any order, cancelled midway, kept on disk."""

import os
from pathlib import Path

import pytest

from meet_transcriber.audio.decoder import PyavDecoder
from meet_transcriber.audio.vad import SileroDetector
from meet_transcriber.core.errors import JobCancelled
from meet_transcriber.core.formats.readers import read_transcript
from meet_transcriber.core.options import Options
from meet_transcriber.core.plan import PartResult, Plan
from meet_transcriber.core.scoring import all_words, word_errors
from meet_transcriber.core.transcript import Diarization
from meet_transcriber.engines.whisper.loader import load_recognizer
from meet_transcriber.pipeline import Chosen, FolderCheckpoints, Pipeline
from meet_transcriber.ports.engines import Recognizer
from meet_transcriber.stores.disk import DiskMediaStore

DATA = Path(__file__).parents[2] / "data"
WEIGHTS = Path(os.environ["MODELS_DIR"]) / "tiny.en"


@pytest.fixture(scope="module")
def recognizer() -> Chosen[Recognizer]:
    return Chosen(load_recognizer(str(WEIGHTS), "tiny.en", "cpu", None, 2))


@pytest.fixture
def pipeline(tmp_path: Path) -> Pipeline:
    store = DiskMediaStore(tmp_path)
    checkpoints = FolderCheckpoints(store, "job")
    return Pipeline(store, checkpoints, Options(), PyavDecoder(), SileroDetector(), 20.0)


@pytest.fixture
def plan(pipeline: Pipeline) -> Plan:
    with (DATA / "budget.ogg").open("rb") as media:
        plan = pipeline.prepare(media)
    assert len(plan.parts) > 1
    return plan


def recognized(
    pipeline: Pipeline, plan: Plan, recognizer: Chosen[Recognizer], *order: int
) -> list[PartResult]:
    """The results of the parts in order of time."""
    found = [pipeline.recognize(plan, index, recognizer) for index in order]
    return sorted(found, key=lambda part: part.index)


def test_parts_in_any_order_make_the_same_transcript(
    pipeline: Pipeline, plan: Plan, recognizer: Chosen[Recognizer]
) -> None:
    order = range(len(plan.parts))
    forth = recognized(pipeline, plan, recognizer, *order)
    pipeline.store.delete("job/parts")
    assert recognized(pipeline, plan, recognizer, *reversed(order)) == forth
    transcript = pipeline.attribute(plan, forth, Diarization())
    truth = read_transcript(DATA / "budget.json")
    assert word_errors(all_words(truth), all_words(transcript)).rate <= 0.08
    starts = [word.start for word in transcript.words]
    assert starts == sorted(starts)


def test_cancelling_ends_a_part_midway_and_keeps_nothing_of_it(
    pipeline: Pipeline, plan: Plan, recognizer: Chosen[Recognizer]
) -> None:
    def cancel(share: float) -> None:
        raise JobCancelled(f"Cancelled at {share:.2f}.")

    with pytest.raises(JobCancelled):
        pipeline.recognize(plan, 1, recognizer, cancel)
    assert not pipeline.store.exists("job/parts/0001.json")
    assert pipeline.recognize(plan, 1, recognizer).segments
