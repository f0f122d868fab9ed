"""Counting speakers from simulated embeddings; test_diarizer has the whole diarizer."""

import random
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from meet_transcriber.engines.onnx.embeddings import l2_normalize
from meet_transcriber.engines.onnx.pooling import SHORT_HOP, Embeddings
from meet_transcriber.engines.onnx.speaker_segmentation import (
    FRAME_SECONDS,
    FRAMES,
    LOCAL_SPEAKERS,
    Activity,
)
from meet_transcriber.engines.onnx.speakers import add_missing_voices, best_path, find_speakers

Array = npt.NDArray[Any]

SIZE = 64


def _meeting(
    seed: int, people: int, seconds: int, noise: float
) -> tuple[Activity, Embeddings, int]:
    """
    Who talks in each second is drawn; noise is the length of what is added to a vector.

    Also returned: in how many stretches there is speech.
    """
    chance, draw = np.random.default_rng(seed), random.Random(seed)
    voices = l2_normalize(chance.standard_normal((people, SIZE)))
    who = np.repeat([draw.randrange(-1, people) for _ in range(-(-seconds // 4))], 4)[:seconds]
    steps = np.repeat(who, round(1 / SHORT_HOP))
    short = np.where(steps[:, None] >= 0, voices[steps], 0)
    short = l2_normalize(short + noise / SIZE**0.5 * chance.standard_normal(short.shape))
    frames = np.arange(int(np.ceil(seconds / FRAME_SECONDS))) * FRAME_SECONDS
    talks = who[np.minimum(frames.astype(int), seconds - 1)] >= 0
    starts = np.arange(0, max(seconds - 10, 0) + 2, 2)
    local = chance.standard_normal((len(starts), LOCAL_SPEAKERS, SIZE)) * noise / SIZE**0.5
    alone = np.zeros((len(starts), LOCAL_SPEAKERS))
    active = np.zeros((len(starts), FRAMES, LOCAL_SPEAKERS), np.uint8)
    for window, start in enumerate(starts):
        heard = who[start : start + 10]
        for place, person in enumerate([p for p in dict.fromkeys(heard) if p >= 0][:3]):
            local[window, place] += voices[person]
            alone[window, place] = (heard == person).sum()
            at = np.minimum(np.arange(FRAMES) * FRAME_SECONDS, len(heard) - 1).astype(int)
            active[window, :, place] = heard[at] == person
    activity = Activity(starts.astype(float), active, talks.astype(np.int8))
    heard_seconds = np.where(steps >= 0, 1.5, 0.0)
    stretches = int((np.diff(who, prepend=-1) != 0)[who >= 0].sum())
    return activity, Embeddings(l2_normalize(local), alone, short, heard_seconds), stretches


@pytest.mark.parametrize("seed", range(30))
def test_the_requested_number_of_voices_talk(seed: int) -> None:
    chance = random.Random(seed)
    people, seconds = chance.randint(1, 9), chance.choice((20, 60, 120))
    activity, voices, stretches = _meeting(seed, people, seconds, chance.choice((0.0, 1.0, 3.0)))
    for wanted in range(1, min(stretches, 9) + 1, 2):
        found = find_speakers(activity, voices, wanted, wanted)
        assert found is not None
        assert len(np.unique(found.path)) >= wanted
        assert (found.seconds > 0).sum() == wanted


@pytest.mark.parametrize("people", [1, 2, 4, 6])
def test_people_are_counted_without_a_hint(people: int) -> None:
    activity, voices, _ = _meeting(people, people, 240, 0.5)
    found = find_speakers(activity, voices, 1, 20)
    assert found is not None
    assert len(found) == people
    np.testing.assert_allclose(np.linalg.norm(found.vectors, axis=1), 1, atol=1e-5)


def test_sound_only_next_to_changes_is_no_speaker_in_a_recording_of_any_length() -> None:
    activity, voices, _ = _meeting(5, 4, 3600, 0.5)
    mixture = l2_normalize(np.random.default_rng(6).standard_normal((1, SIZE)))[0]
    path = _path(activity, voices)
    changes = np.flatnonzero(np.diff(path)) + 1
    for change in changes[::8]:
        voices.short[change - 6 : change + 6] = mixture  # 1.2 s, some 40 times
    windows = np.linspace(0, len(voices.local) - 1, 12).astype(int)
    voices.local[windows, 2], voices.local_seconds[windows, 2] = mixture, 1.2
    assert (voices.short == mixture).all(axis=1).sum() * SHORT_HOP > 12
    found = find_speakers(activity, voices, 1, 20)
    assert found is not None
    assert len(found) == 4


def test_a_speaker_of_a_few_sentences_in_an_hour_is_counted() -> None:
    activity, voices, _ = _meeting(5, 4, 3600, 0.5)
    quiet = l2_normalize(np.random.default_rng(6).standard_normal((1, SIZE)))[0]
    changes = np.flatnonzero(np.diff(_path(activity, voices))) + 1
    for change in changes[::90]:
        voices.short[change : change + 38] = quiet  # 4 s at a time
        windows = range(max(change // 20 - 4, 0), change // 20 + 1)
        voices.local[windows, 2], voices.local_seconds[windows, 2] = quiet, 3.8
    assert 12 < (voices.short == quiet).all(axis=1).sum() * SHORT_HOP < 40
    found = find_speakers(activity, voices, 1, 20)
    assert found is not None
    assert len(found) == 5


def _path(activity: Activity, voices: Embeddings) -> Array:
    found = find_speakers(activity, voices, 1, 20)
    assert found is not None
    return found.path


def test_silence_has_no_speakers() -> None:
    activity, voices, _ = _meeting(1, 2, 60, 1.0)
    silent = Activity(activity.starts, activity.active * 0, activity.count * 0)
    assert find_speakers(silent, voices, 1, 20) is None
    nothing = Activity(np.zeros(0), np.zeros((0, FRAMES, 3), np.uint8), np.zeros(0, np.int8))
    empty = np.zeros((0, SIZE))
    none = Embeddings(np.zeros((0, 3, SIZE)), np.zeros((0, 3)), empty, np.zeros(0))
    assert find_speakers(nothing, none, 1, 20) is None


# --- the best path ----------------------------------------------------------------------


def test_a_path_stays_where_a_change_costs_more_than_it_gains() -> None:
    gains = np.array([[1.0, 0.0]] * 5 + [[0.0, 1.0]] + [[1.0, 0.0]] * 5)
    assert best_path(gains, np.full(11, 2.0)).tolist() == [0] * 11
    assert best_path(gains, np.full(11, 0.1)).tolist() == [0] * 5 + [1] + [0] * 5


@pytest.mark.parametrize("seed", range(10))
def test_no_path_gains_more(seed: int) -> None:
    chance = np.random.default_rng(seed)
    gains, costs = chance.standard_normal((7, 3)), chance.uniform(0, 2, 7)

    def worth(path: np.ndarray[tuple[int], np.dtype[np.int64]]) -> float:
        gained = gains[np.arange(7), path].sum()
        return float(gained - costs[1:][np.diff(path) != 0].sum())

    every = np.array(np.unravel_index(np.arange(3**7), (3,) * 7)).T
    assert worth(best_path(gains, costs)) == pytest.approx(max(map(worth, every)))


# --- missing voices ---------------------------------------------------------------------


def test_the_least_similar_stretch_becomes_a_new_voice() -> None:
    vectors = np.zeros((80, 3))
    vectors[:, 0] = 1
    vectors[40:60] = [0.6, 0.8, 0]
    speech = np.arange(80) % 20 < 15
    path, centres = add_missing_voices(np.zeros(80, int), vectors[:1], speech, vectors, 2)
    assert set(path[40:55]) == {1}
    assert set(path[speech]) == {0, 1}
    assert set(path[:35]) == {0}
    np.testing.assert_allclose(centres[1], vectors[40])


def test_a_sufficient_number_of_voices_is_not_changed() -> None:
    path, centres, speech = np.array([0, 0, 1, 1]), np.eye(2), np.ones(4, bool)
    found = add_missing_voices(path, centres, speech, centres[path], 2)
    np.testing.assert_array_equal(found[0], path)
    np.testing.assert_array_equal(found[1], centres)


def test_a_voice_that_never_talks_is_used_first() -> None:
    path, speech = np.zeros(40, int), np.arange(40) % 20 < 15
    centres = np.eye(2)
    found, after = add_missing_voices(path, centres, speech, np.tile(centres[:1], (40, 1)), 2)
    assert set(found[speech]) == {0, 1}
    assert len(after) == 2


@pytest.mark.parametrize(("steps", "wanted", "most"), [(1, 2, 1), (3, 3, 3), (4, 9, 4), (0, 2, 0)])
def test_there_are_no_more_voices_than_steps_of_speech(steps: int, wanted: int, most: int) -> None:
    speech, vectors = np.arange(10) < steps, np.ones((10, 2))
    path, _ = add_missing_voices(np.zeros(10, int), vectors[:1], speech, vectors, wanted)
    assert len(set(path[speech].tolist())) == most
