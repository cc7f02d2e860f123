"""Answering a stream concurrently, in order."""

import asyncio
import gc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress

import pytest

from shared.ordered import in_order
from shared.serve.room import Room

Answer = Callable[[int], Awaitable[int]]


async def numbers(until: int) -> AsyncIterator[int]:
    for n in range(until):
        yield n


def at_once(answer: Answer) -> Callable[[int], Awaitable[Awaitable[int]]]:
    """There is always room."""

    async def let_in(n: int) -> Awaitable[int]:
        return answer(n)

    return let_in


async def test_answers_keep_the_order_of_the_messages() -> None:
    """Also when later ones are ready first."""

    async def answer(n: int) -> int:
        await asyncio.sleep(0.05 if n % 10 == 0 else 0)
        return n

    assert [n async for n in in_order(numbers(50), at_once(answer), 8, asyncio.Event())] == list(range(50))


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

    assert len([n async for n in in_order(numbers(100), at_once(answer), 4, asyncio.Event())]) == 100
    assert highest <= 4 + 2  # one being handed over at either end


async def test_a_failure_comes_at_its_place() -> None:
    """What was answered before it is heard."""

    async def answer(n: int) -> int:
        if n == 3:
            raise ZeroDivisionError
        return n

    answers = in_order(numbers(10), at_once(answer), 4, asyncio.Event())
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

    assert [n async for n in in_order(silent(), at_once(answer), 4, stopping)] == [1]


async def test_no_further_message_is_read_before_there_is_room_for_the_last() -> None:
    """However large they are, one waits in our memory and the rest in the transport."""
    room, read = Room(1024, 100), 0
    assert room.take(1, 100)

    async def messages() -> AsyncIterator[int]:
        nonlocal read
        for size in (30, 30, 30, 30):
            read += 1
            yield size

    async def answer(size: int) -> int:
        room.give(1, size, patient=True)
        return size

    async def let_in(size: int) -> Awaitable[int]:
        await room.wait(1, size)
        return answer(size)

    async def everything() -> list[int]:
        return [size async for size in in_order(messages(), let_in, 64, asyncio.Event())]

    answered = asyncio.ensure_future(everything())
    for _ in range(20):
        await asyncio.sleep(0)
    assert read == 1
    room.give(1, 100)
    assert await answered == [30, 30, 30, 30]


async def test_what_is_not_let_in_comes_at_its_place() -> None:
    """The answers before it are heard; a failure behind it is nobody's."""

    async def answer(n: int) -> int:
        await asyncio.sleep(0.01)
        return n

    async def let_in(n: int) -> Awaitable[int]:
        if n >= 2:
            raise ZeroDivisionError
        return answer(n)

    answers = in_order(numbers(4), let_in, 8, asyncio.Event())
    assert [await anext(answers) for _ in range(2)] == [0, 1]
    with pytest.raises(ZeroDivisionError):
        await anext(answers)


async def test_who_goes_away_leaves_nothing_behind() -> None:
    """Neither a task that waits for a message that nobody wants, nor a complaint in the log when the messages end."""
    complaints: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    others, ended = asyncio.all_tasks(), asyncio.Event()

    async def silent() -> AsyncIterator[int]:
        yield 1
        await ended.wait()

    async def answer(n: int) -> int:
        return n

    async def listen() -> None:
        async for _ in in_order(silent(), at_once(answer), 4, asyncio.Event()):
            await asyncio.Event().wait()

    listening = asyncio.ensure_future(listen())
    await asyncio.sleep(0.01)
    listening.cancel()
    with suppress(asyncio.CancelledError):
        await listening
    await asyncio.sleep(0.01)
    assert asyncio.all_tasks() == others
    ended.set()
    await asyncio.sleep(0.01)
    gc.collect()
    assert complaints == []
