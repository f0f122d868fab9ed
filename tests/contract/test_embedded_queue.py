"""The contract of queues on the embedded one, with and without a supervised worker."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from meet_transcriber.ports.stores import JobQueue
from meet_transcriber.queues.embedded import EmbeddedQueue, WorkerSupervisor
from tests.contract.job_queue import JobQueueContract


class TestWithoutBell(JobQueueContract):
    @pytest.fixture
    def queue(self) -> JobQueue:
        return EmbeddedQueue()


class TestSupervised(JobQueueContract):
    @pytest.fixture
    def queue(self, tmp_path: Path) -> Iterator[JobQueue]:
        child = [sys.executable, "-c", "import sys; sys.stdin.read()"]
        queue = EmbeddedQueue(WorkerSupervisor(lambda _worker_id: child, tmp_path / "lock"))
        queue.start(lambda _worker_id: None)
        yield queue
        queue.close()
