"""A pipeline's config.yaml, with every model in it found on disk."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from meet_transcriber.core.errors import EngineUnavailable
from meet_transcriber.engines.weights.sources import hub_endpoint, hub_problem
from meet_transcriber.observability.logging import get_logger

CONFIG = "config.yaml"
WEIGHTS = ("pytorch_model.bin",)
PLDA = ("xvec_transform.npz", "plda.npz")
PIPELINE = "SpeakerDiarization"
VBX = "VBxClustering"

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+(@[\w.-]+)?")
_FILE = re.compile(r"\.(bin|ckpt|pt|pth|npz|ya?ml)$")
_WHERE_FROM = ("token", "use_auth_token", "cache_dir")

Get = Callable[[str, Sequence[str], str | None], tuple[Path, ...]]
"""Repository, file names and revision to paths; an empty tuple where the hub refused."""


@dataclass(frozen=True)
class Recipe:
    """
    What it takes to build a pipeline, all of it on disk.

    Attributes:
        segmentation, embedding: checkpoint files.
        plda: the two PLDA files that VBx clustering needs; empty for other clusterings.
        arguments: further arguments of the pipeline's class.
        parameters: its tuned parameters.
    """

    segmentation: Path
    embedding: Path
    plda: tuple[Path, ...] = ()
    arguments: Mapping[str, Any] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)

    @property
    def clustering(self) -> str:
        return str(self.arguments.get("clustering", "AgglomerativeClustering"))


def read_recipe(model: str, get: Get) -> Recipe | None:
    """
    Read the config.yaml of `model` and find its models.

    Models are named as in pyannote's own files: `$model/subfolder`, a hub id with an optional
    `@revision`, a path (absolute, or relative to the config.yaml), or a mapping of
    `checkpoint`, `subfolder` and `revision`. A PLDA is looked for only where the clustering
    uses one: pyannote.audio 4 would fetch a gated one even for 3.1.

    Returns:
        None where the hub refused a file; `get` has taken note of it.

    Raises:
        EngineUnavailable: a file is missing or makes no sense.
    """
    origin, found = _config_file(model, get)
    if found is None:
        return None
    config = _parse(found)
    arguments = dict(config["pipeline"].get("params") or {})
    for name in _WHERE_FROM:
        arguments.pop(name, None)
    segmentation = _part(arguments.pop("segmentation", None), "segmentation", origin, WEIGHTS, get)
    embedding = _part(arguments.pop("embedding", None), "embedding", origin, WEIGHTS, get)
    named = arguments.pop("plda", None)
    uses_plda = arguments.get("clustering") == VBX
    plda = _part(named, "plda", origin, PLDA, get) if uses_plda else ()
    if not segmentation or not embedding or (uses_plda and not plda):
        return None
    return Recipe(segmentation[0], embedding[0], plda, arguments, config["params"])


def _config_file(model: str, get: Get) -> tuple[Path | str, Path | None]:
    """Where the pipeline lives (a folder or a hub id), and its config.yaml."""
    path = Path(model).expanduser()
    if path.is_file():
        return path.parent, path
    if path.is_dir():
        return path, _existing(path / CONFIG)
    if _looks_like_path(model):
        raise EngineUnavailable(f"There is no folder {model!r} with a pyannote pipeline.")
    repository, _, revision = model.partition("@")
    found = get(repository, (CONFIG,), revision or None)
    return model, found[0] if found else None


def _looks_like_path(name: str) -> bool:
    return bool(_FILE.search(name)) or not _HUB_ID.fullmatch(name)


def _existing(path: Path) -> Path:
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
    if name.rpartition(".")[2] != PIPELINE:
        raise EngineUnavailable(
            f"{path.name} describes a pipeline {name!r}; {PIPELINE} is what can be used."
        )
    if not isinstance(config.get("params"), dict):
        raise EngineUnavailable(f"{path.name} of the pipeline has no params.")
    return config


def _part(
    value: object, part: str, origin: Path | str, names: Sequence[str], get: Get
) -> tuple[Path, ...]:
    """Files of one model of the pipeline."""
    entry: Mapping[str, Any] = value if isinstance(value, Mapping) else {"checkpoint": value}
    checkpoint = str(entry.get("checkpoint") or "")
    if not checkpoint:
        raise EngineUnavailable(f"The pipeline's {CONFIG} names no {part} model.")
    folder, revision = str(entry.get("subfolder") or ""), entry.get("revision")
    if checkpoint.startswith("$model/"):
        folder, _, revision = checkpoint.removeprefix("$model/").partition("@")
        checkpoint = str(origin)
    if (local := _local(checkpoint, origin)) is not None:
        if local.is_file() and len(names) == 1:
            return (local,)
        base = local.parent if local.is_file() else local
        return tuple(_existing(base / folder / name) for name in names)
    if _looks_like_path(checkpoint):
        raise EngineUnavailable(f"The pipeline's {part} model {checkpoint!r} is not there.")
    repository, _, tagged = checkpoint.partition("@")
    prefix = f"{folder}/" if folder else ""
    return get(repository, [prefix + name for name in names], revision or tagged or None)


def _local(checkpoint: str, origin: Path | str) -> Path | None:
    path = Path(checkpoint).expanduser()
    beside = [origin / path] if isinstance(origin, Path) else []
    return next((found for found in [*beside, path] if found.exists()), None)


log = get_logger(__name__)

# What the deployment guide prints where a token belongs.
PLACEHOLDERS = frozenset({"hf_your_token_here", "hf_your_token"})
# What is taken where no pipeline is named, the first one that can be had: who followed the
# deployment guide accepted the terms of 3.1 and of nothing else.
DEFAULT_MODELS = (
    "pyannote/speaker-diarization-community-1",
    "pyannote/speaker-diarization-3.1",
)
# Pipelines whose models lie in gated repositories of their own.
COMPANIONS = {
    "pyannote/speaker-diarization-3.0": ("pyannote/segmentation-3.0",),
    "pyannote/speaker-diarization-3.1": ("pyannote/segmentation-3.0",),
}


class Files(Protocol):
    """Single files of hub repositories."""

    def get(self, repository: str, name: str, revision: str | None = None) -> Path:
        """
        Return the path of a file on disk.

        Raises:
            GateClosed: the repository's terms were not accepted, or there is no such one.
            EngineUnavailable: the file cannot be had, with the reason in words.
        """
        ...


class Download(Protocol):
    """The shape of `huggingface_hub.hf_hub_download`, as far as it is used."""

    def __call__(
        self,
        repo_id: str,
        filename: str,
        *,
        revision: str | None,
        cache_dir: str | None,
        token: str | None,
        local_files_only: bool,
    ) -> str: ...


class GateClosed(Exception):
    """The hub refused a repository: its terms, the token, or its name."""

    def __init__(self, repository: str) -> None:
        super().__init__(repository)
        self.repository = repository


def usable_token(token: str | None) -> str | None:
    """The token without surrounding space; None for an empty one or the guide's placeholder."""
    cleaned = (token or "").strip()
    if cleaned in PLACEHOLDERS:
        log.warning(
            "placeholder_token_ignored",
            why=f"HUGGINGFACE_ACCESS_TOKEN is the placeholder {cleaned}",
        )
        return None
    return cleaned or None


