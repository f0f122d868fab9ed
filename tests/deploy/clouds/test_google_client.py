"""What the real `gcloud` sends for our scripts, to a server of ours that records it."""

import os
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from tests.deploy.clouds.artifacts import ROOT
from tests.deploy.clouds.conftest import GCLOUD
from tests.deploy.clouds.google_server import PROJECT, Asked, google

WRONG_WORDS = 2  # gcloud's exit code for options that it does not know
Script = Callable[..., list[Asked]]


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Script:
    """Run a script of deploy/gcp; gives the requests that change something."""
    tmp_path = tmp_path_factory.mktemp("gcloud")
    client = tmp_path / "gcloud"
    # The answers are too bare for gcloud to call the end a success; what it sent is what counts.
    # Only whether something is there yet, it can tell.
    client.write_text(
        f'#!/bin/bash\n"{GCLOUD}" "$@"\ncode=$?\n'
        f'[ $code -ne {WRONG_WORDS} ] || touch "{tmp_path}/wrong"\n'
        'case " $* " in *" describe "*) exit $code ;; esac\n'
    )
    client.chmod(0o755)

    def run(name: str, *words: str, **more: str) -> list[Asked]:
        with google() as (asked, environment):
            environment |= {"PATH": f"{tmp_path}:{os.environ['PATH']}", "HOME": str(tmp_path)}
            environment |= {"CLOUDSDK_CONFIG": str(tmp_path / "config"), **more}
            done = subprocess.run(
                [ROOT / "deploy/gcp" / name, *words],
                cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
            )  # fmt: skip
        assert not (tmp_path / "wrong").exists(), done.stderr
        assert done.returncode == 0, done.stderr
        return [x for x in asked if x.method != "GET"]

    return run


@pytest.fixture(scope="module")
def cloud_run(script: Script) -> list[Asked]:
    """What is asked for by `cloudrun.sh 0.1.0` where nothing is there yet."""
    return script("cloudrun.sh", "0.1.0")


def _body(asked: list[Asked], ending: str) -> dict[str, Any]:
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
    # The network default has a rule of priority 65534 that opens port 22 to the world.
    closed = rules.pop("deny-others")
    assert (closed["denied"], closed["targetTags"]) == ([{"IPProtocol": "all"}], ["http-server"])
    assert max(x.get("priority", 1000) for x in rules.values()) < closed["priority"] < 65534
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


def test_an_api_and_gpu_workers_are_sent_to_cloud_run(cloud_run: list[Asked]) -> None:
    api = _body(cloud_run, f"/namespaces/{PROJECT}/services")["spec"]["template"]["spec"]
    (container,) = api["containers"]
    assert container["ports"] == [{"containerPort": 8000}]
    assert "nvidia.com/gpu" not in container["resources"]["limits"]
    pool = _body(cloud_run, f"/namespaces/{PROJECT}/workerpools")
    assert pool["metadata"]["annotations"]["run.googleapis.com/manualInstanceCount"] == "1"
    worker = pool["spec"]["template"]["spec"]
    (working,) = worker["containers"]
    assert worker["nodeSelector"] == {"run.googleapis.com/accelerator": "nvidia-l4"}
    assert working["resources"]["limits"]["nvidia.com/gpu"] == "1"
    image = f"us-central1-docker.pkg.dev/{PROJECT}/meet-transcriber/meet-transcriber:0.1.0"
    assert [container["image"], working["image"]] == [image, f"{image}-worker-gpu"]
    account = f"meet-transcriber@{PROJECT}.iam.gserviceaccount.com"
    assert {api["serviceAccountName"], worker["serviceAccountName"]} == {account}
    (redis,) = {
        x["value"] for y in (container, working) for x in y["env"] if x["name"] == "REDIS_URL"
    }
    assert redis == "redis://10.0.0.3:6379/0"
    secret = {x["name"] for each in (container, working) for x in each["env"] if "valueFrom" in x}
    assert secret == {"REDIS_PASSWORD", "API_KEYS", "HUGGINGFACE_ACCESS_TOKEN"}


def test_what_cloud_run_needs_is_made_first(cloud_run: list[Asked]) -> None:
    redis = next(x.body for x in cloud_run if x.path.endswith("/locations/us-central1/instances"))
    assert redis["redisConfigs"] == {"maxmemory-policy": "noeviction"}
    assert redis["authEnabled"] is True
    bucket = next(x.body for x in cloud_run if x.path.endswith("/b"))
    assert bucket["name"] == f"{PROJECT}-meet-transcriber"
    assert bucket["iamConfiguration"]["publicAccessPrevention"] == "enforced"
    registry = next(x for x in cloud_run if x.path.endswith("/repositories"))
    assert registry.body["format"] == "DOCKER"
