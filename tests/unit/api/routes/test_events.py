"""Event streams of one job and of all jobs."""

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from starlette.requests import Request
from starlette.testclient import TestClient

from meet_transcriber.api.app import create_app
from meet_transcriber.api.routes.events import (
    CHECK_SECONDS,
    KeyRechecks,
    SseCursor,
    StreamLimiter,
    in_pieces,
    status_json,
)
from meet_transcriber.core.auth import ApiKey, NewKey
from meet_transcriber.core.errors import StorageUnavailable
from meet_transcriber.core.jobs import Job
from meet_transcriber.ports.auth import Keyring
from meet_transcriber.service import Service, SubmissionRequest
from meet_transcriber.settings import Settings
from meet_transcriber.stores.disk import DiskMediaStore
from meet_transcriber.stores.sqlite.jobs import SqliteJobStore
from tests.unit.api.secured_app import SecuredApp
from tests.unit.api.service_fixture import complete_job, stream, work

Event = tuple[str, str, Any]


def parse(text: str) -> list[Event]:
    events: list[Event] = []
    for block in text.strip().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.split("\n") if not line.startswith(":"))
        if "event" in fields:
            events.append((fields["event"], fields.get("id", ""), json.loads(fields["data"])))
    return events


def follow(
    client: TestClient,
    job_id: str,
    last: str | None = None,
    then: Callable[[], object] = lambda: None,
) -> list[Event]:
    """The events of a job; calls what is to happen `then`, once the stream has begun."""
    headers = {} if last is None else {"Last-Event-ID": last}
    return parse(stream(client, f"/transcribe/{job_id}/events", {b"progress": then}, headers).text)


def running(service: Service, tasks: int) -> str:
    upload = service.submissions.start_upload("standup.wav")
    upload.write(b"tape")
    job_id = upload.finish(SubmissionRequest()).id
    work(service, tasks)
    return job_id


def submitted(service: Service, name: str) -> str:
    upload = service.submissions.start_upload(name)
    upload.write(b"tape")
    return upload.finish(SubmissionRequest()).id


def test_a_stream_has_all_events_up_to_the_end(client: TestClient, service: Service) -> None:
    job_id = running(service, 3)
    events = follow(client, job_id, then=partial(work, service))
    kinds = [kind for kind, _, _ in events]
    assert kinds[-1] == "done"
    assert {"segment", "progress", "done"} <= set(kinds)
    shown = [data["progress"] for kind, _, data in events if kind == "progress"]
    assert shown == sorted(shown)


def test_ids_begin_with_a_version_that_rises(client: TestClient, service: Service) -> None:
    job_id = running(service, 2)
    events = follow(client, job_id, then=partial(work, service))
    versions = [int(id_.split(".")[0]) for _, id_, _ in events if id_]
    assert versions == sorted(set(versions))
    assert versions[-1] <= service.queries.version(job_id)


def test_a_client_that_reconnects_gets_no_event_twice(client: TestClient, service: Service) -> None:
    job_id = running(service, 3)
    events = follow(client, job_id, then=partial(work, service))
    first = next(id_ for _, id_, _ in events if id_)
    told = [data["part"] for kind, _, data in events if kind == "segment"]
    job = service.queries.job(job_id)
    assert SseCursor.from_id(first).parts <= {
        name for name in job.objects if name.startswith("parts/")
    }
    assert [kind for kind, _, _ in follow(client, job_id, first)] == ["done"]
    assert told


class Fitful(DiskMediaStore):
    """Fails the first read of the second part."""

    asked = 0
    then: Callable[[], object] = staticmethod(lambda: None)

    def get(self, key: str) -> bytes:
        if "/parts/0001" in key:
            self.asked += 1
            if self.asked == 1:
                raise StorageUnavailable("The store does not answer.")
            self.then()
        return super().get(key)


def test_segments_that_a_store_cannot_read_for_a_while_come_later(
    client: TestClient, service: Service, tmp_path: Path
) -> None:
    media = Fitful(tmp_path / "media")
    client.app.state.service = Service(replace(service.context, media=media))  # type: ignore[attr-defined]
    job_id = running(service, 4)
    media.then = lambda: service.commands.cancel(job_id)
    told = [data["part"] for kind, _, data in follow(client, job_id) if kind == "segment"]
    assert told == [0, 0, 1, 1, 1, 1]


def test_a_client_that_has_the_last_event_gets_no_content(
    client: TestClient, service: Service
) -> None:
    job_id = complete_job(service).id
    end = follow(client, job_id)[-1][1]
    answer = client.get(f"/transcribe/{job_id}/events", headers={"Last-Event-ID": end})
    assert (answer.status_code, answer.content) == (204, b"")


