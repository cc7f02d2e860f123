"""A domain of each test's own on the real servers, and its gRPC server as a process."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.settings import Settings
from tests.conftest import Kafka
from tests.serving.client import Client
from tests.stack import Process, Stack


@pytest.fixture
def stack(kafka: Kafka, postgres: str, redis: str, tmp_path: Path) -> Stack:
    made = Stack(Settings(kafka=kafka.bootstrap, postgres=postgres, redis=redis), tmp_path)
    kafka.create(*(f"{made.name}.{kind}.v1" for kind in ("requests", "results", "dead-letters")), partitions=2)
    return made


@pytest.fixture
def server(stack: Stack) -> Iterator[Process]:
    with stack.run("serve") as process:
        yield process.await_serving()


@pytest.fixture
def client(stack: Stack, server: Process) -> Iterator[Client]:
    made = Client(stack, server)
    yield made
    made.channel.close()
