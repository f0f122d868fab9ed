"""How a worker claims and runs tasks."""

import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from meet_transcriber.core.errors import (
    DiarizationFailed,
    EngineUnavailable,
    InvalidOptions,
    JobCancelled,
    RecognitionFailed,
    StorageFull,
    StorageUnavailable,
)
from meet_transcriber.core.jobs import Delay, Failure, Job
from meet_transcriber.core.options import Options
from meet_transcriber.core.transcript import Span
from meet_transcriber.core.transitions import cancelled, claim_in, claimed
from meet_transcriber.pipeline import Chosen
from meet_transcriber.ports.engines import Diarizer, Finding, Progress, Waveform
from meet_transcriber.ports.stores import JobStore, Updated
from meet_transcriber.service import Policy
from meet_transcriber.service.task_runner import Engines, TaskHeartbeat, TaskRunner
from meet_transcriber.stores.sqlite.jobs import SqliteJobStore
from tests.unit.fakes import FakeDiarizer, FakeRecognizer, FakeVad
from tests.unit.service.conftest import ServiceFixture, open_fixture


class Doing(FakeRecognizer):
    """A recognizer that calls a function during its work."""

    def __init__(self, happens: Callable[[], None]) -> None:
        super().__init__()
        self.happens = happens

    def recognize(
        self, audio: Waveform, speech: Sequence[Span], options: Options, progress: Progress
    ) -> Iterator[Finding]:
        self.happens()
        yield from super().recognize(audio, speech, options, progress)


