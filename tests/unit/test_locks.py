"""The locks install the same published files everywhere."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def _packages(lock: Path) -> dict[str, str]:
    pinned = re.findall(r"^([\w.-]+)(?:\[[\w,-]+\])?==([\w.+!]+)", lock.read_text(), re.MULTILINE)
    return dict(pinned)


def _name(requirement: str) -> str:
    name = re.match(r"[\w.-]+", requirement)
    assert name is not None
    return re.sub(r"[._-]+", "-", name.group()).lower()


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.stem)
def test_every_package_has_a_hash(lock: Path) -> None:
    entries = re.split(r"\n(?=[\w])", lock.read_text())[1:]
    assert entries
    assert [entry for entry in entries if "--hash=sha256:" not in entry] == []


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.stem)
def test_a_lock_names_no_address_and_no_folder(lock: Path) -> None:
    lines = lock.read_text().splitlines()
    assert [line for line in lines if "://" in line or line.startswith(("-", "/", "."))] == []


def test_the_apis_packages_are_the_projects_without_engines() -> None:
    """The group stands beside the dependencies because neither can name the other."""
    whole = PROJECT["project"]["dependencies"]
    assert [each for each in PROJECT["dependency-groups"]["api"] if each not in whole] == []
    engines = {
        *("ctranslate2", "faster-whisper", "huggingface-hub", "numpy", "onnxruntime"),
        *("nvidia-ml-py", "opencc", "tokenizers", "tqdm"),
    }
    assert {_name(each) for each in whole} - engines == {
        _name(each) for each in PROJECT["dependency-groups"]["api"]
    }


def test_every_dependency_is_locked() -> None:
    locked = _packages(ROOT / "requirements" / "runtime.txt")
    assert {_name(each) for each in PROJECT["project"]["dependencies"]} <= set(locked)


def test_the_build_backend_is_locked() -> None:
    asked = PROJECT["build-system"]["requires"] + PROJECT["dependency-groups"]["build"]
    assert {_name(each) for each in asked} <= set(_packages(ROOT / "requirements" / "build.txt"))


def test_build_tools_are_installed_before_source_packages() -> None:
    setup = (ROOT / "scripts" / "setup.sh").read_text()
    assert "--no-build-isolation" in setup
    assert setup.index("requirements/build.txt\n") < setup.rindex('-r "$lock"')


@pytest.mark.parametrize("group", ["test", "lint", "audit", "system", "deploy"])
def test_a_group_agrees_with_the_runtime(group: str) -> None:
    runtime = _packages(ROOT / "requirements" / "runtime.txt")
    locked = _packages(ROOT / "requirements" / f"{group}.txt")
    assert {_name(each) for each in PROJECT["dependency-groups"][group]} <= set(locked)
    assert {name: locked[name] for name in runtime} == runtime


def test_the_managers_lock_has_their_extras_and_agrees_with_the_runtime() -> None:
    runtime = _packages(ROOT / "requirements" / "runtime.txt")
    locked = _packages(ROOT / "requirements" / "managers.txt")
    extras = PROJECT["project"]["optional-dependencies"]
    asked = [each for extra in ("aws", "gcp", "azure") for each in extras[extra]]
    assert {_name(each) for each in asked} <= set(locked)
    assert {name: locked[name] for name in runtime} == runtime
