"""Changes of a job's record."""

from dataclasses import replace

import pytest

from meet_transcriber.core.errors import JobCancelled, JobConflict, JobNotFound, LeaseLost
from meet_transcriber.core.jobs import (
    FETCH_QUEUE,
    MAX_ATTEMPTS,
    QUEUES,
    Failure,
    Job,
    Webhook,
    due_at,
    index_entry,
)
from meet_transcriber.core.media import PreparedAudio
from meet_transcriber.core.options import Options
from meet_transcriber.core.plan import Part, Plan
from meet_transcriber.core.transcript import Span, Transcript
from meet_transcriber.core.transitions import (
    alive,
    cancelled,
    claim_in,
    claimed,
    committed,
    concluded,
    deleted,
    expired,
    planned,
    released,
    rerun,
    submitted,
    task_failed,
)

LEASE = 30.0
FAILURE = Failure("recognition_failed", "It broke.")


def uploading(**facts: object) -> Job:
    job = Job("j", Options(), state="uploading", objects={"recording": "jobs/j/recording"})
    return replace(job, **facts)  # type: ignore[arg-type]


def plan(parts: int = 3) -> Plan:
    audio = PreparedAudio(100.0 * parts, 1, (0.0,))
    cuts = tuple(Part(at, 100.0 * at, 100.0 * at + 100, 0, (Span(0, 1),)) for at in range(parts))
    return Plan(audio, ((Span(0, 1),),), cuts)


def taken(job: Job, now: float = 0.0, worker: str = "w") -> Job:
    return claimed(job, (*QUEUES, FETCH_QUEUE), worker, now, LEASE)


def done(job: Job, name: str, now: float = 1.0, **objects: str) -> Job:
    return committed(job, name, job.task(name).token, objects, now)


def prepared(parts: int = 3) -> Job:
    """A job whose parts and speakers are still to be found."""
    job = taken(submitted(uploading(), 0.0))
    token = job.task("prepare").token
    objects = {"working.flac": "w", "peaks.dat": "p", "plan.json": "q"}
    return committed(job, "prepare", token, objects, 1.0, lambda job: planned(job, plan(parts)))


def finished(parts: int = 3) -> Job:
    job = prepared(parts)
    while not job.ended:
        job = taken(job)
        (task,) = job.in_state("running")
        name = {"recognize": f"parts/{task.name[-1]}", "diarize": "diarization.json"}
        left = name.get(task.kind, "transcript.json")
        job = committed(job, task.name, task.token, {left: f"jobs/j/{left}"}, 2.0)
    return job


def test_the_tasks_of_a_meeting_are_independent_until_the_last() -> None:
    job = prepared(3)
    assert [task.name for task in job.in_state("ready")] == [
        "diarize", "recognize:0", "recognize:1", "recognize:2",
    ]  # fmt: skip
    assert job.task("attribute").state == "waiting"
    assert sum(task.weight for task in job.tasks) == pytest.approx(1.0)


def test_the_last_task_becomes_ready_when_all_others_are_done() -> None:
    job = prepared(1)
    job = done(taken(job), "diarize")
    assert job.task("attribute").state == "waiting"
    job = done(taken(job), "recognize:0")
    assert job.task("attribute").state == "ready"
    assert done(taken(job), "attribute").state == "completed"


def test_silence_needs_no_recognition() -> None:
    job = done(taken(prepared(0)), "diarize")
    assert [task.name for task in job.in_state("ready")] == ["attribute"]


def test_without_diarization_there_is_no_diarize_task() -> None:
    job = replace(prepared(0), options=Options(enable_diarization=False))
    assert "diarize" not in [task.name for task in planned(submitted(uploading(
        options=Options(enable_diarization=False)), 0.0), plan(1)).tasks]  # fmt: skip
    assert job.options.enable_diarization is False


def test_a_claim_takes_one_task_of_its_queues() -> None:
    job = prepared(2)
    first = claimed(job, ["recognize"], "gpu", 5.0, LEASE)
    claim = claim_in(first, "gpu")
    assert claim is not None
    assert claim.task.name == "recognize:0"
    assert claimed(first, ["nothing"], "gpu", 5.0, LEASE) is first


