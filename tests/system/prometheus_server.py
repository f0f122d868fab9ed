"""A real Prometheus with the shipped configuration, on the ports and intervals of a test."""

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import yaml

from tests.redis_server import free_port
from tests.simulated.system import ROOT, wait_for

MONITORING = ROOT / "deploy" / "monitoring"


class Prometheus:
    """
    Started on entering, ended by its process id on leaving.

    Args:
        targets: job of the shipped configuration -> the ports that it asks on 127.0.0.1.
        key: an API key that may monitor.
    """

    def __init__(self, folder: Path, targets: Mapping[str, list[int]], key: str = "-") -> None:
        self._folder = folder
        self._port = free_port()
        folder.mkdir()
        (folder / "monitor_key").write_text(key)
        (folder / "prometheus.yml").write_text(self._configuration(targets))
        (folder / "rules.yml").write_text(hurried((MONITORING / "rules.yml").read_text()))
        self._http = httpx.Client(base_url=f"http://127.0.0.1:{self._port}/api/v1", timeout=30)

    def _configuration(self, targets: Mapping[str, list[int]]) -> str:
        """What is shipped, every second and on ports of this machine."""
        config = yaml.safe_load((MONITORING / "prometheus.yml").read_text())
        config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
        config["rule_files"] = [str(self._folder / "rules.yml")]
        del config["alerting"]
        for job in config["scrape_configs"]:
            ports = targets[job["job_name"]]
            job.pop("dns_sd_configs", None)
            job["static_configs"] = [{"targets": [f"127.0.0.1:{port}" for port in ports]}]
            if "authorization" in job:
                job["authorization"]["credentials_file"] = str(self._folder / "monitor_key")
        return str(yaml.safe_dump(config))

    def __enter__(self) -> "Prometheus":
        command = [
            "prometheus",
            f"--config.file={self._folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={self._folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{self._port}",
            "--log.level=warn",
        ]
        with (self._folder / "log").open("wb") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        wait_for(self._is_up)
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()
        self._process.terminate()
        self._process.wait(30)

    def _is_up(self) -> bool:
        assert self._process.poll() is None, (self._folder / "log").read_text()
        try:
            return self._http.get("/status/buildinfo").is_success
        except httpx.TransportError:
            return False

    def ask(self, query: str) -> dict[tuple[str, ...], float]:
        """What an expression gives now: values by the values of its labels, sorted by name."""
        answer = self._http.get("/query", params={"query": query}).json()
        assert answer["status"] == "success", (query, answer)
        found: dict[tuple[str, ...], float] = {}
        for each in answer["data"]["result"]:
            labels = {name: text for name, text in each["metric"].items() if name != "__name__"}
            found[tuple(labels[name] for name in sorted(labels))] = float(each["value"][1])
        return found

    def metadata(self) -> dict[str, Any]:
        """Every metric that a target told of."""
        return dict(self._http.get("/targets/metadata").json())

    def firing(self) -> set[tuple[str, str]]:
        """The alerts that fire, with the queue that they are about."""
        alerts = self._http.get("/alerts").json()["data"]["alerts"]
        return {
            (alert["labels"]["alertname"], alert["labels"].get("queue", ""))
            for alert in alerts
            if alert["state"] == "firing"
        }


def hurried(rules: str) -> str:
    """Rules that wait for two seconds wherever the shipped ones wait for minutes."""
    return re.sub(r"\bfor: \d+m\b", "for: 2s", rules)
