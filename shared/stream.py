"""The streamed door: a Faust worker that loses nothing and stores nothing twice, wherever it is killed.

The only module (with `shared.offsets`) that knows Faust. Written the ordinary way Faust loses events; the rules that prevent it:
one agent, concurrency 1; batches by `take_events`, decoded in the loop; nothing raised leaves the loop body; outcomes are stored,
projected and published, all awaited, before the batch is finished; only finished offsets are ever committed.
"""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import faust

from shared import telemetry
from shared.cloudevents import arrive
from shared.domain import Domain
from shared.errors import Unavailable
from shared.event import Arrival
from shared.offsets import Consumer, Transport
from shared.patience import complain, persist
from shared.publisher import Publisher
from shared.records import record
from shared.settings import Settings
from shared.settlement import Means, settle
from shared.store.outcome import Settled
from shared.watchdog import Watchdog, exit_at_once

log = logging.getLogger(__name__)

MAX_POLL_INTERVAL = 900.0  # seconds: after this the broker evicts a member that takes no new events
HUNG = 120.0  # seconds in which a batch neither moves nor waits visibly
STALLED = 30.0  # seconds with a backlog and no batch taken: Faust's consumer can stall silently
DRAIN = 20.0  # seconds that the batch in hand has to finish when the process stops


class Worker:
    """Takes `<domain>.requests.v1` batch by batch. `start` once, then `stop` once."""

    def __init__(
        self, domain: Domain, settings: Settings, means: Means, publisher: Publisher, watchdog: Watchdog
    ) -> None:
        self._domain = domain
        self._settings = settings
        self._watchdog = watchdog
        self._means = replace(means, beat=lambda: watchdog.beat("the batch"))
        self._publisher = publisher
        self._batch: asyncio.Task[None] | None = None
        self._taken_at = 0.0
        self._waiting_since: float | None = None  # a backlog was seen that nothing is taken of
        self._stopping = False
        self._app = self._wire()

    def _wire(self) -> Any:
        settings = self._settings
        scratch = settings.data / "faust" / f"{self._domain.name}-{settings.instance}"
        scratch.mkdir(parents=True, exist_ok=True)
        app = faust.App(
            self._domain.name,
            broker=[f"kafka://{server}" for server in settings.kafka.split(",")],
            datadir=str(scratch),  # Faust writes there even without tables
            consumer_group_instance_id=f"{self._domain.name}-{settings.instance}",
            consumer_auto_offset_reset="earliest",
            broker_session_timeout=12,
            broker_heartbeat_interval=1,
            broker_rebalance_timeout=60,
            broker_commit_interval=1,
            broker_max_poll_interval=MAX_POLL_INTERVAL,
            stream_buffer_maxsize=2 * settings.batch_events,
            stream_wait_empty=True,
            topic_allow_declare=False,
            topic_disable_leader=True,
            table_standby_replicas=0,
            store="memory://",
            web_enabled=False,
        )
        app.transport = Transport(app.conf.broker_consumer, app)
        topic = app.topic(
            self._domain.requests, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw"
        )

        async def take(stream: Any) -> None:
            async for events in stream.take_events(settings.batch_events, settings.batch_within):
                await self._guard(events)

        app.agent(topic, concurrency=1, name=self._domain.name)(take)
        return app

    async def start(self) -> None:
        self._taken_at = asyncio.get_running_loop().time()
        await self._app.start()
        self._consumer.abandon = self._abandon

    async def stop(self) -> None:
        """Finish the batch in hand, commit, leave. What takes longer is left for the next process."""
        self._stopping = True
        late = asyncio.get_running_loop().call_later(DRAIN, self._abandon)
        await self._app.stop()
        late.cancel()

    @property
    def _consumer(self) -> Consumer:
        consumer: Consumer = self._app.consumer
        return consumer

    def _abandon(self) -> None:
        if self._batch is not None:
            log.warning("%s: giving up the batch in hand; its events come again", self._domain.name)
            self._batch.cancel()

    async def _guard(self, events: Sequence[Any]) -> None:
        """The loop body: whatever happens, nothing is raised, and only a batch that went through is finished."""
        if self._stopping:
            return
        self._taken_at = asyncio.get_running_loop().time()
        self._watchdog.watch("the batch", HUNG)
        self._watchdog.watch("polling", MAX_POLL_INTERVAL * 0.9)
        self._batch = asyncio.ensure_future(self._work(events))
        try:
            await asyncio.wait([self._batch])
            if self._batch.cancelled():
                return
            error = self._batch.exception()
            if error is not None:  # ours, not the domain's: going on could lose the batch
                log.critical("%s: ending this process, nothing was committed", self._domain.name, exc_info=error)
                exit_at_once()
            self._consumer.finish(event.message for event in events)
        finally:
            self._watchdog.forget("the batch")
            self._watchdog.forget("polling")
            self._taken_at = asyncio.get_running_loop().time()
            self._batch = None

    async def _work(self, events: Sequence[Any]) -> None:
        started = asyncio.get_running_loop().time()
        settled = await settle(self._domain, [self._arrival(event) for event in events], self._means)
        done = [each for each in settled if isinstance(each, Settled)]
        if len(done) != len(events):
            raise AssertionError("an event without a deadline was given back unsettled")
        beat = self._means.beat
        await asyncio.gather(
            persist(lambda: self._means.projection.write(self._domain, done), beat=beat),
            self._publisher.publish([record(self._domain, each) for each in done], beat),
        )
        attributes = {"messaging.destination.name": self._domain.requests}
        telemetry.consumed.add(len(events), attributes)
        telemetry.process_duration.record(asyncio.get_running_loop().time() - started, attributes)

    def _arrival(self, event: Any) -> Arrival:
        message = event.message
        at = datetime.fromtimestamp(message.timestamp, UTC) if (message.timestamp or 0) > 0 else datetime.now(UTC)
        return arrive(
            self._domain.name,
            message.topic,
            message.partition,
            message.offset,
            at,
            message.key,
            message.value or b"",
            tuple(message.headers or ()),
        )

    async def progressing(self) -> bool:
        """Whether partitions were assigned and work moves.

        A consumer with a backlog that takes nothing has stalled silently; nothing but a new process helps it.
        """
        if self._app.crashed:
            log.critical("%s: Faust crashed (%r): ending this process", self._domain.name, self._app.crash_reason)
            exit_at_once()
        silent = asyncio.get_running_loop().time() - self._taken_at
        if self._batch is not None:
            self._waiting_since = None
            return silent < STALLED
        if not self._consumer.assigned:
            return False
        if silent < STALLED or not await self._backlog():
            self._waiting_since = None
            return True
        now = asyncio.get_running_loop().time()
        self._waiting_since = self._waiting_since or now
        if now - self._waiting_since > STALLED:
            log.critical(
                "%s: events wait, but none was taken for %.0f s: ending this process", self._domain.name, silent
            )
            exit_at_once()
        return False

    async def _backlog(self) -> bool:
        partitions = self._consumer.assignment()
        try:
            async with asyncio.timeout(5):
                begins = await self._consumer.earliest_offsets(*partitions) if partitions else {}
                ends = await self._consumer.highwaters(*partitions) if partitions else {}
        except Exception as error:  # whatever the broker's absence looks like through Faust: it is no backlog
            complain(Unavailable("kafka", f"it does not say how far its topics go ({type(error).__name__})"))
            return False
        return any((end or 0) > max(begins.get(tp) or 0, self._consumer.reached(tp)) for tp, end in ends.items())
