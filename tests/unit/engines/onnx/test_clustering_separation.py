"""One voice or two, from vectors around one centre or two."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from meet_transcriber.engines.onnx.clustering import judge_pairs, split_voices
from meet_transcriber.engines.onnx.embeddings import l2_normalize

Array = npt.NDArray[Any]

SIZE = 64
NOISE = 0.1
"""Standard deviation of each value, the unit of distances between centres."""


def _voices(apart: float, steps: int) -> tuple[Array, Array]:
    """Return `steps` embeddings of each of two voices."""
    chance = np.random.default_rng(steps)
    first, second = np.zeros(SIZE), np.zeros(SIZE)
    first[:2] = second[0] = 0.7
    second[1] = 0.7 - apart * NOISE
    noise = NOISE * chance.standard_normal((2, steps, SIZE))
    return first + noise[0], second + noise[1]


@pytest.mark.parametrize("steps", [60, 100, 300, 1000, 3000])
def test_one_voice_is_not_split_however_long_it_talks(steps: int) -> None:
    one, other = _voices(0.0, steps)
    (found,) = split_voices([np.concatenate([one, other])])
    assert not found.are_two_voices


@pytest.mark.parametrize("steps", [60, 300, 3000])
def test_two_voices_far_apart_are_two(steps: int) -> None:
    one, other = _voices(9.0, steps)
    (found,) = split_voices([np.concatenate([one, other])])
    assert found.are_two_voices


@pytest.mark.parametrize(("steps", "are_two"), [(55, False), (400, True)])
def test_two_voices_that_are_alike_need_more_speech(steps: int, are_two: bool) -> None:
    one, other = _voices(6.3, steps)
    (found,) = split_voices([np.concatenate([one, other])])
    assert 6.0 <= found.distance <= 6.8
    assert found.are_two_voices == are_two
    vectors = l2_normalize(np.stack([one.mean(axis=0), other.mean(axis=0)]))
    (pair,) = judge_pairs([one, other], vectors, np.array([steps, steps]) * 0.1)
    assert not pair.is_one_voice or not are_two
