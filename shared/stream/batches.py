"""The batches that a stream worker has in hand: one being worked out while the one before it is put down.

Without a timer: what arrives meanwhile piles up, and is the next batch. So a lone event waits for nothing, and a backlog goes in large
batches.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, TypeVar

from shared import telemetry
from shared.domain import Domain
from shared.event import Arrival
from shared.patience import persist
from shared.settlement.settlement import Means, WorkedOut, put_down, work_out
from shared.store.outcome import Settled
from shared.stream.load import weigh
from shared.stream.watchdog import Watchdog, exit_at_once
from shared.topic.publisher import Publisher
from shared.topic.records import record

log = logging.getLogger(__name__)

T = TypeVar("T")

MOST_BYTES = 32 * 1024 * 1024  # of a batch, of what waits behind it, and of what Faust buffers: images are large
HUNG = 120.0  # seconds in which a batch neither moves nor waits visibly


class Batches:
    """Events finish in the order in which they were taken, each only when its batch's outcomes are stored, projected and published.

    Nothing is raised to whoever hands events over. After `abandon` nothing more finishes until `reopen`.

    Args:
        finish: told which events are finished, by the token that was handed over with each.
        most: events in a batch.
        longest: seconds after which a batch must be done, or the broker evicts this process.
        end: how the process ends on a fault of ours, where going on could lose the batch.
    """

    def __init__(
        self,
        domain: Domain,
        means: Means,
        publisher: Publisher,
        watchdog: Watchdog,
        finish: Callable[[Sequence[Any]], None],
        most: int,
        longest: float,
        end: Callable[[], None] = exit_at_once,
    ) -> None:
        self._domain = domain
        self._means = replace(means, beat=lambda: watchdog.beat("the batch"))
        self._publisher = publisher
        self._watchdog = watchdog
        self._told = finish
        self._most = most
        self._longest = longest
        self._end = end
        self._open = True
        self._abandoned = False
        self._pile: list[tuple[Arrival, Any, int]] = []  # with its bytes
        self._moved = asyncio.Event()
        self._round: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[object]] = set()
        self._last: asyncio.Task[object] | None = None  # the batch being put down
        self.touched = 0.0  # when a batch was last taken or finished; the event loop's clock

    @property
    def in_hand(self) -> bool:
        return bool(self._tasks)

    async def take(self, events: Iterable[tuple[Arrival, Any]]) -> None:
        """Take (arrival, token) pairs. Returns once what waits is no more than a batch."""
        if not self._open:
            return
        for arrival, token in events:
            self._pile.append((arrival, token, weigh(arrival.payload, arrival.record_key, arrival.headers)))
        if self._round is None and self._pile:
            self._round = self._start(self._rounds())
        while self._open and self._fits() < len(self._pile):
            self._moved.clear()
            await self._moved.wait()

    async def _rounds(self) -> None:
        try:
            while self._pile:
                fits = self._fits()
                taken, self._pile = self._pile[:fits], self._pile[fits:]
                self._moved.set()
                telemetry.oldest.set(
                    (datetime.now(UTC) - min(arrival.arrived_at for arrival, _, _ in taken)).total_seconds(),
                    {"messaging.destination.name": self._domain.requests},
                )
                worked = await work_out(self._domain, [arrival for arrival, _, _ in taken], self._means)
                if self._last is not None:
                    await asyncio.wait([self._last])
                self._last = self._start(self._finish(worked, [token for _, token, _ in taken]))
        finally:
            self._round = None

    def _fits(self) -> int:
        """How many of the events that wait are the next batch: at least one, if any waits."""
        total = 0
        for n, (_, _, size) in enumerate(self._pile):
            total += size
            if n == self._most or (n and total > MOST_BYTES):
                return n
        return len(self._pile)

    async def finished(self) -> None:
        """Returns when nothing is in hand."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    def abandon(self) -> None:
        """Give up what is in hand: nothing of it is finished, so all of it comes again."""
        self.close()
        self._abandoned = True
        if self._tasks:
            log.warning("%s: giving up the batch in hand; its events come again", self._domain.name)
        for task in self._tasks:
            task.cancel()

    def close(self) -> None:
        """Take nothing more. What is in hand may finish; what waits behind it comes again."""
        self._open = False
        self._pile.clear()
        self._moved.set()

    def reopen(self) -> None:
        """Take events again; only to be called when nothing is in hand."""
        self._open, self._abandoned = True, False

    def _start(self, work: Awaitable[T]) -> "asyncio.Task[T]":
        if not self._tasks:
            self._watchdog.watch("the batch", HUNG)
            self._watchdog.watch("polling", self._longest)
        task: asyncio.Task[T] = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        self._touch()
        return task

    def _ended(self, task: "asyncio.Task[T]") -> None:
        self._tasks.discard(task)
        self._touch()
        if not self._tasks:
            self._watchdog.forget("the batch")
            self._watchdog.forget("polling")
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        if error is not None and not self._abandoned:  # ours, not the domain's
            log.critical("%s: ending this process; nothing unfinished was committed", self._domain.name, exc_info=error)
            self.abandon()
            self._end()

    def _touch(self) -> None:
        self.touched = asyncio.get_running_loop().time()
        self._watchdog.beat("the batch")
        self._watchdog.beat("polling")

    async def _finish(self, worked: WorkedOut, tokens: Sequence[Any]) -> None:
        started = asyncio.get_running_loop().time()
        settled = await put_down(self._domain, worked, self._means)
        done = [each for each in settled if isinstance(each, Settled)]
        if len(done) != len(settled):
            raise AssertionError("an event without a deadline was given back unsettled")
        beat = self._means.beat
        await asyncio.gather(
            persist(lambda: self._means.projection.write(self._domain, done), beat=beat),
            self._publisher.publish([record(self._domain, each) for each in done], beat),
        )
        self._told(tokens)
        attributes = {"messaging.destination.name": self._domain.requests}
        telemetry.consumed.add(len(done), attributes)
        telemetry.process_duration.record(asyncio.get_running_loop().time() - started, attributes)
