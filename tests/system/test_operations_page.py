"""The commands of docs/operations.md do what the page says."""

import math
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from meet_transcriber.core.jobs import Failure
from meet_transcriber.core.transitions import task_failed
from tests.integration.hearing import TINY
from tests.redis_server import RedisServer, free_port
from tests.simulated.system import ROOT, System, end, wait_for

PAGE = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
BIN = Path(sys.executable).parent


def section(title: str) -> str:
    """What stands under a heading, up to the next one of its level."""
    found = re.search(
        rf"^(##+) {re.escape(title)}\n(.*?)(?=^##+ |\Z)", PAGE, re.MULTILINE | re.DOTALL
    )
    assert found, title
    return found[2]


def blocks(title: str) -> list[str]:
    return re.findall(r"```console\n(.*?)```", section(title), re.DOTALL)


def follow(system: System, block: str, **variables: object) -> None:
    """Run the commands of a block, one shell each, and find the lines that stand below them."""
    path = f"{BIN}:{os.environ['PATH']}"
    more = {name: str(value) for name, value in variables.items()}
    environment = {**os.environ, **system.environment, **more, "PATH": path}
    for step in block.split("$ ")[1:] if block.startswith("$ ") else []:
        command, *expected = step.strip().split("\n")
        done = subprocess.run(
            ["bash", "-c", command],
            check=False,
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
        )
        said = done.stdout + done.stderr
        assert done.returncode == 0, f"{command}: {said}"
        for line in expected:
            assert _general(line) in _general(said), f"{command}: {said}"


def _general(text: str) -> str:
    """Text as it is on any day: without figures, and without what `...` leaves out."""
    return re.sub(r"\d+", "N", text.partition("...")[0] if "\n" not in text else text)


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path / "redis") as server:
        yield server


def test_one_machine_is_backed_up_and_restored(tmp_path: Path) -> None:
    with System(tmp_path) as system:
        jobs = [system.submit(seconds=1) for _ in range(3)]
        system.worker()
        for job_id in jobs:
            system.ended(job_id)
        out, look, back = blocks("On one machine")
        folders = {"BACKUPS": tmp_path / "backups", "NEW_DATA_DIR": tmp_path / "new" / "data"}
        for block in (out, look, back):
            follow(system, block, **folders)
        with System(tmp_path / "new") as new:
            assert [new.words(job_id) for job_id in jobs] == [
                system.words(job_id) for job_id in jobs
            ]


def test_redis_and_a_folder_are_backed_up_and_restored(tmp_path: Path, redis: RedisServer) -> None:
    media, backups = tmp_path / "media", tmp_path / "backups"
    fresh, port = tmp_path / "fresh", str(free_port())
    fresh.mkdir()
    backups.mkdir()
    folders = {"MEDIA_FOLDER": media, "BACKUPS": backups, "REDIS_FOLDER": fresh}
    out, back = blocks("With Redis")
    with System(tmp_path, REDIS_URL=redis.url, MEDIA_URL=f"file://{media}") as system:
        done, worker = system.submit(seconds=1), system.worker()
        system.ended(done)
        end(worker)
        waiting, words = system.submit(seconds=2), system.words(done)
        follow(system, out, **folders)
        redis.kill9()
        follow(system, back.replace("6379", port), **folders)
        try:
            url = f"redis://127.0.0.1:{port}/0"
            with System(tmp_path, REDIS_URL=url, MEDIA_URL=f"file://{media}") as new:
                assert new.words(done) == words
                new.worker()
                assert new.ended(waiting).state == "completed"
        finally:
            subprocess.run(["redis-cli", "-p", port, "shutdown", "nosave"], check=True)
    assert list(fresh.glob("appendonlydir/*.aof"))


def test_without_workers(tmp_path: Path, redis: RedisServer) -> None:
    with System(tmp_path, REDIS_URL=redis.url) as system:
        system.submit(seconds=1)
        (look,) = blocks("No workers")
        follow(system, look)


def test_a_lost_redis(tmp_path: Path, redis: RedisServer) -> None:
    with System(tmp_path, REDIS_URL=redis.url) as system:
        redis.kill9()
        (look,) = blocks("Lost Redis")
        follow(system, look)


def test_the_other_incidents(tmp_path: Path, redis: RedisServer) -> None:
    (tmp_path / "data").mkdir()
    with System(tmp_path, REDIS_URL=redis.url, SIMULATED_PART_SECONDS=30, **TINY) as system:
        server = str(system.api().base_url)
        system.worker()
        failed, jobs = system.submit(seconds=1), [system.submit(seconds=1) for _ in range(2)]
        system.begun()
        _fail(system, failed)
        wait_for(lambda: all(system.job(each).state == "processing" for each in jobs))
        for title in (
            *(
                "Queue stuck",
                "Task stuck",
                "Jobs failing",
                "Degraded transcripts",
                "API down",
                "API errors",
            ),
            *("API slow", "Redis memory", "Disk full", "Upgrade and rollback"),
        ):
            for block in blocks(title):
                follow(system, block, SERVER=server, JOB=jobs[0], FAILED=failed)


def _fail(system: System, job_id: str) -> None:
    """Have a job end as one whose worker died of an error."""
    wait_for(lambda: any(task.token for task in system.job(job_id).in_state("running")))
    (task, *_) = system.job(job_id).in_state("running")
    failure = Failure("worker_error", "The worker has too little memory for this task.")
    system.service.context.update(
        job_id, lambda job: task_failed(job, task.name, task.token, failure, final=True, now=1.0)
    )


def test_every_block_is_run_here() -> None:
    titles = re.findall(r"^##+ (.*)$", PAGE, re.MULTILINE)
    here = Path(__file__).read_text(encoding="utf-8")
    assert [each for each in titles if blocks(each) and f'"{each}"' not in here] == []


def test_the_capacity_table_is_correct() -> None:
    rows = re.findall(
        r"^\| ([\d.]+) \| (\d+) \| (\d+) \| (\d+) \|$", section("Capacity"), re.MULTILINE
    )
    assert len(rows) == 6
    for rtf, a_day, for_100, for_1000 in rows:
        exact = round(86400 * 0.7 / (float(rtf) * 3600), 6)
        assert int(a_day) == int(exact)
        assert (int(for_100), int(for_1000)) == (math.ceil(100 / exact), math.ceil(1000 / exact))
