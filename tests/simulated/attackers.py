"""
Attacks by a tenant, or by anyone, as processes of their own.

Each attack calls `begun` once it is in full force, and goes on until its process is ended.
"""

import json
import multiprocessing
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

import httpx

from tests.simulated.hostile import with_sparse_samples
from tests.simulated.system import recording, wait_for
from tests.simulated.tagged import with_id3

ADDRESS = "127.0.0.2"
"""Attackers call from here, so that limits on addresses spare those who call from 127.0.0.1."""

_BEGIN_SECONDS = _TIMEOUT_SECONDS = 30.0
_PAUSE_SECONDS = 0.02
_VOLLEY = 45  # more than the 40 threads in which FastAPI runs requests

Attack = Callable[[str, str, Callable[[], None]], None]


@contextmanager
def under(attack: Attack, url: str, key: str) -> Iterator[None]:
    """For so long, a service is attacked with a tenant's key; begins when the attack is on."""
    context = multiprocessing.get_context("spawn")
    begun = context.Event()
    process = context.Process(target=_attack, args=(attack, url, key, begun.set), daemon=True)
    process.start()
    try:
        wait_for(lambda: begun.is_set() or not process.is_alive(), _BEGIN_SECONDS)
        yield
        assert process.is_alive(), "the attack ended by itself"
    finally:
        process.kill()
        process.join()


def _attack(attack: Attack, url: str, key: str, begun: Callable[[], None]) -> None:
    os.nice(5)  # attackers have machines of their own
    attack(url, key, begun)


# -- connections ---------------------------------------------------------------------------


def endless_trailers(url: str, key: str, begun: Callable[[], None]) -> None:
    """Anyone: requests without a body, and trailers for ever."""
    head = _request("GET /health", "Transfer-Encoding: chunked") + b"0\r\n"
    trailer = (b"X-Filler: " + b"x" * 1000 + b"\r\n") * 64
    _on_connections(4, url, head, lambda wire: wire.sendall(trailer), begun)


def held_connections(url: str, key: str, begun: Callable[[], None]) -> None:
    """Anyone: requests whose bodies come byte by byte, long after their answers."""
    head = _request("GET /health", "Transfer-Encoding: chunked") + b"ffff\r\n"
    _on_connections(200, url, head, _send_a_byte, begun, pause=None)


def tiny_chunks(url: str, key: str, begun: Callable[[], None]) -> None:
    """Anyone: bodies in chunks of a byte, as fast as they are taken."""
    head, chunks = _request("GET /health", "Transfer-Encoding: chunked"), b"1\r\nx\r\n" * 10_000
    _on_connections(40, url, head, lambda wire: wire.sendall(chunks), begun)


def requests_sent_ahead(url: str, key: str, begun: Callable[[], None]) -> None:
    """Anyone: hundreds of requests before the answer of the first."""
    heads = _request("GET /transcribe") * 500
    _on_connections(40, url, heads, lambda wire: _answer_and(wire, heads), begun)


def quoted_cookies(url: str, key: str, begun: Callable[[], None]) -> None:
    """Anyone: a cookie that takes quadratic time to unquote."""
    cookie = "\\" * 30_000
    head = _request("GET /transcribe", f'Cookie: a="{cookie}"')
    _on_connections(8, url, head, lambda wire: _answer_and(wire, head), begun)


def _answer_and(wire: socket.socket, head: bytes) -> None:
    """Wait for an answer, and send a request."""
    if not wire.recv(65536):
        raise ConnectionError
    time.sleep(_PAUSE_SECONDS)
    wire.sendall(head)


def many_events(url: str, key: str, begun: Callable[[], None]) -> None:
    """A tenant: 300 streams about a hundred jobs that go on."""
    with _client(url, key) as client:
        for _ in range(100):
            _submitted(client, recording(20)).raise_for_status()
    head = _request("GET /events", f"X-API-Key: {key}")
    _on_connections(300, url, head, _receive, begun)


