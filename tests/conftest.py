"""Real servers for tests: started when a test first asks for one, stopped when the session ends.

`kafka` → a broker and fresh topics; `postgres` → the DSN of a fresh, migrated database; `redis` → the URL of an empty database.
"""

import asyncio
import gc
import os
import subprocess
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import redis as redis_client
from kafka.admin import KafkaAdminClient

from services.cli import child
from services.cli.local import kafka as kafka_server
from services.cli.local import postgres as postgres_server
from services.cli.local import valkey as valkey_server
from services.cli.part import Part
from shared import patience
from shared.store.migrate import migrate

TEMPLATE = "migrated"


def pytest_collection_finish() -> None:
    """What was imported stays: as in the inference service, no collection looks at it again, which took each of them half a second."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _complaints_start_afresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits says so at most once in ten seconds; a test must not depend on what the one before it waited for."""
    monkeypatch.setattr(patience, "_last_logged", {})


@contextmanager
def running(part: Part, logs: Path) -> Iterator[Part]:
    """The part as a running, ready process."""
    log = logs / f"{part.name}.log"
    process = child.start(part, log)
    try:
        child.await_ready(part, process, log, within=120)
        yield part
    finally:
        child.stop(part, process)


@dataclass(frozen=True)
class Kafka:
    """A running broker, and names that no other test uses."""

    bootstrap: str
    prefix: str = field(default_factory=lambda: f"t{uuid.uuid4().hex[:8]}")

    def topic(self, name: str = "events", partitions: int = 1) -> str:
        """Creates the topic ``<prefix>.<name>`` and returns its full name."""
        full = f"{self.prefix}.{name}"
        self.create(full, partitions=partitions)
        return full

    def create(self, *names: str, partitions: int = 1) -> None:
        """Creates topics of exactly these names; returns once they have leaders."""
        client = KafkaAdminClient(bootstrap_servers=self.bootstrap)
        try:
            client.create_topics({name: {"num_partitions": partitions} for name in names}, wait_for_metadata=True)
        finally:
            client.close()


@pytest.fixture(scope="session")
def kafka_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Bootstrap address of the session's broker."""
    folder = tmp_path_factory.mktemp("kafka")
    with running(kafka_server.prepare(folder), folder) as part:
        yield part.address


@pytest.fixture
def kafka(kafka_address: str) -> Kafka:
    """The session's broker with a prefix of this test's own."""
    return Kafka(kafka_address)


@pytest.fixture(scope="session")
def postgres_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """DSN of the session's server, which holds a migrated template database. No fsync: only the machine's end could lose a row."""
    folder = tmp_path_factory.mktemp("postgres")
    with running(postgres_server.prepare(folder, {"fsync": "off"}), folder) as part:
        database("createdb", part.address, TEMPLATE)
        migrated(part.address.rpartition("/")[0] + f"/{TEMPLATE}")
        yield part.address


@pytest.fixture
def postgres(postgres_url: str) -> Iterator[str]:
    """DSN of a migrated database of this test's own: for `Settings(postgres=...)`."""
    name = f"t{uuid.uuid4().hex[:12]}"
    database("createdb", postgres_url, "-T", TEMPLATE, name)
    yield postgres_url.rpartition("/")[0] + f"/{name}"
    database("dropdb", postgres_url, "--force", name)


def database(program: str, url: str, *arguments: str) -> None:
    """Runs PostgreSQL's own createdb or dropdb against the server of `url`."""
    at = urlsplit(url)
    where = ["-h", str(at.hostname), "-p", str(at.port), "-U", str(at.username)]
    environment = {**os.environ, "PGPASSWORD": str(at.password)}
    subprocess.run([postgres_server.programs() / program, *where, *arguments], check=True, env=environment)


def migrated(url: str) -> None:
    """Brings an empty database to the current schema."""
    with ThreadPoolExecutor(1) as pool:  # apart from the event loop that pytest keeps
        pool.submit(asyncio.run, migrate(url)).result()


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of the session's server."""
    folder = tmp_path_factory.mktemp("valkey")
    with running(valkey_server.prepare(folder), folder) as part:
        yield part.address


@pytest.fixture
def redis(redis_url: str) -> str:
    """URL of a database with nothing in it."""
    with redis_client.Redis.from_url(redis_url) as client:
        client.flushall()
    return redis_url
