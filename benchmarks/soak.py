"""
Soak test: many jobs of many parts, with workers that are killed repeatedly.

    python -m benchmarks.soak [--jobs 200] [--parts 8] [--workers 4] [--kills 100] [--seconds 0.5]

A real Redis stores jobs and recordings. Engines only sleep. Two thirds of the kills are at random
moments, a third during commits. Repeated work is counted by a ledger outside the service and by a
receiver of webhooks; lost work by the transcripts.
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
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from meet_transcriber.core.options import Options
from meet_transcriber.service import SubmissionRequest
from tests.redis_server import RedisServer
from tests.simulated.system import System, recording

COMMIT_SHARE = 1 / 3
LEASE_SECONDS = 2
_STUCK_SECONDS = 900.0


@dataclass
class Plan:
    """Parameters of a run."""

    jobs: int = 200
    parts: int = 8
    workers: int = 4
    kills: int = 100
    seconds: float = 0.5


@dataclass
class Outcome:
    """Result of a run; all but `kills`, `in_commits`, `repeated` and `seconds` should be 0."""

    kills: int = 0
    in_commits: int = 0
    lost: int = 0
    doubled: int = 0
    stuck: int = 0
    orphans: int = 0
    untold: int = 0
    told_twice: int = 0
    repeated: int = 0
    seconds: float = 0.0
    why: list[str] = field(default_factory=list)


class Receiver:
    """Counts webhooks by their ids."""

    def __init__(self) -> None:
        self.ids: Counter[tuple[str, str]] = Counter()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                receiver.ids[body["data"]["job_id"], self.headers["webhook-id"]] += 1
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Log nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Stop the server."""
        self._server.shutdown()
        self._server.server_close()


class Soak:
    """One run."""

    def __init__(self, plan: Plan, folder: Path, redis_url: str) -> None:
        self._plan = plan
        self._receiver = Receiver()
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
            OUTBOUND_ALLOW="127.0.0.1",
            LEASE_SECONDS=LEASE_SECONDS,
            # by default a task fails after three lost workers; here some lose as many by chance
            MAX_ATTEMPTS=20,
            LOG_LEVEL="ERROR",
            SIMULATED_PART_SECONDS=plan.seconds,
            SOAK_LEDGER=self._ledger,
            SOAK_DEATHS=self._deaths,
            SOAK_SHARE=4 * in_commits / commits,
            SOAK_MOST=in_commits,
        )
        self._workers: list[subprocess.Popen[bytes]] = []
        self._chance = random.Random(1)
        self._killed = 0

    def run(self) -> Outcome:
        """Submit jobs, kill workers, wait, and count."""
        started = time.monotonic()
        jobs = [self._submit() for _ in range(self._plan.jobs)]
        stuck = self._see_through(jobs, started)
        outcome = self._judge(jobs)
        outcome.stuck = stuck
        outcome.seconds = time.monotonic() - started
        self._receiver.close()
        return outcome

    def _submit(self) -> str:
        upload = self.system.service.submissions.start_upload("meeting.wav")
        upload.write(recording(self._plan.parts))
        return upload.finish(SubmissionRequest(Options(), self._receiver.url)).id

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
            time.sleep(0.05)
        self._settle(jobs)
        return len(open_jobs)

    def _man(self) -> None:
        self._workers = [worker for worker in self._workers if worker.poll() is None]
        while len(self._workers) < self._plan.workers:
            self._workers.append(self.system.start("-m", "tests.simulated.crashing_worker"))

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
            waiting = self.system.service.context.jobs.due(float("inf"), 10)
            if not waiting and len(self._receiver.ids) >= len(jobs):
                return
            time.sleep(0.2)

    def _judge(self, jobs: list[str]) -> Outcome:
        in_commits = len(self._deaths.read_text().splitlines())
        outcome = Outcome(kills=self._killed + in_commits, in_commits=in_commits)
        commits = Counter(self._ledger.read_text().splitlines())
        outcome.doubled = sum(count - 1 for count in commits.values())
        self._count_objects(jobs, outcome)
        told = Counter(job_id for job_id, _ in self._receiver.ids)
        outcome.untold = len(set(jobs) - set(told))
        outcome.told_twice = sum(count - 1 for count in told.values())
        outcome.repeated = sum(count - 1 for count in self._receiver.ids.values())
        return outcome

    def _count_objects(self, jobs: list[str], outcome: Outcome) -> None:
        named: set[str] = set()
        for job_id in jobs:
            job = self.system.job(job_id)
            named |= set(job.objects.values())
            parts = sum(name.startswith("parts/") for name in job.objects)
            if job.state != "completed" or parts != self._plan.parts:
                outcome.lost += 1
                outcome.why.append(f"{job.id}: {job.state}, {parts} parts, {job.error}")
        outcome.orphans = len(set(self.system.service.context.media.keys("jobs")) - named)


def soak(plan: Plan) -> Outcome:
    """Run with a new Redis and folder."""
    with tempfile.TemporaryDirectory() as name, RedisServer(Path(name)) as server:
        run = Soak(plan, Path(name) / "system", server.url)
        with run.system:
            return run.run()


def main() -> int:
    """Print the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, kind in Plan.__annotations__.items():
        parser.add_argument(f"--{name}", type=kind, default=getattr(Plan, name))
    outcome = soak(Plan(**vars(parser.parse_args())))
    for name, value in vars(outcome).items():
        print(f"{name:12s} {value}")
    bad = ("lost", "doubled", "stuck", "orphans", "untold", "told_twice")
    return int(any(getattr(outcome, name) for name in bad))


if __name__ == "__main__":
    sys.exit(main())
