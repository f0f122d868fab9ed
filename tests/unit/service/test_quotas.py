"""Limits of a tenant and of the server."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from meet_transcriber.core.errors import (
    QueueFull,
    QuotaExceeded,
    StorageUnavailable,
    TooMuch,
)
from meet_transcriber.core.jobs import Job
from meet_transcriber.core.media import MediaInfo, Peaks, PreparedAudio
from meet_transcriber.core.options import Options
from meet_transcriber.core.workers import WorkerInfo
from meet_transcriber.ports.engines import Progress
from meet_transcriber.service import Policy, Service, SubmissionRequest
from meet_transcriber.service.quotas import MOST_UPLOADS
from meet_transcriber.stores.sqlite.jobs import SqliteJobStore
from tests.unit.fakes import FakeDecoder
from tests.unit.service.conftest import MEDIA, ServiceFixture, open_fixture

MINUTES = 10  # that every tape has
Make = Callable[..., ServiceFixture]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    with ExitStack() as stack:
        yield lambda **rules: stack.enter_context(open_fixture(tmp_path, Policy(**rules)))


def submit(service: Service, tape: bytes = MEDIA, key: str | None = None) -> Job:
    upload = service.submissions.start_upload("a.ogg", key)
    upload.write(tape)
    return upload.finish(SubmissionRequest())


def attempts(service: Service, times: int, **options: Any) -> list[str]:
    """The outcomes of so many submissions in a row."""
    found: list[str] = []
    for _ in range(times):
        try:
            found.append(submit(service, **options).state)
        except TooMuch as error:
            found.append(error.code)
    return found


def test_nothing_is_refused_without_limits(fixture: ServiceFixture) -> None:
    assert attempts(fixture.service, 5) == ["pending"] * 5


def test_a_full_queue_refuses_submissions(make: Make) -> None:
    fixture = make(max_queued_jobs=2)
    assert attempts(fixture.service, 3) == ["pending", "pending", "queue_full"]
    assert attempts(fixture.service.for_tenant("ann"), 1) == ["queue_full"]
    with pytest.raises(QueueFull, match="MAX_QUEUED_JOBS"):
        fixture.service.submissions.submit_url("http://127.0.0.1/a.ogg", SubmissionRequest())
    assert len(fixture.stored_keys()) == 2


def test_retry_after_is_estimated_from_measured_speed(make: Make) -> None:
    fixture = make(max_queued_jobs=2)
    attempts(fixture.service, 2)
    with pytest.raises(QueueFull) as nobody_works:
        submit(fixture.service)
    assert nobody_works.value.retry_after_seconds == 60.0
    fixture.jobs.set_fact("rtf", "0.5")
    for name in ("one", "two"):
        fixture.jobs.put_worker(WorkerInfo(name, ("cpu",), "ready", seen_at=fixture.clock()), 60.0)
    with pytest.raises(QueueFull) as busy:
        submit(fixture.service)
    assert busy.value.retry_after_seconds == pytest.approx(MINUTES * 60 * 0.5 / 2)


def test_an_ended_job_frees_its_place(make: Make) -> None:
    fixture = make(max_jobs_in_flight=2)
    first, _ = submit(fixture.service), submit(fixture.service)
    assert attempts(fixture.service, 1) == ["quota_exceeded"]
    fixture.service.commands.cancel(first.id)
    assert attempts(fixture.service, 2) == ["pending", "quota_exceeded"]


def test_the_limit_of_jobs_is_per_tenant(make: Make) -> None:
    fixture = make(max_jobs_in_flight=1)
    for tenant in ("ann", "ben"):
        assert attempts(fixture.service.for_tenant(tenant), 2) == ["pending", "quota_exceeded"]


def test_an_upload_in_progress_takes_a_place_and_frees_it_when_abandoned(make: Make) -> None:
    fixture = make(max_jobs_in_flight=1)
    upload = fixture.service.submissions.start_upload("a.ogg")
    with pytest.raises(QuotaExceeded, match="MAX_JOBS_IN_FLIGHT"):
        fixture.service.submissions.start_upload("b.ogg")
    upload.abandon()
    assert attempts(fixture.service, 1) == ["pending"]


def test_an_upload_whose_sender_died_frees_its_place(make: Make) -> None:
    fixture = make(max_jobs_in_flight=1, lease_seconds=30.0)
    fixture.service.submissions.start_upload("a.ogg")  # and no more is heard of it
    assert attempts(fixture.service, 1) == ["quota_exceeded"]
    fixture.advance(31.0)
    assert attempts(fixture.service, 1) == ["pending"]


def test_one_tenant_cannot_fill_the_queue(make: Make) -> None:
    fixture = make(max_queued_jobs=20)
    found = attempts(fixture.service.for_tenant("ann"), 20)
    assert found == ["pending"] * 18 + ["queue_full"] * 2
    assert attempts(fixture.service.for_tenant("ben"), 3) == ["pending", "pending", "queue_full"]


def test_without_tenants_the_whole_queue_may_be_filled(make: Make) -> None:
    fixture = make(max_queued_jobs=20)
    assert attempts(fixture.service, 21) == ["pending"] * 20 + ["queue_full"]


def test_a_repeated_request_needs_no_second_place(make: Make) -> None:
    fixture = make(max_jobs_in_flight=1, max_queued_jobs=1)
    first = submit(fixture.service, key="k")
    assert submit(fixture.service, key="k").id == first.id


def test_a_rerun_needs_a_place(make: Make) -> None:
    fixture = make(max_jobs_in_flight=1)
    job = submit(fixture.service)
    fixture.service.commands.cancel(job.id)
    submit(fixture.service)
    with pytest.raises(QuotaExceeded):
        fixture.service.commands.rerun(job.id)


@pytest.mark.parametrize("rules", [{"max_jobs_in_flight": 7}, {"max_queued_jobs": 7}])
def test_concurrent_submissions_never_exceed_the_limit(make: Make, rules: dict[str, int]) -> None:
    fixture = make(**rules)
    with ThreadPoolExecutor(12) as pool:
        found = [*pool.map(lambda _: attempts(fixture.service, 1)[0], range(24))]
    assert found.count("pending") == 7
    assert len(fixture.stored_keys()) == fixture.jobs.backlog().active == 7


# -- bytes ---------------------------------------------------------------------------------------


def test_a_recording_beyond_the_quota_leaves_nothing(make: Make) -> None:
    fixture = make(max_stored_bytes=2 * len(MEDIA) + 1)
    assert attempts(fixture.service, 3) == ["pending", "pending", "quota_exceeded"]
    assert len(fixture.stored_keys()) == 2
    with pytest.raises(QuotaExceeded, match="MAX_STORED_MB") as refused:
        submit(fixture.service)
    assert refused.value.retry_after_seconds is None


def test_a_large_upload_is_refused_during_the_transfer(make: Make) -> None:
    fixture = make(max_stored_bytes=len(MEDIA))
    upload = fixture.service.submissions.start_upload("a.ogg")
    upload.write(MEDIA)
    with pytest.raises(QuotaExceeded, match="MAX_STORED_MB"):
        upload.write(b"x")
    upload.abandon()
    assert fixture.stored_keys() == []


def test_bytes_of_open_uploads_count_towards_storage(make: Make) -> None:
    fixture = make(max_stored_bytes=10 * len(MEDIA))
    uploads = [fixture.service.submissions.start_upload(f"{at}.ogg") for at in range(20)]
    stored = 0
    for upload in uploads:
        with suppress(QuotaExceeded):
            upload.write(MEDIA)
            stored += 1
    assert stored == 10
    assert fixture.jobs.usage("", 0.0).stored_bytes == 10 * len(MEDIA)
    for upload in uploads:
        upload.abandon()
    assert fixture.jobs.usage("", 0.0).stored_bytes == 0


def test_a_large_upload_reserves_ahead_only_where_plenty_is_free(make: Make) -> None:
    mebibyte = 1 << 20
    fixture = make(max_stored_bytes=200 * mebibyte)
    upload = fixture.service.submissions.start_upload("a.ogg")
    upload.write(b"tape" + bytes(mebibyte))
    assert fixture.jobs.usage("", 0.0).stored_bytes == 9 * mebibyte + 4
    upload.finish(SubmissionRequest())
    assert fixture.jobs.usage("", 0.0).stored_bytes == mebibyte + 4


def test_recordings_that_are_being_received_take_no_place_in_the_queue(make: Make) -> None:
    fixture = make(max_queued_jobs=2)
    uploads = [fixture.service.submissions.start_upload(f"{at}.ogg") for at in range(5)]
    assert attempts(fixture.service.for_tenant("ann"), 3) == ["pending", "pending", "queue_full"]
    uploads[0].write(MEDIA)
    with pytest.raises(QueueFull):
        uploads[0].finish(SubmissionRequest())


def test_open_uploads_of_a_tenant_are_limited(make: Make) -> None:
    fixture = make()
    submissions = fixture.service.submissions
    for _ in range(MOST_UPLOADS):
        upload = submissions.create_upload("a.ogg", 9)
    with pytest.raises(QuotaExceeded, match="1000 open uploads"):
        submissions.create_upload("a.ogg", 9)
    assert fixture.service.for_tenant("ann").submissions.create_upload("a.ogg", 9)
    fixture.service.uploads.discard(upload.id)
    assert submissions.create_upload("a.ogg", 9)


def test_deleting_frees_storage(make: Make) -> None:
    fixture = make(max_stored_bytes=len(MEDIA))
    job = submit(fixture.service)
    assert attempts(fixture.service, 1) == ["quota_exceeded"]
    fixture.service.commands.delete(job.id)
    assert attempts(fixture.service, 1) == ["pending"]


def test_concurrent_uploads_never_exceed_the_storage_quota(make: Make) -> None:
    fixture = make(max_stored_bytes=3 * len(MEDIA))
    uploads = [fixture.service.submissions.start_upload(f"{at}.ogg") for at in range(8)]

    def finish(upload: Any) -> str:
        try:
            upload.write(MEDIA)
            return str(upload.finish(SubmissionRequest()).state)
        except QuotaExceeded as error:
            upload.abandon()
            return error.code

    with ThreadPoolExecutor(8) as pool:
        assert [*pool.map(finish, uploads)].count("pending") == 3
    assert len(fixture.stored_keys()) == 3


def test_extras_count_towards_storage(make: Make) -> None:
    fixture = make(max_stored_bytes=3 * len(MEDIA))
    extras = {"known_speakers.json": bytes(len(MEDIA))}
    for at in range(2):
        upload = fixture.service.submissions.start_upload(f"{at}.ogg")
        upload.write(MEDIA)
        if at == 0:
            job = upload.finish(SubmissionRequest(extras=extras))
            continue
        with pytest.raises(QuotaExceeded, match="MAX_STORED_MB"):
            upload.finish(SubmissionRequest(extras=extras))
    assert fixture.jobs.usage("", 0.0).stored_bytes == 2 * len(MEDIA)
    fixture.service.commands.delete(job.id)
    assert fixture.jobs.usage("", 0.0).stored_bytes == 0


def test_extras_of_resumable_uploads_count_towards_storage(make: Make) -> None:
    fixture = make(max_stored_bytes=2 * len(MEDIA))
    submissions = fixture.service.submissions
    job = submissions.create_upload("a.ogg", len(MEDIA))
    with closing(fixture.service.uploads.receive(job.id, 0)) as receiving:
        receiving.write(MEDIA)
    with pytest.raises(QuotaExceeded, match="MAX_STORED_MB"):
        submissions.submit_upload(job.id, SubmissionRequest(extras={"a": bytes(len(MEDIA) + 1)}))
    submissions.submit_upload(job.id, SubmissionRequest(extras={"a": bytes(len(MEDIA))}))
    assert fixture.jobs.usage("", 0.0).stored_bytes == 2 * len(MEDIA)


# -- hours ---------------------------------------------------------------------------------------


def test_hours_of_audio_per_day_are_limited(make: Make) -> None:
    fixture = make(max_audio_seconds=2.5 * MINUTES * 60)
    assert attempts(fixture.service, 3) == ["pending", "pending", "quota_exceeded"]
    fixture.clock.at += 3600.0
    with pytest.raises(QuotaExceeded, match="MAX_AUDIO_HOURS_PER_DAY") as refused:
        submit(fixture.service)
    assert refused.value.retry_after_seconds == pytest.approx(23 * 3600.0)
    fixture.clock.at += 23 * 3600.0 + 1
    assert attempts(fixture.service, 1) == ["pending"]


def test_audio_of_deleted_jobs_still_counts(make: Make) -> None:
    fixture = make(max_audio_seconds=1.5 * MINUTES * 60)
    fixture.service.commands.delete(submit(fixture.service).id)
    fixture.advance(3600.0)
    assert attempts(fixture.service, 1) == ["quota_exceeded"]
    assert fixture.stored_keys() == []


def test_a_recording_longer_than_the_daily_limit_gets_no_retry_after(make: Make) -> None:
    fixture = make(max_audio_seconds=MINUTES * 30.0)
    with pytest.raises(QuotaExceeded) as refused:
        submit(fixture.service)
    assert refused.value.retry_after_seconds is None


def test_a_fetched_recording_is_checked_after_the_download(make: Make, media_server: str) -> None:
    fixture = make(max_audio_seconds=1.5 * MINUTES * 60)
    submit_url, ids = fixture.service.submissions.submit_url, list[str]()
    worker = fixture.worker()
    for at in range(2):
        ids.append(submit_url(f"{media_server}/{at}.ogg", SubmissionRequest()).id)
        while worker.work():
            pass
    done = {(each.state, each.error and each.error.code) for each in map(fixture.jobs.get, ids)}
    assert done == {("completed", None), ("failed", "quota_exceeded")}


class Liar(FakeDecoder):
    """Claims a fixed duration for every recording."""

    def __init__(self, seconds: float | None) -> None:
        super().__init__()
        self._seconds = seconds

    def probe(self, media: BinaryIO) -> MediaInfo:
        return replace(super().probe(media), duration=self._seconds)

    def prepare(
        self, media: BinaryIO, working: BinaryIO, options: Options, progress: Progress
    ) -> tuple[PreparedAudio, Peaks]:
        return FakeDecoder().prepare(media, working, options, progress)


@pytest.mark.parametrize("claimed", [None, 1.0])
def test_a_recording_counts_with_its_decoded_duration(make: Make, claimed: float | None) -> None:
    fixture = make(max_audio_seconds=1.5 * MINUTES * 60)
    fixture.context = replace(fixture.context, decoder=Liar(claimed))
    service = Service(fixture.context)
    ids = [submit(service).id for _ in range(3)]
    worker = fixture.worker()
    while worker.work():
        pass
    done = [(each.state, each.error and each.error.code) for each in map(fixture.jobs.get, ids)]
    assert sorted(done) == [("completed", None), *[("failed", "quota_exceeded")] * 2]


def test_usage_survives_a_restart(make: Make, tmp_path: Path) -> None:
    fixture = make(max_jobs_in_flight=1)
    submit(fixture.service)
    with open_fixture(tmp_path, Policy(max_jobs_in_flight=1)) as again:
        assert attempts(again.service, 1) == ["quota_exceeded"]


def test_the_lock_of_a_dead_process_expires(make: Make) -> None:
    fixture = make(max_jobs_in_flight=1)
    assert fixture.jobs.lock("admission", "dead", 10.0, fixture.clock())
    fixture.clock.at += 11.0
    assert attempts(fixture.service, 1) == ["pending"]


class Unlocking(SqliteJobStore):
    """Jobs whose store does not respond when a lock is released."""

    def unlock(self, name: str, holder: str) -> None:
        raise StorageUnavailable("the store is away")


def test_a_lock_that_cannot_be_released_does_not_fail_the_submission(tmp_path: Path) -> None:
    with open_fixture(tmp_path, Policy(max_jobs_in_flight=2)) as fixture:
        jobs = Unlocking(tmp_path / "jobs.sqlite3")
        submissions = Service(replace(fixture.context, jobs=jobs)).submissions
        assert submissions.start_upload("a.ogg").job_id
        jobs.close()
