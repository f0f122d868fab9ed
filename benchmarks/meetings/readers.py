"""
Join recordings of single readers into meetings with exact references.

    python -m benchmarks.meetings.readers FOLDER --seed 7 --voices 5 --minutes 5 --out meeting.wav

FOLDER holds recordings of one reader each (FLAC or WAV). `--cuts` names a folder of recordings of
several people (WAV) with an .rttm beside each; only stretches of a single speaker are used.
Writes the audio (16 kHz mono, WAV or FLAC by the file's ending) and an .rttm beside it.

A meeting has turns of 1 to 20 s cut at pauses, back-channels, overlapping turn changes, one
speaker who hardly speaks, one of three rooms, one of three noise levels, and levels that differ
by speaker. Its reference is the speech within the placed pieces: silero's spans, trimmed to where
sound begins and ends, split at pauses over 0.3 s; reverberation is not part of it. Meetings are
longer than the recordings, so passages repeat, cut at other places. Voices are not pitched: a
pitched copy is not another person. The same arguments give the same samples.
"""

import argparse
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from benchmarks.meetings.conversation import Placed, converse, reference
from benchmarks.meetings.recorded import Reader, people_in, readers_in
from benchmarks.meetings.rooms import NOISES, ROOMS, render, seats
from meet_transcriber.core.formats import export
from meet_transcriber.core.transcript import Transcript
from meet_transcriber.ports.engines import SAMPLE_RATE_HZ


@dataclass(frozen=True)
class Recipe:
    """
    Parameters of one meeting.

    Attributes:
        room, noise: keys of `ROOMS` and `NOISES`; None lets the seed choose.
    """

    seed: int
    voices: int
    minutes: float
    room: str | None = None
    noise: str | None = None

    @property
    def heard_in(self) -> tuple[str, str]:
        """Names of room and noise; nine consecutive seeds cover every pair."""
        rooms, noises = list(ROOMS), list(NOISES)
        room = self.room or rooms[self.seed % 3]
        return room, self.noise or noises[(self.seed // 3) % 3]


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.meetings.readers",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", type=Path, help="recordings of one reader each")
    parser.add_argument("--cuts", type=Path, help="recordings with an .rttm")
    parser.add_argument("--out", type=Path, required=True, help="a .wav or .flac")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--voices", type=int, default=4)
    parser.add_argument("--room", choices=ROOMS, help="else the seed chooses")
    parser.add_argument("--noise", choices=NOISES, help="else the seed chooses")
    args = parser.parse_args()
    voices = readers_in(args.folder) + (people_in(args.cuts) if args.cuts else [])
    recipe = Recipe(args.seed, args.voices, args.minutes, args.room, args.noise)
    if not 2 < recipe.voices <= len(voices):
        parser.error(f"--voices must be 3 to {len(voices)} with these recordings")
    write(voices, recipe, args.out)


def write(voices: Sequence[Reader], recipe: Recipe, out: Path) -> Transcript:
    """Write a meeting of `recipe.voices` of the readers and its .rttm; returns the reference."""
    chance = random.Random(recipe.seed)
    meeting = converse(chance.sample(list(voices), recipe.voices), recipe.minutes, chance)
    room, noise = recipe.heard_in
    generator = np.random.default_rng(recipe.seed)
    places = seats(sorted({placed.speaker for placed in meeting}), ROOMS[room], generator)
    with soundfile.SoundFile(out, "w", SAMPLE_RATE_HZ, 1, subtype="PCM_16") as file:
        for block in render(meeting, places, NOISES[noise], generator):
            file.write(block)
    truth = _truth(meeting)
    out.with_suffix(".rttm").write_bytes(export(truth, "rttm"))
    return truth


def _truth(meeting: Sequence[Placed]) -> Transcript:
    turns = reference(meeting)
    return Transcript(
        segments=(),
        language=None,
        duration=max(placed.end for placed in meeting) + 1.0,
        speakers=tuple(dict.fromkeys(turn.speaker for turn in turns)),
        turns=turns,
        engine="reference",
    )


if __name__ == "__main__":
    main()
