"""The manifests as `kubectl kustomize` makes them."""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[3]
DEPLOY = ROOT / "deploy"
KUBERNETES = DEPLOY / "kubernetes"
BASE = KUBERNETES / "base"
COMPONENTS = sorted(path.parent.name for path in KUBERNETES.glob("components/*/*ization.yaml"))
OVERLAYS = sorted(path.parent.name for path in KUBERNETES.glob("overlays/*/kustomization.yaml"))
TOGETHER = (
    ("gpu", "s3", "keda", "gateway"),
    ("gpu", "spot", "rwx", "keda", "loadbalancer"),
    ("cpu", "spot", "s3", "vault"),
    ("cpu", "baked", "rwx"),
    ("gke", "spot", "keda", "gateway"),
)
"""Components that people put together in a kustomization of their own."""

GPU = "nvidia.com/gpu"

Object = dict[str, Any]


def kustomize(folder: Path) -> list[Object]:
    """The objects of a kustomization."""
    made = subprocess.run(
        ["kubectl", "kustomize", str(folder)], capture_output=True, text=True, check=False
    )
    assert made.returncode == 0, made.stderr
    return objects(made.stdout)


def objects(text: str) -> list[Object]:
    """The objects of a file."""
    return [each for each in yaml.safe_load_all(text) if each]


@cache
def overlay(name: str) -> list[Object]:
    """The objects of an overlay; those of the base for the name base."""
    return kustomize(BASE if name == "base" else KUBERNETES / "overlays" / name)


@cache
def together(components: tuple[str, ...]) -> list[Object]:
    """The objects of a kustomization that puts components on the base."""
    with tempfile.TemporaryDirectory() as folder:
        here = os.path.relpath(KUBERNETES, folder)
        wanted = {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "resources": [f"{here}/base"],
            "components": [f"{here}/components/{name}" for name in components],
        }
        (Path(folder) / "kustomization.yaml").write_text(yaml.safe_dump(wanted))
        return kustomize(Path(folder))


def one(found: list[Object], kind: str, name: str) -> Object:
    """The one object of that kind and name."""
    (each,) = [x for x in found if (x["kind"], x["metadata"]["name"]) == (kind, name)]
    return each


def pods(found: list[Object]) -> Iterator[tuple[str, Object]]:
    """The name and the pod's spec of everything that runs."""
    for each in found:
        if each["kind"] in {"Deployment", "StatefulSet"}:
            yield each["metadata"]["name"], each["spec"]["template"]["spec"]


def containers(found: list[Object]) -> Iterator[tuple[str, Object]]:
    """The workload's name and each of its containers."""
    for name, pod in pods(found):
        yield from ((name, each) for each in [*pod.get("initContainers", ()), *pod["containers"]])


def config(found: list[Object]) -> dict[str, str]:
    """What the ConfigMap of api and worker says."""
    data: dict[str, str] = one(found, "ConfigMap", "meet-transcriber-config")["data"]
    return data


def secrets(**environment: str) -> list[Object]:
    """What secrets.sh makes."""
    made = subprocess.run(
        [KUBERNETES / "secrets.sh"],
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": os.environ["PATH"], **environment},
    )
    return objects(made.stdout)
