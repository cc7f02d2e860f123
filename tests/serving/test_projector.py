"""What is settled reaches its topic, also when more of it waits than memory has room for."""

import asyncio
import uuid
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import timedelta

import pytest

from shared.event import Key
from shared.serve import projector
from shared.serve.projector import Projector
from shared.settings import Settings
from shared.settlement.settlement import settle
from shared.store.outcome import Outcome, Settled
from shared.store.postgres import Store
from shared.topic.publisher import Publisher
from shared.topic.records import OMITTED, Record
from tests.echo import echo
from tests.fakes import FakeProjection, FakeStore, arrival, means
from tests.stack import request

TEXTS = [f"reject {number} " + "x" * 1000 for number in range(5)]
UNDECODABLE = b"\xff" * 1500


class Away(Publisher):
    """Kafka, which does not answer until it is back."""

    def __init__(self) -> None:
        super().__init__("127.0.0.1:1", "test")
        self.back = asyncio.Event()
        self.asked: list[list[Record]] = []
        self.delivered: list[Record] = []

    async def publish(self, records: Sequence[Record], beat: object = None) -> None:
        self.asked.append(list(records))
        await self.back.wait()
        self.delivered += records


@pytest.fixture(autouse=True)
def _little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two of the dead letters below, and an impatient sweep."""
    monkeypatch.setattr(projector, "MOST_BYTES", 3000)
    monkeypatch.setattr(projector, "SWEPT_BYTES", 2000)
    monkeypatch.setattr(projector, "SWEEP_EVERY", 0.05)
    monkeypatch.setattr(projector, "LEFTOVER", timedelta(0))


async def until(publisher: Away, records: int) -> None:
    for _ in range(600):
        if len(publisher.delivered) >= records:
            return
        await asyncio.sleep(0.1)
    raise AssertionError(f"{len(publisher.delivered)} of {records} records were published")


async def test_dead_letters_beyond_the_bytes_of_memory_are_published_from_the_store(postgres: str) -> None:
    """While Kafka is away memory holds few payloads; once it is back every letter comes, whole or saying that it is not."""
    store, domain, kafka = await Store.open(Settings(postgres=postgres)), echo(f"e{uuid.uuid4().hex[:8]}"), Away()
    deadline = asyncio.get_running_loop().time() + 60
    sent: dict[str, str | bytes] = {str(number): text for number, text in enumerate(TEXTS)} | {"last": UNDECODABLE}
    arrivals = [
        arrival(text, name, domain=domain.name, deadline=deadline, headers=(("ce_id", name.encode()),))
        for name, text in sent.items()
    ]
    settled = [each for each in await settle(domain, arrivals, means(store, outbox=True)) if isinstance(each, Settled)]
    assert len(settled) == len(arrivals)
    worker = Projector(domain, store, FakeProjection(), kafka)
    worker.add(settled)
    working = asyncio.ensure_future(worker.work())
    try:
        for _ in range(100):
            if len(kafka.asked) == 2:
                break
            await asyncio.sleep(0.1)
        by_memory, by_sweep = ([len(record.value) for record in records] for records in kafka.asked)
        assert len(by_memory) == 2
        assert len(by_sweep) == 2
        kafka.back.set()
        await until(kafka, len(arrivals))
        for _ in range(100):
            if not (left := await store.outbox(domain.name)):
                break
            await asyncio.sleep(0.1)
        assert left == []
    finally:
        working.cancel()
        with suppress(asyncio.CancelledError):
            await working
        await store.close()
    letters = {dict(record.headers)["ce_id"].decode(): record for record in kafka.delivered}
    for number, text in enumerate(TEXTS):
        assert letters[str(number)].value == request(text)
        assert OMITTED not in dict(letters[str(number)].headers)
    assert letters["last"].value == b""
    assert OMITTED in dict(letters["last"].headers)


class Remembers:
    """An outbox of so many outcomes, after whose first sweep no other begins by the clock."""

    def __init__(self, outcomes: dict[Key, Outcome], monkeypatch: pytest.MonkeyPatch) -> None:
        self.left = outcomes
        self._monkeypatch = monkeypatch

    async def outbox(self, domain: str, *, older_than: timedelta, limit: int) -> list[Outcome]:
        self._monkeypatch.setattr(projector, "SWEEP_EVERY", 3600.0)
        return list(self.left.values())[:limit]

    async def published(self, keys: Iterable[Key]) -> None:
        for key in keys:
            del self.left[key]

    async def request_of(self, key: Key) -> bytes | None:
        return None


async def test_a_sweep_goes_on_until_nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hours without Kafka leave far more than one round, and new outcomes come faster than one round in two seconds."""
    monkeypatch.setattr(projector, "ROUND", 16)
    store, domain, kafka = FakeStore(), echo("intent"), Away()
    kafka.back.set()
    await settle(domain, [arrival("a", str(number)) for number in range(50)], means(store))
    remembers = Remembers(dict(store.rows), monkeypatch)
    working = asyncio.ensure_future(Projector(domain, remembers, FakeProjection(), kafka).work())
    try:
        await until(kafka, 50)
    finally:
        working.cancel()
        with suppress(asyncio.CancelledError):
            await working
    assert {dict(each.headers)["ce_eventid"] for each in kafka.delivered} == {b"%d" % number for number in range(50)}
    assert len(kafka.delivered) == 50
