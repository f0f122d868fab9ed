"""All jobs of a caller, as they change."""

import asyncio
import json
import threading
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from meet_transcriber.api.routes.events import ChangeMarker, JobFeed, StreamLimiter
from meet_transcriber.core import jobs as changes
from meet_transcriber.core.errors import StorageUnavailable
from meet_transcriber.core.workers import WorkerInfo
from meet_transcriber.service import Service, SubmissionRequest
from meet_transcriber.stores.sqlite.jobs import SqliteJobStore
from tests.unit.api.routes.test_events import parse
from tests.unit.api.secured_app import SecuredApp
from tests.unit.api.service_fixture import complete_job, work


def submitted(service: Service, name: str) -> str:
    upload = service.submissions.start_upload(name)
    upload.write(b"tape")
    return upload.finish(SubmissionRequest()).id


def news(watch: JobFeed) -> list[tuple[str, Any]]:
    return [(each.event or "", each.data) for each in watch.news()]


def test_first_comes_what_there_is_newest_first(service: Service) -> None:
    ids = [complete_job(service, f"{at}.wav").id for at in range(3)]
    told = news(JobFeed(service))
    assert [data["job_id"] for kind, data in told if kind == "job"] == ids[::-1]
    assert told[-1] == ("snapshot", {})
    assert {"queue_position", "eta_seconds", "progress"} <= told[0][1].keys()


def test_then_comes_what_changes_and_what_goes(service: Service) -> None:
    gone = complete_job(service).id
    watch = JobFeed(service)
    news(watch)
    assert news(watch) == []
    job_id = submitted(service, "new.wav")
    service.commands.delete(gone)
    told = news(watch)
    assert ("deleted", {"job_id": gone}) in told
    assert [data["job_id"] for kind, data in told if kind == "job"] == [job_id]
    work(service)
    ((kind, data),) = news(watch)
    assert (kind, data["status"], data["progress"]) == ("job", "completed", 100.0)


def test_who_moves_up_in_the_queue_hears_of_it(service: Service) -> None:
    first, second = submitted(service, "1.wav"), submitted(service, "2.wav")
    watch = JobFeed(service)
    places = {data.get("job_id"): data.get("queue_position") for _, data in news(watch)}
    assert (places[first], places[second]) == (1, 2)
    service.commands.cancel(first)
    assert {data["job_id"]: data["queue_position"] for _, data in news(watch)} == {
        first: None, second: 1}  # fmt: skip


def test_an_upload_is_not_told_of_before_it_is_a_job(service: Service) -> None:
    watch = JobFeed(service)
    news(watch)
    upload = service.submissions.create_upload("a.wav", 4)
    assert news(watch) == []
    receiving = service.uploads.receive(upload.id, 0)
    receiving.write(b"tape")
    receiving.close()
    assert news(watch) == []
    service.submissions.submit_upload(upload.id, SubmissionRequest())
    assert [kind for kind, _ in news(watch)] == ["job"]


def test_who_missed_too_much_gets_everything_again(service: Service) -> None:
    submitted(service, "1.wav")
    watch = JobFeed(service)
    watch.mark = service.queries.mark() - changes.CHANGES_KEPT - 1
    assert [kind for kind, _ in news(watch)] == ["job", "snapshot"]


class Fitful(SqliteJobStore):
    """Does not answer once when it is asked which workers there are."""

    silent = False

    def workers(self, now: float) -> list[WorkerInfo]:
        if self.silent:
            self.silent = False
            raise StorageUnavailable("The store does not answer.")
        return super().workers(now)


def test_what_a_store_that_is_away_keeps_back_is_told_later(
    service: Service, tmp_path: Path
) -> None:
    jobs = Fitful(tmp_path / "jobs.sqlite3")
    watch = JobFeed(Service(replace(service.context, jobs=jobs)))
    for expected in (["job", "snapshot"], ["job"]):
        submitted(service, "1.wav")
        jobs.silent = True
        with pytest.raises(StorageUnavailable):
            news(watch)
        assert [kind for kind, _ in news(watch)] == expected
    jobs.close()


def test_the_stream_begins_with_a_snapshot_and_goes_on(
    client: TestClient, service: Service
) -> None:
    submitted(service, "1.wav")
    stopping: threading.Event = client.app.state.stopping  # type: ignore[attr-defined]
    threading.Timer(1.0, work, (service,)).start()
    threading.Timer(4.0, stopping.set).start()
    answer = client.get("/events")
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert "retry: " in answer.text
    events = [(kind, data) for kind, _, data in parse(answer.text)]
    assert [kind for kind, _ in events[:2]] == ["job", "snapshot"]
    assert events[-1][1]["status"] == "completed"


def test_each_tenant_is_told_of_its_own_jobs(secured: SecuredApp) -> None:
    own, other = secured.complete_job("mine"), secured.complete_job("theirs")
    watch = JobFeed(secured.service.of("mine"))
    assert other not in json.dumps([first := news(watch)])
    assert first[0][1]["job_id"] == own
    secured.service.of("theirs").commands.delete(other)
    assert news(watch) == []


def test_who_may_not_read_is_not_told(secured: SecuredApp) -> None:
    assert secured.client.get("/events", headers=secured.bearer("submit")).status_code == 403
    assert secured.client.get("/events").status_code == 401


def test_a_listener_whose_key_is_revoked_is_cut_off(secured: SecuredApp) -> None:
    made = secured.key("read")
    threading.Timer(0.5, secured.guard.keyring.revoke, (made.key.id,)).start()
    headers = {"Authorization": f"Bearer {made.token}"}
    assert secured.client.get("/events", headers=headers).text.count("event: snapshot") == 1


def test_many_listeners_ask_the_store_once() -> None:
    class Counted:
        asked = 0

        @property
        def queries(self) -> "Counted":
            return self

        def mark(self) -> int:
            self.asked += 1
            return 7

    counted = Counted()

    async def listen() -> list[int]:
        marks = ChangeMarker(counted)  # type: ignore[arg-type]
        return [await marks.latest() for _ in range(20)]

    assert asyncio.run(listen()) == [7] * 20
    assert counted.asked == 1


@pytest.mark.parametrize("path", ["/events", "/transcribe/{job_id}/events"])
def test_a_tenant_has_so_many_streams_open_and_no_more(secured: SecuredApp, path: str) -> None:
    app: Any = secured.client.app
    app.state.listeners = StreamLimiter(most=1)
    mine, theirs = (secured.bearer(tenant=name) for name in ("mine", "theirs"))
    where = path.format(job_id=submitted(secured.service.of("mine"), "a.wav"))  # and never done
    with ThreadPoolExecutor(2) as pool:
        both = [pool.submit(secured.client.get, where, headers=mine) for _ in range(2)]
        refused, heard = wait(both, 20, FIRST_COMPLETED)
        app.state.stopping.set()  # or the other would have no end
        assert [each.result().json()["code"] for each in refused] == ["rate_limited"]
        assert secured.client.get("/events", headers=theirs).is_success
        assert [each.result(20).status_code for each in heard] == [200]
    assert secured.client.get(where, headers=mine).is_success
