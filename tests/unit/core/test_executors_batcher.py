"""Questions of concurrent tasks share calls."""

import asyncio
import threading

import pytest

from meet_transcriber.core.executors import Batcher


class Place:
    """Answers with the question, and remembers each call; waits while it is held."""

    def __init__(self) -> None:
        self.calls: list[list[int]] = []
        self.threads: set[str] = set()
        self.free = threading.Event()
        self.free.set()

    def answer(self, questions: list[int]) -> list[int]:
        self.calls.append(questions)
        self.threads.add(threading.current_thread().name)
        self.free.wait()
        if -1 in questions:
            raise ValueError("-1")
        return questions


def test_tasks_that_ask_at_the_same_time_share_one_call() -> None:
    place = Place()

    async def ask() -> list[int]:
        batcher = Batcher(place.answer, "place")
        return await asyncio.gather(*(batcher.ask(number) for number in range(50)))

    assert asyncio.run(ask()) == list(range(50))
    assert (len(place.calls), len(place.threads)) == (1, 1)


def test_questions_during_a_call_wait_for_the_next_one() -> None:
    place = Place()
    place.free.clear()

    async def ask() -> list[int]:
        batcher = Batcher(place.answer, "place", most=3)
        first = asyncio.create_task(batcher.ask(0))
        while not place.calls:
            await asyncio.sleep(0)
        later = [asyncio.create_task(batcher.ask(number)) for number in range(1, 6)]
        await asyncio.sleep(0)
        later[0].cancel()
        place.free.set()
        return await asyncio.gather(first, *later[1:])

    assert asyncio.run(ask()) == [0, 2, 3, 4, 5]
    assert place.calls == [[0], [1, 2, 3], [4, 5]]


def test_a_failed_call_fails_its_questions_only() -> None:
    place = Place()

    async def ask() -> int:
        batcher = Batcher(place.answer, "place")
        with pytest.raises(ValueError, match="-1"):
            await batcher.ask(-1)
        return await batcher.ask(1)

    assert asyncio.run(ask()) == 1


def test_it_serves_one_event_loop_after_another() -> None:
    place, batcher = Place(), None

    async def interrupted(batcher: Batcher[int, int]) -> None:
        place.free.clear()
        task = asyncio.create_task(batcher.ask(1))
        while not place.calls:
            await asyncio.sleep(0)
        task.cancel()

    batcher = Batcher(place.answer, "place")
    asyncio.run(interrupted(batcher))
    place.free.set()
    assert asyncio.run(batcher.ask(2)) == 2
