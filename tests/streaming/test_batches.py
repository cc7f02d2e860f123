"""What a stream worker has in hand: finished in order, or not at all."""

import asyncio
from collections.abc import Sequence
from typing import Any

from shared.stream.batches import Batches
from shared.stream.watchdog import Watchdog
from shared.topic.records import Record
from tests.echo import answer, echo
from tests.fakes import FakeStore, arrival, handling, means

ECHO = echo("intent")


class FakePublisher:
    """Remembers the batches; holds each back until `gate` is open."""

    def __init__(self) -> None:
        self.published: list[list[Record]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.failure: BaseException | None = None

    async def publish(self, records: Sequence[Record], beat: Any) -> None:
        await self.gate.wait()
        if self.failure is not None:
            raise self.failure
        self.published.append(list(records))


class Bench:
    """Batches on fakes; `finished` has the ids in the order in which they were."""

    def __init__(self, domain: Any = ECHO, most: int = 4) -> None:
        self.store, self.publisher, self.ended = FakeStore(), FakePublisher(), 0
        self.finished: list[str] = []
        self.batches = Batches(
            domain,
            means(self.store),
            self.publisher,  # type: ignore[arg-type]
            Watchdog(),
            self.finished.extend,
            most,
            60,
            self.end,
        )

    def end(self) -> None:
        self.ended += 1

    async def take(self, *ids: str, text: str = "a") -> None:
        await self.batches.take([(arrival(text, each), each) for each in ids])


async def test_a_batch_finishes_only_when_it_is_published() -> None:
    """Stored is not enough: until the records are delivered nothing may be committed."""
    bench = Bench()
    bench.publisher.gate.clear()
    await bench.take("1", "2")
    await asyncio.sleep(0.1)
    assert len(bench.store.rows) == 2
    assert bench.finished == []
    bench.publisher.gate.set()
    await bench.batches.finished()
    assert bench.finished == ["1", "2"]


async def test_the_next_batch_is_worked_out_meanwhile_but_finishes_after() -> None:
    """While one batch is being published, the next one's handlers run; nothing of it is stored before its turn."""
    handled: list[str] = []

    async def note(request: Any, tools: Any) -> Any:
        handled.append(tools.key.id)
        return answer(request.text)

    bench = Bench(handling(ECHO, note), most=2)
    bench.publisher.gate.clear()
    for ids in (("1", "2"), ("3", "4")):
        await bench.take(*ids)
    await asyncio.sleep(0.1)
    assert handled == ["1", "2", "3", "4"]
    assert {key.id for key in bench.store.rows} == {"1", "2"}
    bench.publisher.gate.set()
    await bench.batches.finished()
    assert bench.finished == ["1", "2", "3", "4"]
    assert [len(records) for records in bench.publisher.published] == [2, 2]


async def test_what_arrives_meanwhile_is_the_next_batch() -> None:
    """Single events pile up while a batch is in hand, and go together, up to the limit."""
    bench = Bench(most=4)
    bench.publisher.gate.clear()
    for n in range(6):
        taking = asyncio.ensure_future(bench.take(str(n)))
        await asyncio.sleep(0.02)
    bench.publisher.gate.set()
    await taking
    await bench.batches.finished()
    assert bench.finished == [str(n) for n in range(6)]
    assert bench.store.writes < 6


async def test_the_pile_is_bounded() -> None:
    """Whoever hands over more than fits waits, so that the topic keeps what we cannot hold."""
    bench = Bench(most=2)
    bench.publisher.gate.clear()
    for ids in (("1", "2"), ("3", "4")):
        await bench.take(*ids)
    full = asyncio.ensure_future(bench.take("5", "6", "7"))
    await asyncio.sleep(0.1)
    assert not full.done()
    bench.publisher.gate.set()
    await full
    await bench.batches.finished()
    assert bench.finished == ["1", "2", "3", "4", "5", "6", "7"]


async def test_a_batch_is_bounded_in_bytes() -> None:
    """Large images go in small batches; one that is over the limit alone still goes."""
    bench = Bench(most=8)
    text = "x" * (12 * 1024 * 1024)
    taking = asyncio.ensure_future(bench.take("1", "2", "3", "4", "5", text=text))
    await taking
    await bench.batches.finished()
    assert bench.finished == ["1", "2", "3", "4", "5"]
    assert [len(records) for records in bench.publisher.published] == [2, 2, 1]


async def test_headers_count_as_bytes_too() -> None:
    """Kafka bounds a record as a whole: one may be all headers."""
    bench = Bench(most=8)
    large = (("note", b"x" * (12 * 1024 * 1024)),)
    await bench.batches.take([(arrival("a", str(n), headers=large), str(n)) for n in range(5)])
    await bench.batches.finished()
    assert [len(records) for records in bench.publisher.published] == [2, 2, 1]


async def test_an_abandoned_batch_and_all_behind_it_are_not_finished() -> None:
    """Nothing may finish past a batch that was given up, or its events would be committed past."""
    bench = Bench(most=2)
    bench.publisher.gate.clear()
    for ids in (("1", "2"), ("3", "4")):
        await bench.take(*ids)
    late = asyncio.ensure_future(bench.take("5", "6"))
    await asyncio.sleep(0.1)
    bench.batches.abandon()
    bench.publisher.gate.set()
    await bench.batches.finished()
    await late
    await bench.take("7")
    assert bench.finished == []
    bench.batches.reopen()
    await bench.take("1", "2")
    await bench.batches.finished()
    assert bench.finished == ["1", "2"]


async def test_closing_lets_the_batch_in_hand_finish() -> None:
    """A process that is told to stop finishes what it has begun, and takes nothing more."""
    bench = Bench(most=2)
    bench.publisher.gate.clear()
    await bench.take("1", "2")
    await asyncio.sleep(0.05)
    bench.batches.close()
    await bench.take("3")
    bench.publisher.gate.set()
    await bench.batches.finished()
    assert bench.finished == ["1", "2"]


async def test_a_fault_of_ours_ends_the_process_and_finishes_nothing() -> None:
    """What cannot be published for a reason that waiting does not mend must not be committed."""
    bench = Bench(most=2)
    bench.publisher.failure = ZeroDivisionError()
    await bench.take("1", "2")
    await bench.batches.finished()
    await bench.take("3")
    assert bench.ended == 1
    assert bench.finished == []


async def test_a_cancellation_out_of_nowhere_finishes_nothing_behind_it() -> None:
    """A task that ends cancelled, though nobody gave up the batch, is a fault too: its events are not done."""
    bench = Bench(most=2)
    bench.publisher.failure = asyncio.CancelledError()
    for ids in (("1", "2"), ("3", "4")):
        await bench.take(*ids)
    await bench.batches.finished()
    assert bench.ended == 1
    assert bench.finished == []
