"""Settings to working parts; the only module that names adapters."""

import importlib.util
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from meet_transcriber import logs
from meet_transcriber.bootstrap import trials
from meet_transcriber.core.errors import EngineUnavailable
from meet_transcriber.core.options import Options
from meet_transcriber.core.transcript import TranscriptWarning
from meet_transcriber.pipeline import (
    DRAFT_RECOGNIZER,
    Chosen,
    FolderCheckpoints,
    Pipeline,
)
from meet_transcriber.ports.engines import (
    AudioDecoder,
    Diarizer,
    Recognizer,
    SpeechDetector,
)
from meet_transcriber.settings import Settings

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
    """Both engines, as `recognizer` and `diarizer` choose them, for what the options want."""
    heard = recognizer(settings, fetching)
    return Engines(heard, diarizer(settings) if options.enable_diarization else None)


def recognizer(
    settings: Settings, fetching: Fetching = lambda _done, _all: None, *, draft: bool = True
) -> Chosen[Recognizer]:
    """
    Choose and build the recognizer, fetching weights before any work where `auto` may.

    An engine or model named explicitly never falls back; `auto` does and says so.

    Args:
        draft: whether `auto` may take the draft engine.

    Raises:
        EngineUnavailable: with the command that mends it.
    """
    if settings.asr_engine == "pocketsphinx":
        return Chosen(_pocketsphinx())
    try:
        return Chosen(_faster_whisper(settings, fetching))
    except EngineUnavailable as error:
        model_named = "whisper_model" in settings.model_fields_set
        if settings.asr_engine != "auto" or model_named or not draft:
            raise
        message = f"Words come from the draft engine pocketsphinx (English only): {error}"
        return Chosen(_pocketsphinx(), (TranscriptWarning(DRAFT_RECOGNIZER, message),))


def diarizer(settings: Settings, *, draft: bool = True) -> Chosen[Diarizer] | None:
    """
    Choose and build the diarizer as `recognizer` does; None where the settings want none.

    Where pyannote is not installed and no token asks for it, `auto` is the draft engine anywhere.

    Raises:
        EngineUnavailable: with the command that mends it.
    """
    from meet_transcriber.engines.acoustic import AcousticDiarizer

    if settings.diarization_engine == "none":
        return None
    if settings.diarization_engine == "acoustic":
        return Chosen(AcousticDiarizer())
    try:
        return Chosen(_pyannote(settings, fetch=True))
    except EngineUnavailable as error:
        named = (
            settings.diarization_engine != "auto"
            or "diarization_model" in settings.model_fields_set
        )
        unasked = not token_is_set(settings) and not pyannote_is_installed()
        if named or not (draft or unasked):
            raise
        message = f"Speakers come from the draft engine acoustic: {error}"
        return Chosen(AcousticDiarizer(), (TranscriptWarning("draft_diarizer", message),))


def token_is_set(settings: Settings) -> bool:
    """Whether there is a token for gated models; the guide's placeholder is none."""
    from meet_transcriber.engines.pyannote.weights import usable_token

    token = settings.huggingface_access_token
    return token is not None and usable_token(token.get_secret_value()) is not None


def pyannote_is_installed() -> bool:
    """Whether the package is there; nothing is imported."""
    parts = ("pyannote", "pyannote.audio")
    return all(importlib.util.find_spec(part) is not None for part in parts)


def token_in_vain(settings: Settings) -> str:
    """
    What is wrong where a token asks for pyannote, which is not there; else nothing.

    DIARIZATION_ENGINE=acoustic and none are a decision against pyannote.
    """
    wanted = settings.diarization_engine in {"auto", "pyannote"}
    if not wanted or pyannote_is_installed() or not token_is_set(settings):
        return ""
    return (
        "HUGGINGFACE_ACCESS_TOKEN is set, but pyannote, which alone uses it, is not installed: "
        "install meet-transcriber[pyannote], build the image with PYANNOTE=1, or set "
        "DIARIZATION_ENGINE=acoustic for the draft engine."
    )


def without_drafts(settings: Settings) -> tuple[Settings, tuple[str, ...]]:
    """
    Settings in which `auto` is the real engine and nothing falls back.

    pyannote is left out only where it is neither named nor installed. Also returns every real
    engine that will not run, with the reason.
    """
    named: dict[str, str] = {}
    left_out: list[str] = []
    if settings.asr_engine == "auto":
        named["asr_engine"] = "faster-whisper"
    elif settings.asr_engine != "faster-whisper":
        left_out.append(f"Whisper, because ASR_ENGINE is {settings.asr_engine}.")
    if settings.diarization_engine == "auto":
        missing = _pyannote_missing(settings)
        named["diarization_engine"] = "none" if missing else "pyannote"
        left_out += [f"pyannote, because {missing}"] if missing else []
    elif settings.diarization_engine != "pyannote":
        left_out.append(f"pyannote, because DIARIZATION_ENGINE is {settings.diarization_engine}.")
    return settings.model_copy(update=named), tuple(left_out)


