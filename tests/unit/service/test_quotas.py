"""What a tenant, and everybody together, may have."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from meet_transcriber.core.errors import QueueFull, QuotaExceeded, TooMuch
from meet_transcriber.core.jobs import Job
from meet_transcriber.core.media import MediaInfo, Peaks, PreparedAudio
from meet_transcriber.core.options import Options
from meet_transcriber.core.workers import WorkerInfo
from meet_transcriber.ports.engines import Progress
from meet_transcriber.service import Policy, Service, SubmissionRequest
from tests.unit.fakes import Deck
from tests.unit.service.conftest import TAPE, House, house_in

MINUTES = 10  # that every tape has
Make = Callable[..., House]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    with ExitStack() as stack:
        yield lambda **rules: stack.enter_context(house_in(tmp_path, Policy(**rules)))


def submit(service: Service, tape: bytes = TAPE, key: str | None = None) -> Job:
    upload = service.submissions.begin("a.ogg", key)
    upload.write(tape)
    return upload.finish(SubmissionRequest())


def attempts(service: Service, times: int, **options: Any) -> list[str]:
    """What became of so many submissions, one after the other."""
    found: list[str] = []
    for _ in range(times):
        try:
            found.append(submit(service, **options).state)
        except TooMuch as error:
            found.append(error.code)
    return found


def test_without_limits_nobody_is_refused(house: House) -> None:
    assert attempts(house.service, 5) == ["pending"] * 5


def test_past_the_bound_of_the_queue_nothing_is_taken(make: Make) -> None:
    house = make(max_queued_jobs=2)
    assert attempts(house.service, 3) == ["pending", "pending", "queue_full"]
    assert attempts(house.service.of("ann"), 1) == ["queue_full"]
    with pytest.raises(QueueFull, match="MAX_QUEUED_JOBS"):
        house.service.submissions.submit_url("http://127.0.0.1/a.ogg", SubmissionRequest())
    assert len(house.left()) == 2


def test_the_wait_follows_from_measured_speed(make: Make) -> None:
    house = make(max_queued_jobs=2)
    attempts(house.service, 2)
    with pytest.raises(QueueFull) as nobody_works:
        submit(house.service)
    assert nobody_works.value.retry_after_seconds == 60.0
    house.jobs.remember("rtf", "0.5")
    for name in ("one", "two"):
        house.jobs.note_worker(WorkerInfo(name, ("cpu",), "ready", seen_at=house.now()), 60.0)
    with pytest.raises(QueueFull) as busy:
        submit(house.service)
    assert busy.value.retry_after_seconds == pytest.approx(MINUTES * 60 * 0.5 / 2)


def test_a_place_is_free_again_when_a_job_ends(make: Make) -> None:
    house = make(max_jobs_in_flight=2)
    first, _ = submit(house.service), submit(house.service)
    assert attempts(house.service, 1) == ["quota_exceeded"]
    house.service.commands.cancel(first.id)
    assert attempts(house.service, 2) == ["pending", "quota_exceeded"]


def test_each_tenant_has_places_of_their_own(make: Make) -> None:
    house = make(max_jobs_in_flight=1)
    for tenant in ("ann", "ben"):
        assert attempts(house.service.of(tenant), 2) == ["pending", "quota_exceeded"]


def test_an_upload_on_its_way_has_a_place_and_gives_it_back(make: Make) -> None:
    house = make(max_jobs_in_flight=1)
    upload = house.service.submissions.begin("a.ogg")
    with pytest.raises(QuotaExceeded, match="MAX_JOBS_IN_FLIGHT"):
        house.service.submissions.begin("b.ogg")
    upload.abandon()
    assert attempts(house.service, 1) == ["pending"]


def test_a_sender_that_died_gives_its_place_back(make: Make) -> None:
    house = make(max_jobs_in_flight=1, lease_seconds=30.0)
    house.service.submissions.begin("a.ogg")  # and no more is heard of it
    assert attempts(house.service, 1) == ["quota_exceeded"]
    house.later(31.0)
    assert attempts(house.service, 1) == ["pending"]


def test_a_repeated_request_needs_no_second_place(make: Make) -> None:
    house = make(max_jobs_in_flight=1, max_queued_jobs=1)
    first = submit(house.service, key="k")
    assert submit(house.service, key="k").id == first.id


def test_a_rerun_needs_a_place(make: Make) -> None:
    house = make(max_jobs_in_flight=1)
    job = submit(house.service)
    house.service.commands.cancel(job.id)
    submit(house.service)
    with pytest.raises(QuotaExceeded):
        house.service.commands.rerun(job.id)


@pytest.mark.parametrize("rules", [{"max_jobs_in_flight": 7}, {"max_queued_jobs": 7}])
def test_exactly_so_many_are_taken_however_many_come_at_once(
    make: Make, rules: dict[str, int]
) -> None:
    house = make(**rules)
    with ThreadPoolExecutor(12) as pool:
        found = [*pool.map(lambda _: attempts(house.service, 1)[0], range(24))]
    assert found.count("pending") == 7
    assert len(house.left()) == house.jobs.backlog().active == 7


# -- bytes ---------------------------------------------------------------------------------------


def test_what_does_not_fit_is_refused_and_leaves_nothing(make: Make) -> None:
    house = make(max_stored_bytes=2 * len(TAPE) + 1)
    assert attempts(house.service, 3) == ["pending", "pending", "quota_exceeded"]
    assert len(house.left()) == 2
    with pytest.raises(QuotaExceeded, match="MAX_STORED_MB") as refused:
        submit(house.service)
    assert refused.value.retry_after_seconds is None


def test_a_large_upload_is_refused_while_it_comes(make: Make) -> None:
    house = make(max_stored_bytes=len(TAPE))
    upload = house.service.submissions.begin("a.ogg")
    upload.write(TAPE)
    with pytest.raises(QuotaExceeded, match="MAX_STORED_MB"):
        upload.write(b"x")
    upload.abandon()
    assert house.left() == []


def test_deleting_gives_room(make: Make) -> None:
    house = make(max_stored_bytes=len(TAPE))
    job = submit(house.service)
    assert attempts(house.service, 1) == ["quota_exceeded"]
    house.service.commands.delete(job.id)
    assert attempts(house.service, 1) == ["pending"]


def test_uploads_that_end_at_once_do_not_share_one_rest_of_room(make: Make) -> None:
    house = make(max_stored_bytes=3 * len(TAPE))
    uploads = [house.service.submissions.begin(f"{at}.ogg") for at in range(8)]
    for upload in uploads:
        upload.write(TAPE)

    def finish(upload: Any) -> str:
        try:
            return str(upload.finish(SubmissionRequest()).state)
        except QuotaExceeded as error:
            return error.code

    with ThreadPoolExecutor(8) as pool:
        assert [*pool.map(finish, uploads)].count("pending") == 3
    assert len(house.left()) == 3


def test_what_comes_along_needs_room_as_well(make: Make) -> None:
    house = make(max_stored_bytes=3 * len(TAPE))
    extras = {"known_speakers.json": bytes(len(TAPE))}
    for at in range(2):
        upload = house.service.submissions.begin(f"{at}.ogg")
        upload.write(TAPE)
        if at == 0:
            job = upload.finish(SubmissionRequest(extras=extras))
            continue
        with pytest.raises(QuotaExceeded, match="MAX_STORED_MB"):
            upload.finish(SubmissionRequest(extras=extras))
    assert house.jobs.usage("", 0.0).stored_bytes == 2 * len(TAPE)
    house.service.commands.delete(job.id)
    assert house.jobs.usage("", 0.0).stored_bytes == 0


def test_what_comes_along_with_an_upload_needs_room_as_well(make: Make) -> None:
    house = make(max_stored_bytes=2 * len(TAPE))
    uploads = house.service.uploads
    job = uploads.create("a.ogg", len(TAPE))
    with closing(uploads.receive(job.id, 0)) as receiving:
        receiving.write(TAPE)
    with pytest.raises(QuotaExceeded, match="MAX_STORED_MB"):
        uploads.submit(job.id, SubmissionRequest(extras={"a": bytes(len(TAPE) + 1)}))
    uploads.submit(job.id, SubmissionRequest(extras={"a": bytes(len(TAPE))}))
    assert house.jobs.usage("", 0.0).stored_bytes == 2 * len(TAPE)


# -- hours ---------------------------------------------------------------------------------------


def test_a_day_has_so_many_hours_of_audio(make: Make) -> None:
    house = make(max_audio_seconds=2.5 * MINUTES * 60)
    assert attempts(house.service, 3) == ["pending", "pending", "quota_exceeded"]
    house.now.at += 3600.0
    with pytest.raises(QuotaExceeded, match="MAX_AUDIO_HOURS_PER_DAY") as refused:
        submit(house.service)
    assert refused.value.retry_after_seconds == pytest.approx(23 * 3600.0)
    house.now.at += 23 * 3600.0 + 1
    assert attempts(house.service, 1) == ["pending"]


def test_deleting_gives_no_hours_back(make: Make) -> None:
    house = make(max_audio_seconds=1.5 * MINUTES * 60)
    house.service.commands.delete(submit(house.service).id)
    house.later(3600.0)
    assert attempts(house.service, 1) == ["quota_exceeded"]
    assert house.left() == []


def test_a_recording_that_is_too_long_by_itself_is_not_told_to_wait(make: Make) -> None:
    house = make(max_audio_seconds=MINUTES * 30.0)
    with pytest.raises(QuotaExceeded) as refused:
        submit(house.service)
    assert refused.value.retry_after_seconds is None


def test_a_recording_by_address_is_measured_when_it_has_come(make: Make, tape_server: str) -> None:
    house = make(max_audio_seconds=1.5 * MINUTES * 60)
    submit_url = house.service.submissions.submit_url
    ids = [submit_url(f"{tape_server}/{at}.ogg", SubmissionRequest()).id for at in range(2)]
    worker = house.worker()
    while worker.work():
        pass
    done = {(each.state, each.error and each.error.code) for each in map(house.jobs.get, ids)}
    assert done == {("completed", None), ("failed", "quota_exceeded")}


class Liar(Deck):
    """Claims for every tape that it has so many seconds."""

    def __init__(self, seconds: float | None) -> None:
        super().__init__()
        self._seconds = seconds

    def probe(self, media: BinaryIO) -> MediaInfo:
        return replace(super().probe(media), duration=self._seconds)

    def prepare(
        self, media: BinaryIO, working: BinaryIO, options: Options, progress: Progress
    ) -> tuple[PreparedAudio, Peaks]:
        return Deck().prepare(media, working, options, progress)


@pytest.mark.parametrize("claimed", [None, 1.0])
def test_a_recording_counts_with_what_it_has_and_not_with_what_it_claims(
    make: Make, claimed: float | None
) -> None:
    house = make(max_audio_seconds=1.5 * MINUTES * 60)
    house.context = replace(house.context, decoder=Liar(claimed))
    service = Service(house.context)
    ids = [submit(service).id for _ in range(3)]
    worker = house.worker()
    while worker.work():
        pass
    done = [(each.state, each.error and each.error.code) for each in map(house.jobs.get, ids)]
    assert sorted(done) == [("completed", None), *[("failed", "quota_exceeded")] * 2]


def test_what_was_used_survives_a_restart(make: Make, tmp_path: Path) -> None:
    house = make(max_jobs_in_flight=1)
    submit(house.service)
    with house_in(tmp_path, Policy(max_jobs_in_flight=1)) as again:
        assert attempts(again.service, 1) == ["quota_exceeded"]


def test_a_turn_of_somebody_who_died_ends(make: Make) -> None:
    house = make(max_jobs_in_flight=1)
    assert house.jobs.lock("admission", "dead", 10.0, house.now())
    house.now.at += 11.0
    assert attempts(house.service, 1) == ["pending"]
