"""Blocking work that may never end, in threads that nobody waits for."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Full(Exception):  # noqa: N818 - a state
    """As much is under way as may or can be, whoever still waits for it."""


class Aside(Generic[T]):
    """`await aside(work)` from one event loop. Work whose caller has left goes on, and counts until it ends.

    Daemon threads of its own: in asyncio's pool a few that hang would hold up everything else there, and the end of the process.

    Args:
        most: at once.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._under_way = 0

    async def __call__(self, work: Callable[[], T]) -> T:
        """
        Raises:
            Full: at once; also where the machine has no thread left.
            whatever `work` raises.
        """
        if self._under_way >= self._most:
            raise Full(f"{self._most} are under way")
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()

        def end(settle: Callable[[Any], None], outcome: object) -> None:
            self._under_way -= 1
            if not answer.done():
                settle(outcome)

        def run() -> None:
            try:
                told: tuple[Callable[[Any], None], object] = (answer.set_result, work())
            except Exception as error:
                told = (answer.set_exception, error)
            with suppress(RuntimeError):  # the loop has been closed meanwhile
                loop.call_soon_threadsafe(end, *told)

        try:
            threading.Thread(target=run, name="aside", daemon=True).start()
        except RuntimeError as error:
            raise Full(str(error)) from error
        self._under_way += 1
        return await answer
