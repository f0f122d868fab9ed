"""Settings to working parts; the only module that names adapters."""

import logging
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from meet_transcriber.core.errors import EngineUnavailable
from meet_transcriber.core.options import Options
from meet_transcriber.core.transcript import TranscriptWarning
from meet_transcriber.pipeline import Pipeline
from meet_transcriber.ports import AudioDecoder, Diarizer, Recognizer
from meet_transcriber.settings import Settings

Fetching = Callable[[int, int], None]
"""Hears bytes fetched and bytes in all."""


@dataclass(frozen=True)
class Engines:
    """What will do the work, and what fell back on the way to it."""

    recognizer: Recognizer
    diarizer: Diarizer | None
    warnings: tuple[TranscriptWarning, ...] = ()


def set_up_logging(settings: Settings) -> None:
    """Log lines on stderr, from `log_level` on."""
    logging.basicConfig(
        stream=sys.stderr,
        level=settings.log_level,
        format="%(levelname)s %(name)s %(message)s",
    )


def decoder(settings: Settings) -> AudioDecoder:
    """The decoder with the configured length limit."""
    from meet_transcriber.audio.decoder import PyavDecoder

    return PyavDecoder(settings.max_audio_duration_seconds)


def pipeline(settings: Settings, options: Options, folder: Path, name: str) -> Pipeline:
    """A pipeline that keeps its checkpoints below `folder`/`name`."""
    from meet_transcriber.audio.silero import SileroDetector
    from meet_transcriber.stores.disk import DiskMediaStore

    return Pipeline(DiskMediaStore(folder), name, options, decoder(settings), SileroDetector())


def engines(
    settings: Settings, options: Options, fetching: Fetching = lambda _done, _all: None
) -> Engines:
    """
    Choose and build the engines, fetching weights before any work where `auto` may.

    An engine or model named explicitly never falls back; `auto` does and says so.

    Raises:
        EngineUnavailable: with the command that mends it.
    """
    recognizer, heard = _recognizer(settings, fetching)
    wanted = options.enable_diarization and settings.diarization_engine != "none"
    diarizer, told = _diarizer(settings) if wanted else (None, ())
    return Engines(recognizer, diarizer, (*heard, *told))


Notes = tuple[TranscriptWarning, ...]


def _recognizer(settings: Settings, fetching: Fetching) -> tuple[Recognizer, Notes]:
    if settings.asr_engine == "pocketsphinx":
        return _pocketsphinx(), ()
    if settings.asr_engine == "faster-whisper":
        return _faster_whisper(settings, fetching), ()
    try:
        return _faster_whisper(settings, fetching), ()
    except EngineUnavailable as error:
        if "whisper_model" in settings.model_fields_set:
            raise
        message = f"Words come from the draft engine pocketsphinx (English only): {error}"
        return _pocketsphinx(), (TranscriptWarning("draft_recognizer", message),)


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


def _diarizer(settings: Settings) -> tuple[Diarizer, Notes]:
    from meet_transcriber.engines.acoustic import AcousticDiarizer

    if settings.diarization_engine == "acoustic":
        return AcousticDiarizer(), ()
    try:
        return _pyannote(settings), ()
    except EngineUnavailable as error:
        named = "diarization_model" in settings.model_fields_set
        if settings.diarization_engine == "pyannote" or named:
            raise
        message = f"Speakers come from the draft engine acoustic: {error}"
        return AcousticDiarizer(), (TranscriptWarning("draft_diarizer", message),)


def _pyannote(settings: Settings) -> Diarizer:
    from meet_transcriber.engines.pyannote import PyannoteDiarizer

    token = settings.huggingface_access_token
    return PyannoteDiarizer(
        settings.diarization_model,
        token=token.get_secret_value() if token else None,
        device=settings.whisper_device,
    )