def _pyannote_missing(settings: Settings) -> str | None:
    from meet_transcriber.engines.pyannote.runtime import import_library

    if "diarization_model" in settings.model_fields_set:
        return None
    try:
        import_library()
    except EngineUnavailable as error:
        return str(error)
    return None


def _pocketsphinx() -> Recognizer:
    from meet_transcriber.engines.pocketsphinx import PocketsphinxRecognizer

    return PocketsphinxRecognizer()


def _faster_whisper(settings: Settings, fetching: Fetching) -> Recognizer:
    from meet_transcriber.engines.faster_whisper import FasterWhisperRecognizer
    from meet_transcriber.engines.hub import pull_model

    return FasterWhisperRecognizer(
        str(pull_model(settings.whisper_model, fetching)),
        device=settings.whisper_device,
        compute_type=settings.whisper_compute_type,
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
class ModelOnDisk:
    """A complete Whisper model: its size name, folder and bytes."""

    name: str
    folder: Path
    size_bytes: int


@dataclass(frozen=True)
class Finding:
    """One part of a check-up; `needed` says that the settings name it."""

    part: str
    works: bool
    detail: str
    needed: bool = False


def local_whisper_models() -> list[ModelOnDisk]:
    """Every Whisper model in the hub's cache that is complete."""
    from meet_transcriber.engines.hub import local_models

    return [ModelOnDisk(model.name, model.folder, model.size_bytes) for model in local_models()]


def whisper_folder(model: str) -> Path | None:
    """Where a Whisper model is on this machine, None when it is not."""
    from meet_transcriber.engines.hub import find_model

    return find_model(model)


def fetch_model(settings: Settings, model: str, fetching: Fetching) -> str:
    """
    Fetch a Whisper or pyannote model; returns where it is, or which parts came.

    Raises:
        EngineUnavailable: with the command or the page that mends it.
    """
    from meet_transcriber.engines.hub import pull_model

    if not model.startswith("pyannote/"):
        return str(pull_model(model, fetching))
    from meet_transcriber.engines.pyannote.weights import pull_pipeline

    token = settings.huggingface_access_token
    pull_pipeline(model, token.get_secret_value() if token else None)
    return f"{model} is complete."


def fetchable(settings: Settings) -> list[str]:
    """
    The models behind engines that are not named, which workers fetch where they can.

    Empty where both are named: then a worker uses these or says that it cannot.
    """
    from meet_transcriber.engines.hub import REPOSITORIES

    found = []
    if settings.asr_engine == "auto" and "whisper_model" not in settings.model_fields_set:
        found.append(REPOSITORIES.get(settings.whisper_model, settings.whisper_model))
    named = "diarization_model" in settings.model_fields_set
    if settings.diarization_engine == "auto" and not named:
        found.append(settings.diarization_model)
    return found


def try_whisper(settings: Settings, model: str) -> str:
    """Load a Whisper model from disk and run it on a second of audio; returns its name."""
    from meet_transcriber.engines.faster_whisper import FasterWhisperRecognizer

    folder = whisper_folder(model)
    if folder is None:
        raise EngineUnavailable(
            f"Whisper {model} is not on this machine; run: meet-transcriber models pull {model}"
        )
    recognizer = FasterWhisperRecognizer(
        str(folder), settings.whisper_device, settings.whisper_compute_type
    )
    return trials.heard(recognizer)


def examine(settings: Settings) -> Iterator[Finding]:
    """Try every part on a second of audio; the hub is given up after eight seconds."""
    wants = {settings.asr_engine, settings.diarization_engine}

    def look(part: str, attempt: Callable[[], str], *, needed: bool = False) -> Finding:
        try:
            return Finding(part, True, attempt(), needed)
        except EngineUnavailable as error:
            return Finding(part, False, str(error), needed)

    yield look("secrets", lambda: _secrets(settings))
    yield look("silero", _try_silero, needed=True)
    yield look(
        "pocketsphinx", lambda: trials.heard(_pocketsphinx()), needed="pocketsphinx" in wants
    )
    whisper = "faster-whisper" in wants
    yield look(
        "faster-whisper", lambda: try_whisper(settings, settings.whisper_model), needed=whisper
    )
    needed = "pyannote" in wants or bool(token_in_vain(settings))
    yield look("pyannote", lambda: _try_pyannote(settings), needed=needed)
    yield look("hub", _try_hub)


def _secrets(settings: Settings) -> str:
    """Which secrets are set, and never what they are."""
    if settings.huggingface_access_token is not None and not token_is_set(settings):
        raise EngineUnavailable("HUGGINGFACE_ACCESS_TOKEN is the guide's placeholder, no token.")
    return ", ".join(settings.secrets_that_are_set) or "none is set"


def _try_pyannote(settings: Settings) -> str:
    if problem := token_in_vain(settings):
        raise EngineUnavailable(problem)
    return _pyannote(settings, fetch=False).name


def _try_hub() -> str:
    from meet_transcriber.engines.hub import hub_endpoint, hub_problem

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
