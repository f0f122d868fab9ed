"""What computes for long runs in threads of its own, which tenants share."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest
from fastapi import FastAPI
from starlette.types import Message

from meet_transcriber.api.app import create_app
from meet_transcriber.api.compute import MOST_WAITING, THREADS
from meet_transcriber.bootstrap.auth import build_auth
from meet_transcriber.core.edits import LONGEST_TEXT, Edit
from meet_transcriber.service import Service
from meet_transcriber.settings import Settings
from meet_transcriber.stores.disk import DiskMediaStore
from tests.unit.api.service_fixture import complete_job, make_service

T = TypeVar("T")

MANY = 60
"""More than there are threads for all requests together."""
SECONDS = 30
SHARE = THREADS // 2


class SlowMedia(DiskMediaStore):
    """Does not return the transcript of one job before it may."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.slow_job = "-"
        self.go_on = threading.Event()
        self._waiting = 0

    def get(self, key: str) -> bytes:
        if self.slow_job in key and "transcript.json" in key:
            self._waiting += 1
            assert self.go_on.wait(2 * SECONDS)
        return super().get(key)

    async def reached(self) -> None:
        """Wait until a tenant holds all threads that it may."""
        async with asyncio.timeout(SECONDS):
            while self._waiting < SHARE:
                await asyncio.sleep(0.01)


class Meetings:
    """A service with a meeting of each of two tenants, of which `theirs` is slow to read."""

    def __init__(self, folder: Path) -> None:
        before = make_service(folder)
        self.mine, self.theirs = (_edited_job(before, each) for each in ("mine", "theirs"))
        self.media = SlowMedia(folder / "media")
        self.media.slow_job = self.theirs
        self.service = make_service(folder, media=self.media)  # has read no transcript yet
        settings = Settings(_env_file=None, data_dir=folder, auth_mode="required")
        guard = build_auth(settings, self.service.context.jobs)
        self.tokens = {
            name: guard.keyring.create(name, name, ("submit", "read"), None).token
            for name in ("mine", "theirs")
        }
        self.app: FastAPI = create_app(self.service, settings, guard=guard)

    def run(self, course: Callable[["Meetings"], Awaitable[T]]) -> T:
        """Run a function; the slow meeting can be read after it."""

        async def whole() -> T:
            transport = httpx.ASGITransport(app=self.app)
            async with httpx.AsyncClient(
                transport=transport, base_url="http://test", timeout=None
            ) as self.client:
                try:
                    async with asyncio.timeout(SECONDS):
                        return await course(self)
                finally:
                    self.media.go_on.set()

        return asyncio.run(whole())

    def ask(
        self, whose: str, method: str, path: str, **sent: Any
    ) -> Coroutine[Any, Any, httpx.Response]:
        """Send a request of one tenant."""
        headers = {"X-API-Key": self.tokens[whose]}
        return self.client.request(method, path, headers=headers, **sent)

    async def let_wait(
        self, number: int, method: str, path: str, **sent: Any
    ) -> list[asyncio.Task[httpx.Response]]:
        """Send so many slow requests, until some hold all threads that their tenant may."""
        path = path.format(self.theirs)
        tasks = [
            asyncio.create_task(self.ask("theirs", method, path, **sent)) for _ in range(number)
        ]
        await self.media.reached()
        return tasks


async def first(
    number: int, tasks: list[asyncio.Task[httpx.Response]]
) -> set[asyncio.Task[httpx.Response]]:
    """The requests that are answered first."""
    done: set[asyncio.Task[httpx.Response]] = set()
    while len(done) < number:
        done |= (await asyncio.wait({*tasks} - done, return_when=asyncio.FIRST_COMPLETED))[0]
    return done


def _edited_job(service: Service, tenant: str) -> str:
    upload = service.for_tenant(tenant)
    job = complete_job(upload)
    upload.commands.edit(job.id, Edit("text", 1, "better"))
    return job.id


@pytest.fixture
def meetings(tmp_path: Path) -> Meetings:
    return Meetings(tmp_path)