def unread_answers(url: str, key: str, begun: Callable[[], None]) -> None:
    """A tenant: a transcript of thirty megabytes, asked for and not read."""
    job = _transcribed(url, key)
    path = f"/transcribe/{job}/segments"
    with _client(url, key) as client:
        client.patch(f"{path}/0", json={"text": "a " * 42}).raise_for_status()
        cuts = [{"segment": number, "split_at": 1} for number in range(40)]
        client.patch(path, json={"changes": cuts}).raise_for_status()
        for number in range(39):
            text = {"text": "a " * 5000}
            client.patch(f"{path}/{number}", json=text).raise_for_status()
    head = _request(f"GET /transcribe/{job}/download?format=json", f"X-API-Key: {key}")
    _on_connections(190, url, head, lambda _: time.sleep(1), begun)


def endless_forwarded(url: str, key: str, begun: Callable[[], None]) -> None:
    """Anyone, through a proxy: a header in which every character may begin a pair."""
    head = _request("GET /health", f"Forwarded: {'a' * 31_000}")

    _on_connections(8, url, head, lambda wire: _answer_and(wire, head), begun)


def trickling_uploads(url: str, key: str, begun: Callable[[], None]) -> None:
    """A tenant: uploads of 9 MiB of which a byte comes now and then."""
    head = _request("POST /transcribe", *_form(key, 9 << 20))
    _on_connections(40, url, head + _part("file") + recording(1), _send_a_byte, begun)


def many_streams(url: str, key: str, begun: Callable[[], None]) -> None:
    """A tenant: requests over /v1 that wait for one job."""
    form = _part("model") + b"whisper-1\r\n" + _part("stream") + b"true\r\n"
    form += _part("file") + recording(1) + b"\r\n--b--\r\n"
    headers = "Idempotency-Key: one", *_form(key, len(form))
    head = _request("POST /v1/audio/transcriptions", *headers)
    _on_connections(400, url, head + form, _receive, begun)


def _request(line: str, *headers: str) -> bytes:
    return "\r\n".join((f"{line} HTTP/1.1", "Host: 127.0.0.1", *headers, "", "")).encode()


def _form(key: str, size: int) -> tuple[str, ...]:
    """Headers of a form."""
    form = "Content-Type: multipart/form-data; boundary=b"
    return f"X-API-Key: {key}", form, f"Content-Length: {size}"


def _part(name: str) -> bytes:
    """What comes before a field of a form."""
    file = '; filename="a.wav"' if name == "file" else ""
    return f'--b\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'.encode()


def _send_a_byte(wire: socket.socket) -> None:
    wire.sendall(b"x")
    time.sleep(0.5)


def _receive(wire: socket.socket) -> None:
    if not (answer := wire.recv(65536)) or b" 429 " in answer[:20]:
        raise ConnectionError


def _on_connections(
    count: int,
    url: str,
    first: bytes,
    again: Callable[[socket.socket], None],
    begun: Callable[[], None],
    pause: float | None = 1.0,
) -> None:
    """
    Send something on so many connections, then do something for ever.

    A connection that ends is opened again after a pause, or never.
    """
    to, opened = urlsplit(url), threading.Barrier(count + 1)
    target = to.hostname or "", to.port or 0

    def open_one(number: int) -> socket.socket:
        source = f"127.0.0.{2 + number // 200}", 0  # so many are allowed from one address
        wire = socket.create_connection(target, _TIMEOUT_SECONDS, source)
        wire.sendall(first)
        return wire

    def keep(number: int, wire: socket.socket) -> None:
        opened.wait()
        while True:
            with suppress(OSError), wire:
                while True:
                    again(wire)
            if pause is None:
                return
            time.sleep(pause)
            with suppress(OSError):
                wire = open_one(number)

    for number in range(count):
        threading.Thread(target=keep, args=(number, open_one(number)), daemon=True).start()
    opened.wait()
    begun()
    threading.Event().wait()


