"""Whatever happens to a child, we get an answer in words and go on."""

import io
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from meet_transcriber.audio.sandbox.confinement import ARCHITECTURES
from meet_transcriber.core.errors import JobCancelled, StorageError, UnreadableAudio
from meet_transcriber.core.options import Options
from tests.simulated.children import children_of, none_left
from tests.simulated.decoders import ATTEMPTS

Make = Callable[..., Any]
# Without a system call filter, only what Python itself does can be refused.
FILTERED = sys.platform == "linux" and os.uname().machine in ARCHITECTURES
REFUSED = [
    name
    for name in ATTEMPTS
    if FILTERED or ("the system" not in name and not name.startswith(("k", "m")))
]


def test_a_decoder_that_eats_memory_is_stopped_in_words(simulated: Make, quick: Make) -> None:
    decoder = simulated("Greedy", memory_bytes=512 << 20)
    with pytest.raises(UnreadableAudio, match="the 384 MiB allowed"):
        decoder.probe(io.BytesIO(b"x"))
    quick(20)


def test_a_decoder_that_spins_is_stopped_in_words(simulated: Make, quick: Make) -> None:
    with pytest.raises(
        UnreadableAudio,
        match=r"more than the [26] seconds",  # or by the clock, where it is busy
    ):
        simulated("Spinning", cpu_seconds=2).probe(io.BytesIO(b"x"))
    quick(20)


def test_a_decoder_that_sleeps_is_stopped_by_the_clock(simulated: Make, quick: Make) -> None:
    decoder = simulated("Sleeping", cpu_seconds=1)
    with pytest.raises(UnreadableAudio, match="more than the 3 seconds"):
        decoder.probe(io.BytesIO(b"x"))
    assert none_left(decoder.pool.pid)
    quick(20)


def test_a_decoder_that_reports_progress_for_ever_is_stopped_by_the_clock(
    simulated: Make, quick: Make
) -> None:
    decoder = simulated("Chattering", cpu_seconds=1)
    with pytest.raises(UnreadableAudio, match="more than the 3 seconds"):
        decoder.prepare(io.BytesIO(b"SPEAK"), io.BytesIO(), Options(), lambda _: None)
    quick(20)


def test_a_child_that_is_killed_is_told_from_a_damaged_file(simulated: Make) -> None:
    decoder = simulated("Sleeping")

    def kill(_share: float) -> None:
        for child in children_of(decoder.pool.pid):
            os.kill(child, signal.SIGKILL)

    with pytest.raises(UnreadableAudio, match="was killed, most likely"):
        decoder.prepare(io.BytesIO(b"SLEEP"), io.BytesIO(), Options(), kill)


@pytest.mark.parametrize("name", ["Crashing", "Leaving", "Raising"])
def test_a_decoder_that_breaks_is_no_break_of_ours(name: str, simulated: Make) -> None:
    with pytest.raises(UnreadableAudio, match="crashed the decoder") as caught:
        simulated(name).probe(io.BytesIO(b"x"))
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("told", ["name", "channels"])
def test_a_child_is_not_believed_what_cannot_be(told: str, simulated: Make) -> None:
    with pytest.raises(UnreadableAudio):
        simulated("Boastful").probe(io.BytesIO(told.encode()))


@pytest.mark.parametrize("name", REFUSED)
def test_a_child_that_was_taken_over_cannot(name: str, simulated: Make) -> None:
    info = simulated("Curious").probe(io.BytesIO(name.encode()))
    assert info.codec.startswith("refused")


@pytest.mark.parametrize("name", ["read a file by the system", "make a socket by the system"])
def test_outside_of_a_child_it_works(name: str) -> None:
    ATTEMPTS[name]()


def test_cancelling_ends_a_child_that_says_nothing(simulated: Make, quick: Make) -> None:
    decoder = simulated("Sleeping")

    def cancel(_share: float) -> None:
        raise JobCancelled("The job was cancelled.")

    with pytest.raises(JobCancelled):
        decoder.prepare(io.BytesIO(b"SLEEP"), io.BytesIO(), Options(), cancel)
    assert none_left(decoder.pool.pid)
    quick(15)


def test_cancelling_ends_a_child_at_work(simulated: Make, recording: Path) -> None:
    decoder = simulated("Curious")

    def cancel(_share: float) -> None:
        raise JobCancelled("The job was cancelled.")

    with recording.open("rb") as media, pytest.raises(JobCancelled):
        decoder.prepare(media, io.BytesIO(), Options(), cancel)
    assert none_left(decoder.pool.pid)


def test_a_store_that_fails_is_heard_as_such(simulated: Make) -> None:
    class Gone(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            raise StorageError("Cannot read recording: there is no such object.")

    decoder = simulated("Curious")
    with pytest.raises(StorageError, match="no such object"):
        decoder.probe(Gone(b"read a file"))
    assert none_left(decoder.pool.pid)


def test_a_template_that_died_is_replaced(simulated: Make, recording: Path) -> None:
    decoder = simulated("Leaving")
    with recording.open("rb") as media:
        decoder.prepare(media, io.BytesIO(), Options(), lambda _: None)
        os.kill(decoder.pool.pid, signal.SIGKILL)
        prepared, _ = decoder.prepare(media, io.BytesIO(), Options(), lambda _: None)
    assert prepared.duration == 30.0