SLOW: dict[str, tuple[str, str, dict[str, Any]]] = {
    "export": ("GET", "/transcribe/{}/download?format=srt", {}),
    "edit": ("PATCH", "/transcribe/{}/segments/0", {"json": {"text": "new"}}),
    "name": ("PATCH", "/transcribe/{}/speakers", {"json": {"SPEAKER_00": "Ann"}}),
    "undo": ("POST", "/transcribe/{}/undo", {}),
    "search": ("GET", "/transcribe?search=word0", {}),
    "status": ("GET", "/transcribe/{}", {}),
    "edits": ("GET", "/transcribe/{}/edits", {}),
    "speakers": ("GET", "/transcribe/{}/speakers", {}),
}


def test_new_text_is_checked_in_the_same_threads(meetings: Meetings) -> None:
    async def course(meetings: Meetings) -> int:
        slow = await meetings.let_wait(SHARE, *SLOW["export"][:2])
        bomb = {"replace": {"find": "a", "with": "b" * (LONGEST_TEXT + 1)}}
        path = f"/transcribe/{meetings.theirs}/segments"
        refused = asyncio.create_task(meetings.ask("theirs", "PATCH", path, json=bomb))
        for _ in range(3):
            assert (await meetings.ask("mine", "GET", "/transcribe")).is_success
        assert not refused.done()
        meetings.media.go_on.set()
        await asyncio.wait(slow)
        return (await refused).status_code

    assert meetings.run(course) == 422


@pytest.mark.parametrize("name", SLOW)
def test_others_are_served_meanwhile(meetings: Meetings, name: str) -> None:
    async def others(made: Meetings) -> list[int]:
        method, path, sent = SLOW[name]
        await made.let_wait(MANY, method, path, **sent)
        quick: list[tuple[str, str, dict[str, Any]]] = [
            ("GET", "/transcribe", {}),
            ("GET", "/health", {}),
            *SLOW.values(),
        ]
        found = [
            (await made.ask("mine", how, where.format(made.mine), **what)).status_code
            for how, where, what in quick
        ]
        assert not made.media.go_on.is_set()
        return found

    assert set(meetings.run(others)) == {200}


def test_only_so_many_calls_of_a_tenant_wait(meetings: Meetings) -> None:
    async def crowd(made: Meetings) -> httpx.Response:
        number = SHARE + MOST_WAITING + 1
        tasks = await made.let_wait(number, "GET", "/transcribe/{}/download")
        (refused,) = await first(1, tasks)
        return await refused

    refused = meetings.run(crowd)
    assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")
    assert int(refused.headers["Retry-After"]) > 0


def test_a_client_that_leaves_takes_its_waiting_edit_along(meetings: Meetings) -> None:
    async def leave(made: Meetings) -> int:
        before = made.service.queries.job(made.theirs).version
        slow = await made.let_wait(SHARE, "GET", "/transcribe/{}/download")
        await _asks_and_leaves(made, f"/transcribe/{made.theirs}/undo")
        made.media.go_on.set()
        await asyncio.gather(*slow)
        await made.ask(
            "theirs", "GET", f"/transcribe/{made.theirs}/edits"
        )  # the edit's turn is over
        return made.service.queries.job(made.theirs).version - before

    assert meetings.run(leave) == 0


async def _asks_and_leaves(made: Meetings, path: str) -> None:
    """Send a POST without a body, and disconnect."""
    messages: Iterator[Message] = iter(
        [{"type": "http.request", "body": b"", "more_body": False}, {"type": "http.disconnect"}]
    )

    async def receive() -> Message:
        return next(messages)

    async def send(message: Message) -> None:
        """Nobody is there."""

    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(b"host", b"test"), (b"x-api-key", made.tokens["theirs"].encode())],
        "client": ("192.0.2.1", 5),
        "server": ("test", 80),
    }
    async with asyncio.timeout(SECONDS):
        await made.app(scope, receive, send)


def test_a_server_that_stops_refuses_what_waits(meetings: Meetings) -> None:
    async def stop(made: Meetings) -> list[int]:
        tasks = await made.let_wait(SHARE + 2, "GET", "/transcribe/{}/download")
        made.app.state.compute.shutdown()
        refused = await first(2, tasks)
        made.media.go_on.set()
        return [(await each).status_code for each in (*refused, *({*tasks} - refused))]

    assert meetings.run(stop) == [503, 503, 200, 200]
