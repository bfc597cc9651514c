"""Requests that wait for a batch: who is left out of it, and under whose id it runs."""

import asyncio
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar

import pytest

from retrieval.serve.runtime.batching import Batcher

request_id: ContextVar[str] = ContextVar("request_id", default="none")


class Work:
    """Batches as they were worked on, and the request's id that each ran under; waits while `held`."""

    def __init__(self) -> None:
        self.batches: list[tuple[str, list[int]]] = []
        self.held = threading.Event()

    def __call__(self, requests: Sequence[int]) -> list[int | Exception]:
        """Twice each number; 13 fails."""
        self.held.wait(10)
        self.batches.append((request_id.get(), list(requests)))
        return [ValueError("13") if number == 13 else 2 * number for number in requests]


def batcher(work: Work, pool: ThreadPoolExecutor, most: int = 3) -> Batcher[int, int]:
    return Batcher(
        "test", work, pool, running=1, most=most, size=lambda _: 1, alike=lambda number: number % 2
    )


async def asked(batches: Batcher[int, int], number: int) -> int:
    request_id.set(f"r{number}")
    return await batches.ask(number)


def test_alike_requests_are_together_under_the_id_of_the_first() -> None:
    work = Work()

    async def run(pool: ThreadPoolExecutor) -> list[int | BaseException]:
        batches = batcher(work, pool)
        tasks = [asyncio.create_task(asked(batches, number)) for number in (0, 2, 1, 4, 13, 6, 8, 3)]
        await asyncio.sleep(0.05)
        work.held.set()
        return await asyncio.gather(*tasks, return_exceptions=True)

    with ThreadPoolExecutor(1) as pool:
        found = asyncio.run(run(pool))
    assert [value for value in found if not isinstance(value, BaseException)] == [0, 4, 2, 8, 12, 16, 6]
    assert isinstance(found[4], ValueError)
    assert work.batches == [("r0", [0]), ("r2", [2, 4, 6]), ("r1", [1, 13, 3]), ("r8", [8])]


def test_requests_that_nobody_waits_for_are_not_worked_on() -> None:
    work = Work()

    async def run(pool: ThreadPoolExecutor) -> int:
        batches = batcher(work, pool)
        first = asyncio.create_task(asked(batches, 0))
        await asyncio.sleep(0.05)
        gone = [asyncio.create_task(asked(batches, number)) for number in (2, 4, 6)]
        last = asyncio.create_task(asked(batches, 8))
        await asyncio.sleep(0.05)
        for task in gone:
            task.cancel()
        await asyncio.sleep(0)
        work.held.set()
        await first
        return await last

    with ThreadPoolExecutor(1) as pool:
        assert asyncio.run(run(pool)) == 16
    assert work.batches == [("r0", [0]), ("r8", [8])]


def test_a_batch_that_fails_fails_for_all_of_it_and_the_next_one_runs() -> None:
    def work(requests: Sequence[int]) -> list[int | Exception]:
        if 0 in requests:
            raise OSError("broken")
        return list(requests)

    async def run(pool: ThreadPoolExecutor) -> int:
        batches: Batcher[int, int] = Batcher(
            "test", work, pool, running=1, most=9, size=lambda _: 1, alike=lambda _: 0
        )
        with pytest.raises(OSError, match="broken"):
            await batches.ask(0)
        return await batches.ask(7)

    with ThreadPoolExecutor(1) as pool:
        assert asyncio.run(run(pool)) == 7
