"""docs/deployment/kubernetes.md: the guide's commands, the components, and a kustomization."""

from pathlib import Path

from scripts.guide import GUIDE, commands
from tests.deploy.kubernetes.rendered import KUBERNETES, kustomize
from tests.deploy.pages import FOLDER, blocks

PAGE = FOLDER / "kubernetes.md"


def test_the_guides_commands_are_there_word_for_word_and_in_order() -> None:
    told = [x for block in blocks(GUIDE, "bash") for x in commands(block.text)]
    guides = [x for x in told if x.startswith("kubectl") and "https://" not in x]
    ours = [x for block in blocks(PAGE, "bash") for x in commands(block.text)]
    assert len(guides) == 8
    assert [x for x in ours if x in guides] == guides


def test_its_kustomization_is_one(tmp_path: Path) -> None:
    (block,) = blocks(PAGE, "yaml")
    there = tmp_path / "mine"
    there.mkdir()
    for name in ("base", "components"):
        (tmp_path / name).symlink_to(KUBERNETES / name)
    (there / "kustomization.yaml").write_text(block.text)
    images = {
        container["image"]
        for each in kustomize(there) if each["kind"] == "Deployment"
        for container in each["spec"]["template"]["spec"]["containers"]
    }  # fmt: skip
    assert {x.rpartition(":")[0] for x in images} == {"registry.example.org/team/meet-transcriber"}
    assert len(images) == 2
