"""Reads metrics, alerts and dashboards from the files of deploy/."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from tests.simulated.system import ROOT

DEPLOY = ROOT / "deploy"
DASHBOARDS = sorted((DEPLOY / "monitoring" / "grafana" / "dashboards").glob("*.json"))
_NAME = re.compile(
    r"\b(?:transcription|celery|http_request|process|meet_transcriber_build)[a-z_0-9]*(?![a-z_:])"
)
_SUFFIX = re.compile(r"_(bucket|count|sum)$")


def rules() -> list[dict[str, Any]]:
    """Every recording and alert rule."""
    groups = yaml.safe_load((DEPLOY / "monitoring" / "rules.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def panels(path: Path) -> list[dict[str, Any]]:
    """The panels of a dashboard."""
    return list(json.loads(path.read_text())["panels"])


def expressions() -> Iterator[str]:
    """Every expression of a rule or a dashboard, as Prometheus itself takes it."""
    yield from (rule["expr"] for rule in rules())
    for path in DASHBOARDS:
        for panel in panels(path):
            for target in panel["targets"]:
                expr = target["expr"].replace("$__rate_interval", "1m")
                yield expr.replace("$__interval", "1m")


def autoscaled_by() -> set[str]:
    """The metrics that a HorizontalPodAutoscaler or a KEDA object names."""
    found = set[str]()
    for path in DEPLOY.rglob("*.yaml"):
        for line in path.read_text().splitlines():
            match = re.match(r"\s*(?:metricName|valueLocation|name):\s*(\w*queue_length)\s*$", line)
            if match:
                found.add(match.group(1))
    return found


def metrics_in(expression: str) -> set[str]:
    """The metrics that an expression names, without the endings of a histogram's series."""
    return {_SUFFIX.sub("", name) for name in _NAME.findall(re.sub(r'"[^"]*"', "", expression))}


def named() -> set[str]:
    """Every metric of ours or of the process that any file of deploy/ names."""
    inside = {name for expression in expressions() for name in metrics_in(expression)}
    return inside | autoscaled_by()
