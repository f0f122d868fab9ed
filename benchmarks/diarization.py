"""
Speed, peak memory and diarization error rate of every diarizer that can run.

    python -m benchmarks.diarization [--recordings DIR] [--readers DIR] [--engines auto pyannote]
        [--pyannote PYTHON] [--senko PYTHON] [--other NAME=COMMAND] [--hours 1 2 4]

The table covers the bundled sample, the synthetic meetings of `benchmarks.accuracy` (needs flite
and festival), every WAV or FLAC in `--recordings` with an .rttm beside it, and, from `--readers` (a
folder of recordings of one reader each), every reader alone and ten meetings joined from them
(`benchmarks.meetings.readers`). Each run is a separate process; times cover the file to the turns
without loading models. DER uses a collar of 0.25 s on each side of a boundary and scores overlap.
`--hint` passes the true number of speakers to our diarizers.

Long recordings (`--minutes`, `--hours`) give speed, memory and how time grows with length; other
diarizers run on the shortest only. The first engine is compared with one bare pass of both
networks. Without `--embedding` pyannote.audio is timed with random weights and not scored.
RECORDINGS, READERS, PYANNOTE_PYTHON, PYANNOTE_SEGMENTATION, PYANNOTE_EMBEDDING and SENKO_PYTHON in
the environment are the defaults of the options. `--other` adds any command;
`benchmarks/diarizers/__init__.py` describes its protocol.
"""

import argparse
import os
import shlex
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.diarizers import bare, results
from benchmarks.diarizers.command import Diarizer, Finding, ours, pyannote_audio, run, senko
from benchmarks.diarizers.recordings import bundled, everything, long
from benchmarks.whisper.recording import models_dir
from meet_transcriber.ports.engines import usable_cores

Runs = dict[str, list[tuple[float, Finding]]]
"""Minutes and finding of every long recording, by diarizer."""


def main() -> int:
    """Print table, summaries and timings; returns 1 if a diarizer failed."""
    args = _parser().parse_args()
    print(f"{usable_cores()} cores; collar {results.COLLAR} s on each side, overlap scored")
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        compared, scored = able(diarizers(args), work)
        whole = args.only_times or table(scored, args, work)
        lengths = sorted({*args.minutes, *(60 * hours for hours in args.hours)})
        runs, complete = timed(compared, lengths, args.readers, work)
    for name, each in runs.items():
        for line in results.growth(each):
            print(f"{name}, {line}")
    if first := runs.get(compared[0].name):
        against_bare(*first[0], args)
    return 0 if whole and complete else 1


def diarizers(args: argparse.Namespace) -> list[Diarizer]:
    """The diarizers asked for, ours first."""
    found = [ours(engine) for engine in args.engines]
    if args.pyannote:
        if not args.segmentation:
            sys.exit("--pyannote needs --segmentation, the checkpoint of segmentation-3.0")
        found.append(pyannote_audio(args.pyannote, args.segmentation, args.embedding))
    if args.senko:
        found.append(senko(args.senko))
    for named in args.other:
        name, _, command = named.partition("=")
        found.append(Diarizer(name, tuple(shlex.split(command))))
    return found


def able(wanted: Sequence[Diarizer], work: Path) -> tuple[list[Diarizer], list[Diarizer]]:
    """
    Diarizers that can process the bundled sample, and those of them whose turns are scored.

    Exits if none can.
    """
    sample = bundled(work).path
    compared, scored = [], []
    for each in wanted:
        found = run(each, sample)
        if not found:
            print(f"{each.name} cannot run here")
            continue
        compared.append(each)
        if found.note:
            print(f"{each.name} is timed, not scored: {found.note}")
        else:
            scored.append(each)
    return (compared, scored) if compared else sys.exit(1)


def table(scored: Sequence[Diarizer], args: argparse.Namespace, work: Path) -> bool:
    """Print a line per recording and the summaries; False if a diarizer failed."""
    print(*results.header([each.name for each in scored]), sep="\n", flush=True)
    scores: dict[str, list[results.Score]] = {each.name: [] for each in scored}
    whole = True
    for recording in everything(args.recordings, args.readers, args.count, work):
        cells: list[results.Score | None] = []
        for each in scored:
            found = run(each, recording.path, recording.speakers if args.hint else None)
            cells.append(results.score(recording, found) if found else None)
        print(results.row(recording, cells), flush=True)
        recording.path.unlink()  # ten meetings are half a gigabyte
        for each, cell in zip(scored, cells, strict=True):
            scores[each.name] += [cell] if cell else []
            whole = whole and cell is not None
    for name, each_score in scores.items():
        print(*results.summary(name, each_score), sep="\n")
    return whole


def timed(
    compared: Sequence[Diarizer], lengths: Sequence[float], readers: Path | None, work: Path
) -> tuple[Runs, bool]:
    """Print the timings of long recordings; the second value is False if a diarizer failed."""
    runs: Runs = {}
    whole = True
    for minutes in lengths:
        path = long(minutes, readers, work)
        for each in compared:
            if minutes > lengths[0] and each.hint is None:
                continue  # other diarizers take hours
            found = run(each, path)
            whole = whole and found is not None
            if found:
                runs.setdefault(each.name, []).append((minutes, found))
                print(results.timing(each.name, minutes, found), flush=True)
        path.unlink()
    return runs, whole


def against_bare(minutes: float, found: Finding, args: argparse.Namespace) -> None:
    """Print the time of a bare pass of the networks, and the diarizer's relative to it."""
    networks = bare.found_in(models_dir())
    if not networks:
        print("no networks to compare with in MODELS_DIR")
        return
    segmentation, embedding = networks
    first = segmentation.pass_seconds(60 * minutes, args.step)
    second = embedding.pass_seconds(60 * minutes)
    print(
        f"one bare pass of both networks, {minutes:g} min: {first + second:.1f} s (segmentation "
        f"{first:.1f}, a window every {args.step:g} s; embedding {second:.1f})"
    )
    ratio = found.seconds["diarize"] / (first + second)
    whole = found.total_seconds / (first + second)
    print(f"diarize is {ratio:.2f} x of that, from the file to the turns {whole:.2f} x")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.diarization",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--recordings", type=Path, default=_path("RECORDINGS"), metavar="DIR")
    parser.add_argument("--readers", type=Path, default=_path("READERS"), metavar="DIR")
    parser.add_argument("--count", type=int, default=10, help="how many synthetic meetings")
    parser.add_argument("--engines", nargs="+", default=["auto"], help="DIARIZATION_ENGINE")
    parser.add_argument("--hint", action="store_true", help="pass the true number of speakers")
    parser.add_argument("--pyannote", default=os.environ.get("PYANNOTE_PYTHON"), metavar="PYTHON")
    for name in ("segmentation", "embedding"):
        default = _path(f"PYANNOTE_{name.upper()}")
        parser.add_argument(f"--{name}", type=Path, default=default, metavar="CHECKPOINT")
    parser.add_argument("--senko", default=os.environ.get("SENKO_PYTHON"), metavar="PYTHON")
    parser.add_argument("--other", action="append", default=[], metavar="NAME=COMMAND")
    parser.add_argument(
        "--minutes", type=float, nargs="*", default=[30.0], help="lengths of long recordings"
    )
    parser.add_argument("--hours", type=float, nargs="*", default=[])
    parser.add_argument("--only-times", action="store_true", help="long recordings only")
    parser.add_argument("--step", type=float, default=2.0, help="seconds between windows")
    return parser


def _path(variable: str) -> Path | None:
    value = os.environ.get(variable)
    return Path(value) if value else None


if __name__ == "__main__":
    sys.exit(main())
