"""Putting stored outcomes on their topics and into Redis after the caller has its answer; the outbox remembers what is left."""

import asyncio
import logging
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any, Protocol

from shared.domain import Domain
from shared.errors import Unavailable
from shared.event import PROTOBUF, Key
from shared.patience import complain, persist
from shared.store.outcome import Outcome, Settled
from shared.topic import cloudevents
from shared.topic.publisher import Publisher
from shared.topic.records import record

log = logging.getLogger(__name__)

MOST = 4096  # outcomes held in memory; what is over is left to the sweep
ROUND = 256
GATHER = 0.05  # seconds in which outcomes gather for one round: nobody waits for it, and each round costs a transaction
SWEEP_EVERY = 2.0  # seconds
LEFTOVER = timedelta(seconds=5)  # older notes belong to a process that died, or to outcomes that memory had no room for


class Outbox(Protocol):
    async def outbox(self, domain: str, *, older_than: timedelta, limit: int) -> list[Outcome]: ...

    async def published(self, keys: Iterable[Key]) -> None: ...

    async def request_of(self, key: Key) -> bytes | None: ...


class Projector:
    """`add` what was settled; `work` in the background; `drain` before the process ends."""

    def __init__(self, domain: Domain, outbox: Outbox, projection: Any, publisher: Publisher) -> None:
        self._domain = domain
        self._outbox = outbox
        self._projection = projection
        self._publisher = publisher
        self._waiting: dict[Key, Settled] = {}
        self._in_hand: set[Key] = set()
        self._added = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    def add(self, settled: Iterable[Settled]) -> None:
        """Only new outcomes are projected: those known before have been, or have their note in the outbox."""
        for each in settled:
            if not each.known and not each.reused and len(self._waiting) < MOST:
                # of a result nothing but the outcome is published: its payload, an image perhaps, need not wait here
                self._waiting[each.outcome.key] = (
                    each if each.outcome.kind == "dead_letter" else replace(each, payload=b"")
                )
                self._idle.clear()
        self._added.set()

    async def work(self) -> None:
        """Project for ever, sweeping up what no process remembers."""
        await asyncio.gather(self._project(), self._sweep())

    async def drain(self, within: float) -> None:
        """Give what is waiting `within` seconds; the outbox has the rest."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._idle.wait(), within)

    async def _project(self) -> None:
        while True:
            await self._added.wait()
            await asyncio.sleep(GATHER)
            self._added.clear()
            while self._waiting:
                batch = [self._waiting.pop(key) for key in list(self._waiting)[:ROUND]]
                self._in_hand = {each.outcome.key for each in batch}
                await self._deliver(batch)
                self._in_hand = set()
            self._idle.set()

    async def _deliver(self, batch: Sequence[Settled]) -> None:
        await asyncio.gather(
            persist(lambda: self._projection.write(self._domain, batch)),
            self._publisher.publish([record(self._domain, each) for each in batch]),
        )
        await persist(lambda: self._outbox.published([each.outcome.key for each in batch]))

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_EVERY)
            try:
                left = await self._outbox.outbox(self._domain.name, older_than=LEFTOVER, limit=ROUND)
                orphans = [each for each in left if each.key not in self._waiting and each.key not in self._in_hand]
                batch = [await self._restore(outcome) for outcome in orphans]
            except Unavailable as error:
                complain(error)
                continue
            if batch:
                log.info("%s: publishing %d outcomes left by another process", self._domain.name, len(batch))
                await self._deliver(batch)

    async def _restore(self, outcome: Outcome) -> Settled:
        """What the process that answered the call knew of it, as far as the store does."""
        payload = await self._outbox.request_of(outcome.key) if outcome.kind == "dead_letter" else None
        headers = cloudevents.headers(
            outcome.key.source,
            outcome.key.id,
            self._domain.request.DESCRIPTOR.full_name,
            PROTOBUF,
            subject=outcome.subject,
            time=outcome.event_time,
            caller=outcome.caller,
        )
        return Settled(outcome, headers=tuple(headers), payload=payload or b"", place=outcome.place)
