"""
Soak test: many jobs of many parts, with workers that are killed repeatedly.

    python -m benchmarks.soak [--jobs 200] [--parts 8] [--workers 4] [--kills 100] [--seconds 0.5]
        [--hostile | --celery]

A real Redis stores jobs and recordings. Engines only sleep. Two thirds of the kills are at random
moments, a third during commits. Repeated work is counted by a ledger outside the service and by a
receiver of webhooks; lost work by the transcripts.

With --hostile, recordings are in a bucket that refuses to delete anything, and only every second
job has that receiver: the others' never answer, answer slowly, or answer with 500.

With --celery one Celery worker with as many slots as `--workers` does all, and is not killed; its
prefetch count is far too high. Redis tells of every message that it takes and acknowledges, so the
most that it held at once is exact. 10,000 tasks: --celery --jobs 200 --parts 47 --seconds 0
"""

import argparse
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import redis

from meet_transcriber.core.options import Options
from meet_transcriber.service import SubmissionRequest
from tests.redis_server import RedisServer
from tests.simulated.failing_proxy import FailingProxy, failing_proxy
from tests.simulated.system import System, recording
from tests.system.media_servers import aws_environment, moto_server

COMMIT_SHARE = 1 / 3
LEASE_SECONDS = 2
_STUCK_SECONDS = 900.0
_DRIFT = 1000


@dataclass
class Plan:
    """Parameters of a run."""

    jobs: int = 200
    parts: int = 8
    workers: int = 4
    kills: int = 100
    seconds: float = 0.5
    hostile: bool = False
    celery: bool = False

    def __post_init__(self) -> None:
        if self.celery:  # messages of a killed worker stay with it for hours
            self.kills = 0


@dataclass
class Outcome:
    """
    Result of a run; of the counts only those of `bad` are faults.

    Attributes:
        orphans: objects that no record names; not counted where the bucket deletes nothing.
        untold: jobs of which a receiver that accepts webhooks, slow or not, was not told.
        told_twice: those of which it was told by two webhooks; the same one again is `repeated`.
        unsent: attempts on record that no receiver saw, at most one for each kill.
        refused: requests to delete that the bucket refused.
        tasks: those that are done.
        messages: how many the Celery worker took; more than there are tasks do no harm.
        held: the most that it held at once.
        hoarded: so many more than it has slots.
    """

    kills: int = 0
    in_commits: int = 0
    lost: int = 0
    doubled: int = 0
    stuck: int = 0
    orphans: int = 0
    untold: int = 0
    told_twice: int = 0
    repeated: int = 0
    unsent: int = 0
    refused: int = 0
    tasks: int = 0
    messages: int = 0
    held: int = 0
    hoarded: int = 0
    seconds: float = 0.0
    why: list[str] = field(default_factory=list)

    @property
    def bad(self) -> dict[str, int]:
        """What must not be, where it is."""
        names = ("lost", "doubled", "stuck", "orphans", "untold", "told_twice", "hoarded")
        found = {name: getattr(self, name) for name in names}
        found["unsent"] = max(self.unsent - self.kills, 0)
        return {name: count for name, count in found.items() if count}


