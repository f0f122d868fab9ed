"""A pyannote pipeline's config.yaml and the files it names, on disk or from the hub."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from meet_transcriber.core.errors import EngineUnavailable
from meet_transcriber.engines.weights.sources import hub_endpoint, hub_problem
from meet_transcriber.observability.logging import get_logger

log = get_logger(__name__)

# Pipelines that are tried, in this order, if none is named: users who followed the deployment
# guide accepted the terms of 3.1 only.
DEFAULT_MODELS = ("pyannote/speaker-diarization-community-1", "pyannote/speaker-diarization-3.1")

_CONFIG = "config.yaml"
_WEIGHTS = ("pytorch_model.bin",)
_PLDA = ("xvec_transform.npz", "plda.npz")
_PIPELINE = "SpeakerDiarization"
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+(@[\w.-]+)?")
_FILE = re.compile(r"\.(bin|ckpt|pt|pth|npz|ya?ml)$")
_DOWNLOAD_ARGUMENTS = ("token", "use_auth_token", "cache_dir")
# What the deployment guide prints in place of a token.
_PLACEHOLDERS = frozenset({"hf_your_token_here", "hf_your_token"})
# Pipelines whose models are in gated repositories of their own.
_COMPANIONS = {
    "pyannote/speaker-diarization-3.0": ("pyannote/segmentation-3.0",),
    "pyannote/speaker-diarization-3.1": ("pyannote/segmentation-3.0",),
}


def usable_token(token: str | None) -> str | None:
    """Strip a token; returns None for an empty one or the deployment guide's placeholder."""
    cleaned = (token or "").strip()
    if cleaned in _PLACEHOLDERS:
        log.warning(
            "placeholder_token_ignored",
            why=f"HUGGINGFACE_ACCESS_TOKEN is the placeholder {cleaned}",
        )
        return None
    return cleaned or None


class GateClosed(Exception):
    """The hub refused a repository: its terms, the token, or its name."""

    def __init__(self, repository: str) -> None:
        super().__init__(repository)
        self.repository = repository


GetFile = Callable[[str, str, str | None], Path]
"""From repository, name and revision to the file's path; raises as `HubFiles.get`."""


@dataclass(frozen=True)
class HubFiles:
    """
    Files from the hub's cache, else from the hub if that is allowed.

    Attributes:
        token: for gated repositories; sent to the hub only, and only to fetch.
        cache_dir: the hub's cache; None for the default one.
        local_files_only: do not use the network.
        download: replaces `huggingface_hub.hf_hub_download`.
        problem: returns why the hub cannot be reached, or None.
    """

    token: str | None = field(default=None, repr=False)
    cache_dir: Path | None = None
    local_files_only: bool = True
    download: Callable[..., str] | None = None
    problem: Callable[[], str | None] = hub_problem

    def get(self, repository: str, name: str, revision: str | None) -> Path:
        """
        Return the path of a file on disk.

        Raises:
            GateClosed: the repository's terms were not accepted, or it does not exist.
            EngineUnavailable: the file cannot be fetched; the message says why.
        """
        from huggingface_hub import errors  # noqa: PLC0415 - slow to import

        try:
            return self._call(repository, name, revision, local=True)
        except errors.LocalEntryNotFoundError as error:
            if self.local_files_only:
                message = f"{name} of {repository} is not on this machine."
                raise EngineUnavailable(message) from error
        if problem := self.problem():
            raise EngineUnavailable(
                f"Cannot fetch {repository}: {hub_endpoint()} cannot be reached ({problem})."
            )
        try:
            return self._call(repository, name, revision, local=False)
        except (OSError, errors.EntryNotFoundError) as error:
            status = getattr(getattr(error, "response", None), "status_code", None)
            # a gated repository looks as if it did not exist
            if isinstance(error, errors.RepositoryNotFoundError) or status in (401, 403):
                raise GateClosed(repository) from error
            local = isinstance(error, errors.LocalEntryNotFoundError)
            if isinstance(error, errors.EntryNotFoundError) and not local:
                raise EngineUnavailable(
                    f"{repository} has no {name}; only models in pyannote's format can be used."
                ) from error
            raise EngineUnavailable(f"Cannot fetch {repository}: {error}") from error

    def _call(self, repository: str, name: str, revision: str | None, *, local: bool) -> Path:
        from huggingface_hub import errors, hf_hub_download  # noqa: PLC0415 - slow to import

        try:
            found = (self.download or hf_hub_download)(
                repository,
                name,
                revision=revision,
                cache_dir=str(self.cache_dir) if self.cache_dir else None,
                token=None if local else self.token,
                local_files_only=local,
            )
        except errors.HFValidationError as error:
            raise EngineUnavailable(f"{repository!r} is neither a folder nor a hub id.") from error
        return Path(found)


