"""What the real `gcloud` sends for our scripts, to a server of ours that records it."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.deploy.clouds.artifacts import ROOT
from tests.deploy.clouds.conftest import GCLOUD
from tests.deploy.clouds.google_server import PROJECT, Asked, google

WRONG_WORDS = 2  # gcloud's exit code for options that it does not know
Script = Callable[..., list[Asked]]


@pytest.fixture
def script(tmp_path: Path) -> Script:
    """Run a script of deploy/gcp; gives the requests that change something."""
    client = tmp_path / "gcloud"
    # The answers are too bare for gcloud to call the end a success; what it sent is what counts.
    client.write_text(
        f'#!/bin/bash\n"{GCLOUD}" "$@"\n'
        f'[ $? -ne {WRONG_WORDS} ] || touch "{tmp_path}/wrong"\nexit 0\n'
    )
    client.chmod(0o755)

    def run(name: str, **more: str) -> list[Asked]:
        with google() as (asked, environment):
            environment |= {"PATH": f"{tmp_path}:{os.environ['PATH']}", "HOME": str(tmp_path)}
            environment |= {"CLOUDSDK_CONFIG": str(tmp_path / "config"), **more}
            done = subprocess.run(
                [ROOT / "deploy/gcp" / name],
                env=environment, capture_output=True, text=True, check=False,
            )  # fmt: skip
        assert not (tmp_path / "wrong").exists(), done.stderr
        assert done.returncode == 0, done.stderr
        return [x for x in asked if x.method != "GET"]

    return run


def _body(asked: list[Asked], ending: str) -> dict[str, object]:
    (body,) = (x.body for x in asked if x.path.endswith(ending) and x.body)
    assert isinstance(body, dict)
    return body


def test_a_machine_has_a_gpu_and_shows_the_web_alone(script: Script) -> None:
    asked = script("gce.sh", SPOT="yes")
    (machine,) = (x.body for x in asked if x.path.endswith("/zones/us-central1-a/instances"))
    (gpu,) = machine["guestAccelerators"]
    assert (gpu["acceleratorCount"], gpu["acceleratorType"].rpartition("/")[2]) == (1, "nvidia-l4")
    assert machine["scheduling"]["provisioningModel"] == "SPOT"
    assert machine["scheduling"]["instanceTerminationAction"] == "STOP"
    assert machine["scheduling"]["onHostMaintenance"] == "TERMINATE"
    (account,) = machine["serviceAccounts"]
    assert account["email"] == f"meet-transcriber@{PROJECT}.iam.gserviceaccount.com"
    rules = {x.body["name"]: x.body for x in asked if x.path.endswith("/firewalls")}
    opened = {name: {p for a in x["allowed"] for p in a["ports"]} for name, x in rules.items()}
    assert opened == {"allow-http": {"80", "443"}, "allow-iap-ssh": {"22"}}
    assert rules["allow-iap-ssh"]["sourceRanges"] == ["35.235.240.0/20"]


def test_a_cluster_has_gpu_nodes_that_come_and_go(script: Script) -> None:
    asked = script("gke.sh")
    pool = next(x.body["nodePool"] for x in asked if x.path.endswith("/nodePools"))
    (gpu,) = pool["config"]["accelerators"]
    assert (gpu["acceleratorType"], gpu["acceleratorCount"]) == ("nvidia-l4", "1")
    assert gpu["gpuDriverInstallationConfig"] == {"gpuDriverVersion": "LATEST"}
    assert pool["config"]["spot"] is True
    assert pool["autoscaling"]["enabled"] is True
    assert pool["autoscaling"].get("minNodeCount", 0) == 0
    (taint,) = pool["config"]["taints"]
    assert taint["key"] == "nvidia.com/gpu"


def test_secrets_open_to_one_account(script: Script) -> None:
    asked = script("secrets.sh", HUGGINGFACE_ACCESS_TOKEN="hf_x")
    made = [x for x in asked if x.path.endswith("/secrets")]
    assert len(made) == 2
    assert f"/v1/projects/{PROJECT}/serviceAccounts" in {x.path for x in asked}
    granted = [x.body for x in asked if x.path.endswith(":setIamPolicy")]
    member = f"serviceAccount:meet-transcriber@{PROJECT}.iam.gserviceaccount.com"
    assert granted
    for each in granted:
        (binding,) = each["policy"]["bindings"]
        assert binding["members"] == [member]
        assert binding["role"] == "roles/secretmanager.secretAccessor"


def test_nights_have_a_schedule(script: Script) -> None:
    asked = script("schedule.sh")
    (made,) = (x.body for x in asked if x.path.endswith("/resourcePolicies"))
    schedule = made["instanceSchedulePolicy"]
    assert schedule["vmStopSchedule"] == {"schedule": "0 20 * * *"}
    assert schedule["vmStartSchedule"] == {"schedule": "0 6 * * 1-5"}
