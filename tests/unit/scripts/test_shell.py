"""The set-up says in a sentence what the machine lacks."""

import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[3] / "scripts"


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A folder of programs, the only one on PATH; it has nothing but `dirname`."""
    dirname = shutil.which("dirname")
    assert dirname is not None
    (tmp_path / "dirname").symlink_to(dirname)
    return tmp_path


def run(script: str, *arguments: str, machine: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/bin/sh", str(SCRIPTS / script), *arguments],
        env={"PATH": str(machine)},
        capture_output=True,
        text=True,
        check=False,
    )


def add_program(machine: Path, name: str, script: str) -> None:
    (machine / name).write_text(f"#!/bin/sh\n{script}\n")
    (machine / name).chmod(0o755)


def test_a_missing_python_is_an_error(machine: Path) -> None:
    done = run("setup.sh", str(machine / "venv"), "lock.txt", machine=machine)
    assert done.returncode == 1
    assert "Python 3.11 or newer was not found" in done.stderr


def test_an_old_python_is_not_used(machine: Path) -> None:
    add_program(machine, "python3", "exit 1")
    done = run("setup.sh", str(machine / "venv"), "lock.txt", machine=machine)
    assert "Python 3.11 or newer was not found" in done.stderr


def test_a_python_without_venv_names_the_package(machine: Path) -> None:
    add_program(machine, "python3", 'case "$2" in *ensurepip*) exit 1 ;; esac')
    done = run("setup.sh", str(machine / "venv"), "lock.txt", machine=machine)
    assert done.returncode == 1
    assert "sudo apt-get install -y python3-venv" in done.stderr


def test_missing_programs_are_named_in_one_line(machine: Path) -> None:
    add_program(machine, "sox", "")
    done = run("need.sh", "flite", "sox", "festival", machine=machine)
    assert done.returncode == 1
    assert "apt-get install -y --no-install-recommends flite festival festvox-" in done.stderr


def test_nothing_is_printed_when_nothing_is_missing(machine: Path) -> None:
    add_program(machine, "sox", "")
    done = run("need.sh", "sox", machine=machine)
    assert (done.returncode, done.stderr) == (0, "")
