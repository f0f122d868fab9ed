"""What is deployed in clouds, read from the files themselves: commands, environments, images."""

import json
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml

ROOT = Path(__file__).parents[3]
DEPLOY = ROOT / "deploy"
STACKS = DEPLOY / "aws" / "cloudformation"


class _CloudFormation(yaml.SafeLoader):  # type: ignore[misc]
    """Reads `!Ref a` as {"Ref": "a"}, and so on."""


def _function(loader: Any, suffix: str, node: yaml.Node) -> dict[str, Any]:
    if isinstance(node, yaml.ScalarNode):
        value: Any = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)
    return {suffix if suffix in {"Ref", "Condition"} else f"Fn::{suffix}": value}


_CloudFormation.add_multi_constructor("!", _function)


class Start(NamedTuple):
    """A container or service: what is started, and in which environment.

    Attributes:
        environment: name to value; None where the value is secret or is filled in.
        image: None where the platform builds the Dockerfile.
    """

    artifact: str
    name: str
    command: tuple[str, ...]
    environment: dict[str, str | None]
    image: str | None

    @property
    def id(self) -> str:
        """For reports."""
        return f"{self.artifact}:{self.name}"


def template(name: str) -> dict[str, Any]:
    """A CloudFormation template, with its functions written out."""
    loaded = yaml.load((STACKS / f"{name}.yaml").read_text(), _CloudFormation)
    assert isinstance(loaded, dict)
    return loaded


def resources(name: str, kind: str) -> dict[str, dict[str, Any]]:
    """Those of a kind, logical name to properties."""
    found = template(name)["Resources"].items()
    return {key: each["Properties"] for key, each in found if each["Type"] == kind}


def read(path: str) -> Any:
    """A YAML or JSON file of the repository."""
    return yaml.safe_load((ROOT / path).read_text())


def starts() -> Iterator[Start]:
    """Every container of every artifact that runs this project."""
    yield from _ecs()
    yield from _cloud_run()
    yield from _azure()
    yield from _hosters()


def _ecs() -> Iterator[Start]:
    for name in ("ecs-fargate", "ecs-gpu"):
        for task in resources(name, "AWS::ECS::TaskDefinition").values():
            for each in task["ContainerDefinitions"]:
                plain = {x["Name"]: x["Value"] for x in each["Environment"]}
                environment = {k: v if isinstance(v, str) else None for k, v in plain.items()}
                environment |= dict.fromkeys(x["Name"] for x in each["Secrets"])
                label = f"{task['Family']}/{each['Name']}"
                yield Start(f"{name}.yaml", label, tuple(each["Command"]), environment, "ImageUri")


def _cloud_run() -> Iterator[Start]:
    for name in ("cloudrun-api.service.yaml", "worker-pool.yaml"):
        (each,) = read(f"deploy/gcp/{name}")["spec"]["template"]["spec"]["containers"]
        environment = {x["name"]: x.get("value") for x in each["env"]}
        command = (*each["command"], *each["args"])
        yield Start(name, each["name"], command, environment, each["image"])


def _azure() -> Iterator[Start]:
    for each in read("deploy/azure/aci.yaml")["properties"]["containers"]:
        if (it := each["properties"]).get("environmentVariables"):
            environment = {x["name"]: x.get("value") for x in it["environmentVariables"]}
            yield Start("aci.yaml", each["name"], tuple(it["command"]), environment, it["image"])
    for name in ("containerapp-api.yaml", "containerapp-worker.yaml"):
        (each,) = read(f"deploy/azure/{name}")["properties"]["template"]["containers"]
        environment = {x["name"]: x.get("value") for x in each["env"]}
        yield Start(name, each["name"], tuple(each["command"]), environment, each["image"])


def _hosters() -> Iterator[Start]:
    for path in sorted(ROOT.glob("railway*.json")):
        words = shlex.split(json.loads(path.read_text())["deploy"]["startCommand"])
        environment: dict[str, str | None] = {}
        while words[0] == "env" or "=" in words[0]:
            name, equals, value = words.pop(0).partition("=")
            if equals:
                environment[name] = value
        yield Start(path.name, path.stem, tuple(words), environment, None)
    for each in read("render.yaml")["services"]:
        if each["type"] != "keyvalue":
            environment = {x["key"]: x.get("value") for x in each["envVars"]}
            command = tuple(shlex.split(each["dockerCommand"]))
            yield Start("render.yaml", each["name"], command, environment, None)
