"""The whole diarizer on recordings whose samples encode who talks."""

import random
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from meet_transcriber.core.errors import JobCancelled
from meet_transcriber.core.options import Options
from meet_transcriber.core.scoring import diarization_errors
from meet_transcriber.core.transcript import Diarization, Span, Turn
from meet_transcriber.engines.onnx.diarizer import OnnxDiarizer
from meet_transcriber.ports.engines import SAMPLE_RATE_HZ
from tests.simulated.speakers import Marked, MarkedEmbedder, MarkedSegmentation, meeting

THREADS = 2


def _diarizer(seed: int = 0, noise: float = 1.0) -> OnnxDiarizer:
    return OnnxDiarizer(MarkedSegmentation(), MarkedEmbedder(seed, noise), THREADS)


def _found(audio: Marked, seed: int = 0, noise: float = 1.0, **hints: Any) -> Diarization:
    return _diarizer(seed, noise).diarize(audio, audio.speech, Options(**hints), lambda _: None)


def _speakers(turns: tuple[Turn, ...]) -> set[str]:
    return {turn.speaker for turn in turns}


def _error_rate(truth: Sequence[Turn], found: Sequence[Turn]) -> float:
    return diarization_errors(truth, found, collar=0.25).rate


def _round_of(people: int, seconds: float = 6.0, rounds: int = 3) -> Marked:
    """All people take turns, with half a second between them."""
    turns = [
        Turn(at * seconds, (at + 1) * seconds - 0.5, str(at % people))
        for at in range(rounds * people)
    ]
    return Marked(rounds * people * seconds, turns)


@pytest.mark.parametrize("people", range(1, 10))
def test_one_to_nine_people_are_found(people: int) -> None:
    audio = _round_of(people)
    found = _found(audio, seed=people)
    assert len(_speakers(found.turns)) == people
    assert _error_rate(audio.turns, found.turns) < 0.01


def test_who_talks_first_has_the_first_label() -> None:
    found = _found(_round_of(4))
    first = list(dict.fromkeys(turn.speaker for turn in found.turns))
    assert first == [f"SPEAKER_{place:02d}" for place in range(4)]


def test_turns_are_in_order_and_inside_the_recording() -> None:
    audio = meeting(5, 4, 120.0)
    found = _found(audio)
    for turns in (found.turns, found.exclusive):
        assert all(0 <= turn.start < turn.end <= audio.duration for turn in turns)
        assert list(turns) == sorted(turns, key=lambda turn: (turn.start, turn.end))
    assert all(one.end <= other.start + 1e-6 for one, other in pairwise(found.exclusive))


def test_overlap_is_kept_in_turns_and_not_in_exclusive_ones() -> None:
    turns = [Turn(0, 9, "0"), Turn(7, 16, "1"), Turn(18, 27, "0"), Turn(28, 38, "1")]
    found = _found(Marked(40.0, turns))
    assert len(_speakers(found.turns)) == 2
    together = [
        min(one.end, other.end) - other.start
        for one, other in pairwise(found.turns)
        if other.start < one.end
    ]
    assert together == [pytest.approx(2.0, abs=0.3)]
    assert all(one.end <= other.start + 1e-6 for one, other in pairwise(found.exclusive))


def test_each_speaker_has_a_voice_embedding() -> None:
    audio = _round_of(3)
    found = _found(audio, seed=7)
    voices = MarkedEmbedder(7).voices
    for place in range(3):
        voice = found.voices[f"SPEAKER_{place:02d}"]
        assert np.array(voice.vector) @ voices[place] > 0.9
        assert voice.seconds == pytest.approx(3 * 5.5, abs=1.0)
        assert voice.model == "marked"


# --- little or no speech --------------------------------------------------------------


def test_no_speech_has_no_turns() -> None:
    audio = Marked(60.0, [])
    assert _found(audio) == Diarization()
    assert _found(Marked(0.0, [])) == Diarization()


def test_speech_that_segmentation_does_not_detect_has_no_turns() -> None:
    audio = Marked(60.0, [])
    found = _diarizer().diarize(audio, [Span(0.0, 60.0)], Options(), lambda _: None)
    assert found == Diarization()


