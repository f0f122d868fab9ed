"""What no linter knows: settings, secrets, images, ports and limits agree everywhere."""

import json
import re

import pytest

from meet_transcriber import __version__
from meet_transcriber.settings import Settings
from tests.deploy.clouds.artifacts import DEPLOY, ROOT, STACKS, Start, read, resources, starts

ALL = list(starts())
# Read by libraries: the clients of object stores and of Azure's identities, and Python itself.
LIBRARIES = {"AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "TMPDIR"}
LIBRARIES |= {"AZURE_STORAGE_ACCOUNT_NAME", "AZURE_CLIENT_ID"}
PUBLIC = re.compile(r"0\.0\.0\.0/0|Internet|\*")
SCRIPTS = sorted(
    path for cloud in ("aws", "gcp", "azure") for path in (DEPLOY / cloud).glob("*.sh")
)


@pytest.mark.parametrize("start", ALL, ids=lambda start: start.id)
def test_every_variable_is_a_setting(start: Start) -> None:
    settings = {name.upper() for name in Settings.model_fields}
    assert set(start.environment) - settings - LIBRARIES == set()


@pytest.mark.parametrize("start", ALL, ids=lambda start: start.id)
def test_nothing_secret_is_written_down(start: Start) -> None:
    secret = {"HUGGINGFACE_ACCESS_TOKEN", "REDIS_PASSWORD", "API_KEYS", "AWS_SECRET_ACCESS_KEY"}
    assert {start.environment[name] for name in secret & set(start.environment)} <= {None}


def test_a_worker_and_its_api_keep_recordings_in_one_place() -> None:
    for artifacts in (
        {"cloudrun-api.service.yaml", "worker-pool.yaml"},
        {"containerapp-api.yaml", "containerapp-worker.yaml"},
    ):
        shared = {
            (x.environment["MEDIA_URL"], x.environment["REDIS_URL"])
            for x in ALL
            if x.artifact in artifacts
        }
        assert len(shared) == 1


def test_images_have_one_name_and_the_version_of_this_package() -> None:
    images = {x.image for x in ALL if x.image not in {None, "ImageUri"}}
    assert {re.sub(r".*/|:.*", "", x or "") for x in images} == {"meet-transcriber"}
    tags = {(x or "").partition(":")[2] for x in images}
    assert tags == {"TAG", "TAG-worker-gpu", __version__, f"{__version__}-worker-gpu"}
    assert read("deploy/gcp/cloudbuild.yaml")["substitutions"]["_TAG"] == __version__
    assert "latest" not in " ".join(tags)


def test_targets_are_stages_of_the_dockerfile() -> None:
    stages = set(re.findall(r"(?m)^FROM \S+ AS (\S+)", (ROOT / "Dockerfile").read_text()))
    built = {x for step in read("deploy/gcp/cloudbuild.yaml")["steps"] for x in step["args"]}
    matrix = read(".github/workflows/image.yml")["jobs"]["image"]["strategy"]["matrix"]
    assert {"cpu", "worker-gpu"} <= stages
    assert "worker-gpu" in built
    assert set(matrix["target"]) <= stages


def test_what_a_task_writes_to_is_a_volume_of_the_image() -> None:
    # else it would be root's, and closed to uid 10001
    (named,) = re.findall(r"(?m)^VOLUME (.*)$", (ROOT / "Dockerfile").read_text())
    written = {
        mount["ContainerPath"]
        for name in ("ecs-fargate", "ecs-gpu")
        for task in resources(name, "AWS::ECS::TaskDefinition").values()
        for each in task["ContainerDefinitions"]
        for mount in each.get("MountPoints", [])
    }
    assert written == set(json.loads(named))


def test_security_groups_open_the_web_and_nothing_else() -> None:
    opened = {
        (rule["FromPort"], rule["ToPort"])
        for path in STACKS.glob("*.yaml")
        for group in resources(path.stem, "AWS::EC2::SecurityGroup").values()
        for rule in group["SecurityGroupIngress"]
        if PUBLIC.search(str(rule.get("CidrIp")))
    }
    assert opened == {(80, 80), (443, 443)}


def test_no_script_opens_another_port() -> None:
    allowed = set()
    for path in SCRIPTS:
        for rule in re.findall(r"(?m)^rule .*", path.read_text()):
            ports = set(re.findall(r"tcp:(\d+)", rule))
            allowed |= set() if "--source-ranges" in rule else ports
        allowed |= set(
            " ".join(re.findall(r"destination-port-ranges ([\d ]+)", path.read_text())).split()
        )
        assert "open-port" not in path.read_text()
    assert allowed == {"80", "443"}
    (ranges,) = re.findall(r"--source-ranges (\S+)", (DEPLOY / "gcp/gce.sh").read_text())
    assert ranges == "35.235.240.0/20"  # Google's proxy for Identity-Aware ssh


def test_containers_with_an_address_show_the_web_alone() -> None:
    shown = read("deploy/azure/aci.yaml")["properties"]["ipAddress"]
    assert (shown["type"], {x["port"] for x in shown["ports"]}) == ("Public", {80, 443})
    ingress = read("deploy/azure/containerapp-api.yaml")["properties"]["configuration"]["ingress"]
    assert ingress["allowInsecure"] is False
    assert (
        "ingress"
        not in read("deploy/azure/containerapp-worker.yaml")["properties"]["configuration"]
    )


def test_a_worker_has_time_to_give_its_task_back() -> None:
    stops = [
        each["StopTimeout"]
        for name in ("ecs-fargate", "ecs-gpu")
        for task in resources(name, "AWS::ECS::TaskDefinition").values()
        for each in task["ContainerDefinitions"]
        if each["Name"] == "worker"
    ]
    assert min(stops) >= 60
    worker = json.loads((ROOT / "railway.worker.json").read_text())
    assert worker["deploy"]["drainingSeconds"] >= 60


def test_the_upload_limit_is_nobodys_but_the_settings() -> None:
    assert [x.id for x in ALL if "MAX_UPLOAD_SIZE_MB" in x.environment] == []
    assert Settings.model_fields["max_upload_size_mb"].default == 500


def test_the_scripts_can_be_run() -> None:
    assert all(path.stat().st_mode & 0o100 for path in SCRIPTS if path.name != "startup.sh")
