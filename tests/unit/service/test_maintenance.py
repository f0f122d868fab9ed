"""Expired leases, webhooks, retention and leftover objects."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from meet_transcriber.core.edits import Edit
from meet_transcriber.core.errors import JobNotFound
from meet_transcriber.core.jobs import Job
from meet_transcriber.core.options import Options
from meet_transcriber.core.transitions import claimed
from meet_transcriber.ports.outbound import Delivery
from meet_transcriber.service import (
    JobQueries,
    Maintenance,
    Policy,
    Service,
    SubmissionRequest,
    uploads,
)
from meet_transcriber.service.commands import UNNAMED_LOG_SECONDS, log_key
from meet_transcriber.service.webhooks import WebhookDispatcher
from meet_transcriber.stores.disk import DiskMediaStore
from tests.unit.fakes import FakeWebhookSender
from tests.unit.service.conftest import MEDIA, ServiceFixture, open_fixture


def hooked(fixture: ServiceFixture) -> Job:
    upload = fixture.service.submissions.start_upload("a.ogg")
    upload.write(MEDIA)
    return upload.finish(SubmissionRequest(Options(), "http://127.0.0.1/hook"))


def complete(fixture: ServiceFixture, job: Job) -> None:
    worker = fixture.worker()
    while worker.work():
        pass
    fixture.advance(1)
    fixture.webhooks.wait()


def test_a_task_with_an_expired_lease_is_announced_to_another_worker(
    fixture: ServiceFixture,
) -> None:
    job = fixture.submit()
    fixture.jobs.update(job.id, lambda job: claimed(job, ["cpu"], "dead", fixture.clock(), 30))
    fixture.advance(29)
    assert fixture.jobs.get(job.id).task("prepare").state == "running"
    fixture.queue.notified.clear()
    fixture.advance(2)
    assert fixture.jobs.get(job.id).task("prepare").state == "ready"
    assert ("cpu", job.id, "prepare") in fixture.queue.notified


def test_the_tasks_of_a_dead_worker_are_ready_at_once(fixture: ServiceFixture) -> None:
    job = fixture.submit()
    fixture.jobs.update(job.id, lambda job: claimed(job, ["cpu"], "dead", fixture.clock(), 30))
    fixture.maintenance.release_dead_workers(["dead"])
    assert fixture.jobs.get(job.id).task("prepare").state == "ready"


def test_lost_messages_are_sent_again(fixture: ServiceFixture) -> None:
    fixture.submit()
    fixture.queue.notified.clear()
    fixture.advance(2)
    assert fixture.queue.length("cpu") == 1
    fixture.advance(2)
    assert fixture.queue.length("cpu") == 1


def test_maintenance_runs_in_one_process_at_a_time(fixture: ServiceFixture) -> None:
    assert fixture.maintenance.run_once()
    assert not fixture.jobs.lock("maintenance", "somebody else", 10, fixture.clock())


def test_an_upload_with_an_expired_lease_is_removed(fixture: ServiceFixture) -> None:
    upload = fixture.service.submissions.start_upload("a.ogg")
    upload.write(MEDIA)
    fixture.advance(31)
    fixture.advance(31)
    assert fixture.stored_keys() == []
    assert fixture.jobs.due(float("inf"), 10) == []


def test_a_delivery_is_not_repeated_when_others_change_the_record(fixture: ServiceFixture) -> None:
    job = hooked(fixture)
    worker = fixture.worker()
    while worker.work():
        pass
    read_early = fixture.jobs.get(job.id)
    fixture.advance(1)
    fixture.webhooks.wait()
    fixture.webhooks.notify(read_early)
    fixture.webhooks.wait()
    assert len(fixture.sender.sent) == 1


def test_a_webhook_is_delivered_once(fixture: ServiceFixture) -> None:
    job = hooked(fixture)
    complete(fixture, job)
    fixture.advance(1000)
    fixture.webhooks.wait()
    (sent,) = fixture.sender.sent
    assert sent.message_id == f"{job.id}-1"
    assert b'"job.completed"' in sent.body
    assert fixture.jobs.get(job.id).webhook.outcome == "delivered"  # type: ignore[union-attr]


def test_a_failed_webhook_is_retried_with_the_same_id(fixture: ServiceFixture) -> None:
    fixture.sender.outcomes = ["retry", "delivered"]
    job = hooked(fixture)
    complete(fixture, job)
    fixture.advance(120)
    fixture.webhooks.wait()
    assert len(fixture.sender.sent) == 2
    assert len({sent.message_id for sent in fixture.sender.sent}) == 1


def test_a_defect_of_the_sender_is_logged_and_the_attempt_repeated(
    fixture: ServiceFixture, caplog: pytest.LogCaptureFixture
) -> None:
    class Defective(FakeWebhookSender):
        def send(self, *args: Any, **kwargs: Any) -> Delivery:
            if not self.outcomes:
                self.outcomes.append("delivered")
                raise ZeroDivisionError
            return super().send(*args, **kwargs)

    sender = Defective()
    webhooks = WebhookDispatcher(
        fixture.context, sender, lambda _: None, lambda *_: fixture.clock() + 60
    )
    job = hooked(fixture)
    worker = fixture.worker()
    while worker.work():
        pass
    for _ in range(2):
        webhooks.notify(fixture.jobs.get(job.id))
        webhooks.wait()
        fixture.clock.at += 61
    assert "webhook_crashed" in caplog.text
    assert len(sender.sent) == 1


def test_a_webhook_that_answers_gone_is_not_retried(fixture: ServiceFixture) -> None:
    fixture.sender.outcomes = ["gone"]
    job = hooked(fixture)
    complete(fixture, job)
    fixture.advance(1000)
    fixture.webhooks.wait()
    assert len(fixture.sender.sent) == 1
    assert fixture.jobs.get(job.id).webhook.outcome == "gone"  # type: ignore[union-attr]


def test_audio_is_deleted_if_the_policy_keeps_none(tmp_path: Path) -> None:
    with open_fixture(tmp_path, Policy(part_seconds=100, keep_audio=False)) as fixture:
        job = fixture.complete_job()
        fixture.advance(1)
        left = fixture.jobs.get(job.id).objects
        assert {"recording", "working.flac"}.isdisjoint(left)
        assert fixture.stored_keys() == sorted(left.values())


@pytest.mark.parametrize("edited", [False, True])
def test_results_expire_unless_they_were_edited(tmp_path: Path, edited: bool) -> None:
    with open_fixture(tmp_path, Policy(part_seconds=100, result_ttl_seconds=60)) as fixture:
        job = fixture.complete_job()
        fixture.advance(1)
        if edited:
            fixture.service.commands.edit(job.id, Edit("text", 0, "corrected"))
        fixture.advance(100)
        fixture.advance(100)
        assert bool(fixture.stored_keys()) == edited


def test_a_deleted_job_is_removed_with_its_objects(fixture: ServiceFixture) -> None:
    job = fixture.complete_job()
    fixture.service.commands.delete(job.id)
    assert fixture.stored_keys() == []
    with pytest.raises(JobNotFound):
        fixture.jobs.get(job.id)


def test_objects_written_after_the_deletion_are_removed(fixture: ServiceFixture) -> None:
    job = fixture.submit()
    fixture.jobs.update(job.id, lambda job: claimed(job, ["cpu"], "slow", fixture.clock(), 30))
    fixture.service.commands.delete(job.id)
    fixture.media.put(f"{job.prefix}/working.flac.1", b"late")
    fixture.advance(1)
    fixture.media.put(f"{job.prefix}/working.flac.1", b"later still")
    fixture.advance(100)
    assert fixture.stored_keys() == []
    with pytest.raises(JobNotFound):
        fixture.jobs.get(job.id)


def test_uncommitted_objects_are_swept_after_the_end(fixture: ServiceFixture) -> None:
    job = fixture.complete_job()
    fixture.media.put(f"{job.prefix}/parts/0000.json.99", b"in vain")
    fixture.advance(1)
    assert fixture.stored_keys() == sorted(fixture.jobs.get(job.id).objects.values())


def test_an_upload_without_new_bytes_is_removed(fixture: ServiceFixture) -> None:
    job = fixture.service.submissions.create_upload("a.ogg", 8)
    receiving = fixture.service.uploads.receive(job.id, 0)
    fixture.advance(uploads.KEPT_SECONDS - 1)
    receiving.write(b"tape")
    receiving.close()
    fixture.advance(uploads.KEPT_SECONDS - 1)
    assert fixture.service.uploads.find(job.id).upload is not None
    fixture.advance(2)
    assert (fixture.stored_keys(), fixture.jobs.due(float("inf"), 9)) == ([], [])


class Watched(DiskMediaStore):
    """Calls a function before objects are listed."""

    happen: Callable[[], object] = staticmethod(lambda: None)

    def keys(self, prefix: str) -> list[str]:
        self.happen()
        return super().keys(prefix)


@pytest.mark.parametrize("late", [False, True])
def test_edits_made_during_a_sweep_stay(tmp_path: Path, late: bool) -> None:
    with open_fixture(tmp_path, Policy(part_seconds=100)) as fixture:
        job, media = fixture.complete_job(), Watched(tmp_path / "media")
        log = log_key(job, fixture.context.clock())
        if late:  # its record says so only after the sweep
            media.happen = lambda: media.put(log, b"{}")
        else:
            edit = Edit("text", 0, "corrected")
            media.happen = lambda: fixture.service.commands.edit(job.id, edit)
        context = replace(fixture.context, media=media)
        webhooks = WebhookDispatcher(context, fixture.sender, lambda _: None, lambda *_: 0.0)
        maintenance = Maintenance(context, "test", webhooks)
        maintenance.run_once()
        maintenance.wait()
        if late:
            assert media.exists(log)
        else:
            assert JobQueries(context).transcript(job.id)[1].segments[0].text == "corrected"


class Dying(DiskMediaStore):
    """Stores an object and then ends the process, as far as a test can tell."""

    def put(self, key: str, data: bytes | BinaryIO) -> None:
        super().put(key, data)
        raise KeyboardInterrupt


def test_the_log_of_an_edit_that_died_is_removed_after_an_hour(
    fixture: ServiceFixture, tmp_path: Path
) -> None:
    job = fixture.complete_job()
    dying = Service(replace(fixture.context, media=Dying(tmp_path / "media"))).commands
    with pytest.raises(KeyboardInterrupt):
        dying.edit(job.id, Edit("text", 0, "one"))
    fixture.service.commands.edit(job.id, Edit("text", 0, "two"))
    fixture.advance(UNNAMED_LOG_SECONDS - 1)
    assert sum("edits.json" in key for key in fixture.stored_keys()) == 2
    fixture.advance(2)
    assert sum("edits.json" in key for key in fixture.stored_keys()) == 1
    assert fixture.jobs.due(float("inf"), 9) == []
    assert fixture.service.queries.transcript(job.id)[1].segments[0].text == "two"
