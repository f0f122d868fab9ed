"""Reading and changing jobs."""

import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import pytest

from meet_transcriber.core.edits import LONGEST_TEXT, MOST_LOG_BYTES, Edit
from meet_transcriber.core.errors import (
    InvalidOptions,
    JobConflict,
    JobNotFound,
    JobNotReady,
    StorageError,
)
from meet_transcriber.core.jobs import JobQuery
from meet_transcriber.core.workers import WorkerInfo
from meet_transcriber.service import JobQueries, Service, SubmissionRequest
from meet_transcriber.service.queries import MOST_SEARCH_WORDS
from meet_transcriber.stores.disk import DiskMediaStore
from meet_transcriber.stores.sqlite.jobs import SqliteJobStore
from tests.unit.service.conftest import MEDIA, ServiceFixture


def test_a_completed_job_has_a_transcript(fixture: ServiceFixture) -> None:
    job = fixture.submit()
    with pytest.raises(JobNotReady, match="pending"):
        fixture.service.queries.transcript(job.id)
    job = fixture.complete_job()
    assert b"SPEAKER_01" in fixture.service.queries.export(job.id, "srt")[1]


def test_names_are_in_every_format(fixture: ServiceFixture) -> None:
    job = fixture.complete_job()
    fixture.service.commands.edit(job.id, Edit("name", speaker="SPEAKER_00", text="Ann"))
    for form in ("txt", "srt", "json", "rttm"):
        assert b"Ann" in fixture.service.queries.export(job.id, form)[1]
    fixture.service.commands.edit(job.id, Edit("name", speaker="SPEAKER_00"))
    assert b"Ann" not in fixture.service.queries.export(job.id, "txt")[1]


def test_edits_leave_the_recognized_transcript_unchanged(fixture: ServiceFixture) -> None:
    job = fixture.complete_job()
    changing, reading = fixture.service.commands, fixture.service.queries
    before = reading.transcript(job.id)[1]
    changing.edit(job.id, Edit("text", 0, "corrected"))
    assert reading.transcript(job.id)[1].segments[0].text == "corrected"
    changing.edit(job.id, Edit("undo"))
    assert reading.transcript(job.id)[1].segments == before.segments
    assert [e.kind for e in reading.edits(reading.job(job.id)).edits] == ["text", "undo"]
    assert reading.edited_of(reading.job(job.id)).machine().segments == before.segments


def test_an_edit_of_an_older_version_is_refused(fixture: ServiceFixture) -> None:
    job = fixture.complete_job()
    fixture.service.commands.edit(job.id, Edit("text", 0, "one"), version=job.version)
    with pytest.raises(JobConflict, match="meanwhile"):
        fixture.service.commands.edit(job.id, Edit("text", 0, "two"), version=job.version)


def test_edits_leave_one_object(fixture: ServiceFixture) -> None:
    job = fixture.complete_job()
    for text in ("one", "two", "three"):
        fixture.service.commands.edit(job.id, Edit("text", 0, text))
    assert sum("edits" in key for key in fixture.stored_keys()) == 1


class Overtaken(DiskMediaStore):
    """Calls a function once, before a log of edits is read or written."""

    happen: Callable[[], object] | None = None

    def get(self, key: str) -> bytes:
        self._overtake(key)
        return super().get(key)

    def put(self, key: str, data: bytes | BinaryIO) -> None:
        self._overtake(key)
        super().put(key, data)

    def _overtake(self, key: str) -> None:
        if "/edits.json." in key and (happen := self.happen):
            self.happen = None
            happen()


def test_concurrent_edits_do_not_surface_as_missing_objects(
    fixture: ServiceFixture, tmp_path: Path
) -> None:
    job, media = fixture.complete_job(), Overtaken(tmp_path / "media")
    there, here = fixture.service.commands, Service(replace(fixture.context, media=media))
    there.edit(job.id, Edit("text", 0, "one"))
    media.happen = lambda: there.edit(job.id, Edit("text", 0, "two"))
    assert here.queries.transcript(job.id)[1].segments[0].text == "two"
    media.happen = lambda: there.edit(job.id, Edit("text", 0, "three"))
    with pytest.raises(JobConflict, match="meanwhile"):
        here.commands.edit(job.id, Edit("text", 0, "four"))
    assert here.queries.transcript(job.id)[1].segments[0].text == "three"
    media.happen = lambda: there.edit(job.id, Edit("undo"))
    again = Service(here.context).queries  # it has read no log yet
    assert len(again.edited_transcript(job.id)[1].log.edits) == 4


class Late(SqliteJobStore):
    """Calls a function once, before a text is indexed."""

    happen: Callable[[], object] | None = None

    def put_text(self, job_id: str, text: str) -> None:
        if happen := self.happen:
            self.happen = None
            happen()
        super().put_text(job_id, text)


