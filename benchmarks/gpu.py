"""
Our recognizer and bare faster-whisper on a GPU, by batch size, and with little free memory.

    python -m benchmarks.gpu [--minutes 30] [--pairs 3] [--batches 8 16 32] [--free 400 1000]

Runs alone on a machine with a driver and these packages: av, ctranslate2, faster-whisper,
huggingface-hub, numpy, onnxruntime, pydantic-settings, structlog, tokenizers; `src` in PYTHONPATH.
CTranslate2 4 loads libcublas.so.12 by name (the extra `gpu`; a link of that name to CUDA 13's
libcublas.so.13, in a folder of LD_LIBRARY_PATH, works, too). `.cache/models` holds the weights and
`.cache/benchmarks` the recording, which `--make` writes with flite and festival.
DEVICE=cpu runs on the CPU, without the cases of little memory.
"""

import argparse
import gc
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from benchmarks.whisper import ours as own
from benchmarks.whisper.bare import Bare
from benchmarks.whisper.hog import little_memory
from benchmarks.whisper.ours import Ours
from benchmarks.whisper.recording import Recording, model_folder, recording
from benchmarks.whisper.stopwatch import Run, scored, told
from meet_transcriber.core.errors import TranscriptionError
from meet_transcriber.core.scoring import word_errors
from meet_transcriber.observability.gpu import gpu_memory
from meet_transcriber.ports.engines import SAMPLE_RATE_HZ
from scripts.bench import NOT_RUN


def main() -> int:
    """Print a block for each batch size, and a line for each case of little memory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--model", default="base", help="a name or a folder")
    parser.add_argument("--batches", type=int, nargs="*", default=[8, 16, 32])
    parser.add_argument("--part-seconds", type=float, default=300.0)
    parser.add_argument("--free", type=int, nargs="*", default=[400, 1000], help="MiB left free")
    parser.add_argument("--make", action="store_true", help="write the recording, and end")
    args = parser.parse_args()
    device = os.environ.get("DEVICE", "cuda")
    if args.make:
        print(recording(args.minutes).path.name)
        return 0
    if device == "cuda" and not gpu_memory():
        print("There is no GPU here; DEVICE=cpu runs the same on the processor.")
        return NOT_RUN
    meeting, model = recording(args.minutes), model_folder(args.model)
    by_batch_size(meeting, model, device, args.batches, args.pairs, args.part_seconds)
    if device == "cuda":
        with_little_memory(meeting, model, args.free)
    return 0


def by_batch_size(
    meeting: Recording,
    model: Path,
    device: str,
    batches: Sequence[int],
    pairs: int,
    part_seconds: float,
) -> None:
    """Run ours and bare alternately."""
    bare = Bare(model, device)
    for batch_size in batches:
        recognizer = own.load(model, device, batch_size)
        ours = Ours(recognizer, part_seconds)
        ours.file_to_words(meeting.path)  # warms up both
        bare.file_to_words(meeting.path, batch_size)
        runs = [
            (ours.file_to_words(meeting.path), bare.file_to_words(meeting.path, batch_size))
            for _ in range(pairs)
        ]
        seconds = duration(ours, meeting)
        print(f"batches of {batch_size}: {recognizer.name}, {seconds:.0f} s of meetings")
        report(runs, meeting, seconds)
        own.unload(recognizer)
    del bare
    gc.collect()  # its memory would count in the following cases


def report(runs: Sequence[tuple[Run, Run]], meeting: Recording, seconds: float) -> None:
    """Print the seconds of the median run and the errors of the last."""
    mine, theirs = _middle([mine for mine, _ in runs]), _middle([theirs for _, theirs in runs])
    print(told("ours, file to words", mine))
    print(told("bare, file to words", theirs))
    ratio = median(mine.seconds / theirs.seconds for mine, theirs in runs)
    print(
        f"ours {seconds / mine.seconds:.0f} x real time, bare {seconds / theirs.seconds:.0f} x; "
        f"ours takes {ratio:.2f} x bare's time (median of {len(runs)} pairs)"
    )
    print(scored("ours", runs[-1][0], meeting.words))
    print(scored("bare", runs[-1][1], meeting.words), flush=True)


def duration(ours: Ours, meeting: Recording) -> float:
    """Seconds of the recording."""
    audio, _ = ours.speech(meeting.path)
    return len(audio) / SAMPLE_RATE_HZ


def _middle(runs: Sequence[Run]) -> Run:
    """Return the median run."""
    return sorted(runs, key=lambda run: run.seconds)[len(runs) // 2]


def with_little_memory(meeting: Recording, model: Path, sizes: Sequence[int]) -> None:
    """Count words lost if another process takes the memory, before or after the model is loaded."""
    recognizer = own.load(model, "cuda")
    whole = Ours(recognizer).file_to_words(meeting.path)
    own.unload(recognizer)
    print(told("all memory free", whole))
    for megabytes in sizes:
        for loaded_first in (True, False):
            when = "after" if loaded_first else "before"
            print(f"{megabytes} MiB free, the rest taken {when} the model was loaded: ", end="")
            try:
                run = _run(meeting, model, megabytes, loaded_first)
            except TranscriptionError as error:
                print(f"no words: {error}", flush=True)
                continue
            lost = word_errors(whole.words, run.words)
            print(
                f"{lost.deletions} of {lost.total} words lost, {lost.substitutions} others, "
                f"{lost.insertions} more; {run.seconds:.1f} s; warnings: "
                f"{', '.join(run.warnings) or 'none'}",
                flush=True,
            )


def _run(meeting: Recording, model: Path, megabytes: int, loaded_first: bool) -> Run:
    recognizer = own.load(model, "cuda") if loaded_first else None
    with little_memory(megabytes):
        recognizer = recognizer or own.load(model, "cuda")
        try:
            return Ours(recognizer).file_to_words(meeting.path)
        finally:
            own.unload(recognizer)


if __name__ == "__main__":
    sys.exit(main())
