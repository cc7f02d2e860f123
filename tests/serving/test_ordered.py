"""Answering a stream concurrently, in order."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from shared.ordered import in_order


async def numbers(until: int) -> AsyncIterator[int]:
    for n in range(until):
        yield n


async def test_answers_keep_the_order_of_the_messages() -> None:
    """Also when later ones are ready first."""

    async def answer(n: int) -> int:
        await asyncio.sleep(0.05 if n % 10 == 0 else 0)
        return n

    assert [n async for n in in_order(numbers(50), answer, 8, asyncio.Event())] == list(range(50))


async def test_no_more_are_under_way_than_may_be() -> None:
    """The sender waits in the transport, not in our memory."""
    under_way = highest = 0

    async def answer(n: int) -> int:
        nonlocal under_way, highest
        under_way += 1
        highest = max(highest, under_way)
        await asyncio.sleep(0.001)
        under_way -= 1
        return n

    assert len([n async for n in in_order(numbers(100), answer, 4, asyncio.Event())]) == 100
    assert highest <= 4 + 2  # one being handed over at either end


async def test_a_failure_comes_at_its_place() -> None:
    """What was answered before it is heard."""

    async def answer(n: int) -> int:
        if n == 3:
            raise ZeroDivisionError
        return n

    answers = in_order(numbers(10), answer, 4, asyncio.Event())
    assert [await anext(answers) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ZeroDivisionError):
        await anext(answers)


async def test_stopping_answers_what_was_read() -> None:
    """A stream whose sender is silent ends too."""
    stopping = asyncio.Event()

    async def silent() -> AsyncIterator[int]:
        yield 1
        await asyncio.Event().wait()

    async def answer(n: int) -> int:
        stopping.set()
        return n

    assert [n async for n in in_order(silent(), answer, 4, stopping)] == [1]
