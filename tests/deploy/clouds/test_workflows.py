"""The workflows of GitHub: schema, security, and every action by its commit."""

import re
import subprocess
import sys
from pathlib import Path

from tests.deploy.clouds.artifacts import ROOT

BIN = Path(sys.executable).parent
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))


def _run(*words: str | Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(words, capture_output=True, text=True, check=False)


def test_they_follow_the_schema() -> None:
    schema = "vendor.github-workflows"
    done = _run(BIN / "check-jsonschema", "--builtin-schema", schema, *WORKFLOWS)
    assert done.returncode == 0, done.stdout


def test_zizmor_finds_nothing() -> None:
    done = _run(BIN / "zizmor", "--offline", "--no-progress", *WORKFLOWS)
    assert done.returncode == 0, done.stdout


def test_actions_are_named_by_commit() -> None:
    used = [x for path in WORKFLOWS for x in re.findall(r"uses: (.*)", path.read_text())]
    assert used
    assert [x for x in used if not re.fullmatch(r"[\w/-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", x)] == []
