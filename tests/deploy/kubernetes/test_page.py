"""docs/deployment/kubernetes.md: its commands are commands, and what it names is there."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.guide import GUIDE, commands
from tests.deploy.kubernetes.rendered import COMPONENTS, KUBERNETES, ROOT, kustomize

PAGE = (ROOT / "docs/deployment/kubernetes.md").read_text()
BASH = re.findall(r"(?ms)^```bash\n(.*?)^```$", PAGE)


@pytest.mark.parametrize("block", BASH)
def test_its_commands_are_sound(block: str, tmp_path: Path) -> None:
    (tmp_path / "block.sh").write_text(f"#!/bin/bash\nset -e\n{block}")
    checked = subprocess.run(
        [Path(sys.executable).parent / "shellcheck", tmp_path / "block.sh"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert checked.stdout == ""


def test_the_guides_commands_are_there_word_for_word_and_in_order() -> None:
    blocks = re.findall(r"(?ms)^```bash\n(.*?)^```$", GUIDE.read_text())
    told = [x for block in blocks for x in commands(block)]
    guides = [x for x in told if x.startswith("kubectl") and "https://" not in x]
    ours = [x for block in BASH for x in commands(block)]
    assert len(guides) == 8
    assert [x for x in ours if x in guides] == guides


def test_every_file_that_it_names_is_there() -> None:
    named = set(re.findall(r"(?<![\w./])deploy/[\w./-]+\w", PAGE))
    made = {x for x in named if "/mine" in x or x.endswith("/secrets.yaml")}
    known = {x.removesuffix("/NAME") for x in named - made}
    known |= {f"docs/deployment/{x}" for x in re.findall(r"\]\((\.\.[\w./-]+)\)", PAGE)}
    assert len(known) > 8
    assert [x for x in sorted(known) if not (ROOT / x).exists()] == []


def test_every_component_is_told() -> None:
    table = PAGE.partition("| Component |")[2].partition("\n\n")[0]
    assert set(re.findall(r"(?m)^\| `(\w+)` \|", table)) == set(COMPONENTS)


def test_its_kustomization_is_one(tmp_path: Path) -> None:
    (block,) = re.findall(r"(?ms)^```yaml\n(.*?)^```$", PAGE)
    there = tmp_path / "mine"
    there.mkdir()
    for name in ("base", "components"):
        (tmp_path / name).symlink_to(KUBERNETES / name)
    (there / "kustomization.yaml").write_text(block)
    images = {
        container["image"]
        for each in kustomize(there) if each["kind"] == "Deployment"
        for container in each["spec"]["template"]["spec"]["containers"]
    }  # fmt: skip
    assert {x.rpartition(":")[0] for x in images} == {"registry.example.org/team/meet-transcriber"}
    assert len(images) == 2
