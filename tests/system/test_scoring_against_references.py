"""Fresh random cases scored by us and by jiwer, meeteval and pyannote.metrics."""

import random
import secrets

import pytest

from meet_transcriber.core.scoring import (
    cp_word_errors,
    diarization_errors,
    word_errors,
)
from meet_transcriber.core.transcript import Turn
from scripts.make_scoring_golden import (
    PATH,
    SEED,
    golden,
    golden_text,
    random_streams,
    random_turns,
    random_words,
    stream_case,
    turn_case,
    word_case,
)

CASES = 100


@pytest.fixture
def rng() -> random.Random:
    seed = secrets.randbits(32)
    print(f"seed {seed}")  # shown when a test fails
    return random.Random(seed)


def test_word_errors_are_those_of_jiwer(rng: random.Random) -> None:
    for _ in range(CASES):
        case = word_case(*random_words(rng))
        assert word_errors(case["reference"], case["hypothesis"]).errors == case["errors"], case


def test_cpwer_is_that_of_meeteval(rng: random.Random) -> None:
    for _ in range(CASES):
        case = stream_case(*random_streams(rng))
        found = cp_word_errors(case["reference"], case["hypothesis"])
        assert (found.errors, found.total) == (case["errors"], case["total"]), case


def test_der_is_that_of_pyannote_metrics(rng: random.Random) -> None:
    for _ in range(CASES):
        reference, hypothesis, collar, skip_overlap = random_turns(rng)
        case = turn_case(reference, hypothesis, collar, skip_overlap)
        said, claimed = ([Turn(*turn) for turn in side] for side in (reference, hypothesis))
        found = diarization_errors(said, claimed, collar, skip_overlap=skip_overlap)
        for name in ("missed", "false_alarm", "confusion", "total"):
            assert getattr(found, name) == pytest.approx(case[name], abs=1e-6), case


def test_the_committed_cases_are_what_the_script_makes() -> None:
    assert golden_text(golden(random.Random(SEED))) == PATH.read_text("utf-8")
