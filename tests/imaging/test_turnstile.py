"""The urgent go first."""

import asyncio

import pytest

from services.imaging.turnstile import Turnstile


async def test_whoever_waits_enters_by_rank_then_by_arrival() -> None:
    """With one place, a late urgent image overtakes those that wait, not the one inside."""
    turnstile, order, gate = Turnstile(1), [], asyncio.Event()

    async def visit(name: str, rank: int) -> None:
        async with turnstile.enter(rank):
            await gate.wait()
            order.append(name)

    visits = []
    for name, rank in (("inside", 2), ("batch", 2), ("routine 1", 1), ("routine 2", 1), ("stat", 0)):
        visits.append(asyncio.create_task(visit(name, rank)))
        await asyncio.sleep(0)
    gate.set()
    await asyncio.gather(*visits)
    assert order == ["inside", "stat", "routine 1", "routine 2", "batch"]


async def test_a_cancelled_visitor_takes_no_place() -> None:
    """Whether it was waiting or had just been called."""
    turnstile = Turnstile(1)

    async def visit() -> None:
        async with turnstile.enter(1):
            await asyncio.sleep(0.01)

    for _ in range(3):
        inside, waiting, called = (asyncio.create_task(visit()) for _ in range(3))
        await asyncio.sleep(0)
        waiting.cancel()
        await inside
        called.cancel()
        for task in (waiting, called):
            with pytest.raises(asyncio.CancelledError):
                await task
    await asyncio.wait_for(visit(), 10)
