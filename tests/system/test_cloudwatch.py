"""Lines in a log group of CloudWatch, as moto has one."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

from tests.system.media_servers import aws_environment, moto_server

SPEAK = """
import logging
from meet_transcriber.bootstrap.observability import set_up_logging
from meet_transcriber.observability.logging import bound, get_logger
from meet_transcriber.settings import load_settings
set_up_logging(load_settings())
with bound(job_id="j1", request_id="r1"):
    get_logger("meet_transcriber").info("job_finished", speakers=4)
logging.shutdown()
"""


@pytest.fixture
def aws(tmp_path: Path) -> Iterator[str]:
    """The address of an AWS with credentials for it in the environment."""
    with moto_server(tmp_path) as url, aws_environment():
        yield url


def test_a_line_arrives_in_the_log_group_with_its_ids(aws: str) -> None:
    environment = {
        **os.environ,
        "CLOUDWATCH_LOG_GROUP": "meet-transcriber",
        "AWS_ENDPOINT_URL": aws,
    }
    done = subprocess.run(
        [sys.executable, "-c", SPEAK], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    logs = boto3.client("logs", endpoint_url=aws, region_name="us-east-1")
    events = logs.filter_log_events(logGroupName="meet-transcriber")["events"]
    (line,) = [json.loads(event["message"]) for event in events]
    assert (line["event"], line["speakers"], line["job_id"]) == ("job_finished", 4, "j1")
    assert "job_finished" in done.stderr
