"""Whoever takes nothing of an answer is let go; test_slow_clients.py has the other slow ones."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import ClassVar

import pytest
import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.server import ServerState

from meet_transcriber.api.http_protocol import DeadlineHttpProtocol

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
