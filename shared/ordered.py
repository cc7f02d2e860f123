"""Answering a stream of messages concurrently, in their order."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

Q = TypeVar("Q")
A = TypeVar("A")


async def in_order(
    messages: AsyncIterator[Q], let_in: Callable[[Q], Awaitable[Awaitable[A]]], most: int, stopping: asyncio.Event
) -> AsyncIterator[A]:
    """The answers, each as soon as it and all before it are there.

    Args:
        let_in: takes a message in hand, and returns its answer to come. While it waits for room no further message is read: the
            rest waits in the transport, whatever its size.
        most: answers under way at once; beyond, no message is read.
        stopping: once it is set no further message is read; those read before are answered.

    Raises:
        whatever `let_in` or the answer raises, at the place of that answer. Answers under way behind it end by themselves, unheard.
    """
    window: asyncio.Queue[asyncio.Future[A] | None] = asyncio.Queue(most)
    reader = asyncio.ensure_future(_read(messages, let_in, window, stopping))
    try:
        while (task := await window.get()) is not None:
            yield await task
        await reader
    finally:
        reader.cancel()
        while not window.empty():
            if (task := window.get_nowait()) is not None:
                task.add_done_callback(lambda ended: ended.cancelled() or ended.exception())


async def _read(
    messages: AsyncIterator[Q],
    let_in: Callable[[Q], Awaitable[Awaitable[A]]],
    window: "asyncio.Queue[asyncio.Future[A] | None]",
    stopping: asyncio.Event,
) -> None:
    stopped = asyncio.ensure_future(stopping.wait())
    try:
        while not stopping.is_set():
            coming = asyncio.ensure_future(anext(messages))
            try:
                await asyncio.wait([stopped, coming], return_when=asyncio.FIRST_COMPLETED)
            finally:
                if not coming.done():
                    coming.cancel()
            if not coming.done():
                return
            await window.put(await _begin(coming.result(), let_in))
    except StopAsyncIteration:
        return
    finally:
        stopped.cancel()
        await window.put(None)


async def _begin(message: Q, let_in: Callable[[Q], Awaitable[Awaitable[A]]]) -> "asyncio.Future[A]":
    try:
        return asyncio.ensure_future(await let_in(message))
    except Exception as error:  # its place is behind the answers before it
        failed: asyncio.Future[A] = asyncio.get_running_loop().create_future()
        failed.set_exception(error)
        failed.exception()  # nobody may come to hear of it, if one before it failed too
        return failed
