"""What workers do to jobs, one step at a time."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from meet_transcriber.core.errors import (
    DiarizationFailed,
    EngineUnavailable,
    InvalidOptions,
    RecognitionFailed,
    StorageFull,
    StorageUnavailable,
)
from meet_transcriber.core.jobs import Delay, Failure, Job
from meet_transcriber.core.options import Options
from meet_transcriber.core.transcript import Span
from meet_transcriber.core.transitions import cancelled
from meet_transcriber.pipeline import Chosen
from meet_transcriber.ports.engines import Diarizer, Finding, Progress, Waveform
from meet_transcriber.ports.stores import JobStore, Updated
from meet_transcriber.service import Engines, Policy, TaskRunner
from tests.unit.fakes import Ear, Judge, Scribe
from tests.unit.service.conftest import House, house_in


class Doing(Scribe):
    """A recognizer during whose work something happens."""

    def __init__(self, happens: Callable[[], None]) -> None:
        super().__init__()
        self.happens = happens

    def recognize(
        self, audio: Waveform, speech: Sequence[Span], options: Options, progress: Progress
    ) -> Iterator[Finding]:
        self.happens()
        yield from super().recognize(audio, speech, options, progress)


class Failing(Scribe):
    """A recognizer that fails."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    def recognize(
        self, audio: Waveform, speech: Sequence[Span], options: Options, progress: Progress
    ) -> Iterator[Finding]:
        raise self.error


class Away:
    """A JobStore that has no answer to `left` changes of records that follow a claim."""

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


def run_out(house: House, **engines: Any) -> Job:
    job = house.submit()
    worker = house.worker(**engines)
    while worker.work():
        pass
    return house.jobs.get(job.id)


def test_a_recording_becomes_a_transcript_and_nothing_else_is_left(house: House) -> None:
    job = house.finished()
    assert (job.state, job.progress, job.speakers_found) == ("completed", 1.0, 2)
    house.later(1)
    assert house.left() == sorted(house.jobs.get(job.id).objects.values())


def test_parts_are_announced_once_each(house: House) -> None:
    job = house.finished()
    told = [task for _, _, task in house.bell.heard]
    assert sorted(told) == sorted(task.name for task in job.tasks)


def test_workers_share_the_parts_of_one_meeting(house: House) -> None:
    house.submit()
    first = house.worker("first", queues=("cpu",))
    assert first.work()
    scribes = [Scribe(), Scribe()]
    workers = [house.worker(f"w{at}", scribe) for at, scribe in enumerate(scribes)]
    while workers[0].work() | workers[1].work():
        pass
    assert all(scribe.parts > 1 for scribe in scribes)


def test_a_worker_takes_only_from_its_queues(house: House) -> None:
    house.submit()
    assert not house.worker(queues=("recognize",)).work()
    assert house.worker(queues=("cpu",)).work()


def test_a_short_job_is_not_stuck_behind_a_long_one(house: House) -> None:
    long, worker = house.submit("long.ogg"), house.worker()
    for _ in range(3):
        worker.work()
        house.now.at += 1
    short = house.submit("short.ogg", b"tape:60;")
    ended: list[str] = []
    while worker.work():
        house.now.at += 1
        ended += [each.id for each in (long, short) if house.jobs.get(each.id).ended]
    assert ended[0] == short.id


def test_a_worker_that_stops_gives_its_task_back_in_good_order(house: House) -> None:
    house.submit()
    scribe = Doing(house.stopping.set)
    worker = house.worker(recognizer=scribe)
    while not house.stopping.is_set():
        worker.work()
    (task,) = [t for j in house.jobs.ready(["recognize"], 1) for t in house.jobs.get(j).tasks
               if t.name == "recognize:0"]  # fmt: skip
    assert (task.state, task.attempts) == ("ready", 0)
    assert house.bell.heard[-1][2] == "recognize:0"


def test_a_cancelled_job_keeps_nothing_of_the_part_in_hand(house: House) -> None:
    job = house.submit()

    def cancel() -> None:
        if not house.jobs.get(job.id).ended:
            house.jobs.update(job.id, lambda job: cancelled(job, 0.0))

    worker = house.worker(recognizer=Doing(cancel))
    while worker.work():
        pass
    house.later(100)
    assert house.jobs.get(job.id).state == "cancelled"
    assert house.left() == sorted(house.jobs.get(job.id).objects.values())


def test_who_was_taken_over_leaves_the_other_result_alone(house: House) -> None:
    job = house.submit()

    def take_over() -> None:
        if not house.jobs.get(job.id).ended:
            house.later(100)  # the lease runs out
            other = house.worker("quick")
            while other.work():
                pass

    slow = house.worker("slow", Doing(take_over))
    while slow.work():
        pass
    done = house.jobs.get(job.id)
    assert done.state == "completed"
    assert all(house.media.exists(key) for key in done.objects.values())
    house.later(100)
    assert house.left() == sorted(done.objects.values())


