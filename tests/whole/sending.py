"""Events through the real doors of a whole stack, and what became of them."""

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import grpc
from aiokafka import AIOKafkaProducer
from google.protobuf.message import Message

from bench import evidence
from bench.events import ROUTES
from bench.local import Local
from protos import event_pb2
from shared.event import PROTOBUF, Key
from shared.topic import cloudevents

T = TypeVar("T")
PATIENCE = 90.0  # s: the machine may be busy

_ENDED = """
SELECT o.* FROM unnest($1::text[], $2::text[], $3::text[]) AS k (domain, source, id) JOIN outcomes o USING (domain, source, id)
"""


async def until(look: Callable[[], Awaitable[T]], what: str, within: float = PATIENCE) -> T:
    """What `look` finds, once it finds anything.

    Raises:
        AssertionError: it found nothing in time.
    """
    deadline = time.monotonic() + within
    while not (found := await look()):
        assert time.monotonic() < deadline, f"not within {within:.0f} s: {what}"
        await asyncio.sleep(0.2)
    return found


def new_source() -> str:
    """A source that no other test uses."""
    return f"test/{uuid.uuid4().hex[:10]}"


@dataclass
class Event:
    """One event to send, right or wrong. `place` is filled when Kafka has it."""

    key: Key
    payload: bytes | Message
    content_type: str = PROTOBUF
    headers: Sequence[tuple[str, bytes]] = ()  # added to, or instead of, the CloudEvents headers of the same name
    place: str = field(default="", compare=False)

    @property
    def bytes(self) -> bytes:
        return self.payload if isinstance(self.payload, bytes) else self.payload.SerializeToString()


async def put(stack: Local, events: Sequence[Event], key: bytes | None = b"one") -> None:
    """All of them on Kafka in one go; with one record key they lie on one partition, side by side."""
    async with AIOKafkaProducer(
        bootstrap_servers=stack.address("kafka"), acks="all", linger_ms=20, max_request_size=17 << 20
    ) as producer:
        sent = []
        for event in events:
            given = dict(cloudevents.headers(event.key.source, event.key.id, "test", event.content_type))
            headers = list({**given, **dict(event.headers)}.items())
            sent.append(await producer.send(ROUTES[event.key.domain].topic, event.bytes, key, headers=headers))
        for event, place in zip(events, await asyncio.gather(*sent), strict=True):
            event.place = f"{place.topic}:{place.partition}:{place.offset}"


async def outcomes(stack: Local, keys: Sequence[Key], within: float = PATIENCE) -> dict[Key, Any]:
    """The stored row of each, once all of them have one.

    Raises:
        AssertionError: some have none in time; names them.
    """
    columns = [list(column) for column in zip(*((key.domain, key.source, key.id) for key in keys), strict=True)]
    deadline = time.monotonic() + within
    while True:
        rows = await evidence.query(stack.address("postgres"), _ENDED, *columns)
        found = {Key(row["domain"], row["source"], row["id"]): row for row in rows}
        missing = set(keys) - found.keys()
        if not missing:
            return found
        assert time.monotonic() < deadline, (
            f"{len(missing)} events without an outcome, e.g. {sorted(missing, key=str)[0]}"
        )
        await asyncio.sleep(0.1)


async def ask(stack: Local, key: Key, request: Message, within: float = 30) -> Any:
    """The domain's unary call for this event.

    Raises:
        grpc.aio.AioRpcError: it was refused, or failed.
    """
    event = event_pb2.Event(source=key.source, id=key.id)
    async with grpc.aio.insecure_channel(stack.address(key.domain)) as channel:
        return await call(channel, key.domain, ROUTES[key.domain].call(event=event, request=request), within)


async def call(channel: grpc.aio.Channel, domain: str, message: Message, within: float = 30) -> Any:
    route = ROUTES[domain]
    unary = channel.unary_unary(
        route.method,
        request_serializer=route.call.SerializeToString,
        response_deserializer=route.reply.FromString,
    )
    return await unary(message, timeout=within)


async def settled(stack: Local, within: float = PATIENCE) -> dict[str, Any]:
    """`tidemill status --json` by domain, once nothing is pending; what it says then."""
    deadline = time.monotonic() + within
    while True:
        found = (await asyncio.to_thread(stack.status))["domains"]
        moving = {name: row for name, row in found.items() if row["pending"] or row["lag"]}
        if not moving or time.monotonic() > deadline:
            assert not moving, f"not at rest after {within:.0f} s: {moving}"
            return dict(found)
        await asyncio.sleep(0.5)
