"""A domain of each test's own on the real servers."""

from pathlib import Path

import pytest

from shared.settings import Settings
from tests.conftest import Kafka
from tests.stack import Stack


@pytest.fixture
def stack(kafka: Kafka, postgres: str, redis: str, tmp_path: Path) -> Stack:
    made = Stack(Settings(kafka=kafka.bootstrap, postgres=postgres, redis=redis), tmp_path)
    kafka.create(*(f"{made.name}.{kind}.v1" for kind in ("requests", "results", "dead-letters")), partitions=2)
    return made
