"""Watches Postgres for outcomes as they are stored; survives the database's own deaths."""

import asyncio
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import Any

import asyncpg

from shared.event import Key
from shared.store.engine import OUTAGES

_EVERY = 0.1  # s
_BACK = "15 seconds"  # a row's time is its transaction's begin; it is seen after the commit
_NEW = f"""
SELECT domain, source, id FROM outcomes
WHERE domain = ANY($1) AND source = $2 AND stored_at > now() - interval '{_BACK}'
"""


class Watch:
    """`seen` maps an event to when its outcome was first seen, at most 0.1 s after it was committed. An asynchronous context."""

    def __init__(
        self, postgres: str, source: str, domains: Collection[str], told: Callable[[Key], None] = lambda key: None
    ) -> None:
        self.seen: dict[Key, float] = {}
        self._postgres = postgres
        self._source = source
        self._domains = list(domains)
        self._told = told
        self._moved = asyncio.Condition()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "Watch":
        self._task = asyncio.create_task(self._watch())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def until(self, done: Callable[[], bool], within: float) -> bool:
        """Whether `done` became true, asked after each look, in time. Raises what ended the watch, if anything has."""
        if self._task is not None and self._task.done():
            self._task.result()
        try:
            async with asyncio.timeout(within), self._moved:
                await self._moved.wait_for(done)
        except TimeoutError:
            return False
        return True

    async def _watch(self) -> None:
        while True:
            with suppress(*OUTAGES):
                await self._follow(await asyncpg.connect(self._postgres, timeout=2))
            await asyncio.sleep(_EVERY)

    async def _follow(self, connection: Any) -> None:
        """Looks again and again until the connection breaks."""
        try:
            while True:
                self._note(await connection.fetch(_NEW, self._domains, self._source, timeout=5))
                async with self._moved:
                    self._moved.notify_all()
                await asyncio.sleep(_EVERY)
        finally:
            connection.terminate()

    def _note(self, rows: Collection[Any]) -> None:
        now = time.time()
        for row in rows:
            key = Key(*row)
            if key not in self.seen:
                self.seen[key] = now
                self._told(key)
