"""Every kustomization renders, and every object is what its API takes."""

import copy
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest

from scripts.guide import GUIDE
from tests.deploy.kubernetes.custom import SCHEMAS
from tests.deploy.kubernetes.rendered import (
    BASE,
    COMPONENTS,
    DEPLOY,
    KUBERNETES,
    OVERLAYS,
    ROOT,
    TOGETHER,
    Object,
    objects,
    overlay,
    secrets,
    together,
)

VERSIONS = ("1.33", "1.35", "1.37")
GUIDE_TEXT = GUIDE.read_text(encoding="utf-8")


def check(each: Object) -> None:
    """Raise where the object is not what its API takes; unknown fields count as wrong."""
    schema = SCHEMAS.get((each["apiVersion"], each["kind"]))
    if schema is not None:
        jsonschema.validate(each, schema)
        return
    for version in VERSIONS:
        assert kubernetes_validate.validate(each, version, strict=True) == version


def test_there_is_an_overlay_for_everything_promised() -> None:
    assert {"cpu", "gpu", "s3", "rwx", "keda", "loadbalancer", "gateway", "spot", "gke"} == set(
        OVERLAYS
    )
    assert set(OVERLAYS) | {"baked", "vault"} == set(COMPONENTS)


@pytest.mark.parametrize("name", ["base", *OVERLAYS])
def test_an_overlay_is_what_the_cluster_takes(name: str) -> None:
    for each in overlay(name):
        check(each)


@pytest.mark.parametrize("components", TOGETHER)
def test_components_go_together(components: tuple[str, ...]) -> None:
    for each in together(components):
        check(each)


def test_what_is_applied_by_itself_is_what_the_cluster_takes() -> None:
    by_itself = [*DEPLOY.glob("secrets/*.yaml"), *KUBERNETES.glob("gpu-sharing/*.yaml")]
    found = [each for path in by_itself for each in objects(path.read_text())]
    assert len(found) == 8
    for each in [*found, *secrets(HUGGINGFACE_ACCESS_TOKEN="hf_x")]:
        check(each)


def leaves(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    if isinstance(value, dict):
        yield path
        for key, each in value.items():
            yield from leaves(each, (*path, key))
    elif isinstance(value, list):
        for at, each in enumerate(value):
            yield from leaves(each, (*path, at))


@pytest.mark.parametrize("kind", ["Deployment", "NetworkPolicy", *sorted({k for _, k in SCHEMAS})])
def test_a_field_that_does_not_exist_is_found(kind: str) -> None:
    known = [*together(("keda", "gateway")),
             *objects((DEPLOY / "secrets/external-secret.vault.yaml").read_text())]  # fmt: skip
    whole = next(each for each in known if each["kind"] == kind)
    for path in leaves(whole):
        if path and path[-1] in {"annotations", "labels", "matchLabels", "limits", "requests"}:
            continue  # of any names
        broken = copy.deepcopy(whole)
        inner: Any = broken
        for step in path:
            inner = inner[step]
        inner["slip"] = "x"
        with pytest.raises((jsonschema.ValidationError, kubernetes_validate.ValidationError)):
            check(broken)


# -- the guide ---------------------------------------------------------------------------------


def test_the_guides_commands_apply_every_object_in_their_order() -> None:
    names = re.findall(r"^kubectl apply -f ([\w-]+\.yaml)$", GUIDE_TEXT, re.MULTILINE)
    assert len(names) == 6
    texts = {path.name: path.read_text() for path in BASE.glob("*.yaml")}
    for each in secrets():
        texts["secrets.yaml"] = texts.get("secrets.yaml", "") + f"---\n{each}\n"
    applied = [(each["kind"], each["metadata"]["name"]) for name in names
               for each in objects(texts[name])]  # fmt: skip
    assert applied[0] == ("Namespace", "meet-transcriber")
    rendered = [(each["kind"], each["metadata"]["name"]) for each in overlay("base")]
    hpa = ("HorizontalPodAutoscaler", "worker-hpa")  # of the guide's other chapter
    made = [("Secret", "meet-transcriber-secrets"), ("Secret", "meet-transcriber-monitor")]
    assert sorted(applied) == sorted([*(x for x in rendered if x != hpa), *made])


def test_every_object_of_the_guide_is_there_under_its_name() -> None:
    blocks = re.findall(r"(?ms)^```yaml\n(.*?)^```$", GUIDE_TEXT)
    guides = {(x["kind"], x["metadata"]["name"]) for block in blocks if "apiVersion" in block
              for x in objects(block)}  # fmt: skip
    ours = {(x["kind"], x["metadata"]["name"]) for x in [*overlay("base"), *secrets()]}
    # a Deployment would lose the queue with its pod
    expected = (guides - {("Deployment", "redis")}) | {("StatefulSet", "redis")}
    assert len(guides) == 9
    assert expected <= ours


def test_what_the_guide_sets_is_set_so() -> None:
    block = re.search(r"(?s)\*\*configmap.yaml\*\*\n```yaml\n(.*?)```", GUIDE_TEXT)
    assert block is not None
    (guides,) = objects(block.group(1))
    ours = objects((BASE / "configmap.yaml").read_text())[0]["data"]
    assert guides["data"].items() <= ours.items()


# -- how it is written -------------------------------------------------------------------------


def test_the_files_are_written_evenly() -> None:
    rules = "{extends: default, rules: {document-start: disable, line-length: {max: 110}, " \
        "comments: {min-spaces-from-content: 1}}}"  # fmt: skip
    checked = subprocess.run(
        [sys.executable, "-m", "yamllint", "--strict", "-d", rules, "deploy/kubernetes",
         "deploy/secrets"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (checked.stdout, checked.returncode) == ("", 0)


def test_checkov_finds_nothing_that_has_no_reason(tmp_path: Path) -> None:
    for name in ("base", *OVERLAYS):
        made = subprocess.run(["kubectl", "kustomize", BASE if name == "base" else
                               KUBERNETES / "overlays" / name],
                              capture_output=True, check=True)  # fmt: skip
        (tmp_path / f"{name}.yaml").write_bytes(made.stdout)
    checked = subprocess.run(
        [ROOT / ".venv-checkov/bin/checkov", "--directory", tmp_path, "--framework", "kubernetes",
         "--compact", "--quiet", "--skip-download", "--config-file", DEPLOY / "checkov.yaml"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (checked.returncode, "Failed checks: 0" in checked.stdout) == (0, True), checked.stdout
    passed = re.search(r"Passed checks: (\d+)", checked.stdout)
    assert passed is not None
    assert int(passed.group(1)) > 500
