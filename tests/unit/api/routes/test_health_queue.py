"""How much waits and runs, as an autoscaler asks for it."""

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from meet_transcriber.core.jobs import QUEUES, Job
from meet_transcriber.core.options import Options
from meet_transcriber.core.transcript import Span
from meet_transcriber.pipeline import Chosen
from meet_transcriber.ports.engines import Finding, Progress, Waveform
from meet_transcriber.service import Engines, Service, SubmissionRequest, TaskRunner
from tests.unit.api.locked import Locked
from tests.unit.api.rig import Ear, Judge, Scribe, finished


class Watched(Scribe):
    """Has somebody look while it works."""

    def __init__(self, look: Callable[[], None]) -> None:
        self._look = look

    def recognize(
        self, audio: Waveform, speech: Sequence[Span], options: Options, progress: Progress
    ) -> Iterator[Finding]:
        self._look()
        yield from super().recognize(audio, speech, options, progress)


def submitted(service: Service) -> Job:
    upload = service.submissions.begin("standup.wav")
    upload.write(b"tape")
    return upload.finish(SubmissionRequest())


def told(locked: Locked) -> dict[str, Any]:
    body: dict[str, Any] = locked.client.get("/queue", headers=locked.bearer("monitor")).json()
    return body


def test_nothing_to_do_counts_nothing(locked: Locked) -> None:
    finished(locked.service)
    found = told(locked)
    assert (found["celery_queue_length"], found["oldest_seconds"], found["jobs"]) == (0, None, {})


def test_it_is_not_0_while_a_task_runs_or_between_two(locked: Locked) -> None:
    seen: list[dict[str, Any]] = []
    scribe = Watched(lambda: seen.append(told(locked)))
    engines = Engines(lambda: Chosen(scribe), lambda: Chosen(Judge()), Ear)
    worker = TaskRunner(locked.service.context, engines, "worker", QUEUES, threading.Event())
    submitted(locked.service)
    seen.append(told(locked))
    while worker.work():
        seen.append(told(locked))
    assert {each["queues"]["recognize"]["running"] for each in seen} == {0, 1}
    assert [each["celery_queue_length"] > 0 for each in seen] == [*[True] * (len(seen) - 1), False]
    for each in seen:
        lengths = [queue["length"] for queue in each["queues"].values()]
        assert sum(lengths) == each["celery_queue_length"]


def test_everybodys_work_is_counted_for_a_key_that_sees_nobodys_jobs(locked: Locked) -> None:
    submitted(locked.service.of("acme")), submitted(locked.service.of("other"))
    headers = locked.bearer("monitor", tenant="ops")
    answer = locked.client.get("/queue", headers=headers)
    assert (answer.json()["celery_queue_length"], answer.json()["jobs"]) == (2, {"pending": 2})
    assert answer.headers["Cache-Control"] == "no-store"
    assert locked.client.get("/transcribe", headers=headers).status_code == 403


def test_who_may_not_monitor_is_refused_and_written_down(locked: Locked) -> None:
    answer = locked.client.get("/queue", headers=locked.bearer("submit", "read", "admin"))
    assert (answer.status_code, answer.json()["code"]) == (403, "scope_missing")
    assert [each.target for each in locked.trail(action="refused")] == ["GET getQueue"]
