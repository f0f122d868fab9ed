"""What the real `az` sends for our script and for the Container Instances, to a server of ours."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.clouds.artifacts import ROOT
from tests.redis_server import make_certificate

PYTHON = ROOT / ".venv-azure-cli/bin/python"
CLIENT = ROOT / "tests/deploy/clouds/azure_client.py"


class Azure:
    """An `az` on a PATH of its own, and what it asked for."""

    def __init__(self, folder: Path) -> None:
        self._log = folder / "log"
        certificate = folder / "tls.pem"
        make_certificate(certificate)
        client = folder / "az"
        client.write_text(f'#!/bin/bash\nexec {PYTHON} {CLIENT} {self._log} {certificate} "$@"\n')
        client.chmod(0o755)
        self._environment = {
            "PATH": f"{folder}:{os.environ['PATH']}",
            "HOME": str(folder),
            "AZURE_CONFIG_DIR": str(folder / "config"),
            "AZURE_CORE_COLLECT_TELEMETRY": "0",
            "REQUESTS_CA_BUNDLE": str(certificate),
        }

    def run(self, *words: str | Path, **more: str) -> list[dict[str, Any]]:
        done = subprocess.run(
            words, env=self._environment | more, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in self._log.read_text().splitlines()]


@pytest.fixture
def azure(tmp_path: Path) -> Azure:
    return Azure(tmp_path)


def test_a_machine_has_no_way_in_but_the_web(azure: Azure) -> None:
    asked = azure.run(ROOT / "deploy/azure/vm.sh", SPOT="yes")
    (deployment,) = (
        x["body"]["properties"]["template"]["resources"]
        for x in asked
        if "/deployments/" in x["path"] and "properties" in x["body"]
        and not x["path"].endswith("/validate")
    )  # fmt: skip
    made = {x["type"]: x for x in deployment}
    group = made["Microsoft.Network/networkSecurityGroups"]
    assert group.get("properties", {}).get("securityRules", []) == []
    machine = made["Microsoft.Compute/virtualMachines"]["properties"]
    assert machine["hardwareProfile"]["vmSize"] == "Standard_NC4as_T4_v3"
    assert machine["priority"] == "Spot"
    assert machine["storageProfile"]["imageReference"]["offer"] == "ubuntu-24_04-lts"
    (rule,) = (x["body"]["properties"] for x in asked if "/securityRules/" in x["path"])
    assert sorted(rule["destinationPortRanges"]) == ["443", "80"]
    assert (rule["protocol"].lower(), rule["access"]) == ("tcp", "Allow")
    (extension,) = (x["body"]["properties"] for x in asked if "/extensions/" in x["path"])
    assert extension["type"] == "NvidiaGpuDriverLinux"
    (nights,) = (x["body"]["properties"] for x in asked if "/schedules/" in x["path"])
    assert (nights["status"], nights["dailyRecurrence"]) == ("Enabled", {"time": "2000"})


def test_a_container_group_shows_the_web_alone(azure: Azure) -> None:
    asked = azure.run(
        "az", "container", "create", "--resource-group", "meet-transcriber-rg",
        "--file", ROOT / "deploy/azure/aci.yaml", "--no-wait",
    )  # fmt: skip
    (group,) = (x["body"] for x in asked if "/containerGroups/" in x["path"])
    properties = group["properties"]
    assert properties["osType"] == "Linux"
    assert {x["port"] for x in properties["ipAddress"]["ports"]} == {80, 443}
    assert group["identity"]["type"] == "UserAssigned"
    assert properties["imageRegistryCredentials"][0]["identity"] == "IDENTITY_ID"
