"""Committing only what is finished.

Faust commits what was *acknowledged*, and acknowledges more than was finished: the rest of a batch whose loop was cancelled,
events skipped in a rebalance, everything past a gap. This consumer commits, for each partition, the offset after the last batch
that our loop has finished; Faust's own acknowledgements only tell it when its buffers are empty.
"""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from shared.stream import lenient
from shared.stream.batches import MOST_BYTES, Batches
from shared.stream.load import Load, weigh

REVOKE_PATIENCE = 20.0  # seconds a rebalance waits for the batch in hand; far less than broker_rebalance_timeout


class Thread(driver.AIOKafkaConsumerThread):  # type: ignore[misc]
    """Reads what is committed: the records of an aborted transaction are no events. Faust can do so only where it also *writes* in
    transactions."""

    def _create_worker_consumer(self, transport: Any) -> Any:
        lenient.install()
        consumer = super()._create_worker_consumer(transport)
        consumer._isolation_level = "read_committed"  # read when it starts; there is no public way past Faust
        return consumer


class Consumer(driver.Consumer):  # type: ignore[misc]
    """Faust's consumer with its commit decided by `finish`."""

    callback: Any  # hands a message to Faust's buffers

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.finished: dict[TP, int] = {}  # the next offset to read, by partition
        self.taken: dict[TP, int] = {}  # the same of what our loop has taken
        self.load = Load(MOST_BYTES)  # what Faust buffers for our loop
        self._hand_on, self.callback = self.callback, self._hand_over
        self.batches: Batches | None = None  # what our loop has in hand
        self.assigned = False

    def _new_consumer_thread(self) -> Thread:
        return Thread(self, loop=self.loop, beacon=self.beacon)

    def take(self, messages: Iterable[Any]) -> None:
        """Our loop has these messages."""
        for message in messages:
            self.taken[message.tp] = max(self.taken.get(message.tp, 0), message.offset + 1)
            self.load.drop(message.tp, message.offset)

    def finish(self, messages: Iterable[Any]) -> None:
        """These messages have their outcomes stored and published. Those of an older assignment are ignored: they come again."""
        generation = self.app.consumer_generation_id
        assignment = self.assignment()
        for message in messages:
            tp = message.tp
            if message.generation_id == generation and tp in assignment:
                self.finished[tp] = max(self.finished.get(tp, 0), message.offset + 1)

    async def backlog(self) -> bool:
        """Whether the broker has records for us that were not fetched, Faust some that our loop has not taken, or our loop some that it
        has not finished.

        Offsets alone do not tell: after a transaction a partition's end lies behind a marker, which no consumer is ever handed.
        """
        if self.load.full or any(not topic.queue.empty() for topic in self.app.topics):
            return True
        partitions = self.assignment()
        if any(self.taken.get(tp, 0) > self._reached(tp) for tp in partitions):
            return True
        ends = await self.highwaters(*partitions) if partitions else {}
        positions = {tp: await self.position(tp) for tp in ends}
        return any((end or 0) > (positions[tp] or 0) for tp, end in ends.items())

    def _reached(self, tp: TP) -> int:
        """The offset up to which everything is finished, as far as this process knows."""
        return max(self.finished.get(tp, 0), self._committed_offset[tp] or 0)

    async def _hand_over(self, message: Any) -> None:
        """Faust bounds its buffers in events alone, each of which may have megabytes."""
        await self.load.room()
        await self._hand_on(message)
        if message.offset >= self.taken.get(message.tp, 0):
            self.load.add(message.tp, message.offset, weigh(message.value, message.key, message.headers))

    async def wait_first(self, *awaitables: Any, timeout: Any = None) -> Any:  # noqa: ASYNC109 - Faust's own signature
        """Faust races the hand-over of each record with a rebalance, in two tasks; one that cannot wait needs no race."""
        if timeout is None and len(awaitables) == 2 and self._room():
            hand_over, suspended = awaitables
            suspended.close()
            return await hand_over
        return await super().wait_first(*awaitables, timeout=timeout)

    def _room(self) -> bool:
        full = self.load.full or any(topic.queue.full() for topic in self.app.topics)
        return self.app.flow_control.is_active() and not full

    def _filter_committable_offsets(self, tps: Iterable[TP]) -> dict[TP, int]:
        for tp in tps:
            self._acked[tp].clear()
            self._acked_index[tp].clear()
        self._gap.clear()
        return {tp: offset for tp, offset in self.finished.items() if self._should_commit(tp, offset)}

    async def _commit_offsets(self, offsets: Mapping[TP, int], start_new_transaction: bool = True) -> bool:
        before = {tp: self._committed_offset[tp] for tp in offsets}
        done: bool = await super()._commit_offsets(offsets, start_new_transaction)
        if not done:  # Faust takes them for committed even so
            self._committed_offset.update(before)
        return done

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Commit what can be finished soon; give up the rest, which comes again, here or at another worker."""
        if self.batches is not None:
            late = asyncio.get_running_loop().call_later(REVOKE_PATIENCE, self.batches.abandon)
            self.batches.close()
            await self.batches.finished()
            late.cancel()
        await super().on_partitions_revoked(revoked)
        self._forget()

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        self._forget()
        if self.batches is not None:
            self.batches.reopen()
        await super().on_partitions_assigned(assigned, generation_id)
        self.assigned = True

    def _forget(self) -> None:
        self.finished.clear()
        self.taken.clear()
        self.load.clear()


class Transport(driver.Transport):  # type: ignore[misc]
    Consumer = Consumer
