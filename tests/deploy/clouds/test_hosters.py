"""railway*.json and render.yaml against strict schemas, written from the hosters' documentation."""

import copy
import re
from typing import Any

import jsonschema
import pytest

from scripts import make_railway_dockerfile
from tests.deploy.clouds.artifacts import ROOT, read

TEXT = {"type": "string", "minLength": 1}
RAILWAY: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["$schema", "build", "deploy"],
    "properties": {
        "$schema": {"const": "https://railway.com/railway.schema.json"},
        "build": {
            "type": "object",
            "additionalProperties": False,
            "required": ["builder"],
            "properties": {
                "builder": {"enum": ["RAILPACK", "DOCKERFILE"]},
                "dockerfilePath": TEXT,
                "watchPatterns": {"type": "array", "items": TEXT},
            },
        },
        "deploy": {
            "type": "object",
            "additionalProperties": False,
            "required": ["startCommand", "restartPolicyType"],
            "properties": {
                "startCommand": TEXT,
                "healthcheckPath": {"type": "string", "pattern": "^/"},
                "healthcheckTimeout": {"type": "integer", "minimum": 1},
                "restartPolicyType": {"enum": ["ON_FAILURE", "ALWAYS", "NEVER"]},
                "restartPolicyMaxRetries": {"type": "integer", "minimum": 0},
                "drainingSeconds": {"type": "integer", "minimum": 0},
            },
        },
    },
}
_VALUE = [
    {"required": ["value"]},
    {"required": ["sync"]},
    {"required": ["generateValue"]},
    {"required": ["fromService"]},
]
_VARIABLE = {
    "type": "object",
    "additionalProperties": False,
    "required": ["key"],
    "oneOf": _VALUE,
    "properties": {
        "key": {"type": "string", "pattern": "^[A-Z][A-Z0-9_]*$"},
        "value": {"type": "string"},
        "sync": {"const": False},
        "generateValue": {"const": True},
        "fromService": {
            "type": "object",
            "additionalProperties": False,
            "required": ["type", "name", "property"],
            "properties": {
                "type": {"enum": ["web", "pserv", "worker", "keyvalue"]},
                "name": TEXT,
                "property": {"enum": ["connectionString", "host", "port", "hostport"]},
            },
        },
    },
}
_SERVICE = {
    "name": TEXT,
    "plan": {"enum": ["starter", "standard", "pro", "pro plus", "pro max", "pro ultra"]},
}
_RUNS = _SERVICE | {
    "runtime": {"const": "docker"},
    "dockerCommand": TEXT,
    "envVars": {"type": "array", "items": _VARIABLE, "minItems": 1},
    "maxShutdownDelaySeconds": {"type": "integer", "minimum": 1, "maximum": 300},
}


def _kind(name: str, required: list[str], properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "additionalProperties": False,
        "required": ["type", "name", *required],
        "properties": {"type": {"const": name}, **properties},
    }


RENDER: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["services"],
    "properties": {
        "services": {
            "type": "array",
            "items": {
                "oneOf": [
                    _kind("web", ["runtime"], _RUNS | {"healthCheckPath": TEXT}),
                    _kind("worker", ["runtime"], _RUNS),
                    _kind(
                        "keyvalue",
                        ["ipAllowList"],
                        _SERVICE
                        | {
                            "ipAllowList": {"type": "array"},
                            "maxmemoryPolicy": {"enum": ["noeviction", "allkeys-lru"]},
                        },
                    ),
                ]
            },
        }
    },
}
RAILWAYS = sorted(path.name for path in ROOT.glob("railway*.json"))


@pytest.mark.parametrize("name", RAILWAYS)
def test_a_railway_file_follows_the_documentation(name: str) -> None:
    jsonschema.validate(read(name), RAILWAY)


def test_railway_builds_our_dockerfile_without_what_it_refuses() -> None:
    """Its builder stops at VOLUME, and at a cache whose id does not begin with the service's."""
    dockerfile = make_railway_dockerfile.TARGET.read_text()
    assert dockerfile == make_railway_dockerfile.text(), "run `make docs`"
    assert not re.search(r"^VOLUME|type=cache", dockerfile, re.MULTILINE)
    assert {read(name)["build"]["dockerfilePath"] for name in RAILWAYS} == {
        str(make_railway_dockerfile.TARGET.relative_to(ROOT))
    }


def test_railway_has_both_ways() -> None:
    commands = {name: read(name)["deploy"]["startCommand"] for name in RAILWAYS}
    assert list(commands) == ["railway.api.json", "railway.json", "railway.worker.json"]
    assert "EMBEDDED_WORKER=on" in commands["railway.json"]
    assert "EMBEDDED_WORKER=off" in commands["railway.api.json"]
    assert read("railway.api.json")["deploy"]["healthcheckPath"] == "/health"


def test_renders_blueprint_follows_the_documentation() -> None:
    jsonschema.validate(read("render.yaml"), RENDER)


def test_the_schemas_refuse_what_is_wrong() -> None:
    wrong = copy.deepcopy(read("render.yaml"))
    wrong["services"][0]["startCommand"] = "x"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(wrong, RENDER)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(read("railway.json") | {"start": "x"}, RAILWAY)


def test_renders_store_is_closed_and_keeps_everything() -> None:
    web, worker, store = read("render.yaml")["services"]
    assert (store["maxmemoryPolicy"], store["ipAllowList"]) == ("noeviction", [])
    for each in (web, worker):
        (redis,) = (x["fromService"] for x in each["envVars"] if x["key"] == "REDIS_URL")
        assert (redis["type"], redis["name"]) == ("keyvalue", store["name"])
    (token,) = (x for x in worker["envVars"] if x["key"] == "HUGGINGFACE_ACCESS_TOKEN")
    assert token["sync"] is False
