"""Our pipeline without diarization, by stage."""

import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks.whisper.stopwatch import Run, Stopwatch
from meet_transcriber.audio.vad import SileroDetector
from meet_transcriber.bootstrap import engines
from meet_transcriber.core.options import Options
from meet_transcriber.core.plan import TARGET_SECONDS, Plan
from meet_transcriber.core.scoring import all_words
from meet_transcriber.core.transcript import Diarization, Span
from meet_transcriber.engines.whisper.loader import (
    ChildRecognizer,
    load_in_process,
    load_recognizer,
)
from meet_transcriber.pipeline import Chosen, FolderCheckpoints, Pipeline
from meet_transcriber.ports.engines import AudioSource, Progress, Recognizer, Waveform, usable_cores
from meet_transcriber.settings import Settings
from meet_transcriber.stores.disk import DiskMediaStore


@dataclass(frozen=True)
class Ours:
    """A recognizer in a worker's pipeline."""

    recognizer: Recognizer
    part_seconds: float = TARGET_SECONDS

    def file_to_words(self, media: Path) -> Run:
        """Run all stages but diarization; English is given."""
        watch = Stopwatch()
        with tempfile.TemporaryDirectory() as folder:
            pipeline = self._pipeline(Path(folder), watch)
            with media.open("rb") as file, watch.stage("prepare"):
                plan = pipeline.prepare(file)
            chosen = Chosen(self.recognizer)
            with watch.stage("recognize"):
                parts = [pipeline.recognize(plan, part.index, chosen) for part in plan.parts]
            with watch.stage("assemble"):
                transcript = pipeline.attribute(plan, parts, Diarization())
        codes = tuple(warning.code for warning in transcript.warnings)
        return Run(watch.seconds, all_words(transcript), codes)

    def speech(self, media: Path) -> tuple[Waveform, tuple[Span, ...]]:
        """Return the working audio of a recording and its speech."""
        with tempfile.TemporaryDirectory() as folder:
            pipeline = self._pipeline(Path(folder), Stopwatch())
            with media.open("rb") as file:
                plan: Plan = pipeline.prepare(file)
            with pipeline.store.open("job/working.flac") as working:
                source = pipeline.decoder.open(working, plan.audio)
                return source.read(0.0, plan.audio.duration), plan.speech[0]

    def _pipeline(self, folder: Path, watch: Stopwatch) -> Pipeline:
        store = DiskMediaStore(folder)
        return Pipeline(
            store,
            FolderCheckpoints(store, "job"),
            Options(language="en", enable_diarization=False),
            engines.decoder(Settings()),
            _TimedDetector(watch),
            self.part_seconds,
        )


class _TimedDetector:
    """A SpeechDetector that is timed as a stage."""

    def __init__(self, watch: Stopwatch) -> None:
        self._detector = SileroDetector()
        self._watch = watch

    def detect(self, audio: AudioSource, channel: int, progress: Progress) -> tuple[Span, ...]:
        with self._watch.stage("detect"):
            return self._detector.detect(audio, channel, progress)


def load(model: Path, device: str, batch_size: int | None = None) -> Recognizer:
    """
    Load a recognizer like a worker: in this process on a CPU, in a child process on a GPU.

    Args:
        batch_size: None lets the loader choose.

    Raises:
        EngineUnavailable: the model cannot be loaded.
    """
    threads = usable_cores()
    if batch_size is None:
        return load_recognizer(str(model), model.name, device, None, threads)
    start = partial(load_in_process, str(model), model.name, device, None, threads)
    return start(batch_size) if device == "cpu" else ChildRecognizer(start, batch_size)


def unload(recognizer: Recognizer) -> None:
    """End the child process of a recognizer on a GPU."""
    if isinstance(recognizer, ChildRecognizer):
        recognizer.close()
