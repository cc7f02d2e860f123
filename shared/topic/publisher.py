"""Publishing to Kafka: a whole batch is sent, and every record's delivery awaited."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, MessageSizeTooLargeError

from shared import telemetry
from shared.errors import Unavailable
from shared.patience import persist
from shared.topic.records import Record, as_it_is, named_only, without_value

log = logging.getLogger(__name__)

PATIENCE = 10.0  # seconds that brokers have to answer


class Publisher:
    """One producer of this process, `acks=all`.

    Not an idempotent one: a record that its topic refuses would leave a gap in its sequence, and block the partition for good. Repeats
    are possible either way, after a crash, and every record has a `ce_id` by which to drop them.
    """

    def __init__(self, bootstrap: str, client_id: str) -> None:
        self._bootstrap = bootstrap
        self._client_id = client_id
        self._producer: Any = None  # AIOKafkaProducer
        self._lock = asyncio.Lock()

    async def start(self) -> None:
        """Connect.

        Raises:
            Unavailable: no broker answers.
        """
        async with self._lock:
            if self._producer is not None:
                return
            producer = AIOKafkaProducer(
                bootstrap_servers=self._bootstrap.split(","),
                client_id=self._client_id,
                acks="all",
                max_request_size=20 * 1024 * 1024,
                request_timeout_ms=round(PATIENCE * 1000),
            )
            try:
                await producer.start()
            except (KafkaError, OSError) as error:
                await producer.stop()
                raise Unavailable("kafka", f"at {self._bootstrap}: {_said(error)}") from error
            self._producer = producer

    async def find_topics(self, *topics: str) -> None:
        """Make sure that these topics exist.

        Raises:
            Unavailable: no broker answers, or a topic is missing.
        """
        await self.start()
        for topic in topics:
            try:
                await self._producer.partitions_for(topic)
            except (KafkaError, OSError) as error:
                raise Unavailable("kafka", f"topic {topic}: {_said(error)}") from error

    async def stop(self) -> None:
        if self._producer is not None:
            await self._producer.stop()
            self._producer = None

    async def publish(self, records: Sequence[Record], beat: Callable[[], None] = lambda: None) -> None:
        """Returns once the brokers have all of them, however long that takes. Records may arrive twice, never be lost."""
        left = list(records)

        async def deliver() -> None:
            for cut in (as_it_is, without_value, named_only):
                left[:] = await self._send([cut(record) for record in left])
                if not left:
                    return
            log.error("%d outcomes are stored, but too large for their topics even without their values", len(left))

        if left:
            await persist(deliver, beat=beat)
            telemetry.sent.add(len(records), {"messaging.destination.name": records[0].topic})

    async def _send(self, records: Sequence[Record]) -> list[Record]:
        """Sends all, awaits all.

        Returns:
            those that are larger than their topic takes.

        Raises:
            Unavailable: the delivery of some is in doubt.
        """
        await self.start()
        producer = self._producer
        too_large: list[Record] = []
        sent: list[tuple[Record, Awaitable[object]]] = []
        try:
            for record in records:
                try:
                    delivery = await producer.send(record.topic, record.value, record.key, headers=record.headers)
                    sent.append((record, delivery))
                except MessageSizeTooLargeError:
                    too_large.append(record)
            for record, delivery in sent:
                try:
                    await delivery
                except MessageSizeTooLargeError:
                    too_large.append(record)
        except (KafkaError, OSError) as error:
            await self._discard(producer)
            raise Unavailable("kafka", _said(error)) from error
        return too_large

    async def _discard(self, producer: Any) -> None:
        if self._producer is producer:
            self._producer = None
            try:
                await asyncio.wait_for(producer.stop(), 5)
            except (KafkaError, OSError, TimeoutError) as error:
                log.debug("a failed producer did not stop cleanly: %s", _said(error))


def _said(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
