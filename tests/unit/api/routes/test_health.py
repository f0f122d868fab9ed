"""Alive, and able."""

import asyncio
from dataclasses import replace
from pathlib import Path

from starlette.testclient import TestClient

from meet_transcriber.api.routes.health import ReadinessProbe, ReadinessReport
from meet_transcriber.service import FETCH_ASKED, Service
from tests.unit.api.secured_app import SecuredApp
from tests.unit.api.service_fixture import note_worker
from tests.unit.fakes import FakeQueue


def test_health_asks_nobody(client: TestClient, service: Service, tmp_path: Path) -> None:
    (tmp_path / "jobs.sqlite3").write_text("no database")
    assert client.get("/health").json() == {"status": "ok"}


def test_ready_when_all_answer_and_a_worker_was_seen(client: TestClient, service: Service) -> None:
    note_worker(service, engine="fake-recognizer")
    answer = client.get("/health/ready")
    assert answer.status_code == 200
    assert all(check["ok"] for check in answer.json()["checks"].values())
    assert answer.json()["workers"][0]["engine"] == "fake-recognizer"


def test_without_a_worker_it_is_not_ready(client: TestClient) -> None:
    answer = client.get("/health/ready")
    assert answer.status_code == 503
    assert "Retry-After" in answer.headers
    wrong = [name for name, check in answer.json()["checks"].items() if not check["ok"]]
    assert wrong == ["worker"]


def test_a_worker_without_its_engine_says_what_is_missing(
    client: TestClient, service: Service
) -> None:
    note_worker(service, problem="Run `meet-transcriber models pull`.")
    assert "models pull" in client.get("/health/ready").json()["checks"]["worker"]["detail"]


def test_a_worker_that_fetches_says_how_far_it_is(client: TestClient, service: Service) -> None:
    note_worker(service, state="fetching", detail="weights", progress=0.4)
    answer = client.get("/health/ready")
    assert answer.status_code == 503
    assert "fetching (40%): weights" in answer.json()["checks"]["worker"]["detail"]


def test_a_queue_that_nobody_serves_is_named(client: TestClient, service: Service) -> None:
    note_worker(service, queues=("cpu",))
    assert "'recognize'" in client.get("/health/ready").json()["checks"]["worker"]["detail"]


def test_a_store_that_is_away_is_named(
    client: TestClient, service: Service, tmp_path: Path
) -> None:
    note_worker(service)
    (tmp_path / "media").write_text("in the way")
    checks = client.get("/health/ready").json()["checks"]
    assert [name for name, check in checks.items() if not check["ok"]] == ["media_store"]


def test_a_page_learns_how_far_weights_are(client: TestClient, service: Service) -> None:
    note_worker(service, state="fetching", fetched_bytes=5, fetch_bytes=10)
    engines = client.get("/health/ready").json()["engines"]
    assert engines == {"fetching": {"bytes": 5, "total": 10}}


def test_who_may_look_sees_notes_of_the_engines_and_others_see_nothing(secured: SecuredApp) -> None:
    note_worker(secured.service, notes=("Speakers are unknown.",))
    (worker,) = secured.client.get("/health/ready", headers=secured.bearer("read")).json()[
        "workers"
    ]
    assert worker["notes"] == ["Speakers are unknown."]
    assert secured.client.get("/health/ready").json()["engines"] is None


def test_workers_that_have_their_engines_have_nothing_to_fetch(secured: SecuredApp) -> None:
    note_worker(secured.service, engine="base")
    answer = secured.client.post("/models/fetch", headers=secured.bearer("admin"))
    assert (answer.status_code, answer.json()["code"]) == (409, "nothing_to_fetch")


def test_administrators_ask_workers_to_look_again(secured: SecuredApp) -> None:
    note_worker(secured.service, problem="The hub cannot be reached.")
    assert secured.client.post("/models/fetch", headers=secured.bearer("submit")).status_code == 403
    answer = secured.client.post("/models/fetch", headers=secured.bearer("admin"))
    assert (answer.status_code, answer.json()["workers"]) == (202, 1)
    assert secured.service.context.jobs.get_fact(FETCH_ASKED)


def test_who_only_takes_recordings_in_needs_no_worker(client: TestClient) -> None:
    ready = client.get("/health/ready?worker=false")
    assert (ready.status_code, "worker" in ready.json()["checks"]) == (200, False)
    assert client.get("/health/ready?worker=true").status_code == 503


class Counted(FakeQueue):
    """A queue that counts how often it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0

    def ping(self) -> None:
        self.asked += 1


def test_however_many_ask_nobody_is_asked_by_two_at_a_time(service: Service) -> None:
    queue = Counted()
    probe = ReadinessProbe(Service(replace(service.context, queue=queue)))

    async def many() -> list[ReadinessReport]:
        return list(await asyncio.gather(*(probe.check() for _ in range(50))))

    assert len(asyncio.run(many())) == 50
    assert queue.asked in {1, 2}  # whoever came during the first round shares the second
    note_worker(service)
    assert asyncio.run(probe.check()).problems["worker"] == ""


class BrokenQueue(FakeQueue):
    """A queue with a bug."""

    def ping(self) -> None:
        raise ZeroDivisionError


def test_a_round_that_fails_is_no_report_for_those_who_waited(service: Service) -> None:
    probe = ReadinessProbe(Service(replace(service.context, queue=BrokenQueue())))

    async def several() -> list[ReadinessReport | BaseException]:
        return await asyncio.gather(*(probe.check() for _ in range(3)), return_exceptions=True)

    assert all(isinstance(each, BaseExceptionGroup) for each in asyncio.run(several()))
