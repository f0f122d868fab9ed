"""Submitting recordings."""

from dataclasses import replace
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
from meet_transcriber.service import Policy, Service, SubmissionRequest
from tests.unit.service.conftest import MEDIA, ServiceFixture, open_fixture


def test_a_submitted_recording_waits_for_a_worker(fixture: ServiceFixture) -> None:
    job = fixture.submit("C:\\meetings\\stand\tup.ogg")
    assert (job.state, job.name, job.size_bytes) == ("pending", "standup.ogg", len(MEDIA))
    assert job.duration == 600.0
    assert fixture.queue.notified == [("cpu", job.id, "prepare")]


def test_a_job_is_hidden_until_its_recording_has_arrived(fixture: ServiceFixture) -> None:
    upload = fixture.service.submissions.start_upload("a.ogg")
    (job_id,) = fixture.jobs.due(float("inf"), 1)
    with pytest.raises(JobNotFound):
        fixture.service.queries.job(job_id)
    upload.abandon()


@pytest.mark.parametrize("data", [b"", b"no tape at all"])
def test_an_invalid_recording_leaves_nothing(fixture: ServiceFixture, data: bytes) -> None:
    upload = fixture.service.submissions.start_upload("a.ogg")
    upload.write(data)
    with pytest.raises(UnsupportedFormat):
        upload.finish(SubmissionRequest())
    assert fixture.stored_keys() == []
    assert fixture.jobs.due(float("inf"), 1) == []


def test_an_abandoned_upload_leaves_nothing(fixture: ServiceFixture) -> None:
    upload = fixture.service.submissions.start_upload("a.ogg")
    upload.write(MEDIA)
    upload.abandon()
    upload.abandon()
    assert fixture.stored_keys() == []
    assert fixture.media.remove_stale_writes(0) == 0


def test_the_error_names_the_limit_and_its_setting(tmp_path: Path) -> None:
    with open_fixture(tmp_path, Policy(max_upload_bytes=1 << 20)) as fixture:
        upload = fixture.service.submissions.start_upload("a.ogg")
        upload.write(b"tape" * (1 << 18))
        with pytest.raises(UploadTooLarge, match=r"1 MiB.*MAX_UPLOAD_SIZE_MB"):
            upload.write(b"x")
        upload.abandon()


def test_options_that_no_engine_supports_are_refused_on_submission(fixture: ServiceFixture) -> None:
    policy = Policy(translation_problem="English only.")
    submissions = Service(replace(fixture.context, policy=policy)).submissions
    upload = submissions.start_upload("a.ogg")
    upload.write(MEDIA)
    with pytest.raises(InvalidOptions, match="English only"):
        upload.finish(SubmissionRequest(Options(task="translate")))
    assert fixture.stored_keys() == []


# -- the same request twice --------------------------------------------------------------------


def send(fixture: ServiceFixture, data: bytes = MEDIA, key: str = "k", **options: Any) -> Job:
    upload = fixture.service.submissions.start_upload("a.ogg", idempotency_key=key)
    upload.write(data)
    return upload.finish(SubmissionRequest(Options(**options)))


def test_the_same_request_gives_the_same_job(fixture: ServiceFixture) -> None:
    first, second = send(fixture), send(fixture)
    assert first.id == second.id
    assert len(fixture.stored_keys()) == 1


def test_another_request_with_the_same_key_is_refused(fixture: ServiceFixture) -> None:
    send(fixture)
    with pytest.raises(IdempotencyMismatch):
        send(fixture, b"tape" * 999)
    with pytest.raises(IdempotencyMismatch):
        send(fixture, num_speakers=2)


def test_a_repetition_during_the_first_upload_is_refused(fixture: ServiceFixture) -> None:
    upload = fixture.service.submissions.start_upload("a.ogg", idempotency_key="k")
    with pytest.raises(IdempotencyInProgress):
        fixture.service.submissions.start_upload("a.ogg", idempotency_key="k")
    upload.abandon()
    assert send(fixture)


def test_a_key_is_free_again_when_its_job_is_deleted(fixture: ServiceFixture) -> None:
    first = send(fixture)
    fixture.service.commands.delete(first.id)
    assert send(fixture, b"tape" * 7).id != first.id


def test_the_length_of_an_idempotency_key_is_limited(fixture: ServiceFixture) -> None:
    for key in ("", "x" * 256, "a\nb"):
        with pytest.raises(InvalidOptions, match="1 to 255"):
            fixture.service.submissions.start_upload("a.ogg", idempotency_key=key)


# -- addresses ---------------------------------------------------------------------------------


def test_a_url_is_checked_before_anything_is_stored(fixture: ServiceFixture) -> None:
    with pytest.raises(AddressRefused):
        fixture.service.submissions.submit_url("http://169.254.169.254/latest", SubmissionRequest())
    assert fixture.jobs.due(float("inf"), 1) == []


def test_a_webhook_url_is_checked(fixture: ServiceFixture) -> None:
    upload = fixture.service.submissions.start_upload("a.ogg")
    upload.write(MEDIA)
    with pytest.raises(AddressRefused):
        upload.finish(SubmissionRequest(webhook_url="http://10.0.0.1/"))
    assert fixture.stored_keys() == []


def test_a_recording_is_fetched_by_a_worker(fixture: ServiceFixture, media_server: str) -> None:
    job = fixture.service.submissions.submit_url(f"{media_server}/monday.ogg", SubmissionRequest())
    assert job.state == "pending"
    worker = fixture.worker()
    while worker.work():
        pass
    done = fixture.jobs.get(job.id)
    assert (done.state, done.name, done.size_bytes) == ("completed", "monday.ogg", len(MEDIA))


def test_the_url_is_removed_after_the_download(fixture: ServiceFixture, media_server: str) -> None:
    url = f"{media_server}/monday?signature=secret.ogg"
    job = fixture.service.submissions.submit_url(url, SubmissionRequest())
    worker = fixture.worker()
    while worker.work():
        pass
    assert fixture.jobs.get(job.id).source_url is None
    fixture.service.commands.rerun(job.id)
    while worker.work():
        pass
    assert fixture.jobs.get(job.id).state == "completed"


def test_a_url_without_a_recording_fails_the_job_with_a_reason(
    fixture: ServiceFixture, media_server: str
) -> None:
    job = fixture.service.submissions.submit_url(f"{media_server}/nothing", SubmissionRequest())
    worker = fixture.worker()
    while worker.work():
        pass
    failed = fixture.jobs.get(job.id)
    assert failed.error is not None
    assert failed.error.code == "fetch_failed"
    assert "404" in failed.error.message
