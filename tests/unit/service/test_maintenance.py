"""What is looked after without anybody asking."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from meet_transcriber.core.edits import Edit
from meet_transcriber.core.errors import JobNotFound
from meet_transcriber.core.jobs import Job
from meet_transcriber.core.options import Options
from meet_transcriber.core.transitions import claimed
from meet_transcriber.service import JobQueries, Maintenance, Policy, SubmissionRequest, uploads
from meet_transcriber.service.webhooks import WebhookDispatcher
from meet_transcriber.stores.disk import DiskMediaStore
from tests.unit.service.conftest import TAPE, House, house_in


def hooked(house: House) -> Job:
    upload = house.service.submissions.begin("a.ogg")
    upload.write(TAPE)
    return upload.finish(SubmissionRequest(Options(), "http://127.0.0.1/hook"))


def complete(house: House, job: Job) -> None:
    worker = house.worker()
    while worker.work():
        pass
    house.later(1)
    house.tending.settle()


def test_a_silent_worker_loses_its_task_and_another_hears_of_it(house: House) -> None:
    job = house.submit()
    house.jobs.update(job.id, lambda job: claimed(job, ["cpu"], "dead", house.now(), 30))
    house.later(29)
    assert house.jobs.get(job.id).task("prepare").state == "running"
    house.bell.heard.clear()
    house.later(2)
    assert house.jobs.get(job.id).task("prepare").state == "ready"
    assert ("cpu", job.id, "prepare") in house.bell.heard


def test_what_a_dead_worker_held_is_free_at_once(house: House) -> None:
    job = house.submit()
    house.jobs.update(job.id, lambda job: claimed(job, ["cpu"], "dead", house.now(), 30))
    house.tending.bury(["dead"])
    assert house.jobs.get(job.id).task("prepare").state == "ready"


def test_messages_that_were_lost_are_said_again(house: House) -> None:
    house.submit()
    house.bell.heard.clear()
    house.later(2)
    assert house.bell.length("cpu") == 1
    house.later(2)
    assert house.bell.length("cpu") == 1


def test_one_tends_at_a_time(house: House) -> None:
    assert house.tending.tend()
    assert not house.jobs.lock("tending", "somebody else", 10, house.now())


def test_an_upload_whose_sender_vanished_is_removed(house: House) -> None:
    upload = house.service.submissions.begin("a.ogg")
    upload.write(TAPE)
    house.later(31)
    house.later(31)
    assert house.left() == []
    assert house.jobs.due(float("inf"), 10) == []


def test_a_delivery_is_not_repeated_when_others_change_the_record(house: House) -> None:
    job = hooked(house)
    worker = house.worker()
    while worker.work():
        pass
    read_early = house.jobs.get(job.id)
    house.later(1)
    house.tending.settle()
    house.webhooks.notify(read_early)
    house.tending.settle()
    assert len(house.sender.sent) == 1


def test_a_webhook_hears_of_the_end_once(house: House) -> None:
    job = hooked(house)
    complete(house, job)
    house.later(1000)
    house.tending.settle()
    (sent,) = house.sender.sent
    assert sent.message_id == f"{job.id}-1"
    assert b'"job.completed"' in sent.body
    assert house.jobs.get(job.id).webhook.outcome == "delivered"  # type: ignore[union-attr]


def test_a_webhook_that_fails_is_tried_again_with_the_same_id(house: House) -> None:
    house.sender.outcomes = ["retry", "delivered"]
    job = hooked(house)
    complete(house, job)
    house.later(120)
    house.tending.settle()
    assert len(house.sender.sent) == 2
    assert len({sent.message_id for sent in house.sender.sent}) == 1


def test_a_webhook_that_is_gone_is_left_alone(house: House) -> None:
    house.sender.outcomes = ["gone"]
    job = hooked(house)
    complete(house, job)
    house.later(1000)
    house.tending.settle()
    assert len(house.sender.sent) == 1
    assert house.jobs.get(job.id).webhook.outcome == "gone"  # type: ignore[union-attr]


def test_audio_goes_where_the_operator_wants_no_audio(tmp_path: Path) -> None:
    with house_in(tmp_path, Policy(part_seconds=100, keep_audio=False)) as house:
        job = house.finished()
        house.later(1)
        left = house.jobs.get(job.id).objects
        assert {"recording", "working.flac"}.isdisjoint(left)
        assert house.left() == sorted(left.values())


@pytest.mark.parametrize("edited", [False, True])
def test_old_results_go_unless_somebody_edited_them(tmp_path: Path, edited: bool) -> None:
    with house_in(tmp_path, Policy(part_seconds=100, result_ttl_seconds=60)) as house:
        job = house.finished()
        house.later(1)
        if edited:
            house.service.commands.edit(job.id, Edit("text", 0, "corrected"))
        house.later(100)
        house.later(100)
        assert bool(house.left()) == edited


def test_a_deleted_job_is_gone_for_good(house: House) -> None:
    job = house.finished()
    house.service.commands.delete(job.id)
    assert house.left() == []
    with pytest.raises(JobNotFound):
        house.jobs.get(job.id)


def test_what_a_worker_writes_after_the_deletion_is_removed_too(house: House) -> None:
    job = house.submit()
    house.jobs.update(job.id, lambda job: claimed(job, ["cpu"], "slow", house.now(), 30))
    house.service.commands.delete(job.id)
    house.media.put(f"{job.prefix}/working.flac.1", b"late")
    house.later(1)
    house.media.put(f"{job.prefix}/working.flac.1", b"later still")
    house.later(100)
    assert house.left() == []
    with pytest.raises(JobNotFound):
        house.jobs.get(job.id)


def test_what_was_written_in_vain_is_swept_after_the_end(house: House) -> None:
    job = house.finished()
    house.media.put(f"{job.prefix}/parts/0000.json.99", b"in vain")
    house.later(1)
    assert house.left() == sorted(house.jobs.get(job.id).objects.values())


def test_an_upload_that_nobody_goes_on_with_is_removed(house: House) -> None:
    job = house.service.uploads.create("a.ogg", 8)
    receiving = house.service.uploads.receive(job.id, 0)
    house.later(uploads.KEPT_SECONDS - 1)
    receiving.write(b"tape")
    receiving.close()
    house.later(uploads.KEPT_SECONDS - 1)
    assert house.service.uploads.find(job.id).upload is not None
    house.later(2)
    assert (house.left(), house.jobs.due(float("inf"), 9)) == ([], [])


class Watched(DiskMediaStore):
    """Something happens whenever somebody is about to list objects."""

    happen: Callable[[], object] = staticmethod(lambda: None)

    def keys(self, prefix: str) -> list[str]:
        self.happen()
        return super().keys(prefix)


@pytest.mark.parametrize("late", [False, True])
def test_edits_that_are_made_while_rubbish_is_swept_stay(tmp_path: Path, late: bool) -> None:
    with house_in(tmp_path, Policy(part_seconds=100)) as house:
        job, media = house.finished(), Watched(tmp_path / "media")
        log = f"{job.prefix}/edits.json.0"
        if late:  # its record says so only after the sweep
            media.happen = lambda: media.put(log, b"{}")
        else:
            edit = Edit("text", 0, "corrected")
            media.happen = lambda: house.service.commands.edit(job.id, edit)
        context = replace(house.context, media=media)
        Maintenance(
            context, "test", WebhookDispatcher(context, house.sender, None, lambda *_: 0.0)
        ).tend()
        if late:
            assert media.exists(log)
        else:
            assert JobQueries(context).transcript(job.id)[1].segments[0].text == "corrected"
