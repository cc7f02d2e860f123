"""A test's own corner of the real servers, and worker and server processes on it."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import asyncpg
import grpc
from aiokafka import AIOKafkaProducer
from grpc_health.v1 import health_pb2, health_pb2_grpc
from kafka import KafkaConsumer, TopicPartition
from kafka.admin import KafkaAdminClient

from protos import intent_pb2
from shared.settings import Settings

ROOT = Path(__file__).resolve().parents[1]
PATIENCE = 90.0  # seconds: the machine may be busy


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(true: Callable[[], Any], what: str, within: float = PATIENCE) -> Any:
    """The first truthy answer of `true`; fails saying what did not come true."""
    until = time.monotonic() + within
    while time.monotonic() < until:
        if found := true():
            return found
        time.sleep(0.1)
    raise AssertionError(f"not within {within:.0f} s: {what}")


@dataclass
class Process:
    """A running `python -m tests.echo <role>`."""

    role: str
    listen: str
    log: Path
    environment: dict[str, str]
    popen: subprocess.Popen[bytes] = field(init=False)

    def __post_init__(self) -> None:
        self.start()

    def start(self) -> None:
        with self.log.open("ab") as out:
            self.popen = subprocess.Popen(
                [sys.executable, "-m", "tests.echo", self.role], cwd=ROOT, env=self.environment, stdout=out, stderr=out
            )

    def kill(self) -> None:
        self.popen.kill()
        self.popen.wait()

    def terminate(self, within: float = PATIENCE) -> int:
        self.popen.send_signal(signal.SIGTERM)
        return self.popen.wait(within)

    def serving(self) -> bool:
        with grpc.insecure_channel(self.listen) as channel:
            try:
                answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=2)
            except grpc.RpcError:
                return False
            return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

    def await_serving(self) -> "Process":
        wait_until(lambda: self.popen.poll() is not None or self.serving(), f"{self.role} is SERVING ({self.log})")
        assert self.popen.returncode is None, f"{self.role} has ended with {self.popen.returncode}:\n{self.said()}"
        return self

    def said(self) -> str:
        return self.log.read_text() if self.log.exists() else ""


@dataclass
class Stack:
    """A domain name of this test's own, its topics, database and Redis."""

    settings: Settings
    folder: Path
    name: str = field(default_factory=lambda: f"t{uuid.uuid4().hex[:8]}")

    @property
    def requests(self) -> str:
        return f"{self.name}.requests.v1"

    @contextmanager
    def run(self, role: str, instance: str = "local-0", **environment: str) -> Iterator[Process]:
        """A process of the domain, ended with the block."""
        listen = f"127.0.0.1:{free_port()}"
        ours = {
            "ECHO_NAME": self.name,
            "TIDEMILL_KAFKA": self.settings.kafka,
            "TIDEMILL_POSTGRES": self.settings.postgres,
            "TIDEMILL_REDIS": self.settings.redis,
            "TIDEMILL_LISTEN": listen,
            "TIDEMILL_INSTANCE": instance,
            "TIDEMILL_DATA": str(self.folder),
        }
        log = self.folder / f"{role}-{instance}.log"
        process = Process(role, listen, log, {**os.environ, **ours, **environment})
        try:
            yield process
        finally:
            process.popen.kill()
            process.popen.wait()

    def send(
        self,
        records: Sequence[tuple[bytes | None, bytes | None, Sequence[tuple[str, bytes | None]]]],
        transaction: Literal["commit", "abort"] | None = None,
    ) -> list[int]:
        """Puts (key, value, headers) on the request topic, in a transaction that ends so if asked for; returns their offsets."""

        async def send() -> list[int]:
            name = uuid.uuid4().hex if transaction else None
            producer = AIOKafkaProducer(bootstrap_servers=self.settings.kafka, transactional_id=name)
            await producer.start()
            try:
                if transaction:
                    await producer.begin_transaction()
                sent = [await producer.send(self.requests, value, key, headers=list(h)) for key, value, h in records]
                offsets = [(await delivery).offset for delivery in sent]
                if transaction:
                    await (producer.commit_transaction() if transaction == "commit" else producer.abort_transaction())
                return offsets
            finally:
                await producer.stop()

        return asyncio.run(send())

    def rows(self, query: str, *values: Any) -> list[Any]:
        """What Postgres says; `$1` is the domain's name."""

        async def ask() -> list[Any]:
            connection = await asyncpg.connect(self.settings.postgres)
            try:
                return list(await connection.fetch(query, self.name, *values))
            finally:
                await connection.close()

        return asyncio.run(ask())

    def places(self) -> set[str]:
        """Of every stored outcome and repeat: which arrivals have been dealt with."""
        query = "SELECT place FROM outcomes WHERE domain = $1 UNION ALL SELECT place FROM repeats WHERE domain = $1"
        return {row["place"] for row in self.rows(query)}

    def count(self) -> int:
        return int(self.rows("SELECT count(*) FROM outcomes WHERE domain = $1")[0][0])

    def committed(self) -> dict[int, int]:
        """The group's committed offset in each partition of the request topic."""
        client = KafkaAdminClient(bootstrap_servers=self.settings.kafka)
        try:
            offsets = client.list_group_offsets([self.name])[self.name]
            return {tp.partition: found.offset for tp, found in offsets.items() if tp.topic == self.requests}
        finally:
            client.close()

    def unfinished_but_committed(self) -> list[str]:
        """Arrivals below a committed offset of which nothing is stored: they would be lost."""
        committed, dealt_with = self.committed(), self.places()
        below = (f"{self.requests}:{p}:{offset}" for p, end in committed.items() for offset in range(end))
        return [place for place in below if place not in dealt_with]

    def read(self, kind: str, at_least: int = 0, within: float = PATIENCE) -> list[Any]:
        """What is on the domain's topic of this kind ("results", "dead-letters"), to its end, once there are `at_least` records."""
        topic = f"{self.name}.{kind}.v1"
        consumer = KafkaConsumer(bootstrap_servers=self.settings.kafka, auto_offset_reset="earliest")
        try:
            partitions = [TopicPartition(topic, p) for p in consumer.partitions_for_topic(topic)]
            consumer.assign(partitions)
            consumer.seek_to_beginning()
            found: list[Any] = []
            until = time.monotonic() + within
            while time.monotonic() < until:
                for records in consumer.poll(timeout_ms=200).values():
                    found += records
                ends = consumer.end_offsets(partitions)
                if len(found) >= at_least and all(consumer.position(tp) >= ends[tp] for tp in partitions):
                    break
            assert len(found) >= at_least, f"{len(found)} of {at_least} records on {topic}"
            return found
        finally:
            consumer.close()


def request(text: str, conversation: str = "") -> bytes:
    return intent_pb2.IntentRequest(text=text, conversation=conversation).SerializeToString()


def headers(
    id: str | None,  # noqa: A002 - CloudEvents' own name
    source: str = "shop",
    content_type: str = "application/protobuf",
    **more: bytes,
) -> list[tuple[str, bytes]]:
    made = [("ce_source", source.encode()), ("content-type", content_type.encode())]
    if id is not None:
        made.append(("ce_id", id.encode()))
    return made + [(name.replace("__", "-"), value) for name, value in more.items()]
