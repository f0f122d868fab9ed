"""
Mutated recordings through the whole service, with simulated engines and the real decoder.

    python -m tests.simulated.fuzzing FOLDER FIRST LAST

Works on mutations FIRST to LAST of every container and prints how they ended; FOLDER gets the
jobs. `tests/system/test_media_trace.py` runs it under strace.
"""

import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from meet_transcriber.bootstrap import services
from meet_transcriber.core.errors import InvalidAudio
from meet_transcriber.core.jobs import QUEUES, Job
from meet_transcriber.service import Service, SubmissionRequest
from meet_transcriber.service.task_runner import TaskRunner
from meet_transcriber.settings import Settings
from tests.simulated.engines import make_engines
from tests.simulated.recordings import CONTAINERS, mutated

LONGEST_SECONDS = 60.0
PATIENCE_SECONDS = 30.0
"""How long one job may take on a busy machine; an ordinary one takes a tenth of a second."""


class Fuzz:
    """A service and its worker in this process; children decode."""

    def __init__(self, folder: Path) -> None:
        settings = Settings(
            _env_file=None, data_dir=folder, max_audio_duration_seconds=LONGEST_SECONDS
        )
        queue = services.embedded_queue()
        self.service: Service = services.service(settings, queue)
        engines = make_engines(settings, lambda _done, _all: None)
        self._worker = TaskRunner(self.service.context, engines, "fuzz", QUEUES, threading.Event())

    def end(self, container: str, seed: int) -> str:
        """
        How the recording ended: "refused" at the door, "failed" at work, or "completed".

        Raises:
            AssertionError: it did not end well; tells how to have the same bytes again.
        """
        started = time.monotonic()
        try:
            outcome = self._outcome(container, seed)
            assert time.monotonic() - started < PATIENCE_SECONDS, "it took too long"
        except Exception as error:
            raise AssertionError(
                f"tests.simulated.recordings.mutated({container!r}, {seed}): {error!r}"
            ) from error
        return outcome

    def _outcome(self, container: str, seed: int) -> str:
        upload = self.service.submissions.start_upload(f"{seed}.{container}")
        try:
            upload.write(mutated(container, seed).getvalue())
            job = upload.finish(SubmissionRequest())
        except InvalidAudio:
            return "refused"
        while self._worker.work():
            pass
        return _judged(self.service.context.jobs.get(job.id))

    def left_of_refused(self) -> list[str]:
        """Objects that belong to no job that was taken in."""
        media, jobs = self.service.context.media, self.service.context.jobs
        owners = {key.split("/")[1] for key in media.keys("jobs")}
        return [owner for owner in owners if not jobs.get(owner).ended]


def _judged(job: Job) -> str:
    assert job.state in {"completed", "failed"}, f"the job is {job.state}"
    if job.state == "completed":
        assert 0 < (job.duration or 0) <= LONGEST_SECONDS + 1, f"it has {job.duration} seconds"
    else:
        code = job.error.code if job.error else None
        assert code in {"unreadable_audio", "audio_too_long", "unsupported_format"}, job.error
    return job.state


@contextmanager
def fuzz_in(folder: Path) -> Iterator[Fuzz]:
    fuzz = Fuzz(folder)
    yield fuzz
    fuzz.service.context.jobs.close()


def main(folder: Path, first: int, last: int) -> None:
    with fuzz_in(folder) as fuzz:
        for container in CONTAINERS:
            ends = Counter(fuzz.end(container, seed) for seed in range(first, last))
            print(container, dict(ends), flush=True)
        assert fuzz.left_of_refused() == []


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
