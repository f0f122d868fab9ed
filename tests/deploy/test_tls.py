"""certbot, Debian's nginx and a certificate authority for tests (pebble), from end to end."""

import json
import os
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.deploy.engine import free_port, until
from tests.deploy.proxy import Api, Nginx

DOMAIN = "meet.example.test"


class Authority:
    """
    pebble, which asks for http-01 at `challenge_port` and believes that every name is here.

    Attributes:
        directory: its ACME address.
        certificate: a file with what its own HTTPS is verified by.
        root: the file that what it issues is verified by.
    """

    def __init__(self, folder: Path, challenge_port: int) -> None:
        self._folder, listens, manages, names = folder, free_port(), free_port(), free_port()
        self.directory = f"https://localhost:{listens}/dir"
        self.certificate = folder / "pebble.pem"
        self.root = folder / "root.pem"
        self._management = f"https://localhost:{manages}"
        _self_signed(self.certificate, folder / "pebble.key", "localhost")
        settings = {
            "listenAddress": f"127.0.0.1:{listens}",
            "managementListenAddress": f"127.0.0.1:{manages}",
            "certificate": str(self.certificate),
            "privateKey": str(folder / "pebble.key"),
            "httpPort": challenge_port,
            "tlsPort": free_port(),
        }
        (folder / "pebble.json").write_text(json.dumps({"pebble": settings}))
        challenges = ["-http01", "", "-https01", "", "-tlsalpn01", "", "-defaultIPv6", ""]
        dns, management = f"127.0.0.1:{names}", f"127.0.0.1:{free_port()}"
        config = str(folder / "pebble.json")
        self._processes = [
            _quietly("pebble-challtestsrv", *challenges, "-dns01", dns, "-management", management),
            _quietly("pebble", "-config", config, "-dnsserver", dns),
        ]

    def is_up(self) -> bool:
        """Whether it answers; fetches the root that it issues under."""
        try:
            self.root.write_text(self._get("/roots/0"))
        except httpx.TransportError:
            return False
        return True

    def _get(self, path: str) -> str:
        return httpx.get(self._management + path, verify=self._trust(), timeout=5).text

    def _trust(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.certificate))

    def close(self) -> None:
        for process in self._processes:
            process.terminate()
            process.wait(30)


def _quietly(*command: str) -> subprocess.Popen[bytes]:
    """Start a program of pebble's that neither dawdles nor refuses at random."""
    environment = {**os.environ, "PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": "0"}
    nowhere = subprocess.DEVNULL
    return subprocess.Popen(command, env=environment, stdout=nowhere, stderr=nowhere)


def _self_signed(certificate: Path, key: Path, name: str) -> None:
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-days", "2", "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}",
         "-keyout", str(key), "-out", str(certificate)],
        check=True, capture_output=True,
    )  # fmt: skip


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