def test_a_recognizer_that_fails_is_tried_three_times(house: House) -> None:
    job = run_out(house, recognizer=Failing(RecognitionFailed("It broke.")))
    assert job.state == "failed"
    assert job.error is not None
    assert (job.error.code, job.error.message) == ("recognition_failed", "It broke.")


def test_an_error_nobody_thought_of_fails_the_job_and_not_the_worker(house: House) -> None:
    job = run_out(house, recognizer=Failing(ZeroDivisionError("division by zero")))
    assert job.error is not None
    assert job.error.code == "worker_error"


def test_an_engine_that_is_not_there_fails_the_job_before_work(house: House) -> None:
    def missing() -> Chosen[Diarizer]:
        raise EngineUnavailable("Run: meet-transcriber models pull base")

    scribe = Scribe()
    job = run_out(house, recognizer=scribe, make_diarizer=missing)
    assert job.error is not None
    assert job.error.code == "engine_unavailable"
    assert "models pull" in job.error.message
    assert scribe.parts == 0


def test_what_the_engine_cannot_do_is_refused_before_work(house: House) -> None:
    class Choosy(Scribe):
        def check(self, options: Options) -> None:
            raise InvalidOptions("English only.")

    scribe = Choosy()
    job = run_out(house, recognizer=scribe)
    assert job.error is not None
    assert job.error.code == "invalid_options"
    assert scribe.parts == 0


def test_a_diarizer_that_breaks_costs_no_words(house: House) -> None:
    job = run_out(house, diarizer=Judge(DiarizationFailed("no GPU.")))
    _, transcript = house.service.queries.transcript(job.id)
    assert len(transcript.words) == 59
    assert "diarization_failed" in {warning.code for warning in transcript.warnings}


def test_a_store_that_is_away_is_no_fault_of_the_task(house: House) -> None:
    job = house.submit()
    worker = house.worker(recognizer=Failing(StorageUnavailable("Gone for a moment.")))
    worker.work()
    worker.work()
    for _ in range(5):
        with pytest.raises(StorageUnavailable):
            worker.work()
    assert house.jobs.get(job.id).state == "processing"
    while house.worker().work():
        pass
    assert house.jobs.get(job.id).state == "completed"


def test_without_room_a_job_waits_and_says_so(house: House) -> None:
    job = house.submit()
    full = house.worker(recognizer=Failing(StorageFull("Free some.")), queues=("recognize",))
    house.worker(queues=("cpu",)).work()
    for _ in range(5):
        with pytest.raises(StorageFull):
            full.work()
        house.later(600)
    waiting = house.jobs.get(job.id)
    assert (waiting.state, waiting.delay) == (
        "processing",
        Delay("storage_full", "Free some.", waiting.served_at - 2400),
    )
    assert {task.attempts for task in waiting.tasks} == {0}
    house.worker().work()
    assert house.jobs.get(job.id).delay is None


def test_a_job_that_never_fits_is_given_up_after_an_hour(house: House) -> None:
    job = house.submit()
    house.worker(queues=("cpu",)).work()
    full = house.worker(recognizer=Failing(StorageFull("Free some.")), queues=("recognize",))
    for _ in range(2):
        with pytest.raises(StorageFull):
            full.work()
        house.later(3601)
    failed = house.jobs.get(job.id)
    assert (failed.state, failed.error) == ("failed", Failure("storage_full", "Free some."))


def test_a_task_whose_store_is_away_goes_back_once_that_can_be_written(house: House) -> None:
    job = house.submit()
    away = Away(house.jobs)
    failing = Failing(StorageUnavailable("Gone."))
    context = replace(house.context, jobs=away)
    engines = Engines(lambda: Chosen(failing), lambda: Chosen(Judge()), Ear)
    house.worker(queues=("cpu",)).work()
    worker = TaskRunner(context, engines, "w", ("recognize",), house.stopping)
    away.left = 3  # the claim goes through, then nothing does for a while
    with pytest.raises(StorageUnavailable):
        worker.work()
    assert away.left == 0
    tasks = [task for task in house.jobs.get(job.id).tasks if task.kind == "recognize"]
    assert {(task.state, task.attempts) for task in tasks} == {("ready", 0)}


def test_where_room_is_short_the_upload_goes_after_preparing(tmp_path: Path) -> None:
    with house_in(tmp_path, Policy(part_seconds=100, drop_recording=True)) as house:
        job = house.submit()
        house.worker().work()
        assert not house.media.exists(job.objects["recording"])
        assert "recording" not in house.jobs.get(job.id).objects


def test_the_measured_speed_is_remembered(house: House) -> None:
    house.finished()
    assert float(house.jobs.recall("rtf") or "nan") < 1.0


def test_the_transcript_is_one_object_of_plain_json(house: House) -> None:
    job = house.finished()
    stored = json.loads(house.media.get(job.objects["transcript.json"]))
    assert len(stored["segments"]) > 1