@pytest.mark.parametrize("seconds", [0.1, 0.3, 0.5, 1.0, 2.0, 9.9, 10.0, 10.1, 24.0, 24.1])
def test_a_short_recording_of_one_person(seconds: float) -> None:
    found = _found(Marked(seconds, [Turn(0.0, seconds, "0")]))
    assert _speakers(found.turns) == {"SPEAKER_00"}
    assert sum(turn.end - turn.start for turn in found.turns) == pytest.approx(seconds, abs=0.12)


def test_people_who_only_talk_together_are_at_least_one_speaker() -> None:
    turns = [Turn(0, 20, "0"), Turn(0, 20, "1")]
    assert 1 <= len(_speakers(_found(Marked(20.0, turns)).turns)) <= 2
    assert len(_speakers(_found(Marked(20.0, turns), num_speakers=2).turns)) == 2


def test_one_person_between_long_silences_is_one_speaker() -> None:
    turns = [Turn(at, at + 3.0, "0") for at in range(5, 600, 97)]
    found = _found(Marked(600.0, turns))
    assert _speakers(found.turns) == {"SPEAKER_00"}
    assert len(found.turns) == len(turns)


def test_the_embedder_does_not_run_where_nobody_talks() -> None:
    heard: list[float] = []

    class Counting(MarkedEmbedder):
        def trunk(self, audio: npt.NDArray[Any]) -> npt.NDArray[Any]:
            heard.append(len(audio) / SAMPLE_RATE_HZ)
            return super().trunk(audio)

    audio = Marked(600.0, [Turn(300.0, 310.0, "0")])
    diarizer = OnnxDiarizer(MarkedSegmentation(), Counting(0), THREADS)
    assert diarizer.diarize(audio, [], Options(), lambda _: None).turns
    assert sum(heard) <= 60


# --- hints ------------------------------------------------------------------------------


def _case(seed: int) -> tuple[Marked, float, random.Random]:
    chance = random.Random(seed)
    seconds = chance.choice((20, 20, 30, 30, 45, 60, 60, 90)) if seed % 20 else 300 + seed * 3
    return meeting(seed, chance.randint(1, 9), seconds), chance.choice((0.5, 2.0, 4.0)), chance


@pytest.mark.parametrize("seed", range(100))
def test_hints_are_met_exactly(seed: int) -> None:
    """If there are as many stretches of speech; half of the cases give a range."""
    audio, noise, chance = _case(seed)
    most = min(9, len(audio.turns))
    fewest = chance.randint(1, most)
    if seed % 2:
        found = _found(audio, seed, noise, num_speakers=fewest)
        numbers = range(fewest, fewest + 1)
    else:
        numbers = range(fewest, chance.randint(fewest, 10) + 1)
        found = _found(audio, seed, noise, min_speakers=fewest, max_speakers=numbers.stop - 1)
    assert len(_speakers(found.turns)) in numbers
    assert len(_speakers(found.exclusive)) in numbers


@pytest.mark.parametrize("people", [2, 4, 8])
def test_the_right_number_finds_the_right_people(people: int) -> None:
    audio = _round_of(people, seconds=8.0)
    found = _found(audio, seed=people, noise=2.0, num_speakers=people)
    assert _error_rate(audio.turns, found.turns) < 0.01


def test_one_long_stretch_is_split_for_two_requested_speakers() -> None:
    found = _found(Marked(30.0, [Turn(0.0, 30.0, "0")]), num_speakers=2)
    assert len(_speakers(found.turns)) == 2


def test_a_maximum_of_one_gives_all_turns_to_one_speaker() -> None:
    audio = _round_of(5)
    found = _found(audio, max_speakers=1)
    assert _speakers(found.turns) == {"SPEAKER_00"}
    everybody = [replace(turn, speaker="0") for turn in audio.turns]
    assert _error_rate(everybody, found.turns) < 0.01


# --- progress, cancellation, threads ----------------------------------------------------


def test_progress_rises_to_one() -> None:
    audio, shares = meeting(3, 4, 120.0), list[float]()
    _diarizer().diarize(audio, audio.speech, Options(), shares.append)
    assert shares == sorted(shares)
    assert shares[0] > 0
    assert shares[-1] == 1.0
    assert len(shares) > 10


