"""The embedded servers come up, and come back with their data at the same port after kill -9."""

import asyncpg
import redis as redis_client
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from sqlalchemy import inspect
from sqlalchemy.ext.asyncio import create_async_engine

from services.cli import child, topics
from services.cli.local import kafka, postgres, valkey
from services.cli.topics import Topic
from shared.settings import Settings
from shared.store.tables import metadata


def test_kafka_keeps_acknowledged_records_over_kill_9(tmp_path):
    """A record that was acknowledged before kill -9 is there afterwards, at the same address."""
    part, log = kafka.prepare(tmp_path), tmp_path / "log"
    process = child.start(part, log)
    try:
        child.await_ready(part, process, log, within=120)
        topics.provision(Settings(kafka=part.address, partitions=1), [Topic("kept", 1)])
        with KafkaProducer(bootstrap_servers=part.address, max_request_size=2**25) as producer:
            producer.send("kept", b"x" * 2**24, headers=[("ce_id", b"1")]).get(30)
        process.kill()
        process.wait()
        process = child.start(part, log)
        child.await_ready(part, process, log, within=120)
        with KafkaConsumer(
            bootstrap_servers=part.address, auto_offset_reset="earliest", consumer_timeout_ms=30000
        ) as consumer:
            consumer.assign([TopicPartition("kept", 0)])
            assert len(next(consumer).value) == 2**24
    finally:
        child.stop(part, process)


async def test_postgres_keeps_committed_rows_over_kill_9(tmp_path):
    """A committed row survives kill -9, and a second `prepare` finds the same address."""
    part, log = postgres.prepare(tmp_path), tmp_path / "log"
    process = child.start(part, log)
    try:
        child.await_ready(part, process, log)
        connection = await asyncpg.connect(part.address)
        await connection.execute("CREATE TABLE kept AS SELECT 1 AS one")
        connection.terminate()
        child.kill_group(process.pid)
        process.wait()
        assert postgres.prepare(tmp_path).address == part.address
        process = child.start(part, log)
        child.await_ready(part, process, log)
        connection = await asyncpg.connect(part.address)
        assert await connection.fetchval("SELECT one FROM kept") == 1
        await connection.close()
    finally:
        child.stop(part, process)


def test_valkey_wants_its_password(tmp_path):
    """Valkey comes back at the same address after kill -9, and refuses who does not know the password."""
    part, log = valkey.prepare(tmp_path), tmp_path / "log"
    process = child.start(part, log)
    try:
        child.await_ready(part, process, log)
        process.kill()
        process.wait()
        process = child.start(part, log)
        child.await_ready(part, process, log)
        with redis_client.Redis.from_url(part.address) as client:
            assert client.ping()
        with redis_client.Redis.from_url("redis://" + part.address.partition("@")[2]) as stranger:
            try:
                stranger.ping()
                refused = False
            except redis_client.AuthenticationError:
                refused = True
        assert refused
    finally:
        child.stop(part, process)


async def test_postgres_fixture_is_migrated(postgres):
    """The `postgres` fixture has every table of `shared/store/tables.py`."""
    engine = create_async_engine(postgres.replace("://", "+asyncpg://", 1))
    async with engine.connect() as connection:
        names = await connection.run_sync(lambda sync: inspect(sync).get_table_names())
    await engine.dispose()
    assert set(metadata.tables) <= set(names)


def test_redis_fixture_is_empty(redis):
    """The `redis` fixture has nothing in it."""
    with redis_client.Redis.from_url(redis) as client:
        assert client.dbsize() == 0


def test_kafka_fixture_makes_topics_of_its_own(kafka):
    """The `kafka` fixture makes topics that can be written and read."""
    topic = kafka.topic(partitions=2)
    with KafkaProducer(bootstrap_servers=kafka.bootstrap) as producer:
        producer.send(topic, b"hello", partition=1).get(30)
    with KafkaConsumer(
        bootstrap_servers=kafka.bootstrap, auto_offset_reset="earliest", consumer_timeout_ms=30000
    ) as consumer:
        consumer.assign([TopicPartition(topic, 1)])
        assert next(consumer).value == b"hello"
