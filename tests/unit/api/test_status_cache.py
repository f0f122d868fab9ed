"""Asking a store for versions on behalf of many callers."""

import threading
from collections.abc import Sequence
from types import SimpleNamespace
from typing import cast

import anyio
import pytest

from meet_transcriber.api.status_cache import VersionBatcher
from meet_transcriber.core.errors import JobNotFound
from meet_transcriber.service import Service


class Slow:
    """A reading side that notes what it is asked, and waits to be let go."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.free = threading.Event()

    def version(self, job_id: str) -> int:
        self.asked.append(job_id)
        self.free.wait(10)
        if job_id == "lost":
            raise JobNotFound("There is no job lost.")
        return len(self.asked)


def told(slow: Slow, job_ids: Sequence[str]) -> dict[int, int]:
    """What each of several callers hears; all but the first come while the first waits."""
    answers: dict[int, int] = {}

    async def main() -> None:
        versions = VersionBatcher(cast(Service, SimpleNamespace(queries=slow)))

        async def ask(number: int, job_id: str) -> None:
            answers[number] = await versions.get(job_id)

        async with anyio.create_task_group() as tasks:
            for number, job_id in enumerate(job_ids):
                tasks.start_soon(ask, number, job_id)
                await anyio.sleep(0.05)
            slow.free.set()

    anyio.run(main)
    return answers


def test_those_who_come_meanwhile_are_asked_for_together_and_afterwards() -> None:
    slow = Slow()
    answers = told(slow, "aaab")
    assert answers[0] < answers[1] == answers[2]
    assert len(slow.asked) == 3


def test_a_job_that_is_gone_is_the_matter_of_who_asked_for_it() -> None:
    with pytest.raises(ExceptionGroup) as caught:
        told(Slow(), ["a", "a", "lost"])
    assert caught.group_contains(JobNotFound)