# -- edits and exports ---------------------------------------------------------------------


def long_edits(url: str, key: str, begun: Callable[[], None]) -> None:
    """A tenant: texts whose words have to be found in each other."""
    job = _transcribed(url, key)
    path = f"/transcribe/{job}/segments/0"
    _client(url, key).patch(path, json={"text": "あい" * 5000}).raise_for_status()
    _volleys(url, key, lambda client: client.patch(path, json={"text": "いあう" * 3333}), begun)


def multiplying_replaces(url: str, key: str, begun: Callable[[], None]) -> None:
    """A tenant: every replacement makes forty words of one."""
    job = _transcribed(url, key)
    path = f"/transcribe/{job}/segments"
    _client(url, key).patch(f"{path}/0", json={"text": "a " * 5000}).raise_for_status()
    bomb = {"replace": {"find": "a", "with": "a " * 40}}

    def send(client: httpx.Client) -> None:
        client.patch(path, json=bomb)
        client.get(f"/transcribe/{job}")

    _volleys(url, key, send, begun)


def narrow_subtitles(url: str, key: str, begun: Callable[[], None]) -> None:
    """A tenant: subtitles of ten thousand words, every second of them without width."""
    job = _transcribed(url, key)
    path = f"/transcribe/{job}/segments/0"
    _client(url, key).patch(path, json={"text": "ก\u200b" * 5000}).raise_for_status()
    path = f"/transcribe/{job}/download?format=vtt"
    _volleys(url, key, lambda client: client.get(path), begun)


def wrong_names(url: str, key: str, begun: Callable[[], None]) -> None:
    """A tenant: names of seventeen thousand speakers, each of them wrong."""
    path = f"/transcribe/{_transcribed(url, key)}/speakers"
    names = {f"S{number}": number for number in range(17_000)}
    _volleys(url, key, lambda client: client.patch(path, json=names), begun)


def many_fields(url: str, key: str, begun: Callable[[], None]) -> None:
    """A tenant: submissions of four hundred thousand fields, none of which exists."""
    fields = dict.fromkeys((f"k{number}" for number in range(400_000)), 1)
    data = json.dumps(fields, separators=(",", ":")).encode()
    _submissions(url, key, data, "application/json", begun)


def many_lists(url: str, key: str, begun: Callable[[], None]) -> None:
    """A tenant: submissions of two million empty lists."""
    data = b'{"a":[' + b"[]," * (2 << 20) + b"1]}"
    _submissions(url, key, data, "application/json", begun)


def many_pairs(url: str, key: str, begun: Callable[[], None]) -> None:
    """A tenant: submissions of three million fields without a value."""
    _submissions(url, key, b"a&" * (3 << 20), "application/x-www-form-urlencoded", begun)


def many_parts(url: str, key: str, begun: Callable[[], None]) -> None:
    """A tenant: forms of two hundred thousand empty fields."""
    data = (_part("a") + b"\r\n") * 200_000
    _submissions(
        url, key, data, "multipart/form-data; boundary=b", begun, "/v1/audio/transcriptions"
    )


def long_prompts(url: str, key: str, begun: Callable[[], None]) -> None:
    """A tenant: jobs with six megabytes of options, and lists of them."""
    data = json.dumps({"url": f"{url}/health", "initial_prompt": "a" * 6_000_000}).encode()
    with _client(url, key) as client:
        for _ in range(20):
            client.post("/transcribe", content=data, headers={"Content-Type": "application/json"})
    _volleys(url, key, lambda client: client.get("/transcribe?limit=100"), begun)


def marks_in_searches(url: str, key: str, begun: Callable[[], None]) -> None:
    """A tenant: searches in text whose marks take quadratic time to sort."""
    job = _transcribed(url, key)
    text = {"text": "a needle a" + "\u0301\u0327" * 4990}
    _client(url, key).patch(f"/transcribe/{job}/segments/0", json=text).raise_for_status()
    path = f"/transcribe?search={'needle+' * 70}"
    _volleys(url, key, lambda client: client.get(path), begun)


