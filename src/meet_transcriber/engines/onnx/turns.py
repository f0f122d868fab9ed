"""Who talks at each step, and how many at a time, as turns."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from meet_transcriber.core.scoring.assignment import assign
from meet_transcriber.core.transcript import Turn
from meet_transcriber.engines.onnx.listening import (
    FIRST_FRAME_SECONDS,
    FRAME_SECONDS,
    SHORT_HOP,
    Activity,
    Voices,
    first_frame,
)
from meet_transcriber.engines.onnx.speakers import Speakers

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Found:
    """
    Who talks when.

    Attributes:
        turns: all turns in order of time; they overlap where people do.
        exclusive: the same with one speaker at a time.
        voices: the place of each label in `Speakers`; labels are in order of first speech.
    """

    turns: tuple[Turn, ...]
    exclusive: tuple[Turn, ...]
    voices: Mapping[str, int]


def find_turns(activity: Activity, voices: Voices, speakers: Speakers, duration: float) -> Found:
    """Return the turns of a recording of `duration` seconds."""
    frames = len(activity.count)
    steps = np.rint(activity.frame_times / SHORT_HOP - 0.5).astype(int)
    first = speakers.path[np.clip(steps, 0, len(speakers.path) - 1)]
    talks = np.zeros((frames, len(speakers)), bool)
    spoken = np.flatnonzero(activity.count > 0)
    talks[spoken, first[spoken]] = True
    exclusive = _in_order(_runs(talks, duration))
    second, is_there = _second_speakers(activity, voices, speakers, first)
    overlap = np.flatnonzero((activity.count > 1) & is_there)
    talks[overlap, second[overlap]] = True
    every = _in_order(_runs(talks, duration))
    heard = dict.fromkeys(turn.speaker for turn in every)
    labels = {voice: f"SPEAKER_{place:02d}" for place, voice in enumerate(heard)}
    known = {label: int(voice) for voice, label in labels.items()}
    return Found(_named(every, labels), _named(exclusive, labels), known)


def _second_speakers(
    activity: Activity, voices: Voices, speakers: Speakers, first: Array
) -> tuple[Array, Array]:
    """(frames,) who talks beside the first one, most windows say; and whether any does."""
    votes = np.zeros((len(first), len(speakers)), np.uint8)
    for window, start in enumerate(activity.starts):
        active = activity.active[window]
        place = first_frame(float(start))
        seen = votes[place : place + len(active)]
        for local, voice in _assigned(voices.local[window], active, speakers.vectors):
            seen[:, voice] += active[: len(seen), local]
    votes[np.arange(len(first)), first] = 0
    second = votes.argmax(axis=1)
    return second, votes[np.arange(len(first)), second] > 0


def _assigned(local: Array, active: Array, vectors: Array) -> Iterator[tuple[int, int]]:
    """Each local speaker who talks, with a voice of its own, the likeliest in all."""
    talking = np.flatnonzero(active.any(axis=0))
    if not len(talking):
        return
    costs = -(local[talking] @ vectors.T)
    padding = np.full((len(talking), max(len(talking) - len(vectors), 0)), 2.0)
    matched = assign(np.concatenate([costs, padding], axis=1).tolist())
    for place, voice in zip(talking, matched, strict=True):
        if voice < len(vectors):
            yield int(place), voice


def _runs(talks: Array, duration: float) -> Iterator[tuple[float, float, int]]:
    """Start, end and voice of every unbroken run of frames."""
    first = FIRST_FRAME_SECONDS - FRAME_SECONDS / 2
    for voice in range(talks.shape[1]):
        edges = np.flatnonzero(np.diff(talks[:, voice].astype(np.int8), prepend=0, append=0))
        for start, end in edges.reshape(-1, 2):
            begin = start * FRAME_SECONDS + first if start else 0.0
            finish = min(end * FRAME_SECONDS + first, duration)
            if finish > begin:
                yield float(begin), float(finish), voice


def _in_order(runs: Iterator[tuple[float, float, int]]) -> list[Turn]:
    return [Turn(start, end, str(voice)) for start, end, voice in sorted(runs)]


def _named(found: list[Turn], labels: dict[str, str]) -> tuple[Turn, ...]:
    return tuple(replace(turn, speaker=labels[turn.speaker]) for turn in found)
