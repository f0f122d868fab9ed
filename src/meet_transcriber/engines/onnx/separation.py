"""
Whether what is heard of two voices is one voice, and whether a voice is two.

Both are judged by how embeddings spread along the line between two centroids: those of one voice
lie around one point, those of two voices around two, with a gap between them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from meet_transcriber.engines.onnx.inference import SHORT_HOP
from meet_transcriber.engines.onnx.networks import unit

Array = npt.NDArray[Any]

LEAST_STEPS = 4
"""Short embeddings that a voice needs to be looked at in two halves."""

_SAME = 0.85  # cosine between two voices that are one, with endless speech of each
_NOISE_SECONDS = 2.0  # speech that tells as much of a voice as it hides
_MAY_BE_SAME = 0.6  # cosine from which two voices are one if nothing separates them,
_ONE = 5.5  # which a distance below this says, in standard deviations
_TWO = (5.5, 15.0)  # halves of a voice are two from this distance on, plus this over the seconds,
# since two means find more distance by chance in little speech than in much
_MOST_ALIKE = 0.9  # cosine between such halves
_HALF_SECONDS = 5.0  # of speech that each half needs


@dataclass(frozen=True)
class Pair:
    """
    Two voices.

    Attributes:
        similarity: their cosine, raised where little is heard of one.
    """

    voices: tuple[int, int]
    similarity: float
    are_one: bool


def pairs(own: Sequence[Array], vectors: Array, seconds: Array) -> Iterator[Pair]:
    """
    Judge every pair of voices.

    Args:
        own: the short embeddings of each voice, (n, d).
        vectors: (voices, d) centroids of length 1.
        seconds: (voices,) of speech of each.
    """
    certainty = np.sqrt(1 + _NOISE_SECONDS / np.maximum(seconds, SHORT_HOP))
    cosines = vectors @ vectors.T
    alike = cosines * np.outer(certainty, certainty)
    for one, other in combinations(range(len(vectors)), 2):
        apart = _distance(own[one], own[other])
        sizes = len(own[one]), len(own[other])
        enough = min(sizes) * SHORT_HOP >= _HALF_SECONDS
        two = enough and _are_apart(apart, sum(sizes))
        same = alike[one, other] >= _SAME and not two
        blurred = cosines[one, other] >= _MAY_BE_SAME and apart < _ONE
        yield Pair((one, other), float(alike[one, other]), bool(same or blurred))


def _are_apart(distance: float, steps: int) -> bool:
    """Whether the halves of so many steps are two voices."""
    return distance >= _TWO[0] + _TWO[1] / (steps * SHORT_HOP)


def _distance(one: Array, other: Array) -> float:
    """Distance of two centroids in standard deviations of their vectors on the line between."""
    if min(len(one), len(other)) < LEAST_STEPS:
        return float("inf")
    line = other.mean(axis=0) - one.mean(axis=0)
    along = line / max(np.linalg.norm(line), 1e-9)
    spread = np.sqrt(((one @ along).var() + (other @ along).var()) / 2)
    return float(np.linalg.norm(line) / max(spread, 1e-6))


@dataclass(frozen=True)
class Halves:
    """
    A voice in two parts.

    Attributes:
        centres: (2, d) their centroids.
        distance: between them, in standard deviations.
    """

    voice: int
    centres: Array
    distance: float
    are_two: bool


def halves(own: Sequence[Array]) -> Iterator[Halves]:
    """Divide every voice with enough speech in two, given the short embeddings of each."""
    for voice, vectors in enumerate(own):
        if len(vectors) >= LEAST_STEPS:
            yield _in_two(voice, vectors)


def _in_two(voice: int, vectors: Array) -> Halves:
    """Two means, from the direction in which the vectors differ most."""
    centred = vectors - vectors.mean(axis=0)
    direction = np.linalg.eigh(centred.T @ centred)[1][:, -1]
    second = centred @ direction > 0
    for _ in range(20):
        if second.all() or not second.any():
            break
        centres = np.stack([vectors[~second].mean(axis=0), vectors[second].mean(axis=0)])
        line = centres[1] - centres[0]
        moved = (vectors - centres.mean(axis=0)) @ line > 0
        if (moved == second).all():
            break
        second = moved
    if second.all() or not second.any():
        second = np.arange(len(vectors)) % 2 == 1
        centres = np.stack([vectors[~second].mean(axis=0), vectors[second].mean(axis=0)])
    return _judged(voice, vectors, second, centres)


def _judged(voice: int, vectors: Array, second: Array, centres: Array) -> Halves:
    distance = _distance(vectors[~second], vectors[second])
    alike = float(np.prod(unit(centres), axis=0).sum())
    shorter = min(second.sum(), (~second).sum()) * SHORT_HOP
    apart = _are_apart(distance, len(second))
    are_two = apart and alike <= _MOST_ALIKE and shorter >= _HALF_SECONDS
    return Halves(voice, centres, distance, bool(are_two))
