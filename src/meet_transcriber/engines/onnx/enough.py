"""As many voices as were asked for, where what is heard tells fewer apart."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from meet_transcriber.engines.onnx.networks import unit

Array = npt.NDArray[Any]

_LONG_STEPS = 10  # of a stretch that says what a voice is like


@dataclass(frozen=True)
class _Stretch:
    """Unbroken speech of one voice, in steps; `vector` is the mean of what is heard in it."""

    start: int
    end: int
    voice: int
    vector: Array


def enough_voices(
    path: Array, centres: Array, speech: Array, vectors: Array, fewest: int
) -> tuple[Array, Array]:
    """
    Return path and centres with at least `fewest` voices that talk.

    While there are too few, the stretches of a voice that are least like the rest of it go to
    a voice of their own; where every voice has one stretch only, the longest is cut in two. What
    is still too few has fewer steps of speech than voices were asked for.

    Args:
        path: (steps,) the voice of each step, in silence too.
        centres: (voices, d).
        speech: (steps,) whether anybody talks.
        vectors: (steps, d) what is heard.
    """
    path, centres = path.copy(), centres.copy()
    while len(np.unique(path[speech])) < fewest:
        stretches = _stretches(path, speech, vectors)
        own = _least_alike(stretches) or _second_half(stretches, vectors)
        if not own:
            break
        silent = np.setdiff1d(np.arange(len(centres)), path[speech])
        voice = int(silent[0]) if len(silent) else len(centres)
        if voice == len(centres):
            centres = np.concatenate([centres, centres[:1]])
        centres[voice] = np.mean([stretch.vector for stretch in own], axis=0)
        for stretch in own:
            path[stretch.start : stretch.end] = voice
    return path, centres


def _stretches(path: Array, speech: Array, vectors: Array) -> list[_Stretch]:
    spoken = np.where(speech, path, -1)
    edges = np.flatnonzero(np.diff(spoken, prepend=-2, append=-2))
    return [
        _Stretch(start, end, int(spoken[start]), vectors[start:end].mean(axis=0))
        for start, end in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)
        if spoken[start] >= 0
    ]


def _least_alike(stretches: list[_Stretch]) -> list[_Stretch]:
    """The stretches of a voice that are less like the rest of it than like its odd one out."""
    by_voice: dict[int, list[_Stretch]] = {}
    for stretch in stretches:
        by_voice.setdefault(stretch.voice, []).append(stretch)
    parted = [_parted(own) for own in by_voice.values() if len(own) > 1]
    return min(parted, key=lambda each: each[0])[1] if parted else []


def _parted(own: list[_Stretch]) -> tuple[tuple[bool, float], list[_Stretch]]:
    """How odd the odd one out is, short ones last, and those that are like it."""
    vectors = unit(np.stack([stretch.vector for stretch in own]))
    short = np.array([stretch.end - stretch.start < _LONG_STEPS for stretch in own])
    short |= ~vectors.any(axis=1)
    alike = vectors @ unit(vectors.sum(axis=0))
    odd = int(np.lexsort((alike, short))[0])
    moved = vectors @ vectors[odd] > vectors @ unit(vectors.sum(axis=0) - vectors[odd])
    moved[odd] = True
    if moved.all():
        moved = np.arange(len(own)) == odd
    chosen = [stretch for stretch, moves in zip(own, moved, strict=True) if moves]
    return (bool(short[odd]), float(alike[odd])), chosen


def _second_half(stretches: list[_Stretch], vectors: Array) -> list[_Stretch]:
    longest = max(stretches, key=lambda stretch: stretch.end - stretch.start, default=None)
    middle = (longest.start + longest.end) // 2 if longest else 0
    if longest is None or middle == longest.start:
        return []
    vector = vectors[middle : longest.end].mean(axis=0)
    return [_Stretch(middle, longest.end, longest.voice, vector)]
