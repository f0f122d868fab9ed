"""
How good the draft engines are on meetings that nobody tuned on.

    python -m benchmarks.accuracy [--mixed]

Makes ten meetings from seeds kept apart, runs each through the pipeline, and prints word and
speaker errors with their medians. Needs flite and festival.
"""

import argparse
import tempfile
import time
from pathlib import Path
from statistics import median

import soundfile

from benchmarks.meetings.generate import Meeting, from_seed
from meet_transcriber.audio.decoder import PyavDecoder
from meet_transcriber.audio.silero import SileroDetector
from meet_transcriber.core.options import Options
from meet_transcriber.core.scoring import meeting_errors
from meet_transcriber.core.transcript import Transcript
from meet_transcriber.engines.acoustic import AcousticDiarizer
from meet_transcriber.engines.pocketsphinx import PocketsphinxRecognizer
from meet_transcriber.pipeline import Chosen, FolderCheckpoints, Pipeline, run
from meet_transcriber.ports.engines import SAMPLE_RATE_HZ
from meet_transcriber.stores.disk import DiskMediaStore

# Seeds from 9000 on are for measuring only; nothing was ever tuned on them.
FIRST_SEED = 9000


def meetings(count: int, mixed: bool = False) -> list[Meeting]:
    """
    Three to five voices; every second meeting has two alike or one that hardly speaks.

    The draft recognizer knows US English only, so nobody has another accent unless `mixed`.
    """
    return [
        from_seed(
            FIRST_SEED + place,
            minutes=2.0 + place % 3,
            voices=3 + place % 3,
            similar=place % 2 == 1,
            quiet_share=0.08 if place % 4 == 2 else None,
            accent=None if mixed else "US",
        )
        for place in range(count)
    ]


def transcript_of(meeting: Meeting) -> Transcript:
    """The meeting through decoder, detector, both draft engines and attribution."""
    with tempfile.TemporaryDirectory() as folder:
        recording = Path(folder, "meeting.flac")
        soundfile.write(recording, meeting.audio, SAMPLE_RATE_HZ)
        store = DiskMediaStore(Path(folder, "work"))
        pipeline = Pipeline(
            store, FolderCheckpoints(store, "job"), Options(), PyavDecoder(), SileroDetector()
        )
        return run(
            pipeline, recording, Chosen(PocketsphinxRecognizer()), Chosen(AcousticDiarizer())
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=10, help="how many meetings")
    parser.add_argument("--mixed", action="store_true", help="other accents than US, too")
    args = parser.parse_args()
    rows = []
    print("seed  speakers  found    WER  cpWER    DER    RTF")
    for meeting in meetings(args.count, args.mixed):
        truth, start = meeting.reference, time.perf_counter()
        found = transcript_of(meeting)
        errors = meeting_errors(truth, found)
        rates = (errors.words.rate, errors.speakers.rate, errors.turns.rate)
        rows.append(rates)
        figures = "  ".join(f"{rate:5.1%}" for rate in rates)
        speed = (time.perf_counter() - start) / found.duration
        counts = f"{len(truth.speakers):8d}  {len(found.speakers):5d}"
        print(f"{meeting.seed}  {counts}  {figures}  {speed:5.2f}", flush=True)
    medians = "  ".join(f"{median(column):5.1%}" for column in zip(*rows, strict=True))
    print(f"median                 {medians}")


if __name__ == "__main__":
    main()