def _download(
    repo_id: str,
    filename: str,
    *,
    revision: str | None,
    cache_dir: str | None,
    token: str | None,
    local_files_only: bool,
) -> str:
    from huggingface_hub import hf_hub_download  # noqa: PLC0415 - slow to import

    return hf_hub_download(
        repo_id,
        filename,
        revision=revision,
        cache_dir=cache_dir,
        token=token,
        local_files_only=local_files_only,
    )


@dataclass(frozen=True)
class HubFiles:
    """
    Files of the hub: from the cache when they are there, else fetched when that is allowed.

    Attributes:
        token: for gated repositories; it goes to the hub only, and only to fetch.
        cache_dir: the hub's cache; None for the usual one.
        local_files_only: never ask the network.
    """

    token: str | None = field(default=None, repr=False)
    cache_dir: Path | None = None
    local_files_only: bool = True
    download: Download = _download
    problem: Callable[[], str | None] = hub_problem

    def get(self, repository: str, name: str, revision: str | None = None) -> Path:
        """See `Files`."""
        from huggingface_hub.errors import LocalEntryNotFoundError  # noqa: PLC0415

        try:
            return self._ask(repository, name, revision, local=True)
        except LocalEntryNotFoundError as error:
            if self.local_files_only:
                raise EngineUnavailable(
                    f"{name} of {repository} is not on this machine."
                ) from error
        if problem := self.problem():
            raise EngineUnavailable(
                f"Cannot fetch {repository}: {hub_endpoint()} cannot be reached ({problem})."
            )
        return self._fetch(repository, name, revision)

    def _fetch(self, repository: str, name: str, revision: str | None) -> Path:
        from huggingface_hub import errors  # noqa: PLC0415 - slow to import

        try:
            return self._ask(repository, name, revision, local=False)
        except errors.RepositoryNotFoundError as error:  # includes gated ones
            raise GateClosed(repository) from error
        except errors.LocalEntryNotFoundError as error:
            raise EngineUnavailable(f"Cannot fetch {repository}: {error}") from error
        except errors.EntryNotFoundError as error:
            raise EngineUnavailable(
                f"{repository} holds no {name}; only models in pyannote's own format can be used."
            ) from error
        except errors.HfHubHTTPError as error:
            if error.response is not None and error.response.status_code in (401, 403):
                raise GateClosed(repository) from error
            raise EngineUnavailable(f"Cannot fetch {repository}: {error}") from error
        except OSError as error:
            raise EngineUnavailable(f"Cannot fetch {repository}: {error}") from error

    def _ask(self, repository: str, name: str, revision: str | None, *, local: bool) -> Path:
        from huggingface_hub.errors import HFValidationError  # noqa: PLC0415

        cache = str(self.cache_dir) if self.cache_dir else None
        try:
            found = self.download(
                repository,
                name,
                revision=revision,
                cache_dir=cache,
                token=None if local else self.token,
                local_files_only=local,
            )
        except HFValidationError as error:
            raise EngineUnavailable(
                f"{repository!r} is neither a folder here nor a hub id."
            ) from error
        return Path(found)