class Receiver:
    """
    Counts webhooks by their ids.

    Args:
        host: an address of its own, as the service pauses slow hosts.
        status: what it answers with.
        delay: after so many seconds.
    """

    def __init__(self, host: str = "127.0.0.1", status: int = 204, delay: float = 0.0) -> None:
        self.ids: Counter[tuple[str, str]] = Counter()
        self.accepts = status < 400 and delay < 5
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                receiver.ids[body["data"]["job_id"], self.headers["webhook-id"]] += 1
                time.sleep(delay)
                with contextlib.suppress(OSError):  # the sender has given up
                    self.send_response(status)
                    self.end_headers()

            def log_message(self, *_: object) -> None:
                """Log nothing."""

        self._server = ThreadingHTTPServer((host, 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://{host}:{self._server.server_port}/"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Stop the server."""
        self._server.shutdown()
        self._server.server_close()


class HeldMessages:
    """
    Counts the messages that Celery's workers hold, within the context.

    Attributes:
        taken: all that were taken from the queues.
        now, most: taken and not acknowledged.
    """

    EVENTS = "notify-keyspace-events Kh"
    """The setting of Redis that this needs."""

    def __init__(self, url: str) -> None:
        client: Any = redis.Redis.from_url(url)
        self._client = client
        self._events = client.pubsub(ignore_subscribe_messages=True)
        self.taken = self.now = self.most = 0

    def __enter__(self) -> "HeldMessages":
        self._events.subscribe(**{"__keyspace@0__:unacked": self._count})
        self._thread = self._events.run_in_thread(sleep_time=0.1, daemon=True)
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.stop()
        self._thread.join()
        self._client.close()

    def _count(self, event: dict[str, bytes]) -> None:
        self.taken += event["data"] == b"hset"
        self.now += {b"hset": 1, b"hdel": -1}.get(event["data"], 0)
        self.most = max(self.most, self.now)


class Soak:
    """One run."""

    def __init__(self, plan: Plan, folder: Path, redis_url: str, **variables: object) -> None:
        self._plan = plan
        self._receiver = Receiver()
        self._others = _other_receivers() if plan.hostile else []
        folder.mkdir(parents=True, exist_ok=True)
        self._ledger, self._deaths = folder / "ledger", folder / "deaths"
        self._ledger.touch()
        self._deaths.touch()
        in_commits = round(plan.kills * COMMIT_SHARE)
        commits = plan.jobs * (plan.parts + 3)
        self._outside = plan.kills - in_commits
        self.system = System(
            folder,
            REDIS_URL=redis_url,
            REDIS_MEDIA_BUDGET_MB=1024,
            OUTBOUND_ALLOW="127.0.0.0/8",
            LEASE_SECONDS=LEASE_SECONDS,
            # by default a task fails after three lost workers; here some lose as many by chance
            MAX_ATTEMPTS=20,
            LOG_LEVEL="ERROR",
            SIMULATED_PART_SECONDS=plan.seconds,
            SOAK_LEDGER=self._ledger,
            SOAK_DEATHS=self._deaths,
            SOAK_SHARE=4 * in_commits / commits,
            SOAK_MOST=in_commits,
            SIMULATED_DRIFT=_DRIFT,
            **variables,
        )
        self._workers: list[subprocess.Popen[bytes]] = []
        self._chance = random.Random(1)
        self._killed = 0

    def run(self) -> Outcome:
        """Submit jobs, kill workers, wait, and count."""
        started = time.monotonic()
        jobs = [self._submit(self._receiver_of(number)) for number in range(self._plan.jobs)]
        stuck = self._see_through(jobs, started)
        outcome = self._judge(jobs)
        outcome.stuck = stuck
        outcome.seconds = time.monotonic() - started
        for receiver in (self._receiver, *self._others):
            receiver.close()
        return outcome

    def _receiver_of(self, number: int) -> Receiver:
        """The good one for all jobs, or for every second."""
        if not self._others or number % 2 == 0:
            return self._receiver
        return self._others[number // 2 % len(self._others)]

    def _submit(self, receiver: Receiver) -> str:
        upload = self.system.service.submissions.start_upload("meeting.wav")
        upload.write(recording(self._plan.parts))
        return upload.finish(SubmissionRequest(Options(), receiver.url)).id

    def _see_through(self, jobs: list[str], started: float) -> int:
        """Restart and kill workers until all jobs end; returns the number that did not."""
        open_jobs = set(jobs)
        pause = 0.8 * self._plan.jobs * self._plan.parts * self._plan.seconds
        pause /= self._plan.workers * max(self._outside, 1)
        next_kill = time.monotonic() + 5
        while open_jobs and time.monotonic() - started < _STUCK_SECONDS:
            self._man()
            if self._killed < self._outside and time.monotonic() > next_kill:
                self._kill()
                next_kill = time.monotonic() + self._chance.uniform(0.5, 1.5) * pause
            open_jobs -= {each for each in list(open_jobs)[:20] if self.system.job(each).ended}
            time.sleep(0.5 if self._plan.celery else 0.05)
        self._settle(jobs)
        return len(open_jobs)

    def _man(self) -> None:
        self._workers = [worker for worker in self._workers if worker.poll() is None]
        celery = self._plan.celery
        while len(self._workers) < (1 if celery else self._plan.workers):
            slots = f"--concurrency={self._plan.workers}"
            self._workers.append(
                self.system.celery("soak", slots)
                if celery
                else self.system.start("-m", "tests.simulated.crashing_worker")
            )

    def _kill(self) -> None:
        victim = self._chance.choice(self._workers)
        with contextlib.suppress(ProcessLookupError):
            os.kill(victim.pid, signal.SIGKILL)
            self._killed += 1

    def _settle(self, jobs: list[str]) -> None:
        """Wait until workers have removed files and sent webhooks."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            self._man()
            # where deletes are refused, or receivers fail, something remains to be done
            waiting = not self._others and self.system.service.context.jobs.due(float("inf"), 10)
            if not waiting and not self._untold(jobs):
                return
            time.sleep(0.2)

    def _judge(self, jobs: list[str]) -> Outcome:
        in_commits = len(self._deaths.read_text().splitlines())
        outcome = Outcome(kills=self._killed + in_commits, in_commits=in_commits)
        commits = Counter(self._ledger.read_text().splitlines())
        outcome.doubled = sum(count - 1 for count in commits.values())
        self._count_objects(jobs, outcome)
        told = Counter(job_id for job_id, _ in self._receiver.ids)
        outcome.untold = len(self._untold(jobs))
        outcome.told_twice = sum(count - 1 for count in told.values())
        outcome.repeated = sum(count - 1 for count in self._receiver.ids.values())
        seen = sum(each.ids.total() for each in (self._receiver, *self._others))
        hooks = [self.system.job(job_id).webhook for job_id in jobs]  # after those that were seen
        outcome.unsent = sum(hook.attempts for hook in hooks if hook) - seen
        return outcome

    def _untold(self, jobs: list[str]) -> set[str]:
        accepting = [each for each in (self._receiver, *self._others) if each.accepts]
        wanted = {job for at, job in enumerate(jobs) if self._receiver_of(at) in accepting}
        return wanted - {job_id for each in accepting for job_id, _ in list(each.ids)}

    def _count_objects(self, jobs: list[str], outcome: Outcome) -> None:
        named: set[str] = set()
        for job_id in jobs:
            job = self.system.job(job_id)
            named |= set(job.objects.values())
            parts = sum(name.startswith("parts/") for name in job.objects)
            outcome.tasks += sum(task.state == "done" for task in job.tasks)
            if self._plan.celery:
                outcome.doubled += job.fence - len(job.tasks)  # a fence is a claim
            if job.state != "completed" or parts != self._plan.parts:
                outcome.lost += 1
                outcome.why.append(f"{job.id}: {job.state}, {parts} parts, {job.error}")
        if not self._others:
            outcome.orphans = len(set(self.system.service.context.media.keys("jobs")) - named)


def _other_receivers() -> list[Receiver]:
    silent = Receiver("127.0.0.2", delay=_STUCK_SECONDS)
    slow = Receiver("127.0.0.3", delay=3.0)
    return [silent, slow, Receiver("127.0.0.4", status=500)]


def soak(plan: Plan) -> Outcome:
    """Run with a new Redis and folder."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        events = [HeldMessages.EVENTS] if plan.celery else []
        server = stack.enter_context(RedisServer(folder, options=events))
        bucket = stack.enter_context(_stubborn_bucket(folder)) if plan.hostile else None
        variables = {"MEDIA_URL": "s3://meetings", "AUDIO_RETENTION": "delete"} if bucket else {}
        held = stack.enter_context(HeldMessages(server.url))
        run = Soak(plan, folder / "system", server.url, **variables)
        with run.system:
            outcome = run.run()
        outcome.refused = bucket.failed if bucket else 0
        outcome.messages, outcome.held = held.taken, held.most
        outcome.hoarded = max(held.most - plan.workers, 0)
        return outcome


@contextlib.contextmanager
def _stubborn_bucket(folder: Path) -> Iterator[FailingProxy]:
    """A bucket that deletes nothing, for this process and those it starts."""
    with (
        aws_environment(),
        moto_server(folder) as behind,
        failing_proxy(behind) as proxy,
    ):
        httpx.put(f"{behind}/meetings").raise_for_status()
        proxy.keeps = True
        os.environ["AWS_ENDPOINT_URL"] = proxy.url
        yield proxy
        del os.environ["AWS_ENDPOINT_URL"]


def main() -> int:
    """Print the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, kind in Plan.__annotations__.items():
        if kind is bool:
            parser.add_argument(f"--{name}", action="store_true")
        else:
            parser.add_argument(f"--{name}", type=kind, default=getattr(Plan, name))
    outcome = soak(Plan(**vars(parser.parse_args())))
    for name, value in vars(outcome).items():
        print(f"{name:12s} {value}")
    return int(bool(outcome.bad))


if __name__ == "__main__":
    sys.exit(main())
