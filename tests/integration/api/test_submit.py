"""The command `submit` over a connection that breaks."""

import io
import socket
import threading
import wave
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send
from typer.testing import CliRunner

from meet_transcriber.api.app import create_app
from meet_transcriber.cli import app
from meet_transcriber.cli.serve import address, listen, server_of
from meet_transcriber.settings import Settings
from tests.integration.api.serving import Server
from tests.unit.api.service_fixture import make_service

CUT_AFTER_BYTES = 1 << 20
CUTS = 2
LARGEST_REQUEST_BYTES = 32 << 20
"""As on Cloud Run."""


class Line:
    """Passes connections on to a server, and cuts them whenever a MiB went up, twice in all."""

    def __init__(self, server: str) -> None:
        host, port = server.removeprefix("http://").split(":")
        self._server = (host, int(port))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.sent_bytes = self.cuts = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                ends = self._listener.accept()[0], socket.create_connection(self._server)
                threading.Thread(target=self._up, args=ends, daemon=True).start()
                threading.Thread(target=_pump, args=ends[::-1], daemon=True).start()

    def _up(self, client: socket.socket, server: socket.socket) -> None:
        with client, server, suppress(OSError):
            while data := client.recv(1 << 16):
                server.sendall(data)
                self.sent_bytes += len(data)
                if self.cuts < CUTS and self.sent_bytes > (self.cuts + 1) * CUT_AFTER_BYTES:
                    self.cuts += 1
                    for end in (client, server):
                        end.shutdown(socket.SHUT_RDWR)
                    return

    def close(self) -> None:
        self._listener.close()


def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    settings = {
        "DATA_DIR": str(tmp_path / "system"),
        "EMBEDDED_WORKER": "off",
        "AUTH_MODE": "open",
    }
    server = Server("meet_transcriber", "serve", "--port", "0", env=settings)
    yield server
    server.end()


@pytest.fixture
def line(server: Server) -> Iterator[Line]:
    line = Line(server.url)
    yield line
    line.close()


def _silence(size_bytes: int) -> bytes:
    """A WAV file with so many bytes of samples."""
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setparams((1, 2, 16_000, 0, "NONE", ""))
        writer.writeframes(bytes(size_bytes))
    return file.getvalue()


def submit(path: Path, address: str, data: bytes) -> tuple[int, str]:
    """Exit code, and what was said."""
    path.write_bytes(data)
    result = CliRunner().invoke(app, ["submit", str(path), "--server", address])
    return result.exit_code, result.output


def test_an_upload_resumes_after_a_lost_connection_as_one_job(
    server: Server, line: Line, tmp_path: Path
) -> None:
    recording = _silence(3 << 20)
    code, said = submit(tmp_path / "long.wav", line.url, recording)
    assert (code, line.cuts) == (0, CUTS), said
    jobs = httpx.get(f"{server.url}/transcribe").json()["data"]
    assert [job["job_id"] for job in jobs] == [said.split()[-1]]
    assert httpx.get(f"{server.url}/transcribe/{said.split()[-1]}/audio").content == recording
    assert line.sent_bytes < 1.5 * len(recording)


@pytest.fixture
def limited(tmp_path: Path) -> Iterator[str]:
    """The address of an API behind a platform that refuses large requests."""
    settings = Settings(auth_mode="open", data_dir=tmp_path / "system")
    api = create_app(make_service(tmp_path / "system"), settings)

    async def platform(scope: Scope, receive: Receive, send: Send) -> None:
        length = dict(scope.get("headers", ())).get(b"content-length", b"0")
        refused = int(length) > LARGEST_REQUEST_BYTES
        await (PlainTextResponse("too large", 413) if refused else api)(scope, receive, send)

    listener = listen("127.0.0.1", 0)
    server = server_of(platform, settings)
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    yield address(listener)
    server.should_exit = True
    thread.join()


def test_a_large_recording_is_sent_in_requests_that_platforms_accept(
    limited: str, tmp_path: Path
) -> None:
    recording = _silence(LARGEST_REQUEST_BYTES + 1)
    code, said = submit(tmp_path / "long.wav", limited, recording)
    assert code == 0, said
    assert httpx.get(f"{limited}/transcribe/{said.split()[-1]}/audio").content == recording


@pytest.mark.parametrize(
    ("data", "why"), [(b"Dear diary", "The file is text"), (b"", "The file is empty")]
)
def test_a_refused_request_leaves_nothing_behind(
    data: bytes, why: str, server: Server, tmp_path: Path
) -> None:
    code, said = submit(tmp_path / "notes.txt", server.url, data)
    assert code != 0
    assert why in said
    assert [path for path in (tmp_path / "system" / "media").rglob("*") if path.is_file()] == []
    assert httpx.get(f"{server.url}/transcribe").json()["data"] == []
