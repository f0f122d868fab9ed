"""CloudFormation: sound by cfn-lint, deployed to moto by the real client, and what is there then.

moto is not AWS: it takes much that AWS refuses, and makes nothing of capacity providers. What it
leaves out is asserted on the templates.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.clouds.artifacts import ROOT, STACKS, resources, template

BIN = Path(sys.executable).parent
TEMPLATES = sorted(path.stem for path in STACKS.glob("*.yaml"))
SECRET = "meet-transcriber/hf-token"
# moto knows the images of ECS, and none of those with NVIDIA's driver.
MOTOS_AMI = "/aws/service/ecs/optimized-ami/amazon-linux-2023/gpu/recommended/image_id"

# Nor does its CloudFormation make replication groups and secrets.
MOTOS_REDIS = "redis.example.internal"


def asked(aws: dict[str, str], *words: str) -> Any:
    """What the client answers, read as JSON."""
    done = subprocess.run(
        ["aws", *words, "--output", "json"], env=aws, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout or "null")


@pytest.fixture(scope="module")
def network(aws: dict[str, str]) -> dict[str, str]:
    (vpc,) = asked(aws, "ec2", "describe-vpcs", "--filters", "Name=is-default,Values=true")["Vpcs"]
    found = asked(aws, "ec2", "describe-subnets")["Subnets"]
    first, second = (x["SubnetId"] for x in found[:2])
    return {"vpc": vpc["VpcId"], "subnet": first, "zone": found[0]["AvailabilityZone"],
            "subnets": f"{first},{second}"}  # fmt: skip


@pytest.fixture(scope="module")
def stacks(
    aws: dict[str, str], network: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, str]:
    """All three, the machine with the project's script; name to what it said."""
    folder = tmp_path_factory.mktemp("copied") / "aws"
    shutil.copytree(ROOT / "deploy/aws", folder)
    machine = folder / "cloudformation/ec2.yaml"
    image = template("ec2")["Parameters"]["ImageId"]["Default"]
    machine.write_text(machine.read_text().replace(image, MOTOS_AMI))
    fargate = folder / "cloudformation/ecs-fargate.yaml"
    text = fargate.read_text().replace("${Redis.PrimaryEndPoint.Address}", MOTOS_REDIS)
    fargate.write_text(text.replace("Value: !Ref RedisPassword,", f"Value: {MOTOS_REDIS},"))
    token = ["--secret-string", '{"HUGGINGFACE_ACCESS_TOKEN":"hf_x"}']
    asked(aws, "secretsmanager", "create-secret", "--name", SECRET, *token)
    certificate = asked(aws, "acm", "request-certificate", "--domain-name", "meet.example.org")
    one, both = network["subnet"], network["subnets"]
    registry = "123456789012.dkr.ecr.us-east-1.amazonaws.com/meet-transcriber:0.1.0"
    wanted = {
        "ec2": [
            f"VpcId={network['vpc']}", f"SubnetId={one}", f"Zone={network['zone']}", "Spot=yes",
        ],
        "ecs-fargate": [
            f"VpcId={network['vpc']}", f"PublicSubnets={both}", f"PrivateSubnets={both}",
            f"CertificateArn={certificate['CertificateArn']}", f"ImageUri={registry}",
        ],
        "ecs-gpu": [f"Subnets={both}", f"ImageUri={registry}-worker-gpu"],
    }  # fmt: skip
    return {name: _deployed(aws, folder, name, more) for name, more in wanted.items()}


