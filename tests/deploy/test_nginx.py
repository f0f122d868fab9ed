"""The site for nginx, with Debian's nginx before the real API."""

import socket
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from meet_transcriber.settings import Settings
from tests.deploy.engine import ROOT, submit
from tests.deploy.proxy import KEY, SITE, Api, Nginx, limit_bytes, states_heard

RECORDING = ROOT / "tests" / "data" / "budget.ogg"
LIMIT_BYTES = Settings.model_fields["max_upload_size_mb"].default << 20


@pytest.fixture(scope="module")
def nginx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    folder = tmp_path_factory.mktemp("nginx")
    with Api(folder) as api, Nginx(folder / "nginx", api.port) as running:
        yield running


@pytest.fixture
def client(nginx: Nginx) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {KEY}"}
    address = f"http://127.0.0.1:{nginx.port}"
    with httpx.Client(base_url=address, headers=headers, timeout=300) as client:
        yield client


def _silence(path: Path, size_bytes: int) -> Path:
    """A WAV file of exactly so many bytes, most of them not on the disk."""
    data = size_bytes - 44
    format_ = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 2, 48000, 192000, 4, 16)
    header = struct.pack("<4sI4s", b"RIFF", size_bytes - 8, b"WAVE") + format_
    with path.open("wb") as file:
        file.write(header + struct.pack("<4sI", b"data", data))
        file.truncate(size_bytes)
    return path


def _send(client: httpx.Client, path: Path) -> httpx.Response:
    with path.open("rb") as file:
        return client.post("/transcribe", files={"file": (path.name, file)})


def test_nginx_takes_what_the_api_takes_and_the_form_around_it() -> None:
    assert limit_bytes() == LIMIT_BYTES + (1 << 20)


def test_the_largest_recording_goes_through(client: httpx.Client, tmp_path: Path) -> None:
    answer = _send(client, _silence(tmp_path / "largest.wav", LIMIT_BYTES))
    assert answer.status_code == 202, answer.text
    job = client.get(f"/transcribe/{answer.json()['job_id']}").json()
    assert job["size_bytes"] == LIMIT_BYTES


def test_one_byte_more_is_refused_in_words(client: httpx.Client, tmp_path: Path) -> None:
    answer = _send(client, _silence(tmp_path / "larger.wav", LIMIT_BYTES + 1))
    assert answer.status_code == 413
    assert answer.headers["Content-Type"] == "application/problem+json"


def test_nothing_of_an_upload_is_written_down_by_the_proxy(
    nginx: Nginx, client: httpx.Client
) -> None:
    submit(client, RECORDING)
    spooled = [path for path in nginx.folder.rglob("*") if path.parent.name == "client_body"]
    assert spooled == []


def test_far_too_much_is_refused_before_it_is_sent(nginx: Nginx) -> None:
    announced = (
        f"POST /transcribe HTTP/1.1\r\nHost: x\r\nContent-Length: {limit_bytes() + 1}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", nginx.port), timeout=30) as connection:
        connection.sendall(announced.encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 413")


def test_events_arrive_as_they_happen(client: httpx.Client) -> None:
    assert states_heard(client, submit(client, RECORDING)) == ["pending", "cancelled"]


def test_no_header_of_ours_is_said_twice(client: httpx.Client) -> None:
    headers = client.get("/health").headers
    for name in ("X-Content-Type-Options", "X-Frame-Options", "Content-Security-Policy"):
        assert len(headers.get_list(name)) == 1
    assert headers["Server"] == "nginx"


def test_a_flood_from_one_address_is_told_to_wait(nginx: Nginx) -> None:
    address = f"http://127.0.0.1:{nginx.port}/health"
    with httpx.Client(timeout=30) as client:
        codes = [client.get(address).status_code for _ in range(40)]
    assert set(codes) == {200}
    done = subprocess.run(
        [  # as fast as can be: past the burst of 200
            "curl", "-s", "-o", "/dev/null", "-w", "%{http_code}\n", "--parallel",
            "--parallel-max", "50", f"{address}?[1-1000]",
        ],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "429" in done.stdout.split()


def test_the_site_has_what_the_guide_promises() -> None:
    site = SITE.read_text()
    for line in (
        "listen 80;", "server_name your-domain.com;", "proxy_http_version 1.1;",
        "proxy_set_header Upgrade $http_upgrade;", "proxy_set_header X-Real-IP $remote_addr;",
        "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;",
        "proxy_set_header X-Forwarded-Proto $scheme;", "proxy_connect_timeout 75s;",
    ):  # fmt: skip
        assert line in site
