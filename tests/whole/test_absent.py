"""Processes that start before what they need: each waits, says for what, and goes on when it is there."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import grpc
from aiokafka import AIOKafkaProducer

from bench import prior
from bench.local import ROOT
from protos import event_pb2, intent_pb2
from services.cli import health, topics
from services.cli.local import kafka, port, valkey
from services.cli.local import postgres as postgres_server
from shared.event import PROTOBUF
from shared.settings import Settings
from shared.topic import cloudevents
from tests.conftest import migrated, running
from tests.whole.sending import PATIENCE, call

REQUEST = intent_pb2.IntentRequest(text="Where is my parcel?", language="en")


@dataclass
class Process:
    """One process of ours, alone in the world."""

    popen: subprocess.Popen[bytes]
    address: str
    log: Path

    def says(self, *words: str) -> bool:
        """Whether a line of its log holds all of these; fails if the process has ended."""
        assert self.popen.poll() is None, f"it ended with {self.popen.returncode}:\n{self.log.read_text()}"
        return any(all(word in line.lower() for word in words) for line in self.log.read_text().splitlines())


@contextmanager
def process(folder: Path, environment: dict[str, str], name: str, role: str) -> Iterator[Process]:
    address, log = f"127.0.0.1:{port.free()}", folder / f"{name}-{role}.log"
    ours = {"TIDEMILL_LISTEN": address, "TIDEMILL_DATA": str(folder / f"{name}-{role}"), **environment}
    with log.open("wb") as out:
        command = [sys.executable, "-m", f"services.{name}", role]
        popen = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **ours}, stdout=out, stderr=out)
    try:
        yield Process(popen, ours["TIDEMILL_LISTEN"], log)
    finally:
        popen.kill()
        popen.wait()


def wait(true: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline, f"not within {PATIENCE:.0f} s: {what}"
        time.sleep(0.1)


def test_each_dependency_is_waited_for_by_name(tmp_path: Path) -> None:
    """Postgres, Redis, Kafka and inference come up one after another, after those that need them, who then do what was asked meanwhile."""
    servers = [
        postgres_server.prepare(tmp_path / "postgres"),
        valkey.prepare(tmp_path / "valkey"),
        kafka.prepare(tmp_path / "kafka"),
    ]
    addresses = dict(zip(("POSTGRES", "REDIS", "KAFKA"), (part.address for part in servers), strict=True))
    inference = f"127.0.0.1:{port.free()}"
    environment = {f"TIDEMILL_{name}": value for name, value in addresses.items()}
    environment |= {"TIDEMILL_INFERENCE": inference, "TIDEMILL_MODELS": str(tmp_path / "models")}
    settings = Settings(
        kafka=addresses["KAFKA"], postgres=addresses["POSTGRES"], redis=addresses["REDIS"], models=tmp_path / "models"
    )
    with ExitStack() as held:
        ours = [held.enter_context(process(tmp_path, environment, "intent", role)) for role in ("stream", "serve")]
        for name, part in zip(("postgres", "redis", "kafka"), servers, strict=True):
            for each in ours:
                wait(lambda each=each, name=name: each.says("waiting", name), f"{each.log.stem} waits for {name}")  # type: ignore[misc]
                assert health.probe(each.address), "it must not serve yet"
            held.enter_context(running(part, tmp_path))
            if name == "postgres":
                migrated(part.address)
            if name == "kafka":
                topics.provision(settings, topics.topics())
        for each in ours:
            wait(lambda each=each: not health.probe(each.address), f"{each.log.stem} serves")  # type: ignore[misc]
        asyncio.run(send(settings.kafka))
        code, said = asyncio.run(try_to_ask(ours[1].address))
        assert code is grpc.StatusCode.UNAVAILABLE or code is grpc.StatusCode.DEADLINE_EXCEEDED
        assert "inference" in said
        wait(lambda: ours[0].says("inference"), "the stream says that it waits for inference")
        prior.promote(settings, "intent", "prior-1")
        held.enter_context(process(tmp_path, {**environment, "TIDEMILL_LISTEN": inference}, "inference", "serve"))
        wait(lambda: asyncio.run(stored(settings.postgres)) == 1, "the waiting event has its outcome")


async def send(bootstrap: str) -> None:
    headers = cloudevents.headers("test", "early", "test", PROTOBUF)
    async with AIOKafkaProducer(bootstrap_servers=bootstrap) as producer:
        await producer.send_and_wait("intent.requests.v1", REQUEST.SerializeToString(), headers=headers)


async def try_to_ask(address: str) -> tuple[grpc.StatusCode, str]:
    async with grpc.aio.insecure_channel(address) as channel:
        message = intent_pb2.IntentCall(event=event_pb2.Event(source="test", id="called"), request=REQUEST)
        try:
            await call(channel, "intent", message, within=3)
        except grpc.aio.AioRpcError as error:
            return error.code(), error.details() or ""
    raise AssertionError("answered without inference")


async def stored(url: str) -> int:
    connection = await asyncpg.connect(url)
    try:
        count: int = await connection.fetchval("SELECT count(*) FROM outcomes WHERE id = 'early' AND kind = 'result'")
    finally:
        await connection.close()
    return count
