"""Slow readers and endless requests; test_slow_clients.py has slow senders."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import ClassVar

import pytest
import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.server import ServerState

from meet_transcriber.api.http_protocol import (
    FREE_CHUNKS,
    MOST_HEADERS,
    MOST_PIPELINED,
    DeadlineHttpProtocol,
)

MEBIBYTE = 1 << 20
PATIENCE_SECONDS = 30.0


class Hasty(DeadlineHttpProtocol):
    reading_seconds: ClassVar[float] = 1.0


def answering(*pieces: int) -> ASGIApp:
    """An application that answers with so many MiB at a time."""

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for piece in pieces:
            body = bytes(piece * MEBIBYTE)
            await send({"type": "http.response.body", "body": body, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    return app


@asynccontextmanager
async def asked(app: ASGIApp) -> AsyncIterator[tuple[socket.socket, ServerState]]:
    """A connection over which an answer was asked for and nothing was taken yet."""
    config = uvicorn.Config(app, log_config=None, lifespan="off")
    config.load()
    loop, state = asyncio.get_running_loop(), ServerState()
    server = await loop.create_server(
        lambda: Hasty(config=config, server_state=state, app_state={}), "127.0.0.1", 0
    )
    with socket.socket() as wire:
        wire.setblocking(False)
        await loop.sock_connect(wire, server.sockets[0].getsockname())
        await loop.sock_sendall(wire, b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not state.connections:
                await asyncio.sleep(0.01)
            yield wire, state
    server.close()
    await server.wait_closed()


async def taken(wire: socket.socket, pause: float = 0.0) -> int:
    """How many bytes come until the other side closes, with a pause after each piece."""
    size = 0
    while data := await asyncio.get_running_loop().sock_recv(wire, MEBIBYTE):
        size += len(data)
        await asyncio.sleep(pause)
    return size


@pytest.mark.parametrize("pieces", [[1] * 64, [64]], ids=["more would come", "all is written"])
def test_who_takes_nothing_of_an_answer_is_let_go(pieces: list[int]) -> None:
    async def course() -> int:
        async with asked(answering(*pieces)) as (wire, state):
            while state.connections:
                await asyncio.sleep(0.05)
            return await taken(wire)

    assert asyncio.run(course()) < 64 * MEBIBYTE


def test_who_takes_it_slowly_gets_all_of_it() -> None:
    async def course() -> int:
        async with asked(answering(*[1] * 20)) as (wire, _):
            return await taken(wire, 0.02)

    assert asyncio.run(course()) > 20 * MEBIBYTE


# -- requests that do not end --------------------------------------------------------------------


class Impatient(DeadlineHttpProtocol):
    header_seconds: ClassVar[float] = 1.0


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers at once to GET; to POST with the size of its body and its headers' names."""
    size = 0
    while scope["method"] == "POST" and (message := await receive())["type"] == "http.request":
        size += len(message["body"])
        if not message["more_body"]:
            break
    body = f"{size} {sorted(name.decode() for name, _ in scope['headers'])}".encode()
    length = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": 200, "headers": [length]})
    await send({"type": "http.response.body", "body": body})


@asynccontextmanager
async def connected() -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    config = uvicorn.Config(echo, log_config=None, lifespan="off")
    config.load()
    state = ServerState()
    server = await asyncio.get_running_loop().create_server(
        lambda: Impatient(config=config, server_state=state, app_state={}), "127.0.0.1", 0
    )
    async with asyncio.timeout(PATIENCE_SECONDS):
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        yield reader, writer
    writer.close()
    server.close()
    await server.wait_closed()


async def sent_until_closed(writer: asyncio.StreamWriter, first: bytes, then: bytes) -> int:
    """How many bytes can be sent until the server closes the connection."""
    sent = 0
    with suppress(ConnectionError):
        writer.write(first)
        while True:
            writer.write(then)
            await writer.drain()
            sent += len(then)
    return sent


