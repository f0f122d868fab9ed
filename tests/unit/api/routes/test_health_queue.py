"""How much waits and runs, as an autoscaler asks for it."""

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from meet_transcriber.core.jobs import QUEUES, Job
from meet_transcriber.core.options import Options
from meet_transcriber.core.transcript import Span
from meet_transcriber.pipeline import Chosen
from meet_transcriber.ports.engines import Finding, Progress, Waveform
from meet_transcriber.service import Service, SubmissionRequest
from meet_transcriber.service.task_runner import Engines, TaskRunner
from tests.unit.api.secured_app import SecuredApp
from tests.unit.api.service_fixture import FakeDiarizer, FakeRecognizer, FakeVad, complete_job


class Watched(FakeRecognizer):
    """Has somebody look while it works."""

    def __init__(self, look: Callable[[], None]) -> None:
        self._look = look

    def recognize(
        self, audio: Waveform, speech: Sequence[Span], options: Options, progress: Progress
    ) -> Iterator[Finding]:
        self._look()
        yield from super().recognize(audio, speech, options, progress)


def submitted(service: Service) -> Job:
    upload = service.submissions.start_upload("standup.wav")
    upload.write(b"tape")
    return upload.finish(SubmissionRequest())


def told(secured: SecuredApp) -> dict[str, Any]:
    body: dict[str, Any] = secured.client.get("/queue", headers=secured.bearer("monitor")).json()
    return body


def test_nothing_to_do_counts_nothing(secured: SecuredApp) -> None:
    complete_job(secured.service)
    found = told(secured)
    assert (found["celery_queue_length"], found["oldest_seconds"], found["jobs"]) == (0, None, {})


def test_it_is_not_0_while_a_task_runs_or_between_two(secured: SecuredApp) -> None:
    seen: list[dict[str, Any]] = []
    recognizer = Watched(lambda: seen.append(told(secured)))
    engines = Engines(lambda: Chosen(recognizer), lambda: Chosen(FakeDiarizer()), FakeVad)
    worker = TaskRunner(secured.service.context, engines, "worker", QUEUES, threading.Event())
    submitted(secured.service)
    seen.append(told(secured))
    while worker.work():
        seen.append(told(secured))
    assert {each["queues"]["recognize"]["running"] for each in seen} == {0, 1}
    assert [each["celery_queue_length"] > 0 for each in seen] == [*[True] * (len(seen) - 1), False]
    for each in seen:
        lengths = [queue["length"] for queue in each["queues"].values()]
        assert sum(lengths) == each["celery_queue_length"]


def test_everybodys_work_is_counted_for_a_key_that_sees_nobodys_jobs(secured: SecuredApp) -> None:
    submitted(secured.service.for_tenant("acme")), submitted(secured.service.for_tenant("other"))
    headers = secured.bearer("monitor", tenant="ops")
    answer = secured.client.get("/queue", headers=headers)
    assert (answer.json()["celery_queue_length"], answer.json()["jobs"]) == (2, {"pending": 2})
    assert answer.headers["Cache-Control"] == "no-store"
    assert secured.client.get("/transcribe", headers=headers).status_code == 403


def test_who_may_not_monitor_is_refused_and_written_down(secured: SecuredApp) -> None:
    answer = secured.client.get("/queue", headers=secured.bearer("submit", "read", "admin"))
    assert (answer.status_code, answer.json()["code"]) == (403, "scope_missing")
    assert [each.target for each in secured.trail(action="refused")] == ["GET getQueue"]
