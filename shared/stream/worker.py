"""The streamed door: a Faust worker that loses nothing and stores nothing twice, wherever it is killed.

The only module (with `shared.stream.offsets`) that knows Faust. Written the ordinary way Faust loses events; the rules that prevent it:
one agent, concurrency 1; batches by `take_events`, decoded in the loop; nothing raised leaves the loop body; outcomes are stored,
projected and published, all awaited, before the batch is finished; only finished offsets are ever committed (`shared.stream.offsets`).
"""

import asyncio
import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import faust

from shared.domain import Domain
from shared.errors import Unavailable
from shared.event import Arrival
from shared.patience import complain
from shared.settings import Settings
from shared.settlement.settlement import Means
from shared.stream.batches import Batches
from shared.stream.offsets import Consumer, Transport
from shared.stream.watchdog import Watchdog, exit_at_once
from shared.topic.cloudevents import arrive
from shared.topic.publisher import Publisher

log = logging.getLogger(__name__)

MAX_POLL_INTERVAL = 900.0  # seconds: after this the broker evicts a member that takes no new events
SESSION = 12.0  # seconds without a heartbeat after which the broker gives a member's partitions to others
STALLED = 30.0  # seconds with a backlog and no batch taken: Faust's consumer can stall silently
DRAIN = 20.0  # seconds that the batch in hand has to finish when the process stops


class Worker:
    """Takes `<domain>.requests.v1` batch by batch. `start` once, then `stop` once."""

    def __init__(
        self, domain: Domain, settings: Settings, means: Means, publisher: Publisher, watchdog: Watchdog
    ) -> None:
        self._domain = domain
        self._settings = settings
        longest = MAX_POLL_INTERVAL * 0.9
        self._at_once = min(settings.batch_events, domain.at_once)
        self._batches = Batches(domain, means, publisher, watchdog, self._finish, self._at_once, longest)
        self._waiting_since: float | None = None  # a backlog was seen that nothing is taken of
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
            broker_session_timeout=SESSION,
            broker_heartbeat_interval=1,
            broker_rebalance_timeout=60,
            broker_commit_interval=1,
            broker_max_poll_interval=MAX_POLL_INTERVAL,
            stream_buffer_maxsize=2 * self._at_once,
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
            async for events in stream.take_events(self._at_once, settings.batch_within):
                await self._take(events)

        app.agent(topic, concurrency=1, name=self._domain.name)(take)
        return app

    async def start(self) -> None:
        await self._app.start()
        self._consumer.batches = self._batches

    async def stop(self) -> None:
        """Finish what is in hand, commit, leave. What takes longer is left for the next process."""
        self._batches.close()
        late = asyncio.get_running_loop().call_later(DRAIN, self._batches.abandon)
        await self._batches.finished()
        await self._app.stop()
        late.cancel()

    @property
    def _consumer(self) -> Consumer:
        consumer: Consumer = self._app.consumer
        return consumer

    async def _take(self, events: Sequence[Any]) -> None:
        self._consumer.take(event.message for event in events)
        await self._batches.take((self._arrival(event.message), event.message) for event in events)

    def _finish(self, messages: Sequence[Any]) -> None:
        self._consumer.finish(messages)

    def _arrival(self, message: Any) -> Arrival:
        return arrive(
            self._domain.name,
            message.topic,
            message.partition,
            message.offset,
            _moment(message.timestamp),
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
        silent = asyncio.get_running_loop().time() - self._batches.touched
        if self._batches.in_hand:
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
        try:
            async with asyncio.timeout(5):
                return await self._consumer.backlog()
        except Exception as error:  # whatever the broker's absence looks like through Faust: it is no backlog
            complain(Unavailable("kafka", f"it does not say how far its topics go ({type(error).__name__})"))
            return False


def _moment(timestamp: float | None) -> datetime:
    """When the broker or the producer says a record was made; now where it says nothing, or what cannot be true."""
    try:
        return datetime.fromtimestamp(timestamp, UTC) if timestamp and timestamp > 0 else datetime.now(UTC)
    except (ValueError, OverflowError, OSError):
        return datetime.now(UTC)
