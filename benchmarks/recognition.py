"""
Whisper through our recognizer against bare batched faster-whisper, on the same weights.

    python -m benchmarks.recognition [--model FOLDER] [--pairs N]

Interleaved pairs on the bundled sample; prints seconds of both and the median ratio. Without
a model it builds a tiny one with scripted weights, which measures what we add around the
decoder at its most visible: the decoder itself costs almost nothing there.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import faster_whisper
import numpy as np

from meet_transcriber.audio.decoder import PyavDecoder
from meet_transcriber.audio.silero import SileroDetector
from meet_transcriber.core.options import Options
from meet_transcriber.core.transcript import Span
from meet_transcriber.engines.faster_whisper import FasterWhisperRecognizer, build_windows
from meet_transcriber.ports import SAMPLE_RATE_HZ, Waveform
from scripts.make_tiny_whisper import build

SAMPLE = Path(__file__).parents[1] / "src" / "meet_transcriber" / "samples" / "standup.ogg"


def sample() -> tuple[Waveform, tuple[Span, ...]]:
    """The sample's working audio and its speech."""
    decoder = PyavDecoder()
    with SAMPLE.open("rb") as media, tempfile.TemporaryFile() as working:
        prepared, _ = decoder.prepare(media, working, Options(), lambda _share: None)
        source = decoder.open(working, prepared)
        speech = SileroDetector().detect(source, 0, lambda _share: None)
        return source.read(0.0, prepared.duration), speech


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, help="a CTranslate2 Whisper model")
    parser.add_argument("--pairs", type=int, default=5)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        compare(args.model or build(Path(folder, "tiny-whisper")), args.pairs)


def compare(model: Path, pairs: int) -> None:
    """Print each pair and the median ratio."""
    audio, speech = sample()
    ours = FasterWhisperRecognizer(str(model), device="cpu")
    bare = faster_whisper.BatchedInferencePipeline(
        faster_whisper.WhisperModel(str(model), device="cpu", compute_type="int8")
    )
    ratios = []
    for pair in range(pairs + 1):
        mine = _seconds(lambda: _ours(ours, audio, speech))
        theirs = _seconds(lambda: _bare(bare, audio, speech))
        if pair:  # the first warms both up
            ratios.append(mine / theirs)
            print(f"ours {mine:6.2f} s   bare {theirs:6.2f} s   ratio {ratios[-1]:.2f}")
    print(
        f"median ratio {median(ratios):.2f} over {pairs} pairs, "
        f"{len(audio) / SAMPLE_RATE_HZ:.0f} s of audio"
    )


def _ours(recognizer: FasterWhisperRecognizer, audio: Waveform, speech: tuple[Span, ...]) -> None:
    for _ in recognizer.recognize(audio, speech, Options(language="en")):
        pass


def _bare(
    bare: faster_whisper.BatchedInferencePipeline, audio: Waveform, speech: tuple[Span, ...]
) -> None:
    clips = [{"start": window.start, "end": window.end} for window in build_windows(speech)]
    segments, _ = bare.transcribe(
        np.asarray(audio), language="en", word_timestamps=True, clip_timestamps=clips, batch_size=8
    )
    for _ in segments:
        pass


def _seconds(work: Callable[[], None]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
