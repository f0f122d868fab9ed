"""Agreement with the reference scorers on committed cases (scripts/make_scoring_golden.py)."""

import json
from pathlib import Path
from typing import Any

import pytest

from meet_transcriber.core.scoring import (
    cp_word_errors,
    diarization_errors,
    word_errors,
)
from meet_transcriber.core.transcript import Turn

GOLDEN = json.loads((Path(__file__).parents[2] / "golden" / "scoring.json").read_text("utf-8"))
SIDES = ("reference", "hypothesis")


@pytest.mark.parametrize("case", GOLDEN["words"])
def test_word_errors_are_those_of_jiwer(case: dict[str, Any]) -> None:
    found = word_errors(case["reference"], case["hypothesis"])
    assert (found.errors, found.total) == (case["errors"], len(case["reference"]))


@pytest.mark.parametrize("case", GOLDEN["streams"])
def test_cpwer_is_that_of_meeteval(case: dict[str, Any]) -> None:
    found = cp_word_errors(case["reference"], case["hypothesis"])
    assert (found.errors, found.total) == (case["errors"], case["total"])


@pytest.mark.parametrize("case", GOLDEN["turns"])
def test_der_is_that_of_pyannote_metrics(case: dict[str, Any]) -> None:
    reference, hypothesis = ([Turn(*turn) for turn in case[side]] for side in SIDES)
    found = diarization_errors(
        reference, hypothesis, case["collar"], skip_overlap=case["skip_overlap"]
    )
    for name in ("missed", "false_alarm", "confusion", "total"):
        assert getattr(found, name) == pytest.approx(case[name], abs=1e-6), name
