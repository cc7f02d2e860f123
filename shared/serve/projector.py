"""Putting stored outcomes on their topics and into Redis after the caller has its answer; the outbox remembers what is left."""

import asyncio
import hashlib
import logging
from collections.abc import AsyncIterator, Iterable, Sequence
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
from shared.topic.records import OMITTED, record

log = logging.getLogger(__name__)

MOST = 4096  # outcomes held in memory; what is over is left to the sweep
MOST_BYTES = 64 * 1024 * 1024  # of them, with the payloads of dead letters: Kafka or Redis may be away for hours
ROUND = 256
SWEPT_BYTES = 16 * 1024 * 1024  # of payloads that a sweep reads back before it publishes them; one may have as many
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
        self._held = 0  # bytes, of both
        self._added = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    def add(self, settled: Iterable[Settled]) -> None:
        """Only new outcomes are projected: those known before have been, or have their note in the outbox."""
        for each in settled:
            if each.known or each.reused:
                continue
            waiting = _slim(each)
            if len(self._waiting) < MOST and self._held + _size(waiting) <= MOST_BYTES:
                self._waiting[each.outcome.key] = waiting
                self._held += _size(waiting)
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
                self._held -= sum(map(_size, batch))
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
                while await self._sweep_up():
                    pass
            except Unavailable as error:
                complain(error)

    async def _sweep_up(self) -> bool:
        """Whether there may be more: after hours without Kafka there are very many."""
        left = await self._outbox.outbox(self._domain.name, older_than=LEFTOVER, limit=ROUND)
        orphans = [each for each in left if each.key not in self._waiting and each.key not in self._in_hand]
        if orphans:
            log.info("%s: publishing %d outcomes that the outbox remembers", self._domain.name, len(orphans))
        async for batch in self._read_back(orphans):
            await self._deliver(batch)
        return bool(orphans) and len(left) == ROUND

    async def _read_back(self, orphans: Sequence[Outcome]) -> AsyncIterator[list[Settled]]:
        """Few at a time where they are large."""
        batch: list[Settled] = []
        for outcome in orphans:
            batch.append(await self._restore(outcome))
            if sum(map(_size, batch)) >= SWEPT_BYTES:
                yield batch
                batch = []
        if batch:
            yield batch

    async def _restore(self, outcome: Outcome) -> Settled:
        """What the process that answered the call knew of it, as far as the store does. A dead letter that lost something says so."""
        headers = cloudevents.headers(
            outcome.key.source,
            outcome.key.id,
            self._domain.request.DESCRIPTOR.full_name,
            PROTOBUF,
            subject=outcome.subject,
            time=outcome.event_time,
            caller=outcome.caller,
        )
        payload = b""
        if outcome.kind == "dead_letter":
            payload = await self._outbox.request_of(outcome.key) or b""
            if not self._is_whole(outcome, payload):
                headers.append((OMITTED, b"the payload is what the store keeps of the request; the rest is gone"))
        return Settled(outcome, headers=tuple(headers), payload=payload, place=outcome.place)

    def _is_whole(self, outcome: Outcome, kept: bytes) -> bool:
        """Inline images are not kept, nor is what could not be decoded."""
        request = self._domain.request.FromString(kept)
        return hashlib.sha256(request.SerializeToString(deterministic=True)).digest() == outcome.digest


def _slim(settled: Settled) -> Settled:
    """What is published of it. Of a result that is the outcome alone: its payload, an image perhaps, need not wait here."""
    payload = settled.payload if settled.outcome.kind == "dead_letter" else b""
    return replace(settled, payload=payload, outcome=replace(settled.outcome, request=None, predictions=()))


def _size(settled: Settled) -> int:
    """In bytes, of what may be large."""
    return len(settled.payload) + len(settled.outcome.body)
