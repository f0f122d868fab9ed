"""Recordings with reference turns, as WAV files that every diarizer reads."""

import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import as_file, files
from itertools import cycle
from math import gcd
from pathlib import Path

import numpy as np
import soundfile
from scipy.signal import resample_poly

from benchmarks.accuracy import meetings
from benchmarks.meetings.readers import Recipe, write
from benchmarks.meetings.recorded import Reader, readers_in
from meet_transcriber.core.formats.readers import read_transcript
from meet_transcriber.core.transcript import Turn
from meet_transcriber.ports.engines import SAMPLE_RATE_HZ, Waveform

FIRST_SEED = 9200
"""Seeds from here on are for measuring only."""

VOICES_AND_MINUTES = (
    (4, 5), (5, 5), (6, 5), (7, 5), (9, 5), (4, 5), (8, 5), (6, 5), (5, 30), (8, 30),
)  # fmt: skip
"""The ten joined meetings."""

_SUFFIXES = (".wav", ".flac")
_LONG_VOICES = 6


@dataclass(frozen=True)
class Recording:
    """
    A WAV file (16 kHz, mono, 16 bit) and its reference turns.

    Attributes:
        group: recordings of one group are summarized together.
    """

    group: str
    name: str
    path: Path
    turns: tuple[Turn, ...]

    @property
    def seconds(self) -> float:
        return float(soundfile.info(self.path).duration)

    @property
    def speakers(self) -> int:
        return len({turn.speaker for turn in self.turns})


def annotated(folder: Path, work: Path) -> Iterator[Recording]:
    """Every WAV or FLAC file of the folder with an .rttm beside it."""
    for reference in sorted(folder.glob("*.rttm")):
        media = [path for path in map(reference.with_suffix, _SUFFIXES) if path.exists()]
        for path in media[:1]:
            turns = read_transcript(reference).turns
            yield Recording("recordings", path.stem, _as_wav(path, work), turns)


def single(readers: Sequence[Reader], work: Path) -> Iterator[Recording]:
    """Every reader alone."""
    for reader in readers:
        path = work / f"one-{reader.name}.wav"
        soundfile.write(path, np.clip(reader.samples, -1, 1), SAMPLE_RATE_HZ, subtype="PCM_16")
        turns = tuple(Turn(span.start, span.end, reader.name) for span in reader.speech)
        yield Recording("one reader", reader.name, path, turns)


def joined(readers: Sequence[Reader], work: Path) -> Iterator[Recording]:
    """The meetings of `VOICES_AND_MINUTES` for which there are enough readers."""
    for place, (voices, minutes) in enumerate(VOICES_AND_MINUTES):
        recipe = Recipe(FIRST_SEED + place, voices, minutes)
        if voices <= len(readers):
            name = f"{recipe.seed}, {minutes} min, {' '.join(recipe.heard_in)}"
            path = work / f"joined-{recipe.seed}.wav"
            yield Recording("joined", name, path, write(readers, recipe, path).turns)


def synthetic(count: int, work: Path) -> Iterator[Recording]:
    """The meetings of `benchmarks.accuracy`; nothing where flite or festival is missing."""
    if not (shutil.which("flite") and shutil.which("festival")):
        return
    for meeting in meetings(count):
        path = work / f"synthetic-{meeting.seed}.wav"
        soundfile.write(path, meeting.audio, SAMPLE_RATE_HZ, subtype="PCM_16")
        yield Recording("synthetic", str(meeting.seed), path, meeting.reference.turns)


def bundled(work: Path) -> Recording:
    """The sample in the package."""
    samples = files("meet_transcriber.samples")
    with as_file(samples / "standup.ogg") as sound, as_file(samples / "standup.json") as told:
        return Recording("sample", "standup", _as_wav(sound, work), read_transcript(told).turns)


def everything(
    folder: Path | None, readers: Path | None, count: int, work: Path
) -> Iterator[Recording]:
    """All recordings, each made when it is reached."""
    yield bundled(work)
    yield from synthetic(count, work)
    if folder:
        yield from annotated(folder, work)
    if readers:
        voices = readers_in(readers)
        yield from single(voices, work)
        yield from joined(voices, work)


def long(minutes: float, readers: Path | None, work: Path) -> Path:
    """A WAV file of `minutes`: a meeting of readers, or the sample repeated."""
    path = work / f"long-{minutes:g}.wav"
    if readers:
        voices = readers_in(readers)
        write(voices, Recipe(FIRST_SEED, min(_LONG_VOICES, len(voices)), minutes), path)
        return path
    sample, _ = soundfile.read(bundled(work).path, dtype="float32")
    _write(path, cycle([sample]), round(60 * minutes * SAMPLE_RATE_HZ))
    return path


def _write(path: Path, blocks: Iterable[Waveform], count: int) -> None:
    """Write the first `count` samples of the blocks."""
    with soundfile.SoundFile(path, "w", SAMPLE_RATE_HZ, 1, subtype="PCM_16") as file:
        for block in blocks:
            file.write(block[:count])
            count -= len(block)
            if count <= 0:
                return


def _as_wav(media: Path, work: Path) -> Path:
    path = work / f"{media.stem}.wav"
    samples, rate = soundfile.read(media, dtype="float32", always_2d=True)
    mono, common = samples.mean(axis=1), gcd(rate, SAMPLE_RATE_HZ)
    if rate != SAMPLE_RATE_HZ:
        mono = resample_poly(mono, SAMPLE_RATE_HZ // common, rate // common)
    soundfile.write(path, np.clip(mono, -1, 1), SAMPLE_RATE_HZ, subtype="PCM_16")
    return path
