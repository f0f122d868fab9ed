"""The Diarizer port on a pyannote.audio pipeline."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from meet_transcriber.core.errors import DiarizationFailed
from meet_transcriber.core.options import Options
from meet_transcriber.core.transcript import Diarization, Span, TranscriptWarning, Turn
from meet_transcriber.engines.pyannote.config import locate_pipeline
from meet_transcriber.engines.pyannote.loader import (
    Engine,
    Loader,
    OutOfMemory,
    import_library,
    load_engine,
)
from meet_transcriber.ports.engines import AudioSource, Progress, Waveform

_MIN_GPU_BATCH = 4  # with a smaller one a GPU is no faster than the CPU
# Shares of the time at which steps begin and end.
_STEPS = {
    "segmentation": (0.0, 0.4),
    "speaker_counting": (0.4, 0.42),
    "embeddings": (0.42, 0.92),
    "discrete_diarization": (0.92, 0.97),
}


class PyannoteDiarizer:
    """
    The Diarizer port on pyannote.audio, major versions 3 and 4.

    The pipeline is loaded once, on creation. `diarize` uses no network and holds the whole waveform
    in memory, 230 MB per hour of audio.

    Args:
        model: a hub id, or a folder with a config.yaml; None takes community-1 if its files are on
            disk or its terms were accepted, else 3.1.
        token: for fetching gated models; the deployment guide's placeholder is ignored.
        device: `auto`, `cpu`, `cuda` or a torch device.
        cache_dir: the hub's cache; None for the default one.
        local_files_only: load from disk only; False fetches missing files.
        load: loads a pipeline; pyannote.audio is needed if it is None.

    Raises:
        EngineUnavailable: the package, the weights, the device or the permission to fetch is
            missing; the message says which, and the command to run.
    """

    def __init__(
        self,
        model: str | None = None,
        *,
        token: str | None = None,
        device: str = "auto",
        cache_dir: Path | None = None,
        local_files_only: bool = True,
        load: Loader | None = None,
    ) -> None:
        if load is None:
            import_library()
        found, config = locate_pipeline(model, token, cache_dir, local_files_only=local_files_only)
        self.name = f"pyannote {Path(found).name if Path(found).exists() else found}"
        self._engine = (load or load_engine)(config, device)
        self._preferred = self._engine.device

    def diarize(
        self, audio: AudioSource, speech: Sequence[Span], options: Options, progress: Progress
    ) -> Diarization:
        """Return turns, and exclusive ones if the library has them; see the port."""
        if not speech:
            return Diarization()
        samples = audio.read(0.0, audio.duration)
        hook = _ProgressHook(progress)
        try:
            output, warnings = _run_within_memory(self._engine, samples, hook, _hints(options))
        except (RuntimeError, ValueError, LookupError, TypeError, ArithmeticError) as error:
            raise DiarizationFailed(
                f"pyannote stopped with {type(error).__name__}: {error}. "
                "Run it again, or set DIARIZATION_ENGINE=auto."
            ) from error
        finally:
            if self._engine.device != self._preferred:  # this recording exceeded its memory
                self._engine.move(self._preferred)
        turns, exclusive = _to_turns(output, audio.duration)
        progress(1.0)
        return Diarization(turns, exclusive, warnings)


class _ProgressHook:
    """pyannote's hook: converts its steps to one increasing share."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._reached = 0.0

    def __call__(
        self,
        step: str,
        *_artifact: object,
        total: int | None = None,
        completed: int | None = None,
        **_file: object,
    ) -> None:
        start, end = _STEPS.get(step, (self._reached, self._reached))
        done = min(completed / total, 1.0) if total and completed is not None else 1.0
        self._reached = max(self._reached, start + (end - start) * done)
        self._progress(self._reached)


def _hints(options: Options) -> dict[str, int]:
    if options.num_speakers is not None:
        return {"num_speakers": options.num_speakers}
    wanted = {"min_speakers": options.min_speakers, "max_speakers": options.max_speakers}
    return {name: value for name, value in wanted.items() if value is not None}


def _run_within_memory(
    engine: Engine, samples: Waveform, hook: _ProgressHook, hints: Mapping[str, int]
) -> tuple[object, tuple[TranscriptWarning, ...]]:
    """Halve the batch size while memory is short, then use the CPU; returns warnings."""
    warnings: dict[str, str] = {}
    batch = engine.batch
    while True:
        try:
            output = engine.run(samples, batch, hook, hints)
        except OutOfMemory as error:
            on_cpu = engine.device == "cpu"
            if batch > (1 if on_cpu else _MIN_GPU_BATCH):
                batch //= 2
                warnings["batch_reduced"] = (
                    "Memory was short during diarization; "
                    f"the batch size was reduced to {batch} windows."
                )
            elif not on_cpu:
                warnings["moved_to_cpu"] = (
                    f"{engine.device} had too little memory for diarization; "
                    "the CPU was used, which is slower."
                )
                engine.move("cpu")
                batch = engine.batch
            else:
                raise DiarizationFailed(
                    "There is not enough memory to diarize this recording, even with one window "
                    "at a time; give the worker more memory."
                ) from error
        else:
            return output, tuple(TranscriptWarning(*each) for each in warnings.items())


def _to_turns(output: object, duration: float) -> tuple[tuple[Turn, ...], tuple[Turn, ...]]:
    """Return all turns and exclusive ones; pyannote.audio 3 returns only the former."""
    every = _tracks(getattr(output, "speaker_diarization", output), duration)
    single = getattr(output, "exclusive_speaker_diarization", None)
    exclusive = _tracks(single, duration) if single is not None else ()
    voices = dict.fromkeys(turn.speaker for turn in (*every, *exclusive))
    labels = {voice: f"SPEAKER_{place:02d}" for place, voice in enumerate(voices)}

    def named(turns: tuple[Turn, ...]) -> tuple[Turn, ...]:
        return tuple(Turn(turn.start, turn.end, labels[turn.speaker]) for turn in turns)

    return named(every), named(exclusive)


def _tracks(annotation: Any, duration: float) -> tuple[Turn, ...]:
    """Return turns in order of time, cut off at the end; the last window extends beyond it."""
    turns = (
        Turn(max(float(where.start), 0.0), min(float(where.end), duration), str(label))
        for where, _, label in annotation.itertracks(yield_label=True)
    )
    kept = (turn for turn in turns if turn.end > turn.start)
    return tuple(sorted(kept, key=lambda turn: (turn.start, turn.end, turn.speaker)))
