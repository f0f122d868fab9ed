"""Preparing and detecting need the same memory for a long recording as for a short one."""

from benchmarks.memory import peak_megabytes


def test_a_long_recording_takes_hardly_more_memory_than_a_short_one() -> None:
    short, long = peak_megabytes(2), peak_megabytes(20)
    assert long < 1.2 * short
    assert long < 400
