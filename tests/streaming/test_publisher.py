"""Publishing: every delivery is awaited, and one record cannot hold up the others."""

import asyncio
from typing import Any

import pytest
from kafka import KafkaConsumer
from kafka.admin import KafkaAdminClient

from shared.errors import Unavailable
from shared.topic import publisher as publishing
from shared.topic.publisher import Publisher
from shared.topic.records import Record
from tests.conftest import Kafka


def read(kafka: Kafka, topic: str, number: int, part: str = "value") -> list[Any]:
    consumer = KafkaConsumer(topic, bootstrap_servers=kafka.bootstrap, auto_offset_reset="earliest")
    try:
        return [getattr(next(consumer), part) for _ in range(number)]
    finally:
        consumer.close()


async def test_a_record_larger_than_its_topic_takes_goes_without_its_value(kafka: Kafka) -> None:
    """The partition goes on: the outcome is stored, and the record says what was left out."""
    topic = f"{kafka.prefix}.small"
    admin = KafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    admin.create_topics({topic: {"num_partitions": 1, "configs": {"max.message.bytes": 20_000}}})
    admin.close()
    publisher = Publisher(kafka.bootstrap, "test")
    records = [Record(topic, None, value, [("n", b"1")]) for value in (b"a", b"x" * 50_000, b"b")]
    await publisher.publish(records)
    await publisher.stop()
    assert sorted(await asyncio.to_thread(read, kafka, topic, 3)) == [b"", b"a", b"b"]


async def test_headers_and_a_key_larger_than_the_topic_takes_go_without_them(kafka: Kafka) -> None:
    """What is left is the event's name, by which its stored outcome is found."""
    topic = f"{kafka.prefix}.smaller"
    admin = KafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    admin.create_topics({topic: {"num_partitions": 1, "configs": {"max.message.bytes": 20_000}}})
    admin.close()
    publisher = Publisher(kafka.bootstrap, "test")
    named = [("ce_id", b"7"), ("note", b"x" * 30_000)]
    await publisher.publish([Record(topic, b"k" * 30_000, b"a", [("ce_id", b"6")]), Record(topic, b"k", b"b", named)])
    await publisher.stop()
    headers = await asyncio.to_thread(read, kafka, topic, 2, "headers")
    assert sorted(dict(each)["ce_id"] for each in headers) == [b"6", b"7"]
    assert all(dict(each)["tidemill.omitted"].startswith(b"the headers or the key") for each in headers)


async def test_a_missing_topic_is_named(kafka: Kafka, monkeypatch: pytest.MonkeyPatch) -> None:
    """Topics are made by the operator, never by us."""
    monkeypatch.setattr(publishing, "PATIENCE", 1.0)
    publisher = Publisher(kafka.bootstrap, "test")
    try:
        with pytest.raises(Unavailable, match=r"no\.such\.topic"):
            await publisher.find_topics("no.such.topic")
    finally:
        await publisher.stop()


async def test_an_absent_broker_is_unavailable() -> None:
    """Not an error of ours: whoever publishes waits in place."""
    publisher = Publisher("127.0.0.1:1", "test")
    with pytest.raises(Unavailable, match=r"127\.0\.0\.1:1"):
        await publisher.start()