def test_every_claim_has_its_own_token() -> None:
    job = taken(taken(prepared(3)))
    tokens = [task.token for task in job.in_state("running")]
    assert len(set(tokens)) == 2
    assert max(tokens) == job.fence


def test_a_worker_that_lost_its_lease_commits_nothing() -> None:
    job = taken(prepared(1), worker="slow")
    old = job.task("diarize").token
    job = taken(expired(job, LEASE + 1), LEASE + 1, "quick")
    with pytest.raises(LeaseLost):
        committed(job, "diarize", old, {}, LEASE + 2)
    assert done(job, "diarize").task("diarize").state == "done"


def test_a_commit_takes_effect_once() -> None:
    job = taken(prepared(1))
    token = job.task("diarize").token
    job = committed(job, "diarize", token, {}, 1.0)
    with pytest.raises(LeaseLost):
        committed(job, "diarize", token, {}, 1.0)


def test_a_heartbeat_keeps_the_lease_and_progress_never_falls() -> None:
    job = taken(prepared(1))
    token = job.task("diarize").token
    job = alive(job, "diarize", token, 0.5, 20.0, LEASE)
    assert expired(job, 40.0) is job
    reached = job.progress
    job = expired(job, 60.0)
    assert job.task("diarize").state == "ready"
    assert job.progress == reached


@pytest.mark.parametrize("kills", range(1, MAX_ATTEMPTS + 1))
def test_only_deaths_without_progress_count(kills: int) -> None:
    job = prepared(1)
    job = done(taken(job), "diarize")
    for at in range(kills):
        job = expired(taken(job, 100.0 * at), 100.0 * at + 50)
    assert (job.state == "failed") == (kills == MAX_ATTEMPTS)


def test_a_task_with_progress_is_never_given_up() -> None:
    job = done(taken(prepared(1)), "diarize")
    for at in range(10):
        job = taken(job, 100.0 * at)
        token = job.task("recognize:0").token
        job = alive(job, "recognize:0", token, 0.05 * (at + 1), 100.0 * at, LEASE)
        job = expired(job, 100.0 * at + 50)
    assert job.state == "processing"


def test_an_orderly_release_never_counts() -> None:
    job = done(taken(prepared(1)), "diarize")
    for _ in range(10):
        job = taken(job)
        job = released(job, "recognize:0", job.task("recognize:0").token)
    assert job.task("recognize:0").attempts == 0
    assert job.task("recognize:0").state == "ready"


def test_a_diarizer_that_keeps_dying_costs_no_words() -> None:
    job = prepared(1)
    for at in range(MAX_ATTEMPTS):
        job = claimed(job, ["cpu"], "w", 100.0 * at, LEASE)
        job = expired(job, 100.0 * at + 50)
    assert job.task("diarize").state == "done"
    assert [warning.code for warning in job.warnings] == ["diarization_failed"]
    assert done(taken(job), "recognize:0").task("attribute").state == "ready"


def test_a_missing_diarizer_fails_the_job() -> None:
    job = taken(prepared(1))
    gone = Failure("engine_unavailable", "Install it.")
    job = task_failed(job, "diarize", job.task("diarize").token, gone, True, 5.0)
    assert (job.state, job.error) == ("failed", gone)


def test_cancelling_ends_the_job_at_once() -> None:
    job = taken(prepared(1))
    token = job.task("diarize").token
    job = cancelled(job, 3.0)
    assert job.ended
    with pytest.raises(JobCancelled):
        alive(job, "diarize", token, 0.5, 4.0, LEASE)
    with pytest.raises(JobConflict, match="cancelled"):
        cancelled(job, 5.0)


def test_a_deleted_job_takes_no_results() -> None:
    job = taken(prepared(1))
    token = job.task("diarize").token
    with pytest.raises(JobNotFound):
        committed(deleted(job, 2.0), "diarize", token, {}, 3.0)


def test_a_withdrawn_upload_cannot_begin() -> None:
    with pytest.raises(JobConflict):
        submitted(deleted(uploading(), 1.0), 2.0)


