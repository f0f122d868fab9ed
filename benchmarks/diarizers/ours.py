"""
Run this project's diarizer on one recording; for `benchmarks.diarization`.

    python -m benchmarks.diarizers.ours RECORDING RTTM [--engine auto] [--speakers 4]

Stages as in a worker: prepare the working audio, detect speech, diarize.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from benchmarks.diarizers.measured import Seconds, report
from benchmarks.whisper.recording import models_dir
from meet_transcriber.bootstrap import engines
from meet_transcriber.core.errors import TranscriptionError
from meet_transcriber.core.options import Options
from meet_transcriber.core.transcript import Diarization
from meet_transcriber.ports.engines import Diarizer
from meet_transcriber.settings import Settings


def main() -> None:
    """Write the turns and print the measurements; exits with the reason where it cannot run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recording", type=Path)
    parser.add_argument("rttm", type=Path)
    parser.add_argument("--engine", default="auto", help="DIARIZATION_ENGINE")
    parser.add_argument("--speakers", type=int, help="the hint num_speakers")
    args = parser.parse_args()
    try:
        settings = Settings.model_validate(
            {
                "diarization_engine": args.engine,
                "models_dir": models_dir(),
                "max_audio_duration_seconds": 24 * 3600,
            }
        )
        chosen = engines.diarizer(settings)
        if chosen is None:
            sys.exit(f"DIARIZATION_ENGINE={args.engine} finds no speakers.")
        options = Options(num_speakers=args.speakers)
        found, seconds = diarized(args.recording, chosen.engine, settings, options)
    except (TranscriptionError, ValueError) as error:
        sys.exit(str(error))
    print(chosen.engine.name)
    report(args.rttm, ((turn.start, turn.end, turn.speaker) for turn in found.turns), seconds)


def diarized(
    recording: Path, diarizer: Diarizer, settings: Settings, options: Options
) -> tuple[Diarization, Seconds]:
    """The turns of a recording, and the seconds of each stage."""
    seconds, decoder = Seconds(), engines.decoder(settings)
    with recording.open("rb") as media, tempfile.TemporaryFile() as working:
        with seconds.stage("prepare"):
            prepared, _ = decoder.prepare(media, working, options, lambda _share: None)
        audio = decoder.open(working, prepared)
        with seconds.stage("detect"):
            speech = engines.detector().detect(audio, 0, lambda _share: None)
        with seconds.stage("diarize"):
            found = diarizer.diarize(audio, speech, options, lambda _share: None)
    return found, seconds


if __name__ == "__main__":
    main()