@dataclass(frozen=True)
class PipelineConfig:
    """
    A pipeline whose files are all on disk.

    Attributes:
        segmentation, embedding: checkpoint files.
        plda: the two PLDA files of VBx clustering; empty for other clusterings.
        arguments: further arguments of the pipeline's class.
        parameters: its tuned parameters.
    """

    segmentation: Path
    embedding: Path
    plda: tuple[Path, ...] = ()
    arguments: Mapping[str, Any] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)


def _read_config(model: str, get: GetFile) -> PipelineConfig:
    """
    Read the config.yaml of `model` and find its models.

    Models are named as in pyannote's own files: `$model/subfolder`, a hub id with an optional
    `@revision`, a path (absolute, or relative to the config.yaml), or a mapping of `checkpoint`,
    `subfolder` and `revision`. A PLDA is read only if the clustering uses one: pyannote.audio 4
    would fetch a gated one even for 3.1.

    Raises:
        GateClosed: the hub refused a file.
        EngineUnavailable: a file is missing or invalid.
    """
    origin, path = _find_config(model, get)
    config = _parse(path)
    arguments = dict(config["pipeline"].get("params") or {})
    for name in _DOWNLOAD_ARGUMENTS:
        arguments.pop(name, None)
    named = {part: arguments.pop(part, None) for part in ("segmentation", "embedding", "plda")}
    (segmentation,) = _find_part(named["segmentation"], "segmentation", origin, _WEIGHTS, get)
    (embedding,) = _find_part(named["embedding"], "embedding", origin, _WEIGHTS, get)
    plda: tuple[Path, ...] = ()
    if arguments.get("clustering") == "VBxClustering":
        plda = _find_part(named["plda"], "plda", origin, _PLDA, get)
    return PipelineConfig(segmentation, embedding, plda, arguments, config["params"])


def _find_config(model: str, get: GetFile) -> tuple[Path | str, Path]:
    """Return the pipeline's folder or hub id, and its config.yaml."""
    path = Path(model).expanduser()
    if path.is_file():
        return path.parent, path
    if path.is_dir():
        return path, _check_exists(path / _CONFIG)
    if _is_path(model):
        raise EngineUnavailable(f"There is no folder {model!r} with a pyannote pipeline.")
    repository, _, revision = model.partition("@")
    return model, get(repository, _CONFIG, revision or None)


def _is_path(name: str) -> bool:
    return bool(_FILE.search(name)) or not _HUB_ID.fullmatch(name)


def _check_exists(path: Path) -> Path:
    if not path.is_file():
        raise EngineUnavailable(f"The pyannote pipeline lacks {path.parent.name}/{path.name}.")
    return path


def _parse(path: Path) -> dict[str, Any]:
    import yaml  # noqa: PLC0415 - comes with huggingface_hub

    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise EngineUnavailable(f"{path.name} of the pipeline cannot be read: {error}.") from error
    if not isinstance(config, dict) or not isinstance(config.get("pipeline"), dict):
        raise EngineUnavailable(f"{path.name} describes no pyannote pipeline.")
    name = str(config["pipeline"].get("name", ""))
    if name.rpartition(".")[2] != _PIPELINE:
        raise EngineUnavailable(
            f"{path.name} describes a pipeline {name!r}; only {_PIPELINE} can be used."
        )
    if not isinstance(config.get("params"), dict):
        raise EngineUnavailable(f"{path.name} of the pipeline has no params.")
    return config


