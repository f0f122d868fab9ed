"""The Diarizer port on a pyannote pipeline."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from meet_transcriber.core.errors import DiarizationFailed
from meet_transcriber.core.options import Options
from meet_transcriber.core.transcript import Diarization, Span, TranscriptWarning, Turn
from meet_transcriber.engines.pyannote.config import (
    DEFAULT_MODELS,
    Files,
    HubFiles,
    first_recipe,
    usable_token,
)
from meet_transcriber.engines.pyannote.loader import (
    Engine,
    Loader,
    OutOfMemory,
    import_library,
    load_engine,
)
from meet_transcriber.ports.engines import AudioSource, Progress, Waveform

_SMALLEST_BATCH = 4  # below this a GPU is no faster than the processor
# Share of the work that is done when a step ends.
_STEPS = {
    "segmentation": (0.0, 0.4),
    "speaker_counting": (0.4, 0.42),
    "embeddings": (0.42, 0.92),
    "discrete_diarization": (0.92, 0.97),
}


class _Stretch(Protocol):
    @property
    def start(self) -> float: ...

    @property
    def end(self) -> float: ...


class _Annotation(Protocol):
    """pyannote.core.Annotation, as far as it is used."""

    def itertracks(self, yield_label: bool) -> Iterable[tuple[_Stretch, object, str]]: ...


class PyannoteDiarizer:
    """
    A Diarizer on pyannote.audio, majors 3 and 4.

    Everything is loaded here, once; a recording never waits for the network. The whole
    waveform is held in memory while it runs: 230 MB an hour.

    Args:
        model: a hub id, or a folder with a config.yaml; None takes community-1 where its files
            are on disk or its terms were accepted, else 3.1.
        token: for fetching gated models; the guide's placeholder is ignored.
        device: `auto`, `cpu`, `cuda` or a torch device.
        cache_dir: the hub's cache; None for the usual one.
        local_files_only: load from disk only; False fetches what is missing, now.
        files, load: where files and pipelines come from.

    Raises:
        EngineUnavailable: the package, the weights, the device or the permission to fetch is
            missing; says which, and the command that mends it.
    """

    def __init__(
        self,
        model: str | None = None,
        *,
        token: str | None = None,
        device: str = "auto",
        cache_dir: Path | None = None,
        local_files_only: bool = True,
        files: Files | None = None,
        load: Loader | None = None,
    ) -> None:
        if load is None:
            import_library()
        token = usable_token(token)
        source = files or HubFiles(token, cache_dir, local_files_only)
        models = (model,) if model is not None else DEFAULT_MODELS
        found, recipe = first_recipe(models, source, has_token=token is not None)
        self.name = f"pyannote {Path(found).name if Path(found).exists() else found}"
        self._engine = (load or load_engine)(recipe, device)
        self._home = self._engine.device

    def diarize(
        self, audio: AudioSource, speech: Sequence[Span], options: Options, progress: Progress
    ) -> Diarization:
        """Turns, and exclusive ones where the library has them; see the port."""
        if not speech:
            return Diarization()
        samples = audio.read(0.0, audio.duration)
        steps = _Steps(progress)
        try:
            output, notes = _run_within_memory(self._engine, samples, steps, _hints(options))
        except (RuntimeError, ValueError, LookupError, TypeError, ArithmeticError) as error:
            raise DiarizationFailed(
                f"pyannote stopped with {type(error).__name__}: {error}. "
                "Run it again, or set DIARIZATION_ENGINE=auto."
            ) from error
        finally:
            self._return_home()
        turns, exclusive = _turns(output, audio.duration)
        progress(1.0)
        return Diarization(turns, exclusive, (*notes, *_difference(turns, options)))

    def _return_home(self) -> None:
        """A recording that was too large sends only itself to the processor."""
        if self._engine.device != self._home:
            self._engine.move(self._home)


class _Steps:
    """pyannote's hook: turns its steps into one share that only rises."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._reached = 0.0

    def __call__(
        self,
        step: str,
        artifact: object = None,  # noqa: ARG002 - pyannote's call
        /,
        file: object = None,  # noqa: ARG002
        total: int | None = None,
        completed: int | None = None,
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
    engine: Engine, samples: Waveform, steps: _Steps, hints: Mapping[str, int]
) -> tuple[object, list[TranscriptWarning]]:
    """Halve the batch while memory is short, then go to the processor; say so."""
    notes: dict[str, TranscriptWarning] = {}
    batch = engine.batch
    while True:
        try:
            return engine.run(samples, batch, steps, hints), list(notes.values())
        except OutOfMemory as error:
            on_cpu = engine.device == "cpu"
            if batch > (1 if on_cpu else _SMALLEST_BATCH):
                batch //= 2
                note = _batch_reduced(batch)
            elif not on_cpu:
                note = _moved_to_cpu(engine.device)
                engine.move("cpu")
                batch = engine.batch
            else:
                raise DiarizationFailed(
                    "Memory does not suffice to diarize this recording, even with one window "
                    "at a time; give the worker more memory."
                ) from error
            notes[note.code] = note


def _batch_reduced(batch: int) -> TranscriptWarning:
    return TranscriptWarning(
        "batch_reduced",
        f"Memory was short while finding speakers; it went on with {batch} windows at a time.",
    )


def _moved_to_cpu(device: str) -> TranscriptWarning:
    return TranscriptWarning(
        "moved_to_cpu",
        f"Memory of {device} did not suffice to find speakers; the processor did it, slower.",
    )


def _turns(output: object, duration: float) -> tuple[tuple[Turn, ...], tuple[Turn, ...]]:
    """All turns and exclusive ones; pyannote.audio 3 returns the former alone."""
    every = _tracks(getattr(output, "speaker_diarization", output), duration)
    single = getattr(output, "exclusive_speaker_diarization", None)
    exclusive = _tracks(single, duration) if single is not None else ()
    voices = dict.fromkeys(turn.speaker for turn in (*every, *exclusive))
    labels = {voice: f"SPEAKER_{place:02d}" for place, voice in enumerate(voices)}

    def named(turns: tuple[Turn, ...]) -> tuple[Turn, ...]:
        return tuple(Turn(turn.start, turn.end, labels[turn.speaker]) for turn in turns)

    return named(every), named(exclusive)


def _tracks(annotation: object, duration: float) -> tuple[Turn, ...]:
    """Turns inside the recording by time; the last window reaches beyond its end."""
    tracks: _Annotation = annotation  # type: ignore[assignment]
    turns = (
        Turn(max(float(where.start), 0.0), min(float(where.end), duration), str(label))
        for where, _, label in tracks.itertracks(yield_label=True)
    )
    kept = (turn for turn in turns if turn.end > turn.start)
    return tuple(sorted(kept, key=lambda turn: (turn.start, turn.end, turn.speaker)))


def _difference(turns: Sequence[Turn], options: Options) -> tuple[TranscriptWarning, ...]:
    fewest, most = options.speaker_range
    found = len({turn.speaker for turn in turns})
    if fewest <= found <= most or (not found and not _hints(options)):
        return ()
    wanted = str(fewest) if fewest == most else f"{fewest} to {most}"
    return (
        TranscriptWarning(
            "speakers_requested_found",
            f"{wanted} speakers were asked for and {found} found; the labels show those found.",
        ),
    )
