"""Preparing and detecting need the same memory for a long recording as for a short one."""

import pytest

from benchmarks.memory import peak_megabytes


def test_a_long_recording_takes_hardly_more_memory_than_a_short_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "2")  # each listens to two minutes, one more is read
    short, long = peak_megabytes(8), peak_megabytes(24)
    assert long < 1.1 * short
    assert long < 350
