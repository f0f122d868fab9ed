"""Settings to working parts; the only module that names adapters."""

import importlib.util
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from meet_transcriber import logs
from meet_transcriber.bootstrap import trials
from meet_transcriber.core.errors import EngineUnavailable
from meet_transcriber.core.options import Options
from meet_transcriber.core.transcript import TranscriptWarning
from meet_transcriber.pipeline import Chosen, FolderCheckpoints, NoDiarizer, Pipeline
from meet_transcriber.ports.engines import (
    AudioDecoder,
    Diarizer,
    Recognizer,
    SpeechDetector,
)
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


def set_up_logging(settings: Settings) -> None:
    """Log lines as the settings want them; raises InvalidOptions where they cannot be had."""
    logs.set_up(
        settings.log_level,
        as_json=settings.log_json,
        cloudwatch_group=settings.cloudwatch_log_group,
    )


def decoder(settings: Settings) -> AudioDecoder:
    """The decoder with the configured limits; in a process of its own where the system can."""
    from meet_transcriber.audio import confined

    longest = settings.max_audio_duration_seconds
    if confined.is_possible():
        from meet_transcriber.audio.confined.decoder import ConfinedDecoder

        return ConfinedDecoder(longest, settings.decoder_memory_mb << 20)
    from meet_transcriber.audio.decoder import PyavDecoder

    return PyavDecoder(longest)


def detector() -> SpeechDetector:
    """What tells speech from everything else."""
    from meet_transcriber.audio.silero import SileroDetector

    return SileroDetector()


def pipeline(settings: Settings, options: Options, folder: Path, name: str) -> Pipeline:
    """A pipeline that keeps its checkpoints below `folder`/`name`."""
    from meet_transcriber.stores.disk import DiskMediaStore

    store = DiskMediaStore(folder)
    return Pipeline(store, FolderCheckpoints(store, name), options, decoder(settings), detector())


def engines(
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
    return Chosen(_whisper(settings, weights(settings).pull(settings.whisper_model, fetching)))


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
        return Chosen(_pyannote(settings, fetch=True))
    try:
        places = weights(settings).pull_all(speaker_models(settings), fetching)
        return Chosen(_onnx(settings, *places))
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
    from meet_transcriber.engines.pyannote.weights import usable_token

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
    from meet_transcriber.engines.weights.fetch import Weights
    from meet_transcriber.engines.weights.folder import ModelsFolder

    return Weights(ModelsFolder(settings.models_dir))


def _whisper(settings: Settings, folder: Path) -> Recognizer:
    from meet_transcriber.core.processors import usable_cores
    from meet_transcriber.engines.weights.catalogue import catalogue
    from meet_transcriber.engines.whisper.load import load_recognizer

    name = settings.whisper_model.rstrip("/")
    known = catalogue().find(name)
    return load_recognizer(
        str(folder),
        known.name if known else folder.name if Path(name).is_dir() else name,
        settings.whisper_device,
        settings.whisper_compute_type,
        usable_cores(),
    )


def _onnx(settings: Settings, segmentation: Path, embedding: Path) -> Diarizer:
    from meet_transcriber.core.processors import usable_cores
    from meet_transcriber.engines.onnx.load import load_diarizer
    from meet_transcriber.engines.weights.files import find_plda

    return load_diarizer(
        segmentation,
        embedding,
        settings.speaker_embedding,
        settings.whisper_device,
        usable_cores(),
        find_plda(weights(settings).folder) if settings.speaker_embedding == "wespeaker" else None,
    )


def _pyannote(settings: Settings, *, fetch: bool) -> Diarizer:
    from meet_transcriber.engines.pyannote import PyannoteDiarizer

    token = settings.huggingface_access_token
    return PyannoteDiarizer(
        settings.diarization_model,
        token=token.get_secret_value() if token else None,
        device=settings.whisper_device,
        local_files_only=not fetch,
    )


# -- weights and a check-up ------------------------------------------------------------------


@dataclass(frozen=True)
class Finding:
    """One part of a check-up; `needed` says that the settings name it."""

    part: str
    works: bool
    detail: str
    needed: bool = False


def try_model(settings: Settings, model: str) -> str:
    """Load a model of this machine and run it on a second of audio; returns its name."""
    known = weights(settings).catalogue.find(model)
    if known is None or known.kind == "recognition":
        return try_whisper(settings, model)
    if known.name in speaker_models(settings):
        return try_speakers(settings)
    return try_speakers(settings.model_copy(update={"speaker_embedding": known.name}))


def try_speakers(settings: Settings) -> str:
    """The same of the diarizer onnx, which takes both of its models; raises EngineUnavailable."""
    kept = weights(settings)
    places = [(model, kept.find(model)) for model in speaker_models(settings)]
    for model, place in places:
        if place is None:
            raise EngineUnavailable(kept.absence(model))
    return trials.told_apart(_onnx(settings, *(place for _, place in places if place)))


def try_whisper(settings: Settings, model: str) -> str:
    """Load a Whisper model from disk and run it on a second of audio; returns its name."""
    kept = weights(settings)
    folder = kept.find(model)
    if folder is None:
        raise EngineUnavailable(kept.absence(model))
    return trials.heard(_whisper(settings.model_copy(update={"whisper_model": model}), folder))


def examine(settings: Settings) -> Iterator[Finding]:
    """Try every part on a second of audio; the hub is given up after eight seconds."""

    def look(part: str, attempt: Callable[[], str], *, needed: bool = False) -> Finding:
        try:
            return Finding(part, True, attempt(), needed)
        except EngineUnavailable as error:
            return Finding(part, False, str(error), needed)

    yield look("secrets", lambda: _secrets(settings))
    yield look("silero", _try_silero, needed=True)
    yield look("whisper", lambda: try_whisper(settings, settings.whisper_model), needed=True)
    wants_onnx = settings.diarization_engine in {"auto", "onnx"}
    yield look("speakers", lambda: try_speakers(settings), needed=wants_onnx)
    needed = settings.diarization_engine == "pyannote"
    yield look("pyannote", lambda: _try_pyannote(settings), needed=needed)
    yield look("hub", _try_hub)


def _secrets(settings: Settings) -> str:
    """Which secrets are set, and never what they are."""
    if settings.huggingface_access_token is not None and not token_is_set(settings):
        raise EngineUnavailable("HUGGINGFACE_ACCESS_TOKEN is the guide's placeholder, no token.")
    return ", ".join(settings.secrets_that_are_set) or "none is set"


def _try_pyannote(settings: Settings) -> str:
    if problem := pyannote_problem(settings):
        raise EngineUnavailable(problem)
    return _pyannote(settings, fetch=False).name


def _try_hub() -> str:
    from meet_transcriber.engines.weights.hub import hub_endpoint, hub_problem

    if problem := hub_problem():
        raise EngineUnavailable(
            f"{hub_endpoint()} cannot be reached ({problem}); models on disk work all the same. "
            "HF_ENDPOINT names a mirror."
        )
    return hub_endpoint()


def _try_silero() -> str:
    import io

    from meet_transcriber.audio.silero import SileroDetector
    from meet_transcriber.audio.working import FlacWriter, WorkingAudio
    from meet_transcriber.core.media import PreparedAudio

    file = io.BytesIO()
    writer = FlacWriter(file, 1)
    writer.write(trials.a_second()[None])
    writer.close()
    source = WorkingAudio(file, PreparedAudio(1.0, 1, (0.0,)))
    SileroDetector().detect(source, 0, lambda _share: None)
    return "speech detection, decoding and FLAC"