class _Counting:
    """Networks that count their calls."""

    def __init__(self) -> None:
        self.windows, self.blocks = 0, 0
        counts = self

        class CountingSegmentation(MarkedSegmentation):
            def classes(self, windows: npt.NDArray[Any]) -> npt.NDArray[Any]:
                counts.windows += 1
                return super().classes(windows)

        class CountingEmbedder(MarkedEmbedder):
            def trunk(self, audio: npt.NDArray[Any]) -> npt.NDArray[Any]:
                counts.blocks += 1
                return super().trunk(audio)

        self.diarizer = OnnxDiarizer(CountingSegmentation(), CountingEmbedder(0), THREADS)


def _threads() -> list[str]:
    return [each.name for each in threading.enumerate() if each.name.startswith("diarizer")]


@pytest.mark.parametrize("share", [0.0, 0.3, 0.5, 0.7])
def test_cancellation_stops_after_the_calls_in_progress(share: float) -> None:
    audio, counting = meeting(1, 4, 600.0), _Counting()
    at_cancel = list[int]()

    def progress(done: float) -> None:
        if done > share:
            at_cancel.append(counting.windows + counting.blocks)
            raise JobCancelled("job")

    with pytest.raises(JobCancelled):
        counting.diarizer.diarize(audio, audio.speech, Options(), progress)
    assert counting.windows + counting.blocks <= at_cancel[0] + THREADS
    assert len(at_cancel) == 1
    assert _threads() == []


def test_an_error_in_a_network_ends_the_job_and_its_threads() -> None:
    class Broken(MarkedEmbedder):
        def trunk(self, audio: npt.NDArray[Any]) -> npt.NDArray[Any]:
            raise MemoryError

    audio = meeting(1, 3, 120.0)
    with pytest.raises(MemoryError):
        OnnxDiarizer(MarkedSegmentation(), Broken(0), THREADS).diarize(
            audio, audio.speech, Options(), lambda _: None
        )
    assert _threads() == []


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_at_most_as_many_calls_run_concurrently_as_there_are_threads(threads: int) -> None:
    running, most, lock = set[int](), list[int](), threading.Lock()

    class Watched(MarkedEmbedder):
        def trunk(self, audio: npt.NDArray[Any]) -> npt.NDArray[Any]:
            with lock:
                running.add(threading.get_ident())
                most.append(len(running))
            found = super().trunk(audio)
            with lock:
                running.discard(threading.get_ident())
            return found

    audio = meeting(2, 3, 300.0)
    OnnxDiarizer(MarkedSegmentation(), Watched(0), threads).diarize(
        audio, audio.speech, Options(), lambda _: None
    )
    assert max(most) <= threads


def test_results_are_the_same_again_and_with_any_number_of_threads() -> None:
    audio = meeting(4, 5, 200.0)
    diarizer = _diarizer(4, 2.0)
    first = diarizer.diarize(audio, audio.speech, Options(), lambda _: None)
    assert diarizer.diarize(audio, audio.speech, Options(), lambda _: None) == first
    for threads in (1, 7):
        other = OnnxDiarizer(MarkedSegmentation(), MarkedEmbedder(4, 2.0), threads)
        assert other.diarize(audio, audio.speech, Options(), lambda _: None) == first


def test_concurrent_recordings_do_not_interfere() -> None:
    diarizer = _diarizer()
    recordings = [meeting(seed, 2 + seed, 100.0 + 20 * seed) for seed in range(4)]

    def find(audio: Marked) -> Diarization:
        return diarizer.diarize(audio, audio.speech, Options(), lambda _: None)

    alone = [find(audio) for audio in recordings]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(find, recordings)) == alone


# --- the voice of one person ------------------------------------------------------------


def test_a_recording_of_one_person_has_a_voice() -> None:
    audio = Marked(20.0, [Turn(1.0, 9.0, "3"), Turn(11.0, 18.0, "3")])
    voice = _diarizer(5).voice(audio, audio.speech, lambda _share: None)
    assert voice is not None
    assert np.array(voice.vector) @ MarkedEmbedder(5).voices[3] > 0.9


@pytest.mark.parametrize("turns", [[], [Turn(2.0, 2.4, "0")]])
def test_too_little_speech_has_no_voice(turns: list[Turn]) -> None:
    audio = Marked(5.0, turns)
    assert _diarizer().voice(audio, audio.speech, lambda _share: None) is None
