"""What ships for Prometheus, Grafana and compose: fresh, lint-free, closed to other machines."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from meet_transcriber.core.errors import (
    FetchError,
    InvalidAudio,
    InvalidOptions,
    QuotaExceeded,
    TranscriptionError,
)
from meet_transcriber.observability.metrics import METRICS
from scripts import make_dashboards
from scripts.make_dashboards import DASHBOARDS
from tests.simulated.system import ROOT
from tests.system.monitoring_files import autoscaled_by, expressions, metrics_in, panels, rules

FOLDER = ROOT / "deploy" / "monitoring"
PATHS = {uid: make_dashboards.FOLDER / f"{uid}.json" for uid in DASHBOARDS}


@pytest.mark.parametrize("uid", DASHBOARDS)
def test_a_dashboard_is_up_to_date(uid: str) -> None:
    committed = PATHS[uid].read_text(encoding="utf-8")
    assert committed == make_dashboards.text(uid), "run `make docs` and commit deploy/monitoring"


def test_there_is_no_unknown_dashboard() -> None:
    assert set(make_dashboards.FOLDER.iterdir()) == set(PATHS.values())


@pytest.mark.parametrize("uid", DASHBOARDS)
def test_a_dashboard_names_its_data_source_as_a_variable(uid: str) -> None:
    dashboard = json.loads(PATHS[uid].read_text())
    assert [each["type"] for each in dashboard["templating"]["list"]] == ["datasource"]
    shown = panels(PATHS[uid])
    assert len({panel["id"] for panel in shown}) == len(shown)
    assert len({panel["title"] for panel in shown}) == len(shown)
    for panel in shown:
        references = [target["refId"] for target in panel["targets"]]
        assert len(set(references)) == len(references) > 0
        for asked in (panel, *panel["targets"]):
            assert asked["datasource"] == {"type": "prometheus", "uid": "${datasource}"}


def test_panels_do_not_overlap() -> None:
    for path in PATHS.values():
        taken = [
            (panel["gridPos"]["x"] + across, panel["gridPos"]["y"] + down)
            for panel in panels(path)
            for across in range(panel["gridPos"]["w"])
            for down in range(panel["gridPos"]["h"])
        ]
        assert len(set(taken)) == len(taken)
        assert max(x for x, _ in taken) < 24


def test_every_metric_in_use_is_documented() -> None:
    page = (ROOT / "docs" / "reference" / "metrics.md").read_text(encoding="utf-8")
    named = {name for expression in expressions() for name in metrics_in(expression)}
    ours = {name for name in named | autoscaled_by() if not name.startswith("process_")}
    assert {name for name in ours if f"| `{name}` |" not in page} == set()
    assert len(ours) > len(METRICS) * 0.8


def test_every_recorded_series_in_use_has_a_rule() -> None:
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    used = {
        name for each in expressions() for name in re.findall(r"meet_transcriber:\w+:\w+", each)
    }
    assert used <= recorded


def test_every_alert_has_a_summary_and_a_runbook() -> None:
    page = (ROOT / "docs" / "operations.md").read_text()
    headings = re.findall(r"^#+ (.+)$", page, re.MULTILINE)
    anchors = {f"docs/operations.md#{each.lower().replace(' ', '-')}" for each in headings}
    for rule in rules():
        if "alert" in rule:
            assert rule["annotations"]["summary"].endswith(".")
            assert rule["annotations"]["runbook_url"] in anchors
            assert rule["labels"]["severity"] in {"critical", "warning"}


def test_every_alert_fires_in_one_test_and_not_in_another() -> None:
    told = yaml.safe_load((FOLDER / "rules_test.yml").read_text())["tests"]
    cases = [(test["name"], case) for test in told for case in test["alert_rule_test"]]
    alerts = {rule["alert"] for rule in rules() if "alert" in rule}
    assert {case["alertname"] for _, case in cases} == alerts
    for alert in alerts:
        of_it = [
            (name, bool(case["exp_alerts"])) for name, case in cases if case["alertname"] == alert
        ]
        fired = {name for name, fires in of_it if fires}
        assert fired
        assert {name for name, fires in of_it if not fires} - fired


def test_errors_of_senders_do_not_count_as_failures() -> None:
    (rule,) = [rule for rule in rules() if rule.get("record", "").endswith("jobs:increase30m")]
    (spared,) = re.findall(r'code!~"([^"]*)"', rule["expr"])
    kinds = InvalidAudio, InvalidOptions, FetchError, QuotaExceeded
    assert set(spared.split("|")) == {each.code for kind in kinds for each in _family(kind)}


def _family(kind: type[TranscriptionError]) -> Iterator[type[TranscriptionError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from _family(child)


def test_expressions_and_legends_use_existing_labels() -> None:
    of_figure = {figure.name: set(figure.labels) for figure in METRICS}
    recorded = {rule["record"]: rule["expr"] for rule in rules() if "record" in rule}
    targets = [
        target for path in PATHS.values() for panel in panels(path) for target in panel["targets"]
    ]
    asked = [(each, "") for each in expressions()]
    for expression, legend in [*asked, *((each["expr"], each["legendFormat"]) for each in targets)]:
        behind = expression + "".join(expr for name, expr in recorded.items() if name in expression)
        there = {"le", "job", "instance"}.union(
            *(of_figure.get(name, set()) for name in metrics_in(behind))
        )
        named = re.findall(r"(\w+)(?:=|!=|=~|!~)\"", expression)
        for group in re.findall(r"\b(?:by|on|group_left) ?\(([^)]*)\)", expression):
            named += re.findall(r"\w+", group)
        named += re.findall(r"{{(\w+)}}", legend)
        assert set(named) - there == set(), expression


def watching() -> dict[str, dict[str, Any]]:
    services = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    return {
        name: each for name, each in services.items() if "monitoring" in each.get("profiles", ())
    }


def test_monitoring_ports_are_bound_to_loopback() -> None:
    ports = [port for service in watching().values() for port in service.get("ports", ())]
    assert len(ports) == 3
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_the_profile_monitoring_has_three_services_and_a_password_file() -> None:
    assert watching().keys() == {"prometheus", "alertmanager", "grafana"}
    grafana = watching()["grafana"]["environment"]
    assert grafana["GF_SECURITY_ADMIN_PASSWORD__FILE"] == "/run/secrets/grafana_password"
    assert "GF_SECURITY_ADMIN_PASSWORD" not in grafana


def test_every_mounted_file_exists() -> None:
    mounted = [volume for service in watching().values() for volume in service.get("volumes", ())]
    shipped = [volume.split(":")[0] for volume in mounted if volume.startswith("./")]
    assert [path for path in shipped if not (ROOT / path).exists()] == []
