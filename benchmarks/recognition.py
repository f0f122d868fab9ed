"""
Whisper through our pipeline against bare batched faster-whisper, on the same weights.

    python -m benchmarks.recognition [--minutes 30] [--pairs 3] [--model base]

Held-out synthetic meetings of half an hour, from the file to words: ours with its preparation and
parts, bare with its own decoding and voice activity detection (batches of 8, word times, English
given, int8, the same cores). Then bare on the speech that ours detected, against our recognition.
Pairs alternate in order; the medians are printed last. WHISPERX_PYTHON names the Python of an
environment with WhisperX, which is measured once.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from statistics import median

from benchmarks.whisper.bare import Bare
from benchmarks.whisper.ours import Ours, load
from benchmarks.whisper.recording import ROOT, Recording, model_folder, recording
from benchmarks.whisper.stopwatch import Run, scored, told
from meet_transcriber.core.scoring import normalize
from meet_transcriber.core.transcript import Span
from meet_transcriber.ports.engines import SAMPLE_RATE_HZ, Waveform, usable_cores


@dataclass(frozen=True)
class Pair:
    """A run of ours and one of bare."""

    ours: Run
    bare: Run
    bare_from_speech: Run

    @property
    def whole(self) -> float:
        """Our seconds from file to words, over bare's."""
        return self.ours.seconds / self.bare.seconds

    @property
    def recognition(self) -> float:
        """Our seconds from speech to words, over bare's."""
        return self.ours.stages["recognize"] / self.bare_from_speech.seconds


def main() -> None:
    """Print all pairs, the medians and the errors."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--model", default="base", help="a name or a folder")
    args = parser.parse_args()
    meeting, model = recording(args.minutes), model_folder(args.model)
    ours, bare = Ours(load(model, "cpu")), Bare(model, "cpu")
    with as_file(files("meet_transcriber.samples") / "standup.ogg") as short:
        ours.file_to_words(short)  # warms up both
        bare.file_to_words(short)
    audio, speech = ours.speech(meeting.path)
    print(
        f"{len(audio) / SAMPLE_RATE_HZ:.0f} s of meetings, {sum(s.duration for s in speech):.0f} s "
        f"of speech; {ours.recognizer.name}, {usable_cores()} cores",
        flush=True,
    )
    pairs = [_pair(place, ours, bare, meeting, audio, speech) for place in range(args.pairs)]
    report(pairs, meeting, len(audio) / SAMPLE_RATE_HZ)
    if python := os.environ.get("WHISPERX_PYTHON"):
        run = whisperx(python, meeting.path, model)
        print(told("WhisperX, file to words", run))
        print(scored("WhisperX", run, meeting.words))


def _pair(
    place: int, ours: Ours, bare: Bare, meeting: Recording, audio: Waveform, speech: Sequence[Span]
) -> Pair:
    """Run a pair; bare is first in every second one."""
    if place % 2:
        theirs = bare.file_to_words(meeting.path)
        from_speech = bare.speech_to_words(audio, speech)
        pair = Pair(ours.file_to_words(meeting.path), theirs, from_speech)
    else:
        mine = ours.file_to_words(meeting.path)
        theirs = bare.file_to_words(meeting.path)
        pair = Pair(mine, theirs, bare.speech_to_words(audio, speech))
    print(
        f"pair {place + 1}: ours {pair.ours.seconds:.1f} s, bare {pair.bare.seconds:.1f} s, "
        f"{pair.whole:.2f} x; recognition {pair.ours.stages['recognize']:.1f} s against "
        f"{pair.bare_from_speech.seconds:.1f} s, {pair.recognition:.2f} x",
        flush=True,
    )
    return pair


def report(pairs: Sequence[Pair], meeting: Recording, seconds: float) -> None:
    """Print the medians of all pairs, and the errors of the last."""
    ours, bare = _typical([each.ours for each in pairs]), _typical([each.bare for each in pairs])
    from_speech = _typical([each.bare_from_speech for each in pairs])
    print(told("ours, file to words", ours))
    print(told("bare, file to words", bare))
    print(told("bare, speech to words", from_speech))
    print(scored("ours", ours, meeting.words))
    print(scored("bare", bare, meeting.words))
    print(scored("bare, on our speech", from_speech, meeting.words))
    same = len({tuple(each.ours.words) for each in pairs}) == 1
    print(f"ours gave the same words every time: {'yes' if same else 'no'}")
    whole, recognition = (
        median(each.whole for each in pairs),
        median(each.recognition for each in pairs),
    )
    print(
        f"median of {len(pairs)} pairs: {whole:.2f} x of bare's time from file to words, "
        f"{recognition:.2f} x from speech to words"
    )
    print(f"ours from file to words: {seconds / ours.seconds:.1f} x real time")


def _typical(runs: Sequence[Run]) -> Run:
    """Return the last run with the median seconds of each stage."""
    stages = {name: median(run.stages[name] for run in runs) for name in runs[0].stages}
    return Run(stages, runs[-1].words, runs[-1].warnings)


def whisperx(python: str, media: Path, model: Path) -> Run:
    """Run WhisperX in its own environment; seconds exclude loading the model."""
    command = [python, "-m", "benchmarks.whisperx_run", str(media), str(model)]
    command += ["--threads", str(usable_cores())]
    done = subprocess.run(
        command, cwd=ROOT, check=True, stdout=subprocess.PIPE, stderr=sys.stderr, text=True
    )
    said = json.loads(done.stdout.splitlines()[-1])
    return Run(said["seconds"], normalize(said["text"]))


if __name__ == "__main__":
    main()
