"""
Accuracy of Whisper and the diarizer on held-out meetings.

    python -m benchmarks.accuracy [--mixed] [--model base] [--diarizer auto]

Makes ten meetings from held-out seeds, runs each through the pipeline without hints, and prints
word and speaker errors with their medians, next to the word errors of bare batched faster-whisper,
which gets the language. Needs flite and festival.
"""

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import soundfile

from benchmarks.meetings.generate import Meeting, from_seed
from benchmarks.whisper.bare import Bare
from benchmarks.whisper.recording import model_folder, models_dir
from meet_transcriber.bootstrap import engines
from meet_transcriber.core.options import Options
from meet_transcriber.core.scoring import WordErrors, all_words, meeting_errors
from meet_transcriber.core.transcript import Transcript
from meet_transcriber.pipeline import run
from meet_transcriber.ports.engines import SAMPLE_RATE_HZ
from meet_transcriber.settings import Settings

# Seeds from 9000 on are held out for measuring.
FIRST_SEED = 9000


def meetings(count: int, mixed: bool = False) -> list[Meeting]:
    """
    Make meetings of three to five voices, some of them similar or hardly speaking.

    Args:
        mixed: add Scottish voices to those from the US.
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


def transcript_of(recording: Path, settings: Settings, loaded: engines.Engines) -> Transcript:
    """Transcribe a recording as `meet-transcriber transcribe` does."""
    pipeline = engines.pipeline(settings, Options(), recording.parent / "work", "job")
    return run(pipeline, recording, loaded.recognizer, loaded.diarizer)


def main() -> None:
    """Print a line for each meeting, and the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=10, help="how many meetings")
    parser.add_argument("--mixed", action="store_true", help="other accents than US, too")
    parser.add_argument("--model", default="base", help="WHISPER_MODEL")
    parser.add_argument("--diarizer", default="auto", help="DIARIZATION_ENGINE")
    args = parser.parse_args()
    settings = Settings.model_validate(
        {
            "whisper_model": args.model,
            "models_dir": models_dir(),
            "diarization_engine": args.diarizer,
        }
    )
    loaded = engines.load_engines(settings, Options())
    speakers = loaded.diarizer.engine.name if loaded.diarizer else "none"
    print(f"words: {loaded.recognizer.engine.name}; speakers: {speakers}")
    bare = Bare(model_folder(args.model), "cpu")
    score(meetings(args.count, args.mixed), settings, loaded, bare)


def score(
    sample: Sequence[Meeting], settings: Settings, loaded: engines.Engines, bare: Bare
) -> None:
    """Print a line for each meeting, the medians, and the errors in all words."""
    rows = []
    ours: list[WordErrors] = []
    theirs: list[WordErrors] = []
    print("seed  speakers  found    WER   bare  cpWER    DER    RTF")
    for meeting in sample:
        with tempfile.TemporaryDirectory() as folder:
            recording = Path(folder, "meeting.flac")
            soundfile.write(recording, meeting.audio, SAMPLE_RATE_HZ)
            truth, start = meeting.reference, time.perf_counter()
            found = transcript_of(recording, settings, loaded)
            speed = (time.perf_counter() - start) / found.duration
            theirs.append(bare.file_to_words(recording).errors(all_words(truth)))
        errors = meeting_errors(truth, found)
        ours.append(errors.words)
        rates = (errors.words.rate, theirs[-1].rate, errors.speakers.rate, errors.turns.rate)
        rows.append(rates)
        figures = "  ".join(f"{rate:5.1%}" for rate in rates)
        counts = f"{len(truth.speakers):8d}  {len(found.speakers):5d}"
        print(f"{meeting.seed}  {counts}  {figures}  {speed:5.2f}", flush=True)
    medians = "  ".join(f"{median(column):5.1%}" for column in zip(*rows, strict=True))
    print(f"median                 {medians}")
    print(f"all words, ours        {_in_all(ours)}")
    print(f"all words, bare        {_in_all(theirs)}")


def _in_all(each: Sequence[WordErrors]) -> str:
    total = sum(errors.total for errors in each)
    wrong = sum(errors.errors for errors in each) / total
    insertions = sum(errors.insertions for errors in each)
    return f"{wrong:6.2%} of {total} words; {insertions} insertions, {insertions / total:.2%}"


if __name__ == "__main__":
    main()