def test_a_recording_from_an_address_is_fetched_first() -> None:
    job = submitted(uploading(source_url="https://example.org/a.ogg", objects={}), 0.0)
    assert [task.name for task in job.in_state("ready")] == ["fetch"]
    job = done(taken(job), "fetch", recording="jobs/j/recording.1")
    assert [task.name for task in job.in_state("ready")] == ["prepare"]


def test_a_rerun_of_the_speakers_keeps_the_words() -> None:
    job = rerun(finished(2), ["diarize"], Options(num_speakers=3), 9.0)
    assert [task.name for task in job.in_state("ready")] == ["diarize"]
    assert job.options.num_speakers == 3
    assert "diarization.json" not in job.objects
    assert (job.state, job.run) == ("pending", 2)


def test_a_rerun_of_all_begins_at_the_recording() -> None:
    job = rerun(finished(2), [], Options(), 9.0)
    assert [task.name for task in job.tasks] == ["prepare"]
    assert list(job.objects) == ["recording"]
    assert job.progress == 0.0


def test_diarization_can_be_added_by_a_rerun() -> None:
    job = replace(finished(1), tasks=tuple(t for t in finished(1).tasks if t.kind != "diarize"))
    job = rerun(job, ["diarize"], Options(), 9.0)
    assert [task.name for task in job.in_state("ready")] == ["diarize"]
    assert job.tasks[-1].kind == "attribute"


def test_a_failed_job_resumes_at_its_unfinished_tasks() -> None:
    job = done(taken(prepared(2)), "diarize")
    job = done(taken(job), "recognize:0")
    job = taken(job)
    token = job.task("recognize:1").token
    job = task_failed(job, "recognize:1", token, FAILURE, True, 5.0)
    job = rerun(job, ["unfinished"], job.options, 9.0)
    assert [task.name for task in job.in_state("ready")] == ["recognize:1"]
    assert job.error is None


def test_a_rerun_without_its_audio_is_refused() -> None:
    job = replace(finished(1), objects={"transcript.json": "t"})
    with pytest.raises(JobConflict, match="not kept"):
        rerun(job, [], Options(), 9.0)


def test_names_stay_when_the_speakers_do() -> None:
    named = replace(finished(1), names={"SPEAKER_00": "Ann"}, edited=True)
    assert rerun(named, ["recognize"], Options(), 9.0).names == {"SPEAKER_00": "Ann"}
    assert rerun(named, ["diarize"], Options(), 9.0).names == {}


def test_found_names_are_looked_up_again() -> None:
    said = Transcript(speakers=("A", "B", "C"), names={"A": "Ann", "B": "Bob", "C": "Cay"})
    job = concluded(replace(finished(1), names={"C": "Cay"}), said)
    job = replace(job, names={**job.names, "B": "Bobby"})
    again = rerun(job, ["attribute"], Options(), 9.0)
    assert (again.names, again.names_found) == ({"B": "Bobby", "C": "Cay"}, {})
    again = rerun(job, ["attribute"], Options(), 9.0, {"A"})
    assert again.names == {"A": "Ann", "B": "Bobby", "C": "Cay"}


def test_the_end_makes_the_webhook_due_once_per_run() -> None:
    job = replace(prepared(0), webhook=Webhook("https://example.org"))
    job = done(taken(done(taken(job), "diarize")), "attribute", now=7.0)
    assert job.webhook is not None
    assert (job.webhook.event_id, job.webhook.next_at) == ("j-1", 7.0)


def test_the_job_served_longest_ago_with_least_running_is_next() -> None:
    busy, fresh = taken(prepared(3), 50.0), prepared(3)
    assert index_entry(fresh).order < index_entry(busy).order
    assert index_entry(busy).running == {"cpu": 1}
    assert index_entry(busy).ready == {"recognize": 3}


def test_due_at_is_the_earliest_moment() -> None:
    assert due_at(prepared(1)) is None
    assert due_at(taken(prepared(1), 5.0)) == 5.0 + LEASE
    assert due_at(uploading(lease_until=7.0)) == 7.0
    assert due_at(deleted(taken(prepared(1), 5.0), 6.0)) == 6.0


def test_an_ended_job_has_no_ready_tasks() -> None:
    entry = index_entry(cancelled(taken(prepared(3)), 2.0))
    assert (entry.ready, entry.running, entry.seconds_left) == ({}, {}, 0.0)
