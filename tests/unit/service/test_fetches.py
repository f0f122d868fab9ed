"""Recordings of slow servers: they hold up their own tenant's fetches and nothing else."""

from collections.abc import Iterator

import pytest

from meet_transcriber.core.jobs import Job
from meet_transcriber.service import SubmissionRequest
from meet_transcriber.service.task_runner import TENANT_FETCHES
from tests.simulated.system import wait_for
from tests.unit.outbound.sites import Request, Site
from tests.unit.service.conftest import MEDIA, ServiceFixture


@pytest.fixture
def site() -> Iterator[Site]:
    """Sends the recording at /quick.ogg at once, and that at /slow.ogg when it closes."""

    def slow(request: Request) -> None:
        request.head(content_length=str(len(MEDIA)))
        request.wfile.write(MEDIA[:1])
        request.site.closing.wait(60)
        request.wfile.write(MEDIA[1:])

    site = Site()
    site.answers["/slow.ogg"] = slow
    site.answers["/quick.ogg"] = lambda request: request.send(MEDIA)
    yield site
    site.close()


def submit(fixture: ServiceFixture, tenant: str, url: str) -> Job:
    submissions = fixture.service.for_tenant(tenant).submissions
    return submissions.submit_url(url, SubmissionRequest())


def upload(fixture: ServiceFixture, tenant: str) -> Job:
    upload = fixture.service.for_tenant(tenant).submissions.start_upload("a.ogg")
    upload.write(MEDIA)
    return upload.finish(SubmissionRequest())


def test_slow_servers_do_not_hold_up_the_only_worker(fixture: ServiceFixture, site: Site) -> None:
    slow = [submit(fixture, "ann", site.url("/slow.ogg")) for _ in range(5)]
    others = [upload(fixture, "ben"), submit(fixture, "ben", site.url("/quick.ogg"))]
    own = upload(fixture, "ann")
    worker = fixture.worker()
    for _ in range(40):
        worker.work()
    assert [fixture.jobs.get(job.id).state for job in (*others, own)] == ["completed"] * 3
    wait_for(lambda: len(site.seen) == TENANT_FETCHES + 1)
    states = [fixture.jobs.get(job.id).state for job in slow]
    assert states.count("processing") == TENANT_FETCHES
    site.closing.set()
    while worker.work():
        pass
    assert {fixture.jobs.get(job.id).state for job in slow} == {"completed"}


def test_a_fetch_is_given_back_when_the_worker_ends(fixture: ServiceFixture, site: Site) -> None:
    job = submit(fixture, "ann", site.url("/slow.ogg"))
    worker = fixture.worker()
    assert worker.work()
    assert not worker.wait_for_fetches(0.0)
    worker.release()
    assert [task.state for task in fixture.jobs.get(job.id).tasks] == ["ready", "waiting"]
    site.closing.set()
    assert worker.wait_for_fetches(60.0)


def test_one_worker_goes_round_the_tenants(fixture: ServiceFixture) -> None:
    for _ in range(5):
        upload(fixture, "ann")
    fixture.clock.at += 1.0
    ben = upload(fixture, "ben")
    worker = fixture.worker()
    tasks = 0
    while not fixture.jobs.get(ben.id).ended:
        fixture.clock.at += 1.0
        assert worker.work()
        tasks += 1
    assert tasks <= 2 * len(fixture.jobs.get(ben.id).tasks)


def test_waiting_fetches_are_nothing_to_do_while_others_run(
    fixture: ServiceFixture, site: Site
) -> None:
    worker = fixture.worker()
    assert not worker.has_ready()
    for _ in range(TENANT_FETCHES + 1):
        submit(fixture, "ann", site.url("/slow.ogg"))
    assert worker.has_ready()
    worker.work()
    assert not worker.has_ready()  # the last one waits for the share of its tenant
    upload(fixture, "ann")
    assert worker.has_ready()
    site.closing.set()
    assert worker.wait_for_fetches(60.0)
