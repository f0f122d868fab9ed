"""Meetings from a seed, or from a written script."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.meetings.mix import Scene, Utterance, place, reference, render
from benchmarks.meetings.talk import BACKCHANNELS, read_script, sentences
from benchmarks.meetings.voices import SIMILAR, VOICES, Voice
from meet_transcriber.core.transcript import Transcript
from meet_transcriber.ports.engines import Waveform

_WORDS_PER_MINUTE = 160


@dataclass(frozen=True)
class Meeting:
    """Utterances in a scene; `blocks` renders them, `reference` is the truth."""

    utterances: tuple[Utterance, ...]
    scene: Scene
    seed: int

    @property
    def reference(self) -> Transcript:
        return reference(self.utterances)

    def blocks(self) -> Iterator[Waveform]:
        """(samples,) float32 at 16 kHz, block after block."""
        return render(self.utterances, self.scene, self.seed)

    @property
    def audio(self) -> Waveform:
        return np.concatenate(list(self.blocks()))


def from_script(path: Path, seed: int) -> Meeting:
    """Read a written meeting; each sentence is an utterance."""
    chance = random.Random(seed)
    lines = [
        (VOICES[voice], sentence) for voice, text in read_script(path) for sentence in _split(text)
    ]
    scene = Scene(noise_dbfs=-58.0)
    return Meeting(tuple(place(lines, chance, overlap=0.15)), scene, seed)


def _split(text: str) -> list[str]:
    return [
        part.strip()
        for part in text.replace("?", "?|").replace(".", ".|").split("|")
        if part.strip()
    ]


def from_seed(
    seed: int,
    minutes: float = 3.0,
    voices: int = 4,
    similar: bool = False,
    quiet_share: float | None = None,
    accent: str | None = None,
) -> Meeting:
    """
    Generate a meeting.

    Args:
        voices: number of people, 1 to 10.
        similar: two of them have one synthesizer at two scales.
        quiet_share: one of them has about this share of the turns.
        accent: of all voices; None mixes them.
    """
    chance = random.Random(seed)
    people = _people(chance, voices, similar, accent)
    lines = _lines(chance, seed, people, minutes, quiet_share)
    scene = Scene(
        reverb_seconds=chance.choice((0.0, 0.15, 0.25)),
        noise_dbfs=chance.uniform(-65.0, -52.0),
        call=frozenset({chance.choice(people).name}) if chance.random() < 0.3 else frozenset(),
        level_db={voice.name: chance.uniform(-3.0, 3.0) for voice in people},
    )
    return Meeting(tuple(place(lines, chance, overlap=0.15, backchannels=0.12)), scene, seed)


def _people(chance: random.Random, count: int, similar: bool, accent: str | None) -> list[Voice]:
    fitting = [name for name, voice in VOICES.items() if accent in {None, voice.accent}]
    pairs = [pair for pair in SIMILAR if set(pair) <= set(fitting)]
    names: list[str] = list(chance.choice(pairs)) if similar else []
    partners = {one: other for pair in SIMILAR for one, other in (pair, pair[::-1])}
    others = [name for name in fitting if name not in names]
    chance.shuffle(others)
    for name in others:
        if len(names) < count and (partners.get(name) not in names or count > len(VOICES) // 2):
            names.append(name)
    return [VOICES[name] for name in names]


def _lines(
    chance: random.Random,
    seed: int,
    people: Sequence[Voice],
    minutes: float,
    quiet_share: float | None,
) -> list[tuple[Voice, str]]:
    talk = sentences(seed)
    shares = [1.0] * len(people)
    if quiet_share is not None and len(people) > 1:
        shares[-1] = quiet_share * (len(people) - 1) / (1 - quiet_share)
    lines: list[tuple[Voice, str]] = []
    words = 0
    speaker = people[0]
    while words < minutes * _WORDS_PER_MINUTE:
        others = [(p, s) for p, s in zip(people, shares, strict=True) if p != speaker]
        if others:
            speaker = chance.choices([p for p, _ in others], [s for _, s in others])[0]
        texts = [next(talk) for _ in range(chance.choice((1, 1, 2, 2, 3)))]
        if chance.random() < 0.12:
            texts = [chance.choice(BACKCHANNELS)]
        lines.extend((speaker, text) for text in texts)
        words += sum(len(text.split()) for text in texts)
    return lines
