"""
The cost of decoding in a child process, relative to decoding in this one.

Run: python -m benchmarks.confinement [--minutes 60] [--runs 5]

Probes and prepares a FLAC file on disk, and the same recording in memory, which is read through a
channel like a recording in Redis or an object store.
"""

import argparse
import io
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import BinaryIO, cast

import av

from benchmarks.memory import RATE_HZ, EndlessMeeting
from meet_transcriber.audio.decoder import PyavDecoder
from meet_transcriber.audio.sandbox.client import ConfinedDecoder
from meet_transcriber.core.options import Options
from meet_transcriber.ports.engines import AudioDecoder

_PROBES = 50
_LONGEST = 1e5


def meeting(path: Path, minutes: float) -> None:
    """Write the sample meeting, repeated, as FLAC."""
    source = cast(BinaryIO, EndlessMeeting(minutes * 60))
    with av.open(source, mode="r") as media, av.open(str(path), "w", format="flac") as output:
        stream = output.add_stream("flac", rate=RATE_HZ, layout="stereo")
        for frame in media.decode(audio=0):
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))


def seconds(work: Callable[[], object]) -> float:
    """Return how long a call takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def prepare(decoder: AudioDecoder, media: BinaryIO) -> None:
    with tempfile.TemporaryFile() as working:
        decoder.prepare(media, working, Options(), lambda _: None)


def compare(name: str, media: BinaryIO, runs: int) -> None:
    """Print one line; the two alternate, so that other load affects both."""
    decoders: tuple[AudioDecoder, ...] = (PyavDecoder(_LONGEST), ConfinedDecoder(_LONGEST))
    probes: list[list[float]] = [[], []]
    prepares: list[list[float]] = [[], []]
    for taken, decoder in zip(probes, decoders, strict=True):
        decoder.probe(media)
        taken += [seconds(lambda it=decoder: it.probe(media)) for _ in range(_PROBES)]  # type: ignore[misc]
    for _ in range(runs):
        for taken, decoder in zip(prepares, decoders, strict=True):
            taken.append(seconds(lambda it=decoder: prepare(it, media)))  # type: ignore[misc]
    here, confined = (median(taken) * 1000 for taken in probes)
    slow, slower = (median(taken) for taken in prepares)
    print(
        f"{name:12} probe {here:6.2f} ms here, {confined:6.2f} ms confined; "
        f"prepare {slow:6.2f} s here, {slower:6.2f} s confined: {slower / slow:.3f} x"
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--runs", type=int, default=5)
    wanted = parser.parse_args()
    print(f"start of the template: {seconds(start_and_end) * 1000:.0f} ms, once per process")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "meeting.flac")
        meeting(path, wanted.minutes)
        with path.open("rb") as file:
            compare("from disk", file, wanted.runs)
        compare("through pipe", io.BytesIO(path.read_bytes()), wanted.runs)


def start_and_end() -> None:
    """The first probe of a process."""
    ConfinedDecoder().probe(cast(BinaryIO, EndlessMeeting(1)))


if __name__ == "__main__":
    main()
