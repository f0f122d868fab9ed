"""Taking in recordings."""

from pathlib import Path
from typing import Any

import pytest

from meet_transcriber.core.errors import (
    AddressRefused,
    IdempotencyInProgress,
    IdempotencyMismatch,
    InvalidOptions,
    JobNotFound,
    UnsupportedFormat,
    UploadTooLarge,
)
from meet_transcriber.core.jobs import Job
from meet_transcriber.core.options import Options
from meet_transcriber.service import Policy, SubmissionRequest
from tests.unit.service.conftest import TAPE, House, house_in


def test_a_submitted_recording_waits_for_a_worker(house: House) -> None:
    job = house.submit("C:\\meetings\\stand\tup.ogg")
    assert (job.state, job.name, job.size_bytes) == ("pending", "standup.ogg", len(TAPE))
    assert job.duration == 600.0
    assert house.bell.heard == [("cpu", job.id, "prepare")]


def test_a_job_cannot_be_seen_before_its_recording_is_here(house: House) -> None:
    upload = house.service.submissions.begin("a.ogg")
    (job_id,) = house.jobs.due(float("inf"), 1)
    with pytest.raises(JobNotFound):
        house.service.queries.job(job_id)
    upload.abandon()


@pytest.mark.parametrize("data", [b"", b"no tape at all"])
def test_what_is_no_recording_leaves_nothing(house: House, data: bytes) -> None:
    upload = house.service.submissions.begin("a.ogg")
    upload.write(data)
    with pytest.raises(UnsupportedFormat):
        upload.finish(SubmissionRequest())
    assert house.left() == []
    assert house.jobs.due(float("inf"), 1) == []


def test_an_abandoned_upload_leaves_nothing(house: House) -> None:
    upload = house.service.submissions.begin("a.ogg")
    upload.write(TAPE)
    upload.abandon()
    upload.abandon()
    assert house.left() == []
    assert house.media.tidy(0) == 0


def test_the_limit_is_said_with_its_setting(tmp_path: Path) -> None:
    with house_in(tmp_path, Policy(max_upload_bytes=1 << 20)) as house:
        upload = house.service.submissions.begin("a.ogg")
        upload.write(b"tape" * (1 << 18))
        with pytest.raises(UploadTooLarge, match=r"1 MiB.*MAX_UPLOAD_SIZE_MB"):
            upload.write(b"x")
        upload.abandon()


def test_what_the_engines_cannot_do_is_refused_at_the_door(house: House) -> None:
    def refuse(options: Options) -> None:
        raise InvalidOptions("English only.")

    intake = type(house.service.submissions)(house.context, refuse)
    upload = intake.begin("a.ogg")
    upload.write(TAPE)
    with pytest.raises(InvalidOptions):
        upload.finish(SubmissionRequest(Options(language="fr")))
    assert house.left() == []


# -- the same request twice --------------------------------------------------------------------


def send(house: House, data: bytes = TAPE, key: str = "k", **wishes: Any) -> Job:
    upload = house.service.submissions.begin("a.ogg", idempotency_key=key)
    upload.write(data)
    return upload.finish(SubmissionRequest(Options(**wishes)))


def test_the_same_request_gives_the_same_job(house: House) -> None:
    first, second = send(house), send(house)
    assert first.id == second.id
    assert len(house.left()) == 1


def test_another_request_with_the_same_key_is_refused(house: House) -> None:
    send(house)
    with pytest.raises(IdempotencyMismatch):
        send(house, b"tape" * 999)
    with pytest.raises(IdempotencyMismatch):
        send(house, num_speakers=2)


def test_a_request_that_is_still_coming_in_is_not_doubled(house: House) -> None:
    upload = house.service.submissions.begin("a.ogg", idempotency_key="k")
    with pytest.raises(IdempotencyInProgress):
        house.service.submissions.begin("a.ogg", idempotency_key="k")
    upload.abandon()
    assert send(house)


def test_a_key_is_free_again_when_its_job_is_deleted(house: House) -> None:
    first = send(house)
    house.service.commands.delete(first.id)
    assert send(house, b"tape" * 7).id != first.id


def test_a_key_has_a_sensible_length(house: House) -> None:
    for key in ("", "x" * 256, "a\nb"):
        with pytest.raises(InvalidOptions, match="1 to 255"):
            house.service.submissions.begin("a.ogg", idempotency_key=key)


# -- addresses ---------------------------------------------------------------------------------


def test_an_address_is_checked_before_anything_is_kept(house: House) -> None:
    with pytest.raises(AddressRefused):
        house.service.submissions.submit_url("http://169.254.169.254/latest", SubmissionRequest())
    assert house.jobs.due(float("inf"), 1) == []


def test_a_webhook_address_is_checked_too(house: House) -> None:
    upload = house.service.submissions.begin("a.ogg")
    upload.write(TAPE)
    with pytest.raises(AddressRefused):
        upload.finish(SubmissionRequest(webhook_url="http://10.0.0.1/"))
    assert house.left() == []


def test_a_recording_is_fetched_by_a_worker(house: House, tape_server: str) -> None:
    job = house.service.submissions.submit_url(f"{tape_server}/monday.ogg", SubmissionRequest())
    assert job.state == "pending"
    worker = house.worker()
    while worker.work():
        pass
    done = house.jobs.get(job.id)
    assert (done.state, done.name, done.size_bytes) == ("completed", "monday.ogg", len(TAPE))


def test_an_address_is_forgotten_once_its_recording_has_come(
    house: House, tape_server: str
) -> None:
    url = f"{tape_server}/monday?signature=secret.ogg"
    job = house.service.submissions.submit_url(url, SubmissionRequest())
    worker = house.worker()
    while worker.work():
        pass
    assert house.jobs.get(job.id).source_url is None
    house.service.commands.rerun(job.id)
    while worker.work():
        pass
    assert house.jobs.get(job.id).state == "completed"


def test_an_address_without_a_recording_fails_the_job_in_words(
    house: House, tape_server: str
) -> None:
    job = house.service.submissions.submit_url(f"{tape_server}/nothing", SubmissionRequest())
    worker = house.worker()
    while worker.work():
        pass
    failed = house.jobs.get(job.id)
    assert failed.error is not None
    assert failed.error.code == "fetch_failed"
    assert "404" in failed.error.message
