"""A real server on 127.0.0.1: memory, limits, senders that go away, many at once."""

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from meet_transcriber.service import Service
from tests.integration.api.serving import Server, eventually
from tests.unit.api.service_fixture import complete_job, make_service, stored_keys, work

MEBIBYTE = 1 << 20
LIMIT = 120
HEAD = (
    b"POST /transcribe HTTP/1.1\r\nHost: localhost\r\n"
    b"Content-Type: multipart/form-data; boundary=b\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n"
)
PART = b'--b\r\nContent-Disposition: form-data; name="file"; filename="m.wav"\r\n\r\n'


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("served")


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Server]:
    server = Server("tests.integration.api.serving", str(folder), str(LIMIT))
    yield server
    assert server.end() in {0, -15}


@pytest.fixture
def service(folder: Path, server: Server) -> Service:
    return make_service(folder)


def body(mebibytes: int) -> Iterator[bytes]:
    yield PART
    for _ in range(mebibytes * 4):
        yield bytes(MEBIBYTE // 4)
    yield b"\r\n--b--\r\n"


def connect(server: Server) -> socket.socket:
    host, port = server.url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=30)


def chunked(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def test_an_upload_of_a_hundred_mebibytes_needs_little_memory(server: Server) -> None:
    kind = {"Content-Type": "multipart/form-data; boundary=b"}
    for size in (1, 100):
        before = server.fact("VmHWM")
        answer = httpx.post(
            f"{server.url}/transcribe", content=body(size), headers=kind, timeout=60
        )
        assert answer.status_code == 202
    assert server.fact("VmHWM") - before < 32 * 1024


def test_an_endless_upload_is_answered_soon_after_the_limit(
    server: Server, service: Service
) -> None:
    before, sent = stored_keys(service), 0
    with connect(server) as wire:
        wire.sendall(HEAD + chunked(PART))
        try:
            while sent < 4 * LIMIT:
                wire.sendall(chunked(bytes(MEBIBYTE)))
                sent += 1
        except OSError:
            assert sent
        assert b" 413 " in wire.recv(4096)
    assert LIMIT <= sent < LIMIT + 16  # what the sockets hold is not yet read
    assert eventually(lambda: stored_keys(service) == before)


def test_an_upload_announced_too_large_is_refused_at_once(server: Server) -> None:
    head = HEAD.replace(b"Transfer-Encoding: chunked", b"Content-Length: 999999999")
    with connect(server) as wire:
        wire.sendall(head)
        assert b" 413 " in wire.recv(4096)


def test_a_disconnected_upload_leaves_no_object_and_no_record(
    server: Server, service: Service
) -> None:
    before = stored_keys(service)
    with connect(server) as wire:
        wire.sendall(HEAD + chunked(PART + bytes(4 * MEBIBYTE)))
        assert eventually(lambda: bool(service.context.jobs.backlog().jobs.get("uploading")))
    assert eventually(lambda: not service.context.jobs.backlog().jobs.get("uploading"))
    assert stored_keys(service) == before
    assert not [name for name in server.open_files() if "jobs/" in name and "sqlite" not in name]


def test_fifty_uploads_at_once_all_arrive(server: Server, service: Service) -> None:
    async def send() -> list[httpx.Response]:
        limits = httpx.Limits(max_connections=50)
        async with httpx.AsyncClient(timeout=120, limits=limits) as client:
            jobs = [
                client.post(
                    f"{server.url}/transcribe", files={"file": (f"{at}.wav", bytes(MEBIBYTE + at))}
                )
                for at in range(50)
            ]
            return await asyncio.gather(*jobs)

    ids = [answer.json()["job_id"] for answer in asyncio.run(send())]
    sizes = [service.queries.job(job_id).size_bytes for job_id in ids]
    assert sizes == [MEBIBYTE + at for at in range(50)]
    assert len(set(ids)) == 50


def test_a_stream_resumes_after_a_lost_connection(server: Server, service: Service) -> None:
    upload = httpx.post(f"{server.url}/transcribe", files={"file": ("a.wav", b"tape")}).json()
    events, job_id = f"{server.url}{upload['links']['events']}", upload["job_id"]
    with httpx.stream("GET", events, timeout=30) as answer:
        first = next(line[4:] for line in answer.iter_lines() if line.startswith("id: "))
    while service.queries.job(job_id).state != "completed":
        assert work(service, 1)
    rest = httpx.get(events, headers={"Last-Event-ID": first}, timeout=30).text
    assert "event: done" in rest
    assert f"id: {first}" not in rest


def test_a_player_gets_its_range_and_may_disconnect(server: Server, service: Service) -> None:
    job = complete_job(service, data=bytes(range(256)) * 400_000)
    url = f"{server.url}/transcribe/{job.id}/audio"
    part = httpx.get(url, headers={"Range": "bytes=50000000-50000255"})
    assert (part.status_code, part.content) == (206, bytes(range(128, 256)) + bytes(range(128)))
    with httpx.stream("GET", url) as answer:
        assert len(next(answer.iter_raw(1024))) == 1024
    key = job.objects["recording"]
    assert eventually(lambda: not [name for name in server.open_files() if name.endswith(key)])
