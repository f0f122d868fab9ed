"""
Whisper through the pipeline against bare batched faster-whisper, on the same weights.

    python -m benchmarks.recognition [--model FOLDER] [--pairs N]

Interleaved pairs on the bundled sample, both from its working audio and speech on; prints
seconds of both and the median ratio. Without a model it builds a tiny one with scripted weights
that says about as many words in 28 seconds as people do. That measures what we add around the
decoder at its most visible: the decoder itself costs almost nothing there.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import faster_whisper

from meet_transcriber.audio.decoder import PyavDecoder
from meet_transcriber.audio.silero import SileroDetector
from meet_transcriber.core.options import Options
from meet_transcriber.core.plan import Plan
from meet_transcriber.engines.faster_whisper import FasterWhisperRecognizer, build_windows
from meet_transcriber.pipeline import Chosen, FolderCheckpoints, Pipeline
from meet_transcriber.ports.engines import Waveform
from meet_transcriber.stores.disk import DiskMediaStore
from scripts.make_tiny_whisper import build

SAMPLES = Path(__file__).parents[1] / "src" / "meet_transcriber" / "samples"
WORDS = 70
"""What the tiny model says in each window of up to 28 seconds: 150 words a minute."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, help="a CTranslate2 Whisper model")
    parser.add_argument("--pairs", type=int, default=5)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        model = args.model or build(Path(folder, "tiny-whisper"), sentence=sample_words())
        compare(model, args.pairs, Path(folder, "work"))


def sample_words() -> list[str]:
    """Different words of the sample, as tokens."""
    segments = json.loads((SAMPLES / "standup.json").read_text("utf-8"))["segments"]
    said = (word["text"] for segment in segments for word in segment["words"])
    return [f" {word}" for word in dict.fromkeys(said) if word.isascii()][:WORDS]


def compare(model: Path, pairs: int, work: Path) -> None:
    """Print each pair and the median ratio."""
    store = DiskMediaStore(work)
    pipeline = Pipeline(
        store,
        FolderCheckpoints(store, "job"),
        Options(language="en"),
        PyavDecoder(),
        SileroDetector(),
    )
    with (SAMPLES / "standup.ogg").open("rb") as media:
        plan = pipeline.prepare(media)
    with store.open("job/working.flac") as file:
        audio = pipeline.decoder.open(file, plan.audio).read(0.0, plan.audio.duration)
    ours = FasterWhisperRecognizer(str(model), device="cpu")
    bare = faster_whisper.BatchedInferencePipeline(
        faster_whisper.WhisperModel(str(model), device="cpu", compute_type="int8")
    )
    ratios = []
    for pair in range(pairs + 1):
        store.delete("job/parts")
        mine = _seconds(lambda: _ours(pipeline, plan, ours))
        theirs = _seconds(lambda: _bare(bare, audio, plan))
        if pair:  # the first warms both up
            ratios.append(mine / theirs)
            print(f"ours {mine:6.2f} s   bare {theirs:6.2f} s   ratio {ratios[-1]:.2f}")
    seconds = plan.audio.duration
    print(f"median ratio {median(ratios):.2f} over {pairs} pairs, {seconds:.0f} s of audio")


def _ours(pipeline: Pipeline, plan: Plan, recognizer: FasterWhisperRecognizer) -> None:
    for part in plan.parts:
        pipeline.recognize(plan, part.index, Chosen(recognizer))


def _bare(bare: faster_whisper.BatchedInferencePipeline, audio: Waveform, plan: Plan) -> None:
    clips = [{"start": window.start, "end": window.end} for window in build_windows(plan.speech[0])]
    segments, _ = bare.transcribe(
        audio, language="en", word_timestamps=True, clip_timestamps=clips, batch_size=8
    )
    for _ in segments:
        pass


def _seconds(work: Callable[[], None]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
