"""What is for a machine without containers, and what prepares one for them."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from meet_transcriber.settings import Settings
from tests.deploy.engine import ROOT

UNITS = sorted((ROOT / "deploy" / "systemd").glob("*.service"))
SCRIPTS = [*(ROOT / "deploy").rglob("*.sh"), *(ROOT / "scripts").glob("*.sh")]
INSTALL = ROOT / "deploy" / "scripts" / "install-host.sh"


def _planned(*arguments: str) -> str:
    done = subprocess.run(
        [INSTALL, "--dry-run", *arguments], capture_output=True, text=True, check=True
    )
    return done.stdout


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.stem)
def test_systemd_has_nothing_to_say_about_a_unit(unit: Path, tmp_path: Path) -> None:
    """It wants the program to be there, so the paths of this test's own programs stand in."""
    here = str(Path(sys.executable).parent)
    copy = tmp_path / unit.name
    copy.write_text(unit.read_text().replace("/opt/meet-transcriber/.venv/bin", here))
    done = subprocess.run(
        ["systemd-analyze", "verify", str(copy)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.stem)
def test_a_unit_is_hardened(unit: Path) -> None:
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", str(unit)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    exposure = re.search(r"Overall exposure level for \S+: ([\d.]+)", done.stdout)
    assert exposure is not None, done.stdout + done.stderr
    assert float(exposure[1]) < 2.5


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.stem)
def test_a_decoder_that_is_killed_for_its_memory_does_not_end_a_unit(unit: Path) -> None:
    assert "\nOOMPolicy=continue\n" in unit.read_text()


def test_the_scripts_are_sound() -> None:
    checker = Path(sys.executable).with_name("shellcheck")
    done = subprocess.run([checker, *SCRIPTS], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_host_gets_docker_and_the_toolkit_the_current_way() -> None:
    planned = _planned("--gpu")
    assert "apt-key" not in planned
    assert "docker-compose-plugin" in planned or "already installed" in planned
    assert "nvidia-container-toolkit.gpg" in planned
    assert "+ nvidia-ctk runtime configure --runtime=docker\n+ systemctl restart docker" in planned


def test_without_a_gpu_there_is_no_toolkit() -> None:
    assert "nvidia-ctk" not in _planned("--no-gpu")


def test_a_dry_run_changes_nothing() -> None:
    """It gets along without rights, so there is nothing that it could change."""
    done = subprocess.run(
        ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
         "bash", "-s", "--", "--dry-run"],
        cwd="/", input=INSTALL.read_text(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "+ apt-get update" in done.stdout


def test_an_unknown_word_is_refused() -> None:
    done = subprocess.run([INSTALL, "--gpus"], capture_output=True, text=True, check=False)
    assert (done.returncode, "--gpus" in done.stderr) == (2, True)


def test_caddy_takes_what_the_api_takes_and_the_form_around_it() -> None:
    found = re.search(r"max_size (\d+)MiB", (ROOT / "deploy" / "caddy" / "Caddyfile").read_text())
    assert found is not None
    assert int(found[1]) == Settings.model_fields["max_upload_size_mb"].default + 1