def test_a_rerun_is_news_for_a_client_that_has_the_last_event(
    client: TestClient, service: Service
) -> None:
    job_id = complete_job(service).id
    end = follow(client, job_id)[-1][1]
    service.commands.rerun(job_id)
    assert follow(client, job_id, end, partial(work, service))[-1][0] == "done"


def test_a_cancelled_job_ends_with_an_error_event(client: TestClient, service: Service) -> None:
    job_id = running(service, 0)
    service.commands.cancel(job_id)
    kind, _, data = follow(client, job_id)[-1]
    assert (kind, data["code"], data["status"]) == ("error", "job_cancelled", "cancelled")


def test_a_deleted_job_ends_the_stream(client: TestClient, service: Service) -> None:
    job_id = running(service, 0)
    delete = partial(service.commands.delete, job_id)
    kind, _, data = follow(client, job_id, then=delete)[-1]
    assert (kind, data["status"]) == ("error", "deleted")


def test_a_stream_sets_the_time_to_reconnect(client: TestClient, service: Service) -> None:
    answer = client.get(f"/transcribe/{complete_job(service).id}/events")
    assert answer.headers["Content-Type"].startswith("text/event-stream")
    assert "retry: 2000" in answer.text


def test_a_stopping_server_ends_its_streams(client: TestClient, service: Service) -> None:
    job_id = running(service, 1)
    stop = client.app.state.stopping.set  # type: ignore[attr-defined]
    assert [kind for kind, _, _ in follow(client, job_id, then=stop)] == ["progress"]


@pytest.mark.parametrize(
    "text", ["", "7", "a.b.c.d", "1.2.zz.3", "1.1." + "f" * 9000 + ".0", "....."]
)
def test_a_malformed_id_gives_an_empty_cursor(text: str) -> None:
    assert SseCursor.from_id(text).parts == set()


def test_an_id_encodes_the_cursor() -> None:
    told = SseCursor(7, 2, {"parts/0000.json", "parts/0012.json"}, 1)
    assert SseCursor.from_id(told.id) == told


# -- all jobs ---------------------------------------------------------------------------------


def test_the_stream_begins_with_a_snapshot_and_goes_on(
    client: TestClient, service: Service
) -> None:
    submitted(service, "1.wav")
    stop = client.app.state.stopping.set  # type: ignore[attr-defined]
    then = {b"snapshot": partial(work, service), b"completed": stop}
    answer = stream(client, "/events", then)
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert "retry: " in answer.text
    events = [(kind, data) for kind, _, data in parse(answer.text)]
    assert [kind for kind, _ in events[:2]] == ["job", "snapshot"]
    assert events[-1][1]["status"] == "completed"


def test_a_key_without_the_scope_read_gets_no_stream(secured: SecuredApp) -> None:
    assert secured.client.get("/events", headers=secured.bearer("submit")).status_code == 403
    assert secured.client.get("/events").status_code == 401


def test_a_listener_whose_key_is_revoked_is_cut_off(secured: SecuredApp) -> None:
    heard = secured.stream_until_revoked("/events", b"event: snapshot")
    assert heard.count("event: snapshot") == 1


@pytest.mark.parametrize("path", ["/events", "/transcribe/{job_id}/events"])
def test_a_tenant_has_so_many_streams_open_and_no_more(secured: SecuredApp, path: str) -> None:
    app: Any = secured.client.app
    app.state.streams = StreamLimiter(most=1)
    mine, theirs = (secured.bearer(tenant=name) for name in ("mine", "theirs"))
    where = path.format(
        job_id=submitted(secured.service.for_tenant("mine"), "a.wav")
    )  # and never done
    with ThreadPoolExecutor(2) as pool:
        both = [pool.submit(secured.client.get, where, headers=mine) for _ in range(2)]
        refused, heard = wait(both, 20, FIRST_COMPLETED)
        app.state.stopping.set()  # or the other would have no end
        assert [each.result().json()["code"] for each in refused] == ["rate_limited"]
        assert secured.client.get("/events", headers=theirs).is_success
        assert [each.result(20).status_code for each in heard] == [200]
    assert secured.client.get(where, headers=mine).is_success


class CountingKeyring:
    """Counts the checks of a keyring."""

    def __init__(self, keyring: Keyring) -> None:
        self.checks = 0
        self._keyring = keyring

    async def identify(self, token: str) -> ApiKey:
        self.checks += 1
        return await self._keyring.identify(token)


