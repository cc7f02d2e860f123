"""Puts planned events through the doors until each is accepted, whatever dies meanwhile, and notes what was said."""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Mapping
from typing import Any

import grpc
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from google.protobuf.message import Message

from bench.events import ROUTES, Planned
from bench.history import History
from shared.event import PROTOBUF, Key
from shared.topic import cloudevents

_AGAIN = 0.15  # s between two tries of one event
_SETTLED = {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND, grpc.StatusCode.FAILED_PRECONDITION}
_CHANNEL = [  # a server that was killed is asked again at once, not after gRPC's patience
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 500),
    ("grpc.max_send_message_length", 64 << 20),
]


class Doors:
    """An asynchronous context. `begun` says when an event was first offered, `accepted` when the door took it."""

    def __init__(self, kafka: str, addresses: Mapping[str, str], history: History) -> None:
        self.begun: dict[Key, float] = {}
        self.accepted: dict[Key, float] = {}
        self.planned: dict[Key, Planned] = {}
        self.replies: dict[Key, Message] = {}
        self.clashes: Counter[Key] = Counter()
        self.failed: Counter[str] = Counter()  # tries that had to be repeated, by what was said
        self._kafka = kafka
        self._addresses = addresses
        self._history = history
        self._producer: Any = None
        self._opening = asyncio.Lock()
        self._channels: dict[str, grpc.aio.Channel] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> "Doors":
        self._channels = {
            domain: grpc.aio.insecure_channel(address, _CHANNEL) for domain, address in self._addresses.items()
        }
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        for channel in self._channels.values():
            await channel.close(None)
        if self._producer is not None:
            await self._producer.stop()

    def send(self, planned: Planned) -> None:
        """Begins to offer the event; `rest` waits for what was begun."""
        self.planned[planned.key] = planned
        self.begun[planned.key] = time.time()
        self._history.add("send", event=planned.key.id, domain=planned.key.domain, door=planned.door)
        task = asyncio.create_task(self._offer(planned))
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            raise error

    async def rest(self, within: float) -> bool:
        """Whether everything that was begun has been accepted in time."""
        if not self._tasks:
            return True
        _, pending = await asyncio.wait(set(self._tasks), timeout=within)
        return not pending

    @property
    def waiting(self) -> int:
        """Events offered that no door has yet taken."""
        return len(self._tasks)

    async def _offer(self, planned: Planned) -> None:
        ways = {"kafka": [self._produce], "grpc": [self._call], "both": [self._produce, self._call]}[planned.door]
        await asyncio.gather(*(way(planned) for way in ways))
        self.accepted[planned.key] = time.time()
        self._history.add("accepted", event=planned.key.id, domain=planned.key.domain)

    async def _produce(self, planned: Planned) -> None:
        for _ in range(planned.copies):
            await self._put(planned, planned.payload)
        if planned.clash is not None:
            await self._put(planned, planned.clash.SerializeToString(deterministic=True))
            self.clashes[planned.key] += 1

    async def _put(self, planned: Planned, payload: bytes) -> None:
        key = planned.key
        headers = cloudevents.headers(key.source, key.id, planned.request.DESCRIPTOR.full_name, PROTOBUF)
        while True:
            producer = await self._open()
            try:
                await producer.send_and_wait(ROUTES[key.domain].topic, payload, key.id.encode(), headers=headers)
                return
            except KafkaError as error:  # in doubt: it may have landed. The same id again makes no second outcome
                self.failed[f"kafka: {type(error).__name__}"] += 1
                await self._discard(producer)
                await asyncio.sleep(_AGAIN)

    async def _open(self) -> Any:
        async with self._opening:
            while self._producer is None:
                producer = AIOKafkaProducer(
                    bootstrap_servers=self._kafka, acks="all", enable_idempotence=True, request_timeout_ms=5_000,
                    metadata_max_age_ms=5_000, max_request_size=17 << 20, linger_ms=2,
                )  # fmt: skip
                try:
                    await producer.start()
                    self._producer = producer
                except (KafkaError, OSError) as error:
                    self.failed[f"kafka: {type(error).__name__}"] += 1
                    await producer.stop()
                    await asyncio.sleep(_AGAIN)
            return self._producer

    async def _discard(self, producer: Any) -> None:
        if self._producer is producer:
            self._producer = None
            with contextlib.suppress(KafkaError, OSError, TimeoutError):
                await asyncio.wait_for(producer.stop(), 3)

    async def _call(self, planned: Planned) -> None:
        route = ROUTES[planned.key.domain]
        ask = self._channels[planned.key.domain].unary_unary(
            route.method,
            request_serializer=route.call.SerializeToString,
            response_deserializer=route.reply.FromString,
        )
        while True:
            try:
                self.replies[planned.key] = await ask(planned.call, timeout=20, metadata=())
                return
            except grpc.aio.AioRpcError as error:
                if planned.reason and error.code() in _SETTLED:
                    return
                self.failed[f"grpc: {error.code().name}"] += 1
                await asyncio.sleep(_AGAIN)
