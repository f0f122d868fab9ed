"""Whoever sends what takes long to look at waits; others do not wait for them."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import httpx
import pytest
from fastapi import FastAPI

from meet_transcriber.api.app import _begin_to_stop, create_app
from meet_transcriber.api.routes.submissions import TENANT_THREADS
from meet_transcriber.bootstrap.auth import build_auth
from meet_transcriber.core.media import MediaInfo
from meet_transcriber.service import Policy, Service
from meet_transcriber.service.probing import PLACES
from meet_transcriber.settings import Settings
from tests.unit.api.service_fixture import FakeDecoder, FakeFetcher, make_service

Ask = Callable[..., Coroutine[Any, Any, httpx.Response]]

MANY = 60
"""More than there are threads for all requests together."""


class Stuck:
    """Holds up whoever comes, as long as nobody lets them go."""

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.most = 0
        self._here = 0
        self._lock = threading.Lock()

    def hold(self) -> None:
        with self._lock:
            self._here += 1
            self.most = max(self.most, self._here)
        assert self.go_on.wait(60)
        with self._lock:
            self._here -= 1


class HostileDecoder(FakeDecoder):
    """Looks at recordings of more than four bytes without end."""

    def __init__(self, stuck: Stuck) -> None:
        self._stuck = stuck

    def probe(self, media: BinaryIO) -> MediaInfo:
        if len(media.read()) > 4:
            self._stuck.hold()
        return super().probe(media)


class SilentNames(FakeFetcher):
    """A name service that does not answer."""

    def __init__(self, stuck: Stuck) -> None:
        self._stuck = stuck

    def check(self, url: str) -> None:
        self._stuck.hold()


def slow_recording() -> dict[str, Any]:
    return {"files": {"file": ("a.wav", b"tape of a stranger")}}


def slow_address() -> dict[str, Any]:
    return {"json": {"url": "https://media.example/a.mp3"}}


@pytest.mark.parametrize(
    ("sent", "share"), [(slow_recording, PLACES // 2), (slow_address, TENANT_THREADS)]
)
def test_others_are_served_meanwhile(
    tmp_path: Path, sent: Callable[[], dict[str, Any]], share: int
) -> None:
    stuck, made = Stuck(), make_service(tmp_path)
    context = replace(made.context, decoder=HostileDecoder(stuck), fetcher=SilentNames(stuck))

    async def others(ask: Ask, _app: FastAPI) -> list[int]:
        theirs = [asyncio.create_task(ask("theirs", "POST", **sent())) for _ in range(MANY)]
        mine = {"files": {"file": ("a.wav", b"tape")}}
        try:
            async with asyncio.timeout(30):
                while stuck.most < share:
                    await asyncio.sleep(0.01)
                asked = [ask("mine", "GET"), ask("mine", "POST", **mine), ask("theirs", "GET")]
                found = [(await each).status_code for each in asked]
        finally:
            stuck.go_on.set()
        assert {(await each).status_code for each in theirs} == {202}
        return found

    assert asyncio.run(_over_http(Service(context), tmp_path, others)) == [200, 202, 200]
    assert stuck.most == share


@pytest.mark.parametrize(
    ("sent", "share"), [(slow_recording, PLACES // 2), (slow_address, TENANT_THREADS)]
)
def test_a_server_that_stops_refuses_what_waits(
    tmp_path: Path, sent: Callable[[], dict[str, Any]], share: int
) -> None:
    stuck, made = Stuck(), make_service(tmp_path)
    context = replace(made.context, decoder=HostileDecoder(stuck), fetcher=SilentNames(stuck))

    async def stop(ask: Ask, app: FastAPI) -> list[int]:
        asked = {asyncio.create_task(ask("theirs", "POST", **sent())) for _ in range(MANY)}
        waiting = set(asked)
        try:
            async with asyncio.timeout(30):
                while stuck.most < share:
                    await asyncio.sleep(0.01)
                _begin_to_stop(app)
                while len(waiting) > share:
                    _, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stuck.go_on.set()
        return [(await each).status_code for each in (*(asked - waiting), *waiting)]

    found = asyncio.run(_over_http(Service(context), tmp_path, stop))
    assert found == [503] * (MANY - share) + [202] * share
    assert stuck.most == share


def test_an_upload_is_kept_while_its_recording_waits(tmp_path: Path) -> None:
    stuck, made = Stuck(), make_service(tmp_path, Policy(lease_seconds=1.0))
    context = replace(made.context, decoder=HostileDecoder(stuck))

    def lease() -> float:
        (job_id,) = context.jobs.due(float("inf"), 9)
        return context.jobs.get(job_id).lease_until

    async def wait(ask: Ask, _app: FastAPI) -> list[int]:
        sent = asyncio.create_task(ask("mine", "POST", **slow_recording()))
        try:
            async with asyncio.timeout(30):
                while stuck.most < 1:
                    await asyncio.sleep(0.01)
                begun = lease()
                while lease() < begun + 1.0:  # longer than it would last without renewal
                    await asyncio.sleep(0.05)
        finally:
            stuck.go_on.set()
        return [(await sent).status_code]

    assert asyncio.run(_over_http(Service(context), tmp_path, wait)) == [202]


async def _over_http(
    service: Service,
    folder: Path,
    course: Callable[[Ask, FastAPI], Awaitable[list[int]]],
) -> list[int]:
    settings = Settings(_env_file=None, data_dir=folder, auth_mode="required")
    known = build_auth(settings, service.context.jobs)
    tokens = {
        name: known.keyring.create(name, name, ("submit", "read"), None).token
        for name in ("mine", "theirs")
    }
    app = create_app(service, settings, guard=known)
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://testserver", timeout=None
    ) as client:

        async def ask(whose: str, method: str, **what: Any) -> httpx.Response:
            headers = {"X-API-Key": tokens[whose]}
            return await client.request(method, "/transcribe", headers=headers, **what)

        return await course(ask, app)