def _deployed(aws: dict[str, str], folder: Path, name: str, more: list[str]) -> str:
    if name != "ec2":
        return _created(aws, folder / "cloudformation" / f"{name}.yaml", more)
    done = subprocess.run(
        [folder / "deploy.sh", name, *more], env=aws, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def _created(aws: dict[str, str], path: Path, more: list[str]) -> str:
    """At once, without a change set: moto knows exports of none but these."""
    stack = {"ecs-fargate": "meet-transcriber", "ecs-gpu": "meet-transcriber-gpu"}[path.stem]
    secret = asked(aws, "secretsmanager", "describe-secret", "--secret-id", SECRET)
    given = dict(x.split("=", 1) for x in [*more, f"TokenSecretArn={secret['ARN']}"])
    parameters = [{"ParameterKey": k, "ParameterValue": v} for k, v in given.items()]
    made = asked(
        aws, "cloudformation", "create-stack", "--stack-name", stack,
        "--template-body", f"file://{path}", "--capabilities", "CAPABILITY_IAM",
        "--parameters", json.dumps(parameters),
    )  # fmt: skip
    return str(made["StackId"])


def test_the_templates_are_sound() -> None:
    done = subprocess.run(
        [BIN / "cfn-lint", *STACKS.glob("*.yaml")], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.returncode) == ("", 0)


def test_checkov_finds_nothing_that_has_no_reason() -> None:
    done = subprocess.run(
        [ROOT / ".venv-checkov/bin/checkov", "--quiet", "--compact", "--framework",
         "cloudformation", "-d", STACKS, "-o", "json", "--skip-download",
         "--config-file", ROOT / "deploy/aws/checkov.yaml"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    summary = json.loads(done.stdout)
    assert summary.get("results", {}).get("failed_checks", []) == [], done.stdout
    assert summary["summary"]["passed"] > 70


def test_every_stack_is_made(aws: dict[str, str], stacks: dict[str, str]) -> None:
    assert "Successfully created/updated stack" in stacks["ec2"]
    made = asked(aws, "cloudformation", "describe-stacks")["Stacks"]
    assert {x["StackName"]: x["StackStatus"] for x in made} == dict.fromkeys(
        ("meet-transcriber-ec2", "meet-transcriber", "meet-transcriber-gpu"), "CREATE_COMPLETE"
    )


def test_a_machine_runs_without_ssh(aws: dict[str, str], stacks: dict[str, str]) -> None:
    (made,) = asked(aws, "ec2", "describe-instances")["Reservations"]
    (machine,) = made["Instances"]
    assert machine["InstanceType"] == "g6.xlarge"
    assert machine["IamInstanceProfile"]
    assert machine.get("KeyName", "") == ""
    (address,) = asked(aws, "ec2", "describe-addresses")["Addresses"]
    assert address["InstanceId"] == machine["InstanceId"]


def test_what_is_kept_outlives_the_machine(aws: dict[str, str], stacks: dict[str, str]) -> None:
    free = "Name=status,Values=available"  # moto runs no user data
    (disk,) = asked(aws, "ec2", "describe-volumes", "--filters", free)["Volumes"]
    assert disk["Size"] == 100
    found = template("ec2")["Resources"]
    assert found["Data"]["Properties"]["Encrypted"] is True
    assert found["Data"]["DeletionPolicy"] == found["Data"]["UpdateReplacePolicy"] == "Snapshot"
    # A stack's parts are deleted in the order of who needs whom: first what holds the disk.
    assert "Instance" not in json.dumps(found["Data"])
    assert "${Data}" in json.dumps(found["LaunchTemplate"])


@pytest.mark.parametrize(("found", "formatted"), [(0, False), (2, True), (8, False)])
def test_only_an_empty_disk_is_formatted(found: int, formatted: bool, tmp_path: Path) -> None:
    (data,) = resources("ec2", "AWS::EC2::LaunchTemplate").values()
    (script,) = data["LaunchTemplateData"]["UserData"]["Fn::Base64"].values()
    moved = {
        "${Data}": "vol-01", "/dev/disk": f"{tmp_path}/disk", "/etc/fstab": f"{tmp_path}/fstab",
        "/opt/meet-transcript-whisper": f"{tmp_path}/home",
    }  # fmt: skip
    for there, here in moved.items():
        script = script.replace(there, here)
    script = re.sub(r"\$\{[\w:]+\}", "theirs", script)
    (tmp_path / "disk/by-id").mkdir(parents=True)
    (tmp_path / "disk/by-id/nvme-Amazon_Elastic_Block_Store_vol01").touch()
    (tmp_path / "home").mkdir()
    for name in ("aws", "blkid", "cloud-init", "docker", "git", "mkfs.ext4", "mount", "systemctl"):
        said = {
            "aws": """echo '{"HUGGINGFACE_ACCESS_TOKEN": "hf_x"}'""",
            "blkid": f"exit {found}",  # 2: nothing is on it
        }.get(name, ":")
        (tmp_path / name).write_text(f'#!/bin/sh\necho "{name} $*" >>{tmp_path}/did\n{said}\n')
        (tmp_path / name).chmod(0o755)
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    subprocess.run(["bash"], input=script, text=True, env=environment, check=True)
    did = [x.split()[0] for x in (tmp_path / "did").read_text().splitlines()]
    assert ("mkfs.ext4" in did) is formatted
    assert did.index("mount") < did.index("git") < did.index("docker")
    assert "COMPOSE_PROFILES=gpu" in (tmp_path / "home/.env").read_text().split()


def test_only_the_web_is_open_to_the_world(aws: dict[str, str], stacks: dict[str, str]) -> None:
    groups = asked(aws, "ec2", "describe-security-groups")["SecurityGroups"]
    opened = {
        (group["GroupName"].split("-")[0], rule.get("FromPort"), rule.get("ToPort"))
        for group in groups
        for rule in group["IpPermissions"]
        if any(x["CidrIp"] == "0.0.0.0/0" for x in rule["IpRanges"])
    }
    assert {ports[1:] for ports in opened} == {(80, 80), (443, 443)}


def test_services_follow_the_queue_down_to_none(
    aws: dict[str, str], stacks: dict[str, str]
) -> None:
    services = {}
    for cluster in ("meet-transcriber", "meet-transcriber-gpu"):
        for each in asked(aws, "ecs", "list-services", "--cluster", cluster)["serviceArns"]:
            services["/".join(each.split("/")[-2:])] = each
    assert set(services) == {
        "meet-transcriber/api", "meet-transcriber/worker", "meet-transcriber-gpu/worker",
    }  # fmt: skip
    for name in ("ecs-fargate", "ecs-gpu"):
        (found,) = resources(name, "AWS::ApplicationAutoScaling::ScalableTarget").values()
        assert (found["MinCapacity"], found["MaxCapacity"]) == (0, {"Ref": "MaxWorkers"})
        assert found["ResourceId"] == {"Fn::Sub": "service/${Cluster}/${Worker.Name}"}
        alarms = resources(name, "AWS::CloudWatch::Alarm")
        assert {x["TreatMissingData"] for x in alarms.values()} == {"missing"}
        acted = {key: x["AlarmActions"] for key, x in alarms.items()}
        assert acted == {
            "MoreThanWorkersCanDo": [{"Ref": "FollowTheQueue"}],
            "NothingToDo": [{"Ref": "NothingLeft"}],
        }
        assert alarms["NothingToDo"]["MetricName"] == "celery_queue_length"
        math, length, workers = alarms["MoreThanWorkersCanDo"]["Metrics"]
        assert math["Expression"] == "length - 5 * FILL(workers, 0)"
        assert length["MetricStat"]["Metric"]["MetricName"] == "celery_queue_length"
        assert workers["MetricStat"]["Metric"]["MetricName"] == "DesiredTaskCount"


@pytest.mark.parametrize("name", ["ecs-fargate", "ecs-gpu"])
def test_nothing_but_an_empty_queue_takes_a_worker_away(name: str) -> None:
    rules = {key: x["StepScalingPolicyConfiguration"] for key, x in resources(
        name, "AWS::ApplicationAutoScaling::ScalingPolicy").items()}  # fmt: skip
    (nothing,) = rules["NothingLeft"]["StepAdjustments"]
    assert (rules["NothingLeft"]["AdjustmentType"], nothing["ScalingAdjustment"]) == (
        "ExactCapacity", 0
    )  # fmt: skip
    more = rules["FollowTheQueue"]
    assert more["AdjustmentType"] == "ChangeInCapacity"
    added = [x["ScalingAdjustment"] for x in more["StepAdjustments"]]
    assert added == [1, 2, 100]
    # for each worker five tasks, as in Kubernetes
    assert [x["MetricIntervalLowerBound"] for x in more["StepAdjustments"]] == [0, 6, 11]


@pytest.mark.parametrize("name", ["ecs-fargate", "ecs-gpu"])
def test_workers_outlast_a_redis_that_is_away(name: str) -> None:
    (worker,) = [
        container
        for task in resources(name, "AWS::ECS::TaskDefinition").values()
        for container in task["ContainerDefinitions"]
        if container["Name"] == "worker"
    ]
    asked = worker["HealthCheck"]
    assert asked["Interval"] * asked["Retries"] >= 600


def test_the_bucket_is_private_and_encrypted(aws: dict[str, str], stacks: dict[str, str]) -> None:
    names = [x["Name"] for x in asked(aws, "s3api", "list-buckets")["Buckets"]]
    (bucket,) = (x for x in names if x.startswith("meet-transcriber"))
    where = ("--bucket", bucket)
    (made,) = resources("ecs-fargate", "AWS::S3::Bucket").values()
    assert set(made["PublicAccessBlockConfiguration"].values()) == {True}
    assert asked(aws, "s3api", "get-bucket-encryption", *where)
    (rule,) = made["LifecycleConfiguration"]["Rules"]
    assert rule["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 1}


def test_redis_speaks_tls_and_is_no_cluster() -> None:
    (redis,) = resources("ecs-fargate", "AWS::ElastiCache::ReplicationGroup").values()
    assert redis["TransitEncryptionEnabled"] is True
    assert redis["AuthToken"] == {"Fn::Sub": "{{resolve:secretsmanager:${RedisPassword}}}"}
    assert not {"NumNodeGroups", "ReplicasPerNodeGroup", "ClusterMode"} & set(redis)
    (kept,) = resources("ecs-fargate", "AWS::ElastiCache::ParameterGroup").values()
    assert kept["Properties"] == {"maxmemory-policy": "noeviction"}
    for task in resources("ecs-fargate", "AWS::ECS::TaskDefinition").values():
        for container in task["ContainerDefinitions"]:
            (url,) = (x["Value"] for x in container["Environment"] if x["Name"] == "REDIS_URL")
            assert url["Fn::Sub"].startswith("rediss://")


@pytest.mark.parametrize(
    ("command", "query", "there"),
    [
        ("elbv2 describe-load-balancers", "LoadBalancers[].Scheme", ["internet-facing"]),
        ("autoscaling describe-auto-scaling-groups", "AutoScalingGroups[].MinSize", [0]),
        ("ecs list-task-definition-families", "sort(families)",
         ["meet-transcriber", "meet-transcriber-gpu", "meet-transcriber-worker"]),
    ],
)  # fmt: skip
def test_the_parts_of_the_stacks_are_there(
    aws: dict[str, str], stacks: dict[str, str], command: str, query: str, there: object
) -> None:
    assert asked(aws, *command.split(), "--query", query) == there


def _plain(value: Any) -> Any:
    """A property with a text in the place of each function."""
    if isinstance(value, dict):
        function = next(iter(value), "")
        if function == "Ref" or function.startswith("Fn::"):
            return "arn:aws:theirs:us-east-1:123456789012:x"
        return {key: _plain(each) for key, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, list) else value


@pytest.mark.parametrize(
    ("name", "cluster"),
    [("ecs-fargate", "meet-transcriber"), ("ecs-gpu", "meet-transcriber-gpu")],
)
def test_what_moto_does_not_make_of_a_stack_is_what_the_client_takes(
    aws: dict[str, str], stacks: dict[str, str], name: str, cluster: str
) -> None:
    worker = {
        "ServiceNamespace": "ecs", "ScalableDimension": "ecs:service:DesiredCount",
        "ResourceId": f"service/{cluster}/worker",
    }  # fmt: skip

    def made(command: str, given: dict[str, Any]) -> None:
        asked(aws, *command.split(), "--cli-input-json", json.dumps(given))

    made("application-autoscaling register-scalable-target",
         worker | {"MinCapacity": 0, "MaxCapacity": 4})  # fmt: skip
    for each in resources(name, "AWS::ApplicationAutoScaling::ScalingPolicy").values():
        policy = {key: _plain(value) for key, value in each.items() if key != "ScalingTargetId"}
        made("application-autoscaling put-scaling-policy", worker | policy)
    for key, each in resources(name, "AWS::CloudWatch::Alarm").items():
        made("cloudwatch put-metric-alarm", {"AlarmName": f"{name}-{key}"} | _plain(each))
    told = asked(aws, "cloudwatch", "describe-alarms", "--alarm-name-prefix", name)
    assert len(told["MetricAlarms"]) == 2


def test_the_groups_of_logs_are_there(aws: dict[str, str], stacks: dict[str, str]) -> None:
    groups = asked(aws, "logs", "describe-log-groups")["logGroups"]
    assert {"/ecs/meet-transcriber": 30}.items() <= {
        x["logGroupName"]: x.get("retentionInDays") for x in groups
    }.items()


def test_nights_have_a_schedule() -> None:
    schedules = resources("ec2", "AWS::Scheduler::Schedule").values()
    targets = {
        x["Target"]["Arn"]["Fn::Sub"].rpartition(":")[2]: x["ScheduleExpression"] for x in schedules
    }
    assert targets == {"stopInstances": {"Ref": "StopAt"}, "startInstances": {"Ref": "StartAt"}}
    assert {x["State"]["Ref"] for x in schedules} == {"Nights"}
    asked = {name: template(name)["Parameters"]["Nights"]["Default"] for name in ("ec2", "ecs-gpu")}
    assert asked == {"ec2": "DISABLED", "ecs-gpu": "no"}  # a service that is there unless asked
    (range_,) = resources("ecs-gpu", "AWS::ApplicationAutoScaling::ScalableTarget").values()
    condition, (night, morning), _ = range_["ScheduledActions"]["Fn::If"]
    assert condition == "HasNights"
    assert night["ScalableTargetAction"]["MaxCapacity"] == 0
    assert morning["ScalableTargetAction"]["MaxCapacity"] == {"Ref": "MaxWorkers"}


def test_gpus_belong_to_workers_alone() -> None:
    wants = {
        f"{name}/{container['Name']}": container.get("ResourceRequirements")
        for name in ("ecs-fargate", "ecs-gpu")
        for task in resources(name, "AWS::ECS::TaskDefinition").values()
        for container in task["ContainerDefinitions"]
    }
    gpu = [{"Type": "GPU", "Value": "1"}]
    assert {name: it for name, it in wants.items() if it} == {"ecs-gpu/worker": gpu}


def test_gpu_machines_come_and_go() -> None:
    (group,) = resources("ecs-gpu", "AWS::AutoScaling::AutoScalingGroup").values()
    (provider,) = resources("ecs-gpu", "AWS::ECS::CapacityProvider").values()
    assert group["MinSize"] == "0"
    assert group["NewInstancesProtectedFromScaleIn"] is True
    managed = provider["AutoScalingGroupProvider"]
    assert managed["ManagedScaling"] == {"Status": "ENABLED", "TargetCapacity": 100}
    assert managed["ManagedTerminationProtection"] == "ENABLED"
    distribution = group["MixedInstancesPolicy"]["InstancesDistribution"]
    assert distribution["OnDemandPercentageAboveBaseCapacity"] == {"Ref": "OnDemandShare"}


@pytest.mark.parametrize("name", ["ec2", "ecs-gpu"])
def test_machines_have_sealed_disks_and_new_metadata(name: str) -> None:
    (made,) = resources(name, "AWS::EC2::LaunchTemplate").values()
    data = made["LaunchTemplateData"]
    assert data["MetadataOptions"]["HttpTokens"] == "required"
    assert all(x["Ebs"]["Encrypted"] for x in data["BlockDeviceMappings"])
    assert list(data["UserData"]) == ["Fn::Base64"]
    (script,) = data["UserData"]["Fn::Base64"].values()
    checked = subprocess.run(
        [BIN / "shellcheck", "-S", "warning", "-e", "SC2154", "-"], input=script, text=True,
        capture_output=True, check=False,
    )  # fmt: skip
    assert checked.stdout == ""
    image = template(name)["Parameters"]["ImageId" if name == "ec2" else "Ami"]
    assert image["Type"] == "AWS::SSM::Parameter::Value<AWS::EC2::Image::Id>"


def test_a_role_may_do_what_it_needs_on_what_it_needs() -> None:
    statements = [
        statement
        for name in TEMPLATES
        for role in resources(name, "AWS::IAM::Role").values()
        for policy in role.get("Policies", [])
        for statement in policy["PolicyDocument"]["Statement"]
    ]
    assert len(statements) == 7
    for each in statements:
        actions = each["Action"] if isinstance(each["Action"], list) else [each["Action"]]
        assert each["Resource"] != "*"
        assert not any("*" in action for action in actions)
