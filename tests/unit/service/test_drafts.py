"""Words from an engine that nobody asked for, where a job does not want them."""

import threading
from pathlib import Path

from meet_transcriber.core.jobs import QUEUES, Job
from meet_transcriber.core.options import Options
from meet_transcriber.core.transcript import TranscriptWarning
from meet_transcriber.pipeline import DRAFT_RECOGNIZER, Chosen
from meet_transcriber.service import Engines, Request, Working
from tests.unit.api.rig import Ear, Judge, Scribe, make_service

DRAFT = TranscriptWarning(DRAFT_RECOGNIZER, "The hub is out of reach.")


def ended(folder: Path, options: Options, *notes: TranscriptWarning) -> Job:
    service = make_service(folder)
    upload = service.intake.begin("standup.wav")
    upload.write(b"tape")
    job = upload.finish(Request(options))
    engines = Engines(lambda: Chosen(Scribe(), notes), lambda: Chosen(Judge()), Ear)
    worker = Working(service.ground, engines, "worker", QUEUES, threading.Event())
    while worker.work():
        pass
    return service.reading.job(job.id)


def test_a_job_that_takes_no_draft_fails_and_says_why(tmp_path: Path) -> None:
    job = ended(tmp_path, Options(allow_drafts=False), DRAFT)
    assert job.error is not None
    assert job.error.code == "engine_unavailable"
    assert "The hub is out of reach." in job.error.message
    assert "plan.json" not in job.objects, "it is refused before work"


def test_other_jobs_take_the_draft_and_say_so(tmp_path: Path) -> None:
    job = ended(tmp_path, Options(), DRAFT)
    assert job.state == "completed"
    assert DRAFT in job.warnings


def test_an_engine_that_was_named_is_no_draft(tmp_path: Path) -> None:
    assert ended(tmp_path, Options(allow_drafts=False)).state == "completed"
