"""The commands of the page about AWS run with the real client on moto."""

import json
import re
import subprocess
from pathlib import Path

from scripts.guide import commands
from tests.deploy.clouds.artifacts import ROOT
from tests.deploy.pages import FOLDER, blocks


def _asked(aws: dict[str, str], command: str, **more: str) -> str:
    done = subprocess.run(
        ["bash", "-c", command], cwd=ROOT, env=aws | more, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{command}\n{done.stderr}"
    return done.stdout


def _of_the_page(beginning: str) -> list[str]:
    every = [x for block in blocks(FOLDER / "aws.md", "bash") for x in commands(block.text)]
    found = [x for x in every if x.startswith(beginning)]
    assert found, beginning
    return found


def test_the_commands_of_aws_run(aws: dict[str, str]) -> None:
    (secret,) = _of_the_page("aws secretsmanager create-secret")
    made = json.loads(_asked(aws, secret, HUGGINGFACE_ACCESS_TOKEN="hf_x"))
    assert made["Name"] == "meet-transcriber/hf-token"
    kept = _asked(aws, f"aws secretsmanager get-secret-value --secret-id {made['ARN']}")
    assert json.loads(json.loads(kept)["SecretString"]) == {"HUGGINGFACE_ACCESS_TOKEN": "hf_x"}
    group = json.loads(_asked(aws, "aws ec2 create-security-group --group-name a --description b"))
    subnets = json.loads(_asked(aws, "aws ec2 describe-subnets"))["Subnets"]
    given = {"GROUP_ID": group["GroupId"], "SUBNET_ID": subnets[0]["SubnetId"]}
    for command in _of_the_page("aws ec2 authorize-security-group-ingress"):
        _asked(aws, command, **given)
    looked = _asked(aws, f"aws ec2 describe-security-groups --group-ids {group['GroupId']}")
    (found,) = json.loads(looked)["SecurityGroups"]
    assert {x["FromPort"] for x in found["IpPermissions"]} == {80, 443}
    (machine,) = _of_the_page("aws ec2 run-instances")
    # moto knows the images of ECS, and none of those with NVIDIA's driver.
    known = re.sub(
        r"resolve:ssm:\S+",
        "resolve:ssm:/aws/service/ecs/optimized-ami/amazon-linux-2023/gpu/recommended/image_id",
        machine,
    )
    (started,) = json.loads(_asked(aws, known, **given))["Instances"]
    assert started["InstanceType"] == "g4dn.xlarge"
    assert started["MetadataOptions"]["HttpTokens"] == "required"
    assert {"Key": "Name", "Value": "meet-transcriber"} in started["Tags"]
    (zone,) = _of_the_page("ZONE=")
    assert _asked(aws, f'{zone}; echo "$ZONE"', **given).strip() == subnets[0]["AvailabilityZone"]


def test_an_image_is_pushed_in_the_guides_order(aws: dict[str, str], tmp_path: Path) -> None:
    said = _asked(aws, "deploy/aws/image.sh --dry-run 0.1.0 worker-gpu").splitlines()
    registry = "123456789012.dkr.ecr.us-east-1.amazonaws.com/meet-transcriber:0.1.0-worker-gpu"
    assert [x.split()[:3] for x in said[:-1]] == [
        ["aws", "ecr", "create-repository"],
        ["docker", "build", "--target"],
        ["docker", "tag", "meet-transcriber:0.1.0-worker-gpu"],
        ["docker", "push", registry],
    ]
    assert said[-1] == registry
