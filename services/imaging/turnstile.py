"""A semaphore that lets the urgent through first."""

import asyncio
import contextlib
import heapq
from collections.abc import AsyncIterator


class Turnstile:
    """At most `places` are inside. Whoever waits enters by rank, lowest first, then by arrival."""

    def __init__(self, places: int) -> None:
        self._free = places
        self._arrivals = 0
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []

    @contextlib.asynccontextmanager
    async def enter(self, rank: int) -> AsyncIterator[None]:
        await self._wait(rank)
        try:
            yield
        finally:
            self._leave()

    async def _wait(self, rank: int) -> None:
        if self._free:
            self._free -= 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._arrivals += 1
        heapq.heappush(self._waiting, (rank, self._arrivals, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # the turn came together with the cancellation: pass it on
                self._leave()
            raise

    def _leave(self) -> None:
        while self._waiting:
            _, _, turn = heapq.heappop(self._waiting)
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1
