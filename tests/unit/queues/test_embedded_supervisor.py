"""The supervisor of the embedded worker, with trivial children."""

import fcntl
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from meet_transcriber.core.errors import StorageUnavailable
from meet_transcriber.queues.embedded import EmbeddedQueue, WorkerSupervisor

Make = Callable[..., WorkerSupervisor]

PATIENT = "import sys; sys.stdin.read()"
DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"


@pytest.fixture
def make(tmp_path: Path) -> Make:
    def make(code: str, died: Callable[[str], None] = lambda _id: None) -> WorkerSupervisor:
        supervisor = WorkerSupervisor(
            lambda worker_id: [sys.executable, "-c", code, worker_id],
            tmp_path / "lock",
            grace_seconds=0.5,
        )
        supervisor.start(died)
        return supervisor

    return make


def until(true: Callable[[], object], seconds: float = 20.0) -> None:
    """Wait until something is so."""
    give_up_at = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < give_up_at
        time.sleep(0.01)


def test_a_child_that_ends_is_reported_and_replaced(make: Make) -> None:
    dead: list[str] = []
    supervisor = make("", dead.append)
    until(lambda: len(dead) >= 3)
    supervisor.close()
    assert len(set(dead)) == len(dead)


def test_repeated_deaths_delay_the_restart(make: Make) -> None:
    deaths: list[float] = []
    supervisor = make("", lambda _id: deaths.append(time.monotonic()))
    until(lambda: len(deaths) >= 4)
    supervisor.close()
    assert deaths[2] - deaths[1] > 0.5
    assert deaths[3] - deaths[2] > 1.0


def test_a_child_that_is_stopped_is_not_reported(make: Make) -> None:
    dead: list[str] = []
    supervisor = make(PATIENT, dead.append)
    until(lambda: supervisor.child)
    supervisor.close()
    assert (supervisor.child, dead) == (None, [])


def test_a_child_that_does_not_stop_is_killed(make: Make) -> None:
    supervisor = make(DEAF)
    until(lambda: supervisor.child)
    started = time.monotonic()
    supervisor.close()
    assert time.monotonic() - started < 5.0
    assert supervisor.child is None


def test_notify_never_blocks(make: Make) -> None:
    supervisor = make("import time; time.sleep(60)")
    supervisor.notify()
    until(lambda: supervisor.child)
    for _ in range(200_000):  # more than a pipe holds
        supervisor.notify()
    supervisor.close()


def test_a_notification_reaches_the_child(make: Make, tmp_path: Path) -> None:
    heard = tmp_path / "heard"
    code = f"import sys; sys.stdin.read(1); open({str(heard)!r}, 'w'); sys.stdin.read()"
    supervisor = make(code)
    until(lambda: supervisor.child)
    supervisor.notify()
    until(heard.exists)
    supervisor.close()


def test_nothing_is_started_while_another_process_holds_the_lock(
    make: Make, tmp_path: Path
) -> None:
    with (tmp_path / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        supervisor = make(PATIENT)
        supervisor.notify()
        assert supervisor.child is None
        fcntl.flock(lock, fcntl.LOCK_UN)
        until(lambda: supervisor.child)
    supervisor.close()


def test_a_missing_command_is_retried(tmp_path: Path) -> None:
    dead: list[str] = []
    supervisor = WorkerSupervisor(lambda _id: ["/no/such/program"], tmp_path / "lock")
    supervisor.start(dead.append)
    until(lambda: len(dead) >= 2)
    supervisor.close()


def test_a_lock_that_cannot_be_opened_is_reported_and_retried(make: Make, tmp_path: Path) -> None:
    (tmp_path / "lock").mkdir()
    supervisor = make(PATIENT)
    queue = EmbeddedQueue(supervisor)
    until(lambda: supervisor.problem)
    with pytest.raises(StorageUnavailable, match=r"No worker can be started: .*lock"):
        queue.ping()
    (tmp_path / "lock").rmdir()
    until(lambda: supervisor.child)
    queue.ping()
    queue.close()
