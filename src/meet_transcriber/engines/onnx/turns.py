"""Who talks at each step, and how many at a time, as turns."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from meet_transcriber.core.transcript import Turn
from meet_transcriber.engines.onnx.inference import (
    FIRST_FRAME_SECONDS,
    FRAME_SECONDS,
    SHORT_HOP,
    Activity,
)
from meet_transcriber.engines.onnx.speakers import Speakers

Array = npt.NDArray[Any]

_LEAST_FRAMES = 4  # of a turn: 68 ms; steps of 0.1 s and frames do not end together


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


def find_turns(activity: Activity, speakers: Speakers, duration: float) -> Found:
    """Return the turns of a recording of `duration` seconds."""
    frames = len(activity.count)
    steps = np.rint(activity.frame_times / SHORT_HOP - 0.5).astype(int)
    first = speakers.path[np.clip(steps, 0, len(speakers.path) - 1)]
    talks = np.zeros((frames, len(speakers)), bool)
    spoken = np.flatnonzero(activity.count > 0)
    talks[spoken, first[spoken]] = True
    exclusive = _in_order(_runs(talks, duration))
    second, is_there = _second_speakers(speakers.votes, first)
    overlap = np.flatnonzero((activity.count > 1) & is_there)
    talks[overlap, second[overlap]] = True
    every = _in_order(_runs(talks, duration))
    return labelled(every, exclusive)


def labelled(every: Sequence[Turn], exclusive: Sequence[Turn]) -> Found:
    """Turns whose speakers are numbers of voices, with labels in order of first speech."""
    heard = dict.fromkeys(turn.speaker for turn in (*every, *exclusive))
    labels = {voice: f"SPEAKER_{place:02d}" for place, voice in enumerate(heard)}
    known = {label: int(voice) for voice, label in labels.items()}
    return Found(_named(every, labels), _named(exclusive, labels), known)


def _second_speakers(votes: Array, first: Array) -> tuple[Array, Array]:
    """(frames,) who talks beside the first one, as most windows say; and whether any does."""
    frames = np.arange(len(first))
    others = votes.copy()
    others[frames, first] = 0
    second = others.argmax(axis=1)
    return second, others[frames, second] > 0


def _runs(talks: Array, duration: float) -> Iterator[tuple[float, float, int]]:
    """Start, end and voice of every unbroken run of frames that is more than a step's rounding."""
    first = FIRST_FRAME_SECONDS - FRAME_SECONDS / 2
    for voice in range(talks.shape[1]):
        edges = np.flatnonzero(np.diff(talks[:, voice].astype(np.int8), prepend=0, append=0))
        runs = edges.reshape(-1, 2)
        longest = np.diff(runs, axis=1).max(initial=0)
        for start, end in runs[np.diff(runs, axis=1)[:, 0] >= min(_LEAST_FRAMES, longest)]:
            begin = start * FRAME_SECONDS + first if start else 0.0
            finish = min(end * FRAME_SECONDS + first, duration)
            if finish > begin:
                yield float(begin), float(finish), voice


def _in_order(runs: Iterator[tuple[float, float, int]]) -> list[Turn]:
    return [Turn(start, end, str(voice)) for start, end, voice in sorted(runs)]


def _named(found: Sequence[Turn], labels: Mapping[str, str]) -> tuple[Turn, ...]:
    return tuple(replace(turn, speaker=labels[turn.speaker]) for turn in found)
