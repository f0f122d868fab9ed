"""deploy/caddy/Caddyfile in Debian's Caddy, which gets its certificate from pebble."""

import os
import ssl
import subprocess
from collections.abc import Iterator
from itertools import chain, repeat
from pathlib import Path

import httpx
import pytest

from meet_transcriber.settings import Settings
from tests.deploy.authority import Authority
from tests.deploy.engine import ROOT, submit, until
from tests.deploy.proxy import KEY, Api, states_heard
from tests.redis_server import free_port

DOMAIN = "meet.example.test"
LIMIT_BYTES = (Settings.model_fields["max_upload_size_mb"].default + 1) << 20
"""What the API takes, and the form around it."""


class Named(httpx.HTTPTransport):
    """Asks a server by the site's name, which no resolver knows."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.headers["Host"] = DOMAIN
        request.extensions["sni_hostname"] = DOMAIN
        return super().handle_request(request)


def _settings(port: int, tls_port: int, folder: Path, authority: Authority) -> str:
    """What differs from a machine of one's own: ports, folders and the authority."""
    return f"""{{
        admin off
        default_bind 127.0.0.1
        http_port {port}
        https_port {tls_port}
        storage file_system {folder}/certificates
        acme_ca {authority.directory}
        acme_ca_root {authority.certificate}
    }}
    """


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A client of Caddy, once that has its certificate."""
    folder, port, tls_port = tmp_path_factory.mktemp("caddy"), free_port(), free_port()
    authority = Authority(folder, port, tls_port)
    with Api(folder) as api:
        site = (ROOT / "deploy" / "caddy" / "Caddyfile").read_text()
        site = site.replace("your-domain.com", DOMAIN).replace(
            "127.0.0.1:8000", f"127.0.0.1:{api.port}"
        )
        until("pebble", authority.is_up, 60)
        (folder / "Caddyfile").write_text(_settings(port, tls_port, folder, authority) + site)
        environment = {**os.environ, "HOME": str(folder)}
        command = ["caddy", "run", "--config", str(folder / "Caddyfile")]
        with (folder / "log").open("wb") as log:
            caddy = subprocess.Popen(command, env=environment, stderr=log)
        transport = Named(verify=ssl.create_default_context(cafile=str(authority.root)))
        headers = {"Authorization": f"Bearer {KEY}"}
        address = f"https://127.0.0.1:{tls_port}"
        try:
            with httpx.Client(
                transport=transport, base_url=address, headers=headers, timeout=60
            ) as client:
                until("a certificate", lambda: _answers(client), 120)
                yield client
        finally:
            caddy.terminate()
            caddy.wait(30)
            authority.close()


def _answers(client: httpx.Client) -> bool:
    try:
        return client.get("/health").status_code == 200
    except httpx.TransportError:
        return False


def test_a_recording_goes_through_and_events_come_as_they_happen(client: httpx.Client) -> None:
    job = submit(client, ROOT / "tests" / "data" / "budget.ogg")
    assert states_heard(client, job) == ["pending", "cancelled"]


def test_the_api_hears_that_it_is_https(client: httpx.Client) -> None:
    answer = client.post("/session", json={"key": KEY})
    assert "Secure" in answer.headers["Set-Cookie"]


def test_more_than_the_api_takes_is_refused(client: httpx.Client) -> None:
    form = {"Content-Type": "multipart/form-data; boundary=x"}
    begin = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
    body = chain([begin], repeat(bytes(1 << 20), LIMIT_BYTES >> 20))
    assert client.post("/transcribe", content=body, headers=form).status_code == 413
