"""
Five hundred mutated recordings, as whole jobs; `make fuzz` takes two thousand.

A failure names the call that makes the same bytes again.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from meet_transcriber.audio.sandbox.client import DECODER, PROBER, shared_pool
from meet_transcriber.service import SubmissionRequest
from tests.simulated.children import none_left
from tests.simulated.fuzzing import Fuzz, fuzz_in
from tests.simulated.recordings import CONTAINERS, mutated, whole

MUTATIONS = int(os.environ.get("FUZZ_MUTATIONS", "500"))
SEEDS = range(MUTATIONS // len(CONTAINERS))


@pytest.fixture
def fuzz(tmp_path: Path) -> Iterator[Fuzz]:
    with fuzz_in(tmp_path) as fuzz:
        yield fuzz


@pytest.mark.parametrize("container", CONTAINERS)
def test_every_mutated_recording_is_transcribed_or_refused_within_bounds(
    container: str, fuzz: Fuzz
) -> None:
    ends = [fuzz.end(container, seed) for seed in SEEDS]
    assert len(ends) == len(SEEDS)
    assert fuzz.left_of_refused() == []
    for kind in (DECODER, PROBER):
        assert none_left(shared_pool(kind).pid)


@pytest.mark.parametrize("container", CONTAINERS)
def test_the_original_recording_is_valid(container: str, fuzz: Fuzz) -> None:
    upload = fuzz.service.submissions.start_upload()
    upload.write(whole(container))
    assert upload.finish(SubmissionRequest()).state == "pending"


def test_a_seed_gives_the_same_bytes_again() -> None:
    assert mutated("wav", 7).getvalue() == mutated("wav", 7).getvalue()
    assert mutated("wav", 7).getvalue() != mutated("wav", 8).getvalue()
