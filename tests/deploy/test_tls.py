"""certbot, Debian's nginx and a certificate authority for tests (pebble), from end to end."""

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.authority import Authority
from tests.deploy.engine import until
from tests.deploy.proxy import Api, Nginx
from tests.redis_server import free_port

DOMAIN = "meet.example.test"


@pytest.fixture(scope="module")
def nginx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    folder = tmp_path_factory.mktemp("tls")
    with Api(folder) as api, Nginx(folder / "nginx", api.port, DOMAIN) as running:
        yield running


@pytest.fixture(scope="module")
def authority(nginx: Nginx, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Authority]:
    running = Authority(tmp_path_factory.mktemp("pebble"), nginx.port)
    try:
        until("pebble", running.is_up, 60)
        yield running
    finally:
        running.close()


@pytest.fixture(scope="module")
def certbot(
    authority: Authority, nginx: Nginx, tmp_path_factory: pytest.TempPathFactory
) -> list[str]:
    """The command, but for what it should do."""
    folder = tmp_path_factory.mktemp("certbot")
    places = [f"--{place}-dir={folder}/{place}" for place in ("config", "work", "logs")]
    return ["certbot", *places, "--non-interactive", "--no-random-sleep-on-renew"]


def _run(command: list[str], authority: Authority) -> None:
    environment = {**os.environ, "REQUESTS_CA_BUNDLE": str(authority.certificate)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def _serial(port: int, root: Path) -> str:
    """The serial number of the certificate that is served, once it is verified."""
    shown = subprocess.run(
        ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-servername", DOMAIN,
         "-CAfile", str(root), "-verify_return_error", "-verify_hostname", DOMAIN],
        input="", capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "Verify return code: 0 (ok)" in shown.stdout, shown.stdout + shown.stderr
    read = subprocess.run(
        ["openssl", "x509", "-noout", "-serial"],
        input=shown.stdout, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return read.stdout.strip()


@pytest.fixture(scope="module")
def https_port(certbot: list[str], authority: Authority, nginx: Nginx) -> int:
    """As the guide has it: `certbot --nginx -d DOMAIN`, which edits the site for HTTPS."""
    port = free_port()
    _run(
        [*certbot, "--nginx", f"--nginx-server-root={nginx.folder}", "-d", DOMAIN,
         f"--http-01-port={nginx.port}", f"--https-port={port}", "--agree-tos",
         "-m", "admin@example.test", f"--server={authority.directory}"],
        authority,
    )  # fmt: skip
    return port


def test_certbot_makes_the_site_speak_https(https_port: int, authority: Authority) -> None:
    assert _serial(https_port, authority.root)


def test_the_api_hears_that_it_is_https(https_port: int, authority: Authority) -> None:
    """A session's cookie says Secure only then."""
    shown = subprocess.run(
        ["curl", "-s", "-i", "--cacert", str(authority.root),
         "--resolve", f"{DOMAIN}:{https_port}:127.0.0.1",
         "-H", "Content-Type: application/json", "-d", '{"key": "key-of-a-test-0123456789abcdef"}',
         f"https://{DOMAIN}:{https_port}/session"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "Secure" in shown.stdout, shown.stdout


def test_a_renewed_certificate_is_served_at_once(
    https_port: int, certbot: list[str], authority: Authority
) -> None:
    before = _serial(https_port, authority.root)
    _run([*certbot, "renew", "--force-renewal"], authority)
    deadline = time.monotonic() + 60
    while _serial(https_port, authority.root) == before:
        assert time.monotonic() < deadline, "The old certificate is still served."
        time.sleep(0.5)
