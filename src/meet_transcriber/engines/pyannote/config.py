"""A pipeline's config.yaml, with every model in it found on disk."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from meet_transcriber.core.errors import EngineUnavailable

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