def _submissions(
    url: str,
    key: str,
    data: bytes,
    kind: str,
    begun: Callable[[], None],
    path: str = "/transcribe",
) -> None:
    headers = {"Content-Type": kind}
    _volleys(url, key, lambda client: client.post(path, content=data, headers=headers), begun)


def _volleys(
    url: str,
    key: str,
    send: Callable[[httpx.Client], object],
    begun: Callable[[], None],
    at_once: int = _VOLLEY,
    pause: float = 1.0,
) -> None:
    """Do this in so many threads for ever."""

    def repeat() -> None:
        with _client(url, key) as client:
            while True:
                with suppress(httpx.TransportError):
                    send(client)
                time.sleep(pause)

    for _ in range(at_once):
        threading.Thread(target=repeat, daemon=True).start()
    time.sleep(1)
    begun()
    threading.Event().wait()


def _client(url: str, key: str) -> httpx.Client:
    transport = httpx.HTTPTransport(local_address=ADDRESS)
    headers = {"X-API-Key": key}
    return httpx.Client(
        base_url=url, headers=headers, transport=transport, timeout=_TIMEOUT_SECONDS
    )


def _transcribed(url: str, key: str) -> str:
    """The id of a job that is completed."""
    with _client(url, key) as client:
        job = str(_submitted(client, recording(1)).json()["job_id"])
        wait_for(lambda: client.get(f"/transcribe/{job}").json()["status"] == "completed")
    return job


def _submitted(client: httpx.Client, data: bytes, **fields: str) -> httpx.Response:
    return client.post("/transcribe", files={"file": ("a.wav", data)}, data=fields)


# -- recordings ----------------------------------------------------------------------------


def many_tags(url: str, key: str, begun: Callable[[], None]) -> None:
    """A tenant: recordings of 2 MB with 100,000 tags, eight at a time."""
    _uploads(url, key, with_id3(100_000), 8, begun)


def many_samples(url: str, key: str, begun: Callable[[], None]) -> None:
    """A tenant: recordings of a few KB whose index says 17 million samples."""
    _uploads(url, key, with_sparse_samples(17_000_000), 4, begun)


def _uploads(url: str, key: str, data: bytes, at_once: int, begun: Callable[[], None]) -> None:
    _volleys(url, key, lambda client: _submitted(client, data), begun, at_once, pause=0.5)


# -- what the service calls ----------------------------------------------------------------


def tarpit_webhooks(url: str, key: str, begun: Callable[[], None]) -> None:
    """A tenant: sixty jobs whose receivers take connections and never answer."""
    with socket.create_server(("127.0.0.1", 0), backlog=500) as tarpit:
        silent = f"http://127.0.0.1:{tarpit.getsockname()[1]}/"
        with _client(url, key) as client:
            jobs = [_submitted(client, recording(1), webhook_url=silent) for _ in range(60)]
            last = jobs[-1].raise_for_status().json()["job_id"]
            wait_for(lambda: client.get(f"/transcribe/{last}").json()["status"] == "completed")
        begun()
        threading.Event().wait()


def dripping_urls(url: str, key: str, begun: Callable[[], None]) -> None:
    """A tenant: urls of which a byte comes each second."""

    def drip(wire: socket.socket) -> None:
        with suppress(OSError):
            wire.recv(65536)
            wire.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
            while True:
                wire.sendall(b"x")
                time.sleep(1)

    with socket.create_server(("127.0.0.1", 0)) as server:
        source = f"http://127.0.0.1:{server.getsockname()[1]}/a.wav"
        with _client(url, key) as client:
            for _ in range(6):
                client.post("/transcribe", data={"url": source}).raise_for_status()
        while True:
            wire, _ = server.accept()
            threading.Thread(target=drip, args=(wire,), daemon=True).start()
            begun()