def find_recipe(model: str, files: Files, *, has_token: bool) -> Recipe:
    """
    Read a pipeline's config.yaml and find every file it names.

    Args:
        model: a hub id, a folder with a config.yaml, or such a file.
        has_token: a usable token was given; only the words of errors depend on it.

    Raises:
        EngineUnavailable: something is missing; says what, and the command that mends it.
    """
    closed: list[str] = []

    def get(repository: str, names: Sequence[str], revision: str | None) -> tuple[Path, ...]:
        try:
            return tuple(files.get(repository, name, revision) for name in names)
        except GateClosed as gate:
            closed.append(gate.repository)
            return ()

    try:
        recipe = read_recipe(model, get)
    except EngineUnavailable as error:
        raise EngineUnavailable(f"{error} {mending(model)}") from error
    if closed or recipe is None:
        raise EngineUnavailable(gate_words(model, closed, has_token=has_token))
    return recipe


def first_recipe(models: Sequence[str], files: Files, *, has_token: bool) -> tuple[str, Recipe]:
    """
    The first of several pipelines that can be had, with its name; the log says what was not.

    Raises:
        EngineUnavailable: none can be had; says what is missing of the first.
    """
    problems = []
    for model in models:
        try:
            return model, find_recipe(model, files, has_token=has_token)
        except EngineUnavailable as error:
            problems.append(error)
            if model != models[-1]:
                log.warning("pipeline_passed_over", model=model, why=str(error))
    raise problems[0]


def mending(model: str) -> str:
    """The sentence that ends every complaint about missing weights."""
    if Path(model).exists():
        return "Complete the folder, or set DIARIZATION_MODEL to another one."
    return f"Run: meet-transcriber models pull {model}"


def gate_words(model: str, closed: Sequence[str], *, has_token: bool) -> str:
    """Which terms to accept where, and whether a token is missing as well."""
    gates = dict.fromkeys([*closed, *COMPANIONS.get(model, ())])
    pages = " and ".join(f"https://huggingface.co/{gate}" for gate in gates)
    token = (
        "with the account of the token, let the token read gated repositories"
        if has_token
        else "create a token at https://huggingface.co/settings/tokens, "
        "set HUGGINGFACE_ACCESS_TOKEN to it"
    )
    return (
        f"Hugging Face refuses {', '.join(dict.fromkeys(closed))}: accept the terms at {pages}, "
        f"{token}, then run: meet-transcriber models pull {model}"
    )


def pull_pipeline(
    model: str | None, token: str | None = None, cache_dir: Path | None = None
) -> Recipe:
    """
    Fetch every file of a pipeline into the hub's cache; what is there already stays.

    Args:
        model: a hub id; None takes the first of DEFAULT_MODELS that can be had.

    Raises:
        EngineUnavailable: the hub is out of reach or refuses; says which terms to accept.
    """
    token = usable_token(token)
    files = HubFiles(token, cache_dir, local_files_only=False)
    if model is None:
        return first_recipe(DEFAULT_MODELS, files, has_token=token is not None)[1]
    return find_recipe(model, files, has_token=token is not None)