def test_the_latest_text_is_indexed_in_any_order_of_concurrent_edits(
    fixture: ServiceFixture, tmp_path: Path
) -> None:
    job, text = fixture.complete_job(), Late(tmp_path / "jobs.sqlite3")
    there, here = fixture.service.commands, Service(replace(fixture.context, text=text)).commands
    text.happen = lambda: there.edit(job.id, Edit("text", 0, "Keycloak"))
    here.edit(job.id, Edit("text", 0, "two"))
    text.close()
    assert len(fixture.service.queries.search("keycloak").hits) == 1


def test_the_size_of_the_edit_log_is_limited(fixture: ServiceFixture) -> None:
    job = fixture.complete_job()
    one = Edit("text", 0, "\N{GRINNING FACE}" * LONGEST_TEXT)  # twelve bytes each in JSON
    with pytest.raises(JobConflict, match="16 MiB"):
        fixture.service.commands.edit(job.id, *[one] * (MOST_LOG_BYTES // LONGEST_TEXT // 10))
    fixture.service.commands.edit(job.id, one)


def test_a_rerun_of_the_speakers_recognizes_nothing_again(fixture: ServiceFixture) -> None:
    job = fixture.complete_job()
    fixture.service.commands.rerun(job.id, ["diarize"], {"num_speakers": 2})
    assert fixture.service.queries.job(job.id).options.num_speakers == 2
    worker = fixture.worker(queues=("cpu",))
    while worker.work():
        pass
    assert fixture.service.queries.job(job.id).state == "completed"


def test_an_invalid_rerun_is_refused(fixture: ServiceFixture) -> None:
    job = fixture.submit()
    with pytest.raises(JobConflict):
        fixture.service.commands.rerun(job.id)
    with pytest.raises(InvalidOptions, match="no task 'sing'"):
        fixture.service.commands.rerun(job.id, ["sing"])


def test_a_deleted_job_cannot_be_found(fixture: ServiceFixture) -> None:
    job = fixture.complete_job()
    fixture.service.commands.delete(job.id)
    for look in (fixture.service.queries.job, fixture.service.commands.delete):
        with pytest.raises(JobNotFound):
            look(job.id)
    assert fixture.service.queries.page(JobQuery()) == []
    assert fixture.service.queries.search("w1").hits == ()


def test_the_wait_is_estimated_from_measured_speed(fixture: ServiceFixture) -> None:
    first = fixture.submit()
    fixture.clock.at += 1
    second = fixture.submit()
    fixture.jobs.set_fact("rtf", "0.1")
    info = WorkerInfo("w", ("cpu", "recognize"), "ready", seen_at=fixture.clock())
    fixture.jobs.put_worker(info, 100)
    assert fixture.service.queries.wait(first).position == 1
    wait = fixture.service.queries.wait(second)
    assert wait.position == 2
    assert wait.seconds == pytest.approx(120.0)


@pytest.mark.parametrize("tenants", [1, 2, 5])
def test_places_of_many_jobs_are_those_of_each(fixture: ServiceFixture, tenants: int) -> None:
    chance = random.Random(tenants)
    services = [fixture.service.for_tenant(str(at)) for at in range(tenants)]
    for _ in range(30):
        fixture.clock.at += 1
        upload = chance.choice(services).submissions.start_upload("a.ogg")
        upload.write(MEDIA)
        upload.finish(SubmissionRequest())
    for service in services:
        jobs = service.queries.page(JobQuery(order="asc"))
        each = [service.queries.position(job) for job in jobs]
        assert service.queries.positions(jobs) == each
    assert fixture.service.queries.positions([]) == []


def test_the_wait_is_unknown_without_a_worker(fixture: ServiceFixture) -> None:
    assert fixture.service.queries.wait(fixture.submit()).seconds is None


def test_search_finds_meetings_and_segments(fixture: ServiceFixture) -> None:
    job = fixture.complete_job()
    found = fixture.service.queries.search("W7")
    assert [hit.job.id for hit in found.hits] == [job.id]
    assert "w7" in found.hits[0].segments[0][1].text
    assert fixture.service.queries.search("nobody said this").hits == ()


def test_search_without_an_index_says_whether_it_is_complete(fixture: ServiceFixture) -> None:
    job = fixture.complete_job()
    found = JobQueries(replace(fixture.context, text=None)).search("w7")
    assert [hit.job.id for hit in found.hits] == [job.id]
    assert found.complete


def test_a_search_ends_after_its_processor_time(fixture: ServiceFixture) -> None:
    fixture.complete_job()
    assert len(fixture.service.queries.search("w7").hits) == 1
    found = fixture.service.queries.search("w7", seconds=0)
    assert (found.hits, found.complete) == ((), False)


def test_a_search_does_not_wait_long_for_a_slow_store(fixture: ServiceFixture) -> None:
    fixture.complete_job()
    found = fixture.service.queries.search("w7", wait_seconds=0)
    assert (found.hits, found.complete) == ((), False)


@pytest.mark.parametrize("unit", ["a1 ", "あ", "a\u0301\u0327", "\uff9e\u0327", "\u0591\u05b0"])
@pytest.mark.parametrize("indexed", [True, False])
def test_any_text_is_searched_in_bounded_time(
    fixture: ServiceFixture, unit: str, indexed: bool
) -> None:
    job = fixture.complete_job()
    text = "needle " + unit * (9_900 // len(unit))
    fixture.service.commands.edit(job.id, Edit("text", 0, text))
    context = fixture.context if indexed else replace(fixture.context, text=None)
    queries = JobQueries(context)
    long = (unit * 500)[:240]
    for query in ("needle", "needle " * 70, f"needle {long}", long, f"{unit} " * 50):
        began = time.thread_time()
        queries.search(query)
        assert time.thread_time() - began < 0.5


def test_a_search_for_too_many_words_is_refused(fixture: ServiceFixture) -> None:
    assert fixture.service.queries.search("w " * MOST_SEARCH_WORDS).hits == ()
    with pytest.raises(InvalidOptions, match="1 to 100 words"):
        fixture.service.queries.search("w " * (MOST_SEARCH_WORDS + 1))
    with pytest.raises(InvalidOptions, match="501 characters; the most is 500"):
        fixture.service.queries.search("w" * 501)


def test_search_finds_edited_words(fixture: ServiceFixture) -> None:
    job = fixture.complete_job()
    fixture.service.commands.edit(job.id, Edit("text", 0, "Keycloak"))
    assert len(fixture.service.queries.search("keycloak").hits) == 1


@pytest.mark.parametrize("indexed", [True, False])
@pytest.mark.parametrize("query", ["cafe", "CAFÉ,", "strasse!", "ｃａｆé"])
def test_search_ignores_case_accents_width_and_punctuation(
    fixture: ServiceFixture, query: str, indexed: bool
) -> None:
    job = fixture.complete_job()
    fixture.service.commands.edit(job.id, Edit("text", 0, "Das Café in der Straße"))
    context = fixture.context if indexed else replace(fixture.context, text=None)
    (hit,) = JobQueries(context).search(query).hits
    assert [number for number, _ in hit.segments] == [0]


def test_parts_can_be_read_when_they_are_done(fixture: ServiceFixture) -> None:
    job, worker = fixture.submit(), fixture.worker()
    known: set[str] = set()
    seen = 0
    while worker.work():
        fresh = list(fixture.service.queries.parts(fixture.jobs.get(job.id), known))
        seen += len(fresh)
    assert seen == 59


class CountingReads(DiskMediaStore):
    """A MediaStore that counts how often each object is read."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.reads = Counter[str]()

    def get(self, key: str) -> bytes:
        self.reads[key] += 1
        return super().get(key)


def test_a_part_is_read_once_for_all_clients(fixture: ServiceFixture, tmp_path: Path) -> None:
    job, media = fixture.complete_job(), CountingReads(tmp_path / "media")
    queries = Service(replace(fixture.context, media=media)).queries
    heard = [len(list(queries.parts(job, set()))) for _ in range(3)]
    assert heard == [59] * 3
    assert set(media.reads.values()) == {1}


def test_the_audio_and_its_waveform_can_be_read(fixture: ServiceFixture) -> None:
    job = fixture.complete_job()
    _, file, size = fixture.service.queries.audio(job.id)
    with file:
        assert len(file.read()) == size == job.size_bytes
    assert fixture.service.queries.peaks(job.id)[1][0] == 20


def test_the_service_of_a_tenant_creates_and_finds_only_its_jobs(
    fixture: ServiceFixture,
) -> None:
    mine, theirs = fixture.service.for_tenant("mine"), fixture.service.for_tenant("theirs")
    upload = mine.submissions.start_upload("a.ogg")
    upload.write(MEDIA)
    job = upload.finish(SubmissionRequest())
    assert (job.tenant, mine.for_tenant("theirs").queries.tenant) == ("mine", "theirs")
    assert mine.queries.job(job.id) == fixture.service.queries.job(job.id) == job
    for call in (theirs.queries.job, theirs.commands.cancel, theirs.commands.delete):
        with pytest.raises(JobNotFound, match=job.id):
            call(job.id)
    assert theirs.queries.page(JobQuery(tenant="mine")) == []


def test_a_damaged_transcript_is_a_storage_error(fixture: ServiceFixture) -> None:
    job = fixture.complete_job()
    fixture.media.put(job.objects["transcript.json"], b"{")
    with pytest.raises(StorageError, match="damaged"):
        JobQueries(fixture.context).transcript(job.id)
