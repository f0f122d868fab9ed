"""`serve` on 127.0.0.1 against clients that are slow, many, greedy or impolite; others are served.

Attackers call from 127.0.0.2, so that the one who must be served has an address of their own.
"""

import socket
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from tests.integration.api.serving import Server, eventually

HEADER_SECONDS = 3.0
HALF_OPEN = 200
BURST = 150
HEAD = b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder: Path = tmp_path_factory.mktemp("slow")
    variables = {
        "AUTH_MODE": "open",
        "DATA_DIR": str(folder),
        "EMBEDDED_WORKER": "off",
        "HEADER_TIMEOUT_SECONDS": str(HEADER_SECONDS),
        "MAX_CONNECTIONS_PER_ADDRESS": str(HALF_OPEN + 20),
        "RATE_LIMIT": "60/hour",
    }
    server = Server("meet_transcriber", "serve", "--port", "0", env=variables)
    yield server
    assert server.end() in {0, -15}


def connect(server: Server, source: str = "127.0.0.2") -> socket.socket:
    host, port = server.url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=30, source_address=(source, 0))


def is_closed(wire: socket.socket) -> bool:
    wire.setblocking(False)
    try:
        while wire.recv(4096):
            pass
    except BlockingIOError:
        return False
    except OSError:
        pass
    return True


def answer_to(wire: socket.socket) -> bytes:
    """All that comes until the other side closes."""
    wire.settimeout(30)
    found = b""
    while data := wire.recv(4096):
        found += data
    return found


def test_two_hundred_half_open_connections_do_not_block_others(server: Server) -> None:
    with ExitStack() as stack:
        wires = [stack.enter_context(connect(server)) for _ in range(HALF_OPEN)]
        for wire in wires:
            wire.sendall(HEAD)
        for _ in range(10):
            assert httpx.get(f"{server.url}/transcribe", timeout=5).status_code == 200
        assert eventually(lambda: all(map(is_closed, wires)), 4 * HEADER_SECONDS)
    assert eventually(lambda: len(server.open_files()) < HALF_OPEN)


def test_single_bytes_do_not_extend_the_deadline(server: Server) -> None:
    with connect(server) as wire:
        wire.sendall(HEAD)
        began = time.monotonic()
        try:
            while time.monotonic() - began < 4 * HEADER_SECONDS and not is_closed(wire):
                wire.sendall(b"X")
                time.sleep(0.2)
        except OSError:
            pass
    assert HEADER_SECONDS * 0.8 < time.monotonic() - began < HEADER_SECONDS * 3


@pytest.mark.parametrize("sent", [b"", HEAD, b"\r\n" * 50], ids=["nothing", "headers", "breaks"])
def test_a_stalled_sender_gets_408(server: Server, sent: bytes) -> None:
    with connect(server) as wire:
        wire.sendall(sent)
        assert answer_to(wire).startswith(b"HTTP/1.1 408 ")


def test_line_breaks_do_not_keep_an_idle_connection(server: Server) -> None:
    with connect(server) as wire:
        wire.sendall(HEAD + b"\r\n")
        assert wire.recv(4096).startswith(b"HTTP/1.1 200 ")
        began = time.monotonic()
        while not is_closed(wire) and time.monotonic() - began < 4 * HEADER_SECONDS:
            wire.setblocking(True)
            wire.sendall(b"\r\n")
            time.sleep(0.2)
    assert time.monotonic() - began < 3 * HEADER_SECONDS


def test_endless_headers_are_refused(server: Server) -> None:
    with connect(server) as wire:
        wire.sendall(HEAD)
        for _ in range(16):  # just more than is taken, so that nothing is left unread
            wire.sendall(b"X-Filler: " + b"x" * 4096 + b"\r\n")
        assert answer_to(wire).startswith(b"HTTP/1.1 431 ")


def test_a_slow_upload_is_not_limited_like_slow_headers(server: Server) -> None:
    form = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
    form += b"no sound" * 4 + b"\r\n--b--\r\n"
    head = b"POST /transcribe HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
    head += b"Content-Type: multipart/form-data; boundary=b\r\nContent-Length: %d\r\n\r\n"
    with connect(server, "127.0.0.3") as wire:
        wire.sendall(head % len(form))
        for at in range(0, len(form), 20):
            time.sleep(HEADER_SECONDS * 1.5 * 20 / len(form))
            wire.sendall(form[at : at + 20])
        assert answer_to(wire).startswith(b"HTTP/1.1 415 ")


def test_one_connection_serves_many_requests(server: Server) -> None:
    with connect(server) as wire:
        for _ in range(5):
            time.sleep(HEADER_SECONDS / 3)
            wire.sendall(HEAD + b"\r\n")
            answer = b""
            while not answer.endswith(b"}"):
                answer += wire.recv(4096)
            assert answer.startswith(b"HTTP/1.1 200 ")


def test_a_burst_past_the_limit_does_not_block_others(server: Server) -> None:
    transport = httpx.HTTPTransport(local_address="127.0.0.4")
    with httpx.Client(transport=transport, timeout=30) as attacker:
        found = Counter(attacker.get(f"{server.url}/transcribe").status_code for _ in range(BURST))
    assert found == {200: 60, 429: BURST - 60}
    answer = httpx.get(f"{server.url}/transcribe", timeout=5)
    assert answer.status_code == 200
    assert httpx.get(f"{server.url}/health", timeout=5).status_code == 200


def test_one_address_cannot_take_every_connection(server: Server) -> None:
    with ExitStack() as stack:
        source = "127.0.0.5"
        wires = [stack.enter_context(connect(server, source)) for _ in range(HALF_OPEN + 40)]
        assert eventually(lambda: sum(map(is_closed, wires)) >= 20, HEADER_SECONDS / 2)
        assert sum(map(is_closed, wires)) == 20
        assert httpx.get(f"{server.url}/health", timeout=5).status_code == 200


def test_no_response_names_the_server_software(server: Server) -> None:
    headers = httpx.get(f"{server.url}/health").headers
    assert "server" not in headers
    assert headers["X-Frame-Options"] == "DENY"
