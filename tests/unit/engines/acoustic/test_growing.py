"""Voices of a short recording, added one by one."""

import numpy as np
import pytest

from meet_transcriber.engines.acoustic.growing import Labels, Matrix, grow


def _speech(*turns: tuple[int, float]) -> tuple[Matrix, Labels]:
    """Frames of turns (voice, seconds); the k-th voice is shifted along the k-th axis."""
    truth = np.repeat([voice for voice, _ in turns], [round(100 * sec) for _, sec in turns])
    features = np.random.default_rng(4).standard_normal((len(truth), 6))
    features[np.arange(len(truth)), truth] += 3.0
    return features, truth


def _grown(features: Matrix, fewest: int = 1, most: int = 50) -> Labels:
    return grow(features, np.zeros(len(features), dtype=bool), fewest, most)


THREE = ((0, 4.0), (1, 3.0), (0, 2.0), (2, 4.0), (1, 5.0), (2, 3.0))


@pytest.mark.parametrize("seconds", [0.01, 1.0, 12.0, 50.0])
def test_one_voice_stays_one(seconds: float) -> None:
    features, _ = _speech((0, seconds))
    assert set(_grown(features)) == {0}


def test_voices_that_take_turns_are_told_apart() -> None:
    features, truth = _speech(*THREE)
    pairs = set(zip(truth[50::100], _grown(features)[50::100], strict=True))
    assert len(pairs) == 3


def test_a_change_is_found_to_a_fifth_of_a_second() -> None:
    features, _ = _speech((0, 10.0), (1, 6.0))
    changes = np.flatnonzero(np.diff(_grown(features)))
    assert len(changes) == 1
    assert changes[0] == pytest.approx(1000, abs=20)


@pytest.mark.parametrize("wanted", [1, 2, 3, 4])
def test_a_wanted_number_is_kept(wanted: int) -> None:
    features, _ = _speech(*THREE)
    assert len(set(_grown(features, wanted, wanted))) == wanted


def test_a_voice_beyond_the_words_said_is_not_invented() -> None:
    features, _ = _speech((0, 3.0))
    assert set(_grown(features, fewest=5)) == {0}
