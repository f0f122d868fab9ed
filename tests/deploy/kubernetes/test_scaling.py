"""
How many workers KEDA would have, from what a real API says while real workers work.

The arithmetic is KEDA's and the HorizontalPodAutoscaler's: a trigger is active above its
activation value, and an active one has at least one replica; above that it is the figure over
the target, rounded up, unless that is within a tenth of what there is.
"""

import math
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.deploy.kubernetes import live
from tests.deploy.kubernetes.rendered import one, overlay
from tests.redis_server import RedisServer
from tests.simulated.system import System, end, wait_for

TOLERANCE = 0.1


def replicas(figure: float, now: int) -> int:
    """Workers for a figure, where there are so many now."""
    spec = spec_of_keda()
    trigger, most = spec["triggers"][0]["metadata"], int(spec["maxReplicaCount"])
    if figure <= float(trigger["activationTargetValue"]):
        return int(spec["minReplicaCount"])
    target = float(trigger["targetValue"])
    if now and abs(1.0 - figure / (target * now)) <= TOLERANCE:
        return now
    return min(max(math.ceil(figure / target), 1), most)


def spec_of_keda() -> dict[str, Any]:
    """The ScaledObject's."""
    spec: dict[str, Any] = one(overlay("keda"), "ScaledObject", "worker")["spec"]
    return spec


@dataclass
class Autoscaler:
    """KEDA with the ScaledObject of the overlay; what it wants, it gets at once."""

    system: System
    client: httpx.Client
    headers: dict[str, str]
    workers: list["subprocess.Popen[bytes]"] = field(default_factory=list)
    started: int = 0

    def figure(self) -> float:
        """What KEDA reads."""
        location = spec_of_keda()["triggers"][0]["metadata"]["valueLocation"]
        answer = self.client.get("/queue", headers=self.headers).raise_for_status()
        return float(answer.json()[location])

    def poll(self) -> int:
        """One polling interval: look, and have so many workers; returns how many."""
        count = replicas(self.figure(), len(self.workers))
        while len(self.workers) < count:
            self.started += 1
            self.workers.append(self.system.celery(f"worker{self.started}"))
        while len(self.workers) > count:
            end(self.workers.pop())
        return count


@pytest.fixture
def autoscaler(tmp_path: Path) -> Iterator[Autoscaler]:
    known, headers = live.keys()
    with (
        RedisServer(tmp_path / "redis") as server,
        System(tmp_path, REDIS_URL=server.url, AUTH_MODE="required", API_KEYS=known,
              SIMULATED_PART_SECONDS=0.4) as system,
        live.api(system) as client,
    ):  # fmt: skip
        yield Autoscaler(system, client, headers)


def test_a_burst_has_workers_after_one_look_and_none_are_left_when_it_is_done(
    autoscaler: Autoscaler,
) -> None:
    system = autoscaler.system
    assert autoscaler.poll() == 0
    jobs = [system.submit(seconds=3) for _ in range(6)]
    assert autoscaler.poll() == 2  # six recordings wait to be prepared, five for each worker
    while True:
        count = autoscaler.poll()
        if all(system.job(job_id).ended for job_id in jobs):
            break
        assert count > 0  # something waited or ran while it looked
    wait_for(lambda: autoscaler.poll() == 0)
    assert [system.job(job_id).state for job_id in jobs] == ["completed"] * 6
    assert len(system.lines("recognize ends")) >= 18


def test_the_brokers_list_is_empty_under_a_running_task_and_our_figure_is_not(
    autoscaler: Autoscaler,
) -> None:
    system = autoscaler.system
    system.submit(seconds=1)
    system.celery(SIMULATED_PART_SECONDS=60)
    system.begun()
    wait_for(lambda: system.lines("diarize ends") or autoscaler.figure() == 2)
    told = autoscaler.client.get("/queue", headers=autoscaler.headers).json()
    assert told["queues"]["recognize"]["messages"] == 0
    assert told["queues"]["recognize"]["running"] == 1
    assert replicas(told["celery_queue_length"], now=1) == 1


@pytest.mark.parametrize(
    ("figure", "now", "count"),
    [(0, 1, 0), (1, 0, 1), (5, 0, 1), (6, 0, 2), (11, 2, 3), (10.5, 2, 2), (1000, 3, 10)],
)
def test_the_arithmetic(figure: float, now: int, count: int) -> None:
    assert replicas(figure, now) == count