def _find_part(
    value: object, part: str, origin: Path | str, names: Sequence[str], get: GetFile
) -> tuple[Path, ...]:
    """Return the files of one model of the pipeline, one for each name."""
    entry: Mapping[str, Any] = value if isinstance(value, Mapping) else {"checkpoint": value}
    checkpoint = str(entry.get("checkpoint") or "")
    if not checkpoint:
        raise EngineUnavailable(f"The pipeline's {_CONFIG} names no {part} model.")
    folder, revision = str(entry.get("subfolder") or ""), entry.get("revision")
    if checkpoint.startswith("$model/"):
        folder, _, revision = checkpoint.removeprefix("$model/").partition("@")
        checkpoint = str(origin)
    path = Path(checkpoint).expanduser()
    beside = [origin / path] if isinstance(origin, Path) else []
    local = next((place for place in [*beside, path] if place.exists()), None)
    if local is not None:
        if local.is_file() and len(names) == 1:
            return (local,)
        base = local.parent if local.is_file() else local
        return tuple(_check_exists(base / folder / name) for name in names)
    if _is_path(checkpoint):
        raise EngineUnavailable(f"The pipeline's {part} model {checkpoint!r} does not exist.")
    repository, _, tagged = checkpoint.partition("@")
    prefix = f"{folder}/" if folder else ""
    return tuple(get(repository, prefix + name, revision or tagged or None) for name in names)


def find_pipeline(model: str, get: GetFile, *, has_token: bool) -> PipelineConfig:
    """
    Read a pipeline's config.yaml and find all files it names.

    Args:
        model: a hub id, a folder with a config.yaml, or such a file.
        has_token: a usable token was given; used in error messages only.

    Raises:
        EngineUnavailable: a file is missing; the message says which, and the command to run.
    """
    try:
        return _read_config(model, get)
    except GateClosed as gate:
        message = _gate_message(model, gate.repository, has_token=has_token)
        raise EngineUnavailable(message) from gate
    except EngineUnavailable as error:
        remedy = (
            "Complete the folder, or set DIARIZATION_MODEL to another one."
            if Path(model).exists()
            else f"Run: meet-transcriber models pull {model}"
        )
        raise EngineUnavailable(f"{error} {remedy}") from error


def find_first_pipeline(
    models: Sequence[str], get: GetFile, *, has_token: bool
) -> tuple[str, PipelineConfig]:
    """
    Return the name and config of the first pipeline that is available; logs those that are not.

    Raises:
        EngineUnavailable: none is available; the message is about the first one.
    """
    problems = []
    for model in models:
        try:
            return model, find_pipeline(model, get, has_token=has_token)
        except EngineUnavailable as error:
            problems.append(error)
            if model != models[-1]:
                log.warning("pipeline_unavailable", model=model, why=str(error))
    raise problems[0]


def _gate_message(model: str, closed: str, *, has_token: bool) -> str:
    """Return which terms to accept, and whether a token is missing."""
    gates = dict.fromkeys([closed, *_COMPANIONS.get(model, ())])
    pages = " and ".join(f"https://huggingface.co/{gate}" for gate in gates)
    token = (
        "with the account of the token, let the token read gated repositories"
        if has_token
        else "create a token at https://huggingface.co/settings/tokens, "
        "set HUGGINGFACE_ACCESS_TOKEN to it"
    )
    return (
        f"Hugging Face refuses {closed}: accept the terms at {pages}, "
        f"{token}, then run: meet-transcriber models pull {model}"
    )


def locate_pipeline(
    model: str | None,
    token: str | None = None,
    cache_dir: Path | None = None,
    *,
    local_files_only: bool,
) -> tuple[str, PipelineConfig]:
    """
    Return a pipeline's name and config, with all its files on disk.

    Args:
        model: a hub id or a folder; None takes the first of DEFAULT_MODELS that is available.
        token: for gated models; the deployment guide's placeholder is ignored.
        local_files_only: False fetches missing files into the hub's cache.

    Raises:
        EngineUnavailable: the hub cannot be reached or refuses; the message says which terms to
            accept.
    """
    token = usable_token(token)
    get = HubFiles(token, cache_dir, local_files_only).get
    models = DEFAULT_MODELS if model is None else (model,)
    return find_first_pipeline(models, get, has_token=token is not None)
