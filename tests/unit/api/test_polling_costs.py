"""What a request for a status costs on one machine: threads that it waits for, and calls."""

import asyncio
import io
import logging
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from fastapi import FastAPI
from starlette.types import ASGIApp, Message

from meet_transcriber.api.app import create_app
from meet_transcriber.core.auth import DEFAULT_SCOPES, AuditQuery
from meet_transcriber.observability.logging import PACKAGE, formatter
from meet_transcriber.service import Service
from meet_transcriber.settings import Settings
from tests.contract.job_samples import job
from tests.unit.api.counting_loop import poll_counted, run_counted
from tests.unit.api.service_fixture import complete_job

KEY = "a key of this test"


@pytest.fixture
def app(service: Service, tmp_path: Path) -> FastAPI:
    return create_app(service, Settings(auth_mode="required", api_keys=KEY, data_dir=tmp_path))


async def poll_repeatedly(app: FastAPI, path: str, key: str, times: int) -> list[int]:
    """The threads waited for the first time, and once the status is known."""
    return [await poll_counted(app, path, key, times) for _ in range(2)]


def test_a_key_of_the_settings_needs_no_thread(app: FastAPI, service: Service) -> None:
    service.context.jobs.create(job("waiting"))
    first, later = run_counted(poll_repeatedly(app, "/transcribe/waiting", KEY, 1))
    assert (first, later) == (2, 0), "to digest the keys and to render the status"


def test_polls_with_a_stored_key_share_a_thread(app: FastAPI, service: Service) -> None:
    made = app.state.auth.keyring.create("a", "", DEFAULT_SCOPES, None)
    service.context.jobs.create(job("waiting"))
    path = "/transcribe/waiting"
    assert run_counted(poll_repeatedly(app, path, made.token, 50))[1] == 1


def test_the_audit_log_is_written_once_for_polls_at_the_same_time(
    app: FastAPI, service: Service
) -> None:
    path = f"/transcribe/{complete_job(service).id}"
    assert run_counted(poll_repeatedly(app, path, KEY, 50))[1] == 1
    assert len(app.state.auth.trail.read_page(AuditQuery(limit=200)).entries) == 100


def calls(app: ASGIApp, path: str) -> int:
    """How many functions of Python one request calls that came twice before."""
    scope = {
        "type": "http", "method": "GET", "path": path, "query_string": b"", "scheme": "http",
        "http_version": "1.1", "client": ("192.0.2.1", 5), "root_path": "",
        "headers": [(b"host", b"testserver"), (b"x-api-key", KEY.encode())],
    }  # fmt: skip

    async def receive() -> Message:
        return {"type": "http.request"}

    async def send(message: Message) -> None:
        assert message.get("status", 200) == 200

    async def ask() -> int:
        for _ in range(2):
            await app({**scope, "state": {}}, receive, send)
        found: Counter[str] = Counter()
        sys.setprofile(lambda _frame, event, _: found.update([event]))
        try:
            await app({**scope, "state": {}}, receive, send)
        finally:
            sys.setprofile(None)
        return found["call"]

    return asyncio.run(ask())


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """The log lines of the package, written as text and by no other handler."""
    package, lines = logging.getLogger(PACKAGE), io.StringIO()
    handler = logging.StreamHandler(lines)
    handler.setFormatter(formatter(as_json=False))
    before = package.level, package.propagate
    package.addHandler(handler)
    package.setLevel(logging.INFO)
    package.propagate = False
    yield lines
    package.removeHandler(handler)
    package.setLevel(before[0])
    package.propagate = before[1]


def test_a_poll_calls_few_functions_more_than_a_bare_route(
    app: FastAPI, service: Service, log: io.StringIO
) -> None:
    service.context.jobs.create(replace(job("ended"), state="failed", tasks=()))
    bare = FastAPI()

    @bare.get("/ended")
    async def ended() -> dict[str, str]:
        return {"status": "failed"}

    ratio = calls(app, "/transcribe/ended") / calls(bare, "/ended")
    assert ratio < 2.5, "with key, limits, metrics, security headers and a log line"
    assert log.getvalue().count("request_answered") == 3
