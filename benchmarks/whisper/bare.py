"""faster-whisper's batched pipeline as in its README, by stage."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import faster_whisper
import faster_whisper.transcribe
from faster_whisper.audio import decode_audio

from benchmarks.whisper.stopwatch import Run, Stopwatch
from meet_transcriber.core.scoring import normalize
from meet_transcriber.core.transcript import Span
from meet_transcriber.ports.engines import Waveform, usable_cores

_LONGEST_SECONDS = 30.0


class Bare:
    """
    The loaded model; one instance at a time, as it patches the module's VAD to measure it.

    Args:
        device: `cpu`, in int8 on the cores that ours may use, or `cuda`, in float16.
    """

    def __init__(self, model: Path, device: str) -> None:
        self._watch = watch = Stopwatch()
        whisper = faster_whisper.WhisperModel(
            str(model),
            device=device,
            compute_type="int8" if device == "cpu" else "float16",
            cpu_threads=usable_cores(),
        )
        self._pipeline = pipeline = faster_whisper.BatchedInferencePipeline(whisper)
        whisper.feature_extractor = _Timed(whisper.feature_extractor, watch, "features")
        whisper.encode = watch.timed("encode", whisper.encode)
        whisper.add_word_timestamps = watch.timed("align", whisper.add_word_timestamps)
        pipeline.generate_segment_batched = watch.timed(
            "generate", pipeline.generate_segment_batched
        )
        module: Any = faster_whisper.transcribe
        vad = getattr(module.get_speech_timestamps, "untimed", module.get_speech_timestamps)
        timed: Any = watch.timed("VAD", vad)
        timed.untimed = vad
        module.get_speech_timestamps = timed

    def file_to_words(self, media: Path, batch_size: int = 8) -> Run:
        """Transcribe with its own decoding and voice activity detection; English is given."""
        with self._watch.stage("decode"):
            audio = decode_audio(str(media))
        return self._transcribed(audio, batch_size)

    def speech_to_words(self, audio: Waveform, speech: Sequence[Span], batch_size: int = 8) -> Run:
        """Transcribe detected speech, merged into clips of up to 30 seconds."""
        clips = [{"start": clip.start, "end": clip.end} for clip in merged(speech)]
        return self._transcribed(audio, batch_size, clip_timestamps=clips)

    def _transcribed(self, audio: Waveform, batch_size: int, **more: Any) -> Run:
        with self._watch.stage("rest"):
            segments, _ = self._pipeline.transcribe(
                audio, language="en", word_timestamps=True, batch_size=batch_size, **more
            )
            text = "".join(segment.text for segment in segments)
        return Run(self._watch.reset(), normalize(text))


def merged(speech: Sequence[Span]) -> Iterator[Span]:
    """Merge spans into as few clips of up to 30 seconds as possible."""
    start, end = speech[0].start, speech[0].start
    for span in speech:
        if span.end - start > _LONGEST_SECONDS and end > start:
            yield Span(start, end)
            start = span.start
        while span.end - start > _LONGEST_SECONDS:
            yield Span(start, start + _LONGEST_SECONDS)
            start += _LONGEST_SECONDS
        end = span.end
    yield Span(start, end)


class _Timed:
    """A callable object whose calls are timed as a stage."""

    def __init__(self, inner: Any, watch: Stopwatch, stage: str) -> None:
        self._inner = inner
        self._call = watch.timed(stage, inner)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._call(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)
