"""
The folder that models are kept in: one folder a model, each with a record of what is in it.

Copying the folder to another machine is all that it takes to have the models there.
"""

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from meet_transcriber.core.errors import EngineUnavailable
from meet_transcriber.engines.weights.catalogue import Model, WeightFile

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