CHUNKED = b"/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize("method", [b"GET ", b"POST "])
@pytest.mark.parametrize(
    ("first", "then"),
    [
        (b"0\r\n", b"X-A: b\r\n" * 1000),
        (b"0\r\nX-A: ", b"b" * 8000),
        (b"0\r\n", b"b" * 8000),
        (b"5;a=", b"b" * 8000),
    ],
    ids=["trailers", "trailer value", "trailer name", "chunk extension"],
)
def test_endless_trailers_end_the_connection(method: bytes, first: bytes, then: bytes) -> None:
    async def course() -> int:
        async with connected() as (_, writer):
            return await sent_until_closed(writer, method + CHUNKED + first, then)

    assert asyncio.run(course()) < 16 * MEBIBYTE  # what the buffers of the system take


def test_small_chunks_and_a_trailer_are_an_ordinary_request() -> None:
    async def course() -> bytes:
        async with connected() as (reader, writer):
            writer.write(b"POST " + CHUNKED + b"1\r\na\r\n" * FREE_CHUNKS)
            writer.write(b"0\r\nX-Checksum: b\r\n\r\n")
            await reader.readuntil(b"\r\n\r\n")
            return await reader.read(100)

    assert asyncio.run(course()) == b"4000 ['host', 'transfer-encoding']"


@pytest.mark.parametrize("method", [b"GET ", b"POST "])
def test_endless_chunks_of_a_byte_end_the_connection(method: bytes) -> None:
    async def course() -> int:
        async with connected() as (_, writer):
            return await sent_until_closed(writer, method + CHUNKED, b"1\r\na\r\n" * 1000)

    assert asyncio.run(course()) < 16 * MEBIBYTE  # what the buffers of the system take


def test_chunks_of_a_byte_are_refused_in_words() -> None:
    async def course() -> bytes:
        async with connected() as (reader, writer):
            writer.write(b"POST " + CHUNKED + b"1\r\na\r\n" * (FREE_CHUNKS + 1))
            return await reader.readline()

    assert asyncio.run(course()) == b"HTTP/1.1 400 Bad Request\r\n"


def test_thousands_of_headers_are_refused_before_all_are_read() -> None:
    async def course() -> bytes:
        async with connected() as (reader, writer):
            writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n" + b"a:b\r\n" * 2 * MOST_HEADERS)
            return await reader.readline()

    assert b" 431 " in asyncio.run(course())


def test_so_many_requests_are_sent_ahead_and_no_more() -> None:
    async def answered(requests: int) -> int:
        async with connected() as (reader, writer):
            head = b"GET / HTTP/1.1\r\nHost: a\r\n"
            writer.write((head + b"\r\n") * (requests - 1) + head + b"Connection: close\r\n\r\n")
            with suppress(ConnectionError):
                return (await reader.read()).count(b" 200 ")
            return 0

    assert asyncio.run(answered(MOST_PIPELINED + 1)) == MOST_PIPELINED + 1
    assert asyncio.run(answered(MOST_PIPELINED + 2)) == MOST_PIPELINED + 1
    assert asyncio.run(answered(10_000)) == MOST_PIPELINED + 1


def test_the_rest_of_a_request_that_was_answered_has_a_deadline() -> None:
    async def course() -> float:
        async with connected() as (_, writer):
            writer.write(b"GET " + CHUNKED)
            began = time.monotonic()
            with suppress(ConnectionError):
                while True:
                    writer.write(b"1\r\na\r\n")
                    await writer.drain()
                    await asyncio.sleep(0.1)
            return time.monotonic() - began

    assert asyncio.run(course()) < 10


def test_a_request_that_ends_in_time_after_its_answer_is_followed_by_others() -> None:
    async def course() -> int:
        async with connected() as (reader, writer):
            for _ in range(3):
                writer.write(b"GET " + CHUNKED)
                await reader.readuntil(b"transfer-encoding']")
                writer.write(b"1\r\na\r\n0\r\n\r\n")
                await asyncio.sleep(0.6)  # the third is past the deadline of the first
            writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            return len(await reader.readuntil(b"['host']"))

    assert asyncio.run(course()) > 0
