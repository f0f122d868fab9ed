"""Clients of clouds against servers on this machine."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.deploy.clouds.artifacts import ROOT
from tests.redis_server import free_port

GCLOUD = shutil.which("gcloud")
# Google's client is no package of pip or Debian, so its own tests are there only with it.
collect_ignore = [] if GCLOUD else ["test_google_client.py"]


def pytest_report_header() -> list[str]:
    """Say aloud what is not tested."""
    missing = "gcloud: NOT FOUND; what Google's client would send is NOT CHECKED"
    return [] if GCLOUD else [missing]


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment in which the real `aws` talks to a moto of this module alone."""
    folder, port = tmp_path_factory.mktemp("moto"), free_port()
    url = f"http://127.0.0.1:{port}"
    with (folder / "log").open("wb") as log:
        command = [
            str(Path(sys.executable).parent / "moto_server"),
            "-H",
            "127.0.0.1",
            "-p",
            str(port),
        ]
        server = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        until = httpx.Client(transport=httpx.HTTPTransport(retries=10), trust_env=False)
        assert until.get(f"{url}/moto-api/").status_code == 200
        yield {
            "PATH": f"{ROOT / '.venv-awscli' / 'bin'}:{os.environ['PATH']}",
            "HOME": str(folder),
            "AWS_ENDPOINT_URL": url,
            "AWS_ACCESS_KEY_ID": "x",
            "AWS_SECRET_ACCESS_KEY": "x",
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_PAGER": "",
            "AWS_EC2_METADATA_DISABLED": "true",
        }
    finally:
        server.terminate()
        server.wait(20)