def test_streams_with_the_same_key_share_its_rechecks(secured: SecuredApp) -> None:
    made, other = secured.key("read"), secured.key("read")
    keyring = CountingKeyring(secured.guard.keyring)
    guard = replace(secured.guard, keyring=keyring)  # type: ignore[arg-type]
    app = SimpleNamespace(state=SimpleNamespace(auth=guard))

    def stream(key: NewKey) -> Request:
        headers = [(b"x-api-key", key.token.encode())]
        return Request({"type": "http", "method": "GET", "headers": headers, "app": app,
                        "scheme": "http"})  # fmt: skip

    async def run() -> None:
        rechecks = KeyRechecks()
        for _ in range(20):
            assert await rechecks.is_valid(stream(made))
            assert await rechecks.is_valid(stream(other))
        assert keyring.checks == 2
        secured.guard.keyring.revoke(made.key.id)
        await asyncio.sleep(CHECK_SECONDS + 0.1)
        assert not await rechecks.is_valid(stream(made))
        assert await rechecks.is_valid(stream(other))

    asyncio.run(run())


class CountingStore(SqliteJobStore):
    """Counts the reads of records and of their versions."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.reads = Counter[str]()

    def get(self, job_id: str) -> Job:
        self.reads["get"] += 1
        return super().get(job_id)

    def version(self, job_id: str) -> int:
        self.reads["version"] += 1
        return super().version(job_id)


@pytest.mark.parametrize("listeners", [50, 300])
def test_streams_read_a_changed_job_once_for_all_listeners(
    service: Service, tmp_path: Path, listeners: int
) -> None:
    store, jobs = CountingStore(tmp_path / "jobs.sqlite3"), 50
    app = create_app(
        Service(replace(service.context, jobs=store)),
        Settings(_env_file=None, auth_mode="open", data_dir=tmp_path),
    )
    ids = [submitted(service, "a.wav") for _ in range(jobs)]
    paths = [f"/transcribe/{ids[at % jobs]}/events" for at in range(listeners)]

    async def run() -> list[str]:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(
            transport=transport, base_url="http://testserver", timeout=60
        ) as client:
            streams = [asyncio.create_task(client.get(path)) for path in paths]
            while store.reads["version"] < listeners:  # each request looks its job up
                await asyncio.sleep(0.05)
            await asyncio.sleep(1.0)
            store.reads.clear()
            for job_id in ids:
                service.commands.cancel(job_id)
            return [(await stream).text for stream in streams]

    for text in asyncio.run(run()):
        assert [kind for kind, _, _ in parse(text)] == ["progress", "error"]
    assert store.reads == {"get": jobs}


def test_a_forged_id_names_no_more_parts_than_there_are(
    client: TestClient, service: Service
) -> None:
    job_id = running(service, 3)
    events = follow(client, job_id, f"0.1.{'f' * 2500}.0", partial(work, service))
    first = next(id_ for _, id_, _ in events if id_)
    assert len(first) < 20
    assert not [kind for kind, _, data in events if kind == "segment" and data["part"] == 0]


def test_events_are_sent_in_pieces_that_are_made_when_they_are_read() -> None:
    rendered: list[int] = []

    def events() -> Iterator[bytes]:
        for number in range(100):
            rendered.append(number)
            yield b"x" * 10_000

    pieces = in_pieces(events())
    assert len(next(pieces)) == 70_000
    assert len(rendered) == 7
    assert sum(map(len, pieces)) == 930_000
    assert list(in_pieces([])) == [b""]


def test_many_streams_of_a_tenant_get_fewer_events_each() -> None:
    limiter = StreamLimiter()
    with ExitStack() as stack:
        for _ in range(200):
            stack.enter_context(limiter.acquire("a"))
        assert limiter.pause("a", 0.5) == 2.0
        assert limiter.pause("b", 0.5) == 0.5


def test_streams_share_what_was_rendered_of_a_change(service: Service) -> None:
    async def course() -> None:
        changes = service.changes
        with changes.subscribe("") as one, changes.subscribe("") as other:
            submitted(service, "standup.wav")
            updates = []
            for each in (one, other):
                found = await each.next(5.0)
                while not found.changed and not found.snapshot:
                    found = await each.next(5.0)
                updates.append([*(found.snapshot or ()), *found.changed.values()][-1])
            assert status_json(updates[0]) == status_json(updates[1])
            assert updates[0].rendered is updates[1].rendered

    asyncio.run(course())
