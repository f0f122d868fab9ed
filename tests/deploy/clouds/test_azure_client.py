"""What the real `az` sends for our scripts and the page's commands, to a server of ours."""

import json
import os
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest

from meet_transcriber.auth.keyring import read_static
from meet_transcriber.core.auth import SCOPES
from scripts.guide import commands
from tests.deploy.clouds.artifacts import ROOT
from tests.deploy.pages import FOLDER, blocks
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
    asked = azure.run(ROOT / "deploy/azure/vm.sh", SPOT="yes", STOP_AT="2000")
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


def test_a_container_group_shows_the_web_alone(azure: Azure, tmp_path: Path) -> None:
    (filled,) = (x for x in _of_the_page() if x.startswith("sed "))
    (made,) = (x for x in _of_the_page() if x.startswith("az container create"))
    given = {"identity": "/id", "REGISTRY": "meetings", "DNS_LABEL": "meet", "API_KEY": "k" * 32}
    command = f"{filled.replace('deploy/', f'{ROOT}/deploy/')} && {made} --no-wait"
    asked = azure.run("bash", "-c", f"cd {tmp_path} && {command}",
                      HUGGINGFACE_ACCESS_TOKEN="hf_x", **given)  # fmt: skip
    (group,) = (x["body"] for x in asked if "/containerGroups/" in x["path"])
    assert re.findall(r"IDENTITY_ID|REGISTRY|DNS_LABEL|LOCATION|HF_TOKEN|FIRST_KEY",
                      json.dumps(group)) == []  # fmt: skip
    properties = group["properties"]
    assert properties["osType"] == "Linux"
    assert {x["port"] for x in properties["ipAddress"]["ports"]} == {80, 443}
    assert group["identity"]["type"] == "UserAssigned"
    assert properties["imageRegistryCredentials"][0]["identity"] == "/id"


APPS = {
    "REGISTRY": "meetings", "VAULT": "meetings-vault", "STORAGE": "meetingsstore",
    "REDIS_HOST": "meetings.eastus.redis.azure.net",
}  # fmt: skip


def test_gpu_workers_and_an_api_are_sent_to_container_apps(azure: Azure) -> None:
    asked = azure.run(ROOT / "deploy/azure/containerapps.sh", **APPS)
    api, worker = (x["body"]["properties"] for x in asked if "/containerApps/" in x["path"])
    ingress = api["configuration"]["ingress"]
    assert (ingress["targetPort"], ingress["external"]) == (8000, True)
    assert ingress["allowInsecure"] is False
    assert worker["configuration"]["ingress"] is None
    assert (worker["workloadProfileName"], api["workloadProfileName"]) == ("gpu", None)
    scale = worker["template"]["scale"]
    (rule,) = scale["rules"]
    assert (scale["minReplicas"], rule["custom"]["type"]) == (0, "metrics-api")
    told = rule["custom"]["metadata"]
    assert told["url"] == "https://api.example.azurecontainerapps.io/queue"
    assert told["valueLocation"] == "celery_queue_length"
    for each in (api, worker):
        (container,) = each["template"]["containers"]
        side = {x["name"]: x["value"] or x["secretRef"] for x in container["env"]}
        assert side["AZURE_CLIENT_ID"].endswith("2")
        assert side["AZURE_STORAGE_ACCOUNT_NAME"] == "meetingsstore"
        assert side["REDIS_URL"] == "rediss://meetings.eastus.redis.azure.net:10000/0"
    kept = {x["keyVaultUrl"] for each in (api, worker) for x in each["configuration"]["secrets"]}
    assert {x.partition("/secrets/")[0] for x in kept} == {"https://meetings-vault.vault.azure.net"}


def test_a_vault_has_what_the_apps_read_and_opens_to_one_identity(azure: Azure) -> None:
    principal = "00000000-0000-0000-0000-000000000003"
    asked = azure.run(ROOT / "deploy/azure/keyvault.sh", "meetings-vault", principal,
                      HUGGINGFACE_ACCESS_TOKEN="hf_x", REDIS_PASSWORD="theirs")  # fmt: skip
    kept = {x["path"].rpartition("/")[2]: x["body"]["value"] for x in asked
            if x["path"].startswith("/secrets/")}  # fmt: skip
    read_by_apps = set()
    for name in ("api", "worker"):
        text = (ROOT / f"deploy/azure/containerapp-{name}.yaml").read_text()
        read_by_apps |= set(re.findall(r"/secrets/([\w-]+)", text))
    assert set(kept) == read_by_apps
    assert (kept["huggingface-access-token"], kept["redis-password"]) == ("hf_x", "theirs")
    admin, monitor = read_static(kept["api-keys"])
    assert (admin.scopes, monitor.scopes) == (SCOPES, ("monitor",))
    assert monitor.token == kept["monitor-key"]
    (grant,) = (x["body"]["properties"] for x in asked if "/roleAssignments/" in x["path"])
    assert grant["principalId"] == principal


# -- the page ----------------------------------------------------------------------------------

NEEDS_AN_EXTENSION = "az redisenterprise"  # which is fetched from elsewhere
PARSE = """
import json, sys
from azure.cli.core import get_default_cli
codes = []
for words in json.load(sys.stdin):
    try:
        codes.append(get_default_cli().invoke(words))
    except SystemExit as end:
        codes.append(end.code)
print(json.dumps(codes))
"""
NOT_LOGGED_IN = 1  # arguments that it does not know are 2


def _of_the_page() -> list[str]:
    return [x for block in blocks(FOLDER / "azure.md", "bash") for x in commands(block.text)]


def test_the_client_knows_every_command_of_the_page_with_its_options(tmp_path: Path) -> None:
    told = [x for line in _of_the_page() for x in re.findall(r"\baz [a-z].*?(?=\)$|$)", line)]
    known = [shlex.split(x.replace("$(", "").replace(')"', '"'))[1:] for x in told
             if not x.startswith(NEEDS_AN_EXTENSION)]  # fmt: skip
    assert len(known) > 15
    wrong = ["group", "create", "--slip"]
    done = subprocess.run(
        [PYTHON, "-c", PARSE], input=json.dumps([*known, wrong]), cwd=tmp_path,
        env={"HOME": str(tmp_path), "AZURE_CONFIG_DIR": str(tmp_path), "PATH": os.environ["PATH"]},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    codes = json.loads(done.stdout.splitlines()[-1])
    assert codes.pop() != NOT_LOGGED_IN
    assert [x for x, code in zip(known, codes, strict=True) if code != NOT_LOGGED_IN] == [], (
        done.stderr
    )
