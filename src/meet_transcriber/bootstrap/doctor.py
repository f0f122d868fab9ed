"""Runs engines on a second of audio: for `doctor`, and before a job relies on one."""

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from meet_transcriber.bootstrap import engines
from meet_transcriber.core.errors import EngineUnavailable
from meet_transcriber.core.media import PreparedAudio
from meet_transcriber.core.options import Options
from meet_transcriber.core.transcript import Span
from meet_transcriber.pipeline import Chosen, ignore_progress
from meet_transcriber.ports.engines import (
    SAMPLE_RATE_HZ,
    AudioSource,
    Diarizer,
    Recognizer,
    Waveform,
)
from meet_transcriber.settings import Settings

E = TypeVar("E", Recognizer, Diarizer)

_SPAN = Span(0.0, 1.0)


def check_recognizer(recognizer: Recognizer) -> str:
    """Run a recognizer on a second of noise; returns its name."""
    for _ in recognizer.recognize(noise_second(), [_SPAN], Options(), ignore_progress):
        pass
    return recognizer.name


def check_diarizer(diarizer: Diarizer) -> str:
    """Run a diarizer on a second of noise; returns its name."""
    diarizer.diarize(_noise_source(), [_SPAN], Options(), ignore_progress)
    return diarizer.name


def verified(chosen: Chosen[E], check: Callable[[E], str]) -> Chosen[E]:
    """Check an engine before a job uses it; raises EngineUnavailable with what went wrong."""
    engine = chosen.engine
    try:
        check(engine)
    except EngineUnavailable:
        raise
    except Exception as error:  # whatever a library raises that was loaded but does not work
        raise EngineUnavailable(
            f"{engine.name} was loaded, but failed on a second of audio when it was tried: "
            f"{str(error) or type(error).__name__}. 'meet-transcriber doctor' tries it again."
        ) from error
    return chosen


def verified_recognizer(settings: Settings, on_fetch: engines.OnFetch) -> Chosen[Recognizer]:
    """Build the recognizer and check it; raises EngineUnavailable."""
    return verified(engines.recognizer(settings, on_fetch), check_recognizer)


def verified_diarizer(settings: Settings, on_fetch: engines.OnFetch) -> Chosen[Diarizer] | None:
    """The same for the diarizer; with `auto`, one that fails is replaced by no speakers."""
    chosen = engines.diarizer(settings, on_fetch)
    if chosen is None or chosen.is_stopgap:
        return chosen
    try:
        return verified(chosen, check_diarizer)
    except EngineUnavailable as error:
        return engines.without_speakers(settings, error)


def noise_second() -> Waveform:
    """A second of quiet noise."""
    import numpy as np

    return np.random.default_rng(0).normal(0, 0.01, SAMPLE_RATE_HZ).astype(np.float32)


def _noise_source() -> AudioSource:
    """A second of quiet noise as working audio."""
    from meet_transcriber.audio.working_audio import FlacWriter, WorkingAudio

    file = io.BytesIO()
    writer = FlacWriter(file, 1)
    writer.write(noise_second()[None])
    writer.close()
    return WorkingAudio(file, PreparedAudio(1.0, 1, (0.0,)))


@dataclass(frozen=True)
class Finding:
    """The result of one check; `needed` if the settings name the part."""

    part: str
    works: bool
    detail: str
    needed: bool = False


def try_model(settings: Settings, model: str) -> str:
    """Load a model from disk and run it on a second of audio; returns the engine's name."""
    known = engines.weights(settings).catalogue.find(model)
    if known is None or known.kind == "recognition":
        return try_whisper(settings, model)
    if known.name in engines.speaker_models(settings):
        return try_speakers(settings)
    return try_speakers(settings.model_copy(update={"speaker_embedding": known.name}))


def try_speakers(settings: Settings) -> str:
    """The same for the diarizer onnx, which needs both of its models."""
    kept = engines.weights(settings)
    places = [(model, kept.find(model)) for model in engines.speaker_models(settings)]
    for model, place in places:
        if place is None:
            raise EngineUnavailable(kept.missing_message(model))
    return check_diarizer(engines.onnx(settings, *(place for _, place in places if place)))


def try_whisper(settings: Settings, model: str) -> str:
    """The same for a Whisper model."""
    kept = engines.weights(settings)
    folder = kept.find(model)
    if folder is None:
        raise EngineUnavailable(kept.missing_message(model))
    named = settings.model_copy(update={"whisper_model": model})
    return check_recognizer(engines.whisper(named, folder))


def check(part: str, attempt: Callable[[], str], *, needed: bool = False) -> Finding:
    """Run one check; an error of any kind is what it finds."""
    try:
        return Finding(part, True, attempt(), needed)
    except Exception as error:  # noqa: BLE001 - a broken library must not end the report
        return Finding(part, False, str(error) or type(error).__name__, needed)


def examine(settings: Settings) -> Iterator[Finding]:
    """Check every part; the hub has eight seconds to respond."""
    yield check("secrets", lambda: _secrets(settings))
    yield check("silero", _try_silero, needed=True)
    yield check("whisper", lambda: try_whisper(settings, settings.whisper_model), needed=True)
    needs_onnx = settings.diarization_engine in {"auto", "onnx"}
    yield check("speakers", lambda: try_speakers(settings), needed=needs_onnx)
    needs_pyannote = settings.diarization_engine == "pyannote"
    yield check("pyannote", lambda: _try_pyannote(settings), needed=needs_pyannote)
    yield check("hub", _try_hub)


def _secrets(settings: Settings) -> str:
    """The names of the secrets that are set."""
    from meet_transcriber.engines.pyannote.config import usable_token

    token = settings.huggingface_access_token
    if token is not None and usable_token(token.get_secret_value()) is None:
        raise EngineUnavailable("HUGGINGFACE_ACCESS_TOKEN is the guide's placeholder, not a token.")
    return ", ".join(settings.secrets_that_are_set) or "none is set"


def _try_pyannote(settings: Settings) -> str:
    if problem := engines.pyannote_problem(settings):
        raise EngineUnavailable(problem)
    return engines.pyannote(settings, fetch=False).name


def _try_hub() -> str:
    from meet_transcriber.engines.weights.sources import hub_endpoint, hub_problem

    if problem := hub_problem():
        raise EngineUnavailable(
            f"{hub_endpoint()} cannot be reached ({problem}); models on disk work without it. "
            "HF_ENDPOINT names a mirror."
        )
    return hub_endpoint()


def _try_silero() -> str:
    engines.detector().detect(_noise_source(), 0, ignore_progress)
    return "speech detection, decoding and FLAC"