class Failing(FakeRecognizer):
    """A recognizer that fails."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    def recognize(
        self, audio: Waveform, speech: Sequence[Span], options: Options, progress: Progress
    ) -> Iterator[Finding]:
        raise self.error


class Away:
    """A JobStore that is unavailable for `left` changes after a claim."""

    def __init__(self, store: JobStore) -> None:
        self._store, self._claimed, self.left = store, False, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def update(self, job_id: str, change: Callable[[Job], Job]) -> Updated:
        if self._claimed and self.left:
            self.left -= 1
            raise StorageUnavailable("Gone.")
        self._claimed = True
        return self._store.update(job_id, change)


def run_out(fixture: ServiceFixture, **engines: Any) -> Job:
    job = fixture.submit()
    worker = fixture.worker(**engines)
    while worker.work():
        pass
    return fixture.jobs.get(job.id)


def test_a_recording_becomes_a_transcript_without_leftovers(fixture: ServiceFixture) -> None:
    job = fixture.complete_job()
    assert (job.state, job.progress, job.speakers_found) == ("completed", 1.0, 2)
    fixture.advance(1)
    assert fixture.stored_keys() == sorted(fixture.jobs.get(job.id).objects.values())


def test_parts_are_announced_once_each(fixture: ServiceFixture) -> None:
    job = fixture.complete_job()
    told = [task for _, _, task in fixture.queue.notified]
    assert sorted(told) == sorted(task.name for task in job.tasks)


def test_workers_share_the_parts_of_one_meeting(fixture: ServiceFixture) -> None:
    fixture.submit()
    first = fixture.worker("first", queues=("cpu",))
    assert first.work()
    recognizers = [FakeRecognizer(), FakeRecognizer()]
    workers = [fixture.worker(f"w{at}", recognizer) for at, recognizer in enumerate(recognizers)]
    while workers[0].work() | workers[1].work():
        pass
    assert all(recognizer.parts > 1 for recognizer in recognizers)


def test_a_worker_takes_only_from_its_queues(fixture: ServiceFixture) -> None:
    fixture.submit()
    assert not fixture.worker(queues=("recognize",)).work()
    assert fixture.worker(queues=("cpu",)).work()


def test_a_short_job_is_not_stuck_behind_a_long_one(fixture: ServiceFixture) -> None:
    long, worker = fixture.submit("long.ogg"), fixture.worker()
    for _ in range(3):
        worker.work()
        fixture.clock.at += 1
    short = fixture.submit("short.ogg", b"tape:60;")
    ended: list[str] = []
    while worker.work():
        fixture.clock.at += 1
        ended += [each.id for each in (long, short) if fixture.jobs.get(each.id).ended]
    assert ended[0] == short.id


def test_a_stopping_worker_releases_its_task(fixture: ServiceFixture) -> None:
    fixture.submit()
    recognizer = Doing(fixture.stopping.set)
    worker = fixture.worker(recognizer=recognizer)
    while not fixture.stopping.is_set():
        worker.work()
    (task,) = [t for j in fixture.jobs.ready(["recognize"], 1) for t in fixture.jobs.get(j).tasks
               if t.name == "recognize:0"]  # fmt: skip
    assert (task.state, task.attempts) == ("ready", 0)
    assert fixture.queue.notified[-1][2] == "recognize:0"


def test_a_cancelled_job_keeps_no_output_of_its_running_task(fixture: ServiceFixture) -> None:
    job = fixture.submit()

    def cancel() -> None:
        if not fixture.jobs.get(job.id).ended:
            fixture.jobs.update(job.id, lambda job: cancelled(job, 0.0))

    worker = fixture.worker(recognizer=Doing(cancel))
    while worker.work():
        pass
    fixture.advance(100)
    assert fixture.jobs.get(job.id).state == "cancelled"
    assert fixture.stored_keys() == sorted(fixture.jobs.get(job.id).objects.values())


def test_a_worker_that_lost_its_lease_changes_nothing(fixture: ServiceFixture) -> None:
    job = fixture.submit()

    def take_over() -> None:
        if not fixture.jobs.get(job.id).ended:
            fixture.advance(100)  # the lease runs out
            other = fixture.worker("quick")
            while other.work():
                pass

    slow = fixture.worker("slow", Doing(take_over))
    while slow.work():
        pass
    done = fixture.jobs.get(job.id)
    assert done.state == "completed"
    assert all(fixture.media.exists(key) for key in done.objects.values())
    fixture.advance(100)
    assert fixture.stored_keys() == sorted(done.objects.values())


def test_a_recognizer_that_fails_is_tried_three_times(fixture: ServiceFixture) -> None:
    job = run_out(fixture, recognizer=Failing(RecognitionFailed("It broke.")))
    assert job.state == "failed"
    assert job.error is not None
    assert (job.error.code, job.error.message) == ("recognition_failed", "It broke.")


def test_an_unexpected_error_fails_the_job_and_not_the_worker(
    fixture: ServiceFixture,
) -> None:
    job = run_out(fixture, recognizer=Failing(ZeroDivisionError("division by zero")))
    assert job.error is not None
    assert job.error.code == "worker_error"


def test_a_missing_engine_fails_the_job_before_any_work(fixture: ServiceFixture) -> None:
    def missing() -> Chosen[Diarizer]:
        raise EngineUnavailable("Run: meet-transcriber models pull base")

    recognizer = FakeRecognizer()
    job = run_out(fixture, recognizer=recognizer, make_diarizer=missing)
    assert job.error is not None
    assert job.error.code == "engine_unavailable"
    assert "models pull" in job.error.message
    assert recognizer.parts == 0


def test_unsupported_options_fail_the_job_before_any_work(fixture: ServiceFixture) -> None:
    class Choosy(FakeRecognizer):
        def check(self, options: Options) -> None:
            raise InvalidOptions("English only.")

    recognizer = Choosy()
    job = run_out(fixture, recognizer=recognizer)
    assert job.error is not None
    assert job.error.code == "invalid_options"
    assert recognizer.parts == 0


def test_a_failed_diarization_keeps_the_words(fixture: ServiceFixture) -> None:
    job = run_out(fixture, diarizer=FakeDiarizer(DiarizationFailed("no GPU.")))
    _, transcript = fixture.service.queries.transcript(job.id)
    assert len(transcript.words) == 59
    assert "diarization_failed" in {warning.code for warning in transcript.warnings}


def test_an_unavailable_store_does_not_count_as_a_failure(fixture: ServiceFixture) -> None:
    job = fixture.submit()
    worker = fixture.worker(recognizer=Failing(StorageUnavailable("Gone for a moment.")))
    worker.work()
    worker.work()
    for _ in range(5):
        with pytest.raises(StorageUnavailable):
            worker.work()
    assert fixture.jobs.get(job.id).state == "processing"
    while fixture.worker().work():
        pass
    assert fixture.jobs.get(job.id).state == "completed"


def test_a_full_disk_delays_the_job(fixture: ServiceFixture) -> None:
    job = fixture.submit()
    full = fixture.worker(recognizer=Failing(StorageFull("Free some.")), queues=("recognize",))
    fixture.worker(queues=("cpu",)).work()
    for _ in range(5):
        with pytest.raises(StorageFull):
            full.work()
        fixture.advance(600)
    waiting = fixture.jobs.get(job.id)
    assert (waiting.state, waiting.delay) == (
        "processing",
        Delay("storage_full", "Free some.", waiting.served_at - 2400),
    )
    assert {task.attempts for task in waiting.tasks} == {0}
    fixture.worker().work()
    assert fixture.jobs.get(job.id).delay is None


def test_a_job_fails_after_an_hour_on_a_full_disk(fixture: ServiceFixture) -> None:
    job = fixture.submit()
    fixture.worker(queues=("cpu",)).work()
    full = fixture.worker(recognizer=Failing(StorageFull("Free some.")), queues=("recognize",))
    for _ in range(2):
        with pytest.raises(StorageFull):
            full.work()
        fixture.advance(3601)
    failed = fixture.jobs.get(job.id)
    assert (failed.state, failed.error) == ("failed", Failure("storage_full", "Free some."))


def test_a_task_is_released_when_its_store_is_available_again(
    fixture: ServiceFixture,
) -> None:
    job = fixture.submit()
    away = Away(fixture.jobs)
    failing = Failing(StorageUnavailable("Gone."))
    context = replace(fixture.context, jobs=away)
    engines = Engines(lambda: Chosen(failing), lambda: Chosen(FakeDiarizer()), FakeVad)
    fixture.worker(queues=("cpu",)).work()
    worker = TaskRunner(context, engines, "w", ("recognize",), fixture.stopping)
    away.left = 3  # the claim goes through, then nothing does for a while
    with pytest.raises(StorageUnavailable):
        worker.work()
    assert away.left == 0
    tasks = [task for task in fixture.jobs.get(job.id).tasks if task.kind == "recognize"]
    assert {(task.state, task.attempts) for task in tasks} == {("ready", 0)}


def test_drop_recording_deletes_the_upload_after_prepare(tmp_path: Path) -> None:
    with open_fixture(tmp_path, Policy(part_seconds=100, drop_recording=True)) as fixture:
        job = fixture.submit()
        fixture.worker().work()
        assert not fixture.media.exists(job.objects["recording"])
        assert "recording" not in fixture.jobs.get(job.id).objects


def test_the_measured_speed_is_remembered(fixture: ServiceFixture) -> None:
    fixture.complete_job()
    assert float(fixture.jobs.get_fact("rtf") or "nan") < 1.0


def test_the_transcript_is_one_object_of_plain_json(fixture: ServiceFixture) -> None:
    job = fixture.complete_job()
    stored = json.loads(fixture.media.get(job.objects["transcript.json"]))
    assert len(stored["segments"]) > 1


class StumblingJobs(SqliteJobStore):
    """Raises a foreign error at the first heartbeat."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.stumbled = threading.Event()

    def get(self, job_id: str) -> Job:
        if threading.current_thread().name == "heartbeat" and not self.stumbled.is_set():
            self.stumbled.set()
            raise ZeroDivisionError
        return super().get(job_id)


def _report_until_refused(heartbeat: TaskHeartbeat) -> None:
    for _ in range(3000):
        heartbeat(0.0)
        time.sleep(0.01)


def test_a_foreign_error_does_not_end_the_heartbeat(
    fixture: ServiceFixture, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    job = fixture.submit()
    jobs = StumblingJobs(tmp_path / "jobs.sqlite3")
    change = partial(claimed, queues=["cpu"], worker="w", now=fixture.clock(), lease=30.0)
    claim = claim_in(jobs.update(job.id, change).after, "w")
    assert claim is not None
    context = replace(fixture.context, jobs=jobs)
    with TaskHeartbeat(context, claim, threading.Event()) as heartbeat:
        assert jobs.stumbled.wait(30)
        fixture.service.commands.cancel(job.id)
        with pytest.raises(JobCancelled):
            _report_until_refused(heartbeat)
    assert "heartbeat_failed" in caplog.text
    jobs.close()
