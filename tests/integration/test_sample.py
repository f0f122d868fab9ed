"""A meeting from recording to speaker-labelled transcript, with the draft engines."""

from pathlib import Path

import pytest

from meet_transcriber.audio.decoder import PyavDecoder
from meet_transcriber.audio.silero import SileroDetector
from meet_transcriber.cli.sample import MOST_CPWER, MOST_DER, MOST_WER
from meet_transcriber.core.options import Options
from meet_transcriber.core.readers import read_transcript
from meet_transcriber.core.scoring import (
    all_words,
    cp_word_errors,
    diarization_errors,
    streams,
    word_errors,
)
from meet_transcriber.core.transcript import Transcript
from meet_transcriber.engines.acoustic import AcousticDiarizer
from meet_transcriber.engines.pocketsphinx import PocketsphinxRecognizer
from meet_transcriber.pipeline import Chosen, FolderCheckpoints, Pipeline, run
from meet_transcriber.stores.disk import DiskMediaStore

pytestmark = pytest.mark.xdist_group("sample")  # recognized once, by one worker

SAMPLES = Path(__file__).parents[2] / "src" / "meet_transcriber" / "samples"
DATA = Path(__file__).parents[1] / "data"


def transcript_of(recording: Path, folder: Path) -> Transcript:
    store = DiskMediaStore(folder)
    pipeline = Pipeline(
        store, FolderCheckpoints(store, "job"), Options(), PyavDecoder(), SileroDetector()
    )
    return run(pipeline, recording, Chosen(PocketsphinxRecognizer()), Chosen(AcousticDiarizer()))


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Transcript:
    return transcript_of(SAMPLES / "standup.ogg", tmp_path_factory.mktemp("sample"))


@pytest.fixture(scope="module")
def truth() -> Transcript:
    return read_transcript(SAMPLES / "standup.json")


def test_four_speakers_are_found_without_a_hint(sample: Transcript) -> None:
    assert len(sample.speakers) == 4


def test_words_are_at_most_twelve_percent_wrong(sample: Transcript, truth: Transcript) -> None:
    assert word_errors(all_words(truth), all_words(sample)).rate <= MOST_WER


def test_speakers_words_are_at_most_twenty_percent_wrong(
    sample: Transcript, truth: Transcript
) -> None:
    assert cp_word_errors(streams(truth), streams(sample)).rate <= MOST_CPWER


def test_turns_are_at_most_twelve_percent_wrong(sample: Transcript, truth: Transcript) -> None:
    assert diarization_errors(truth.turns, sample.turns, collar=0.25).rate <= MOST_DER


def test_every_word_is_in_order_inside_the_recording(sample: Transcript) -> None:
    starts = [word.start for word in sample.words]
    assert starts == sorted(starts)
    assert all(0 <= word.start <= word.end <= sample.duration for word in sample.words)


def test_another_meeting_with_other_voices_is_recognizable(tmp_path: Path) -> None:
    found = transcript_of(DATA / "budget.ogg", tmp_path)
    truth = read_transcript(DATA / "budget.json")
    assert len(found.speakers) == 3
    assert word_errors(all_words(truth), all_words(found)).rate <= 0.20
    assert diarization_errors(truth.turns, found.turns, collar=0.25).rate <= 0.12
