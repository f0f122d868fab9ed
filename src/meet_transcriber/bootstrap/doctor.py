"""Tries every engine on a second of audio: for `doctor`, and before a job relies on one."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from meet_transcriber.bootstrap import engines
from meet_transcriber.core.errors import EngineUnavailable
from meet_transcriber.core.options import Options
from meet_transcriber.core.transcript import Span
from meet_transcriber.pipeline import Chosen, ignore_progress
from meet_transcriber.ports.engines import SAMPLE_RATE_HZ, Diarizer, Recognizer, Waveform
from meet_transcriber.settings import Settings

E = TypeVar("E", Recognizer, Diarizer)

_WHOLE = Span(0.0, 1.0)


def check_recognizer(recognizer: Recognizer) -> str:
    """The name of a recognizer that got through a second of noise."""
    for _ in recognizer.recognize(noise_second(), [_WHOLE], Options(), ignore_progress):
        pass
    return recognizer.name


def check_diarizer(diarizer: Diarizer) -> str:
    """The same of a diarizer."""
    diarizer.diarize(_Second(), [_WHOLE], Options(), ignore_progress)
    return diarizer.name


def verified(chosen: Chosen[E], attempt: Callable[[E], str]) -> Chosen[E]:
    """
    An engine that got through an attempt just now, so that no job is the first to try it.

    Raises:
        EngineUnavailable: it did not; says how that went.
    """
    engine = chosen.engine
    try:
        attempt(engine)
    except EngineUnavailable:
        raise
    except Exception as error:  # whatever a library does that was loaded but does not work
        raise EngineUnavailable(
            f"{engine.name} was loaded, but failed on a second of audio when it was tried: "
            f"{str(error) or type(error).__name__}. 'meet-transcriber doctor' tries it again."
        ) from error
    return chosen


class _Second:
    """A second of quiet noise as an AudioSource."""

    duration, channels = 1.0, 1

    def read(self, start: float, end: float, channel: int = 0) -> Waveform:  # noqa: ARG002
        return noise_second()[round(start * SAMPLE_RATE_HZ) : round(end * SAMPLE_RATE_HZ)]


def noise_second() -> Waveform:
    """A second of quiet noise."""
    import numpy as np

    return np.random.default_rng(0).normal(0, 0.01, SAMPLE_RATE_HZ).astype(np.float32)


@dataclass(frozen=True)
class Finding:
    """One part of a check-up; `needed` says that the settings name it."""

    part: str
    works: bool
    detail: str
    needed: bool = False


def try_model(settings: Settings, model: str) -> str:
    """Load a model of this machine and run it on a second of audio; returns its name."""
    known = engines.weights(settings).catalogue.find(model)
    if known is None or known.kind == "recognition":
        return try_whisper(settings, model)
    if known.name in engines.speaker_models(settings):
        return try_speakers(settings)
    return try_speakers(settings.model_copy(update={"speaker_embedding": known.name}))


def try_speakers(settings: Settings) -> str:
    """The same of the diarizer onnx, which takes both of its models; raises EngineUnavailable."""
    kept = engines.weights(settings)
    places = [(model, kept.find(model)) for model in engines.speaker_models(settings)]
    for model, place in places:
        if place is None:
            raise EngineUnavailable(kept.absence(model))
    return check_diarizer(engines.onnx(settings, *(place for _, place in places if place)))


def try_whisper(settings: Settings, model: str) -> str:
    """Load a Whisper model from disk and run it on a second of audio; returns its name."""
    kept = engines.weights(settings)
    folder = kept.find(model)
    if folder is None:
        raise EngineUnavailable(kept.absence(model))
    return check_recognizer(
        engines.whisper(settings.model_copy(update={"whisper_model": model}), folder)
    )


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
    if settings.huggingface_access_token is not None and not engines.token_is_set(settings):
        raise EngineUnavailable("HUGGINGFACE_ACCESS_TOKEN is the guide's placeholder, no token.")
    return ", ".join(settings.secrets_that_are_set) or "none is set"


def _try_pyannote(settings: Settings) -> str:
    if problem := engines.pyannote_problem(settings):
        raise EngineUnavailable(problem)
    return engines.pyannote(settings, fetch=False).name


def _try_hub() -> str:
    from meet_transcriber.engines.weights.sources import hub_endpoint, hub_problem

    if problem := hub_problem():
        raise EngineUnavailable(
            f"{hub_endpoint()} cannot be reached ({problem}); models on disk work all the same. "
            "HF_ENDPOINT names a mirror."
        )
    return hub_endpoint()


def _try_silero() -> str:
    import io

    from meet_transcriber.audio.vad import SileroDetector
    from meet_transcriber.audio.working_audio import FlacWriter, WorkingAudio
    from meet_transcriber.core.media import PreparedAudio

    file = io.BytesIO()
    writer = FlacWriter(file, 1)
    writer.write(noise_second()[None])
    writer.close()
    source = WorkingAudio(file, PreparedAudio(1.0, 1, (0.0,)))
    SileroDetector().detect(source, 0, lambda _share: None)
    return "speech detection, decoding and FLAC"
