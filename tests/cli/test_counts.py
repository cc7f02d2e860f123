"""`tidemill status` counts what came in where it comes in, apart from what became of it."""

import asyncio

import asyncpg
import pytest
from aiokafka import AIOKafkaProducer
from kafka import KafkaProducer
from kafka.admin import KafkaAdminClient
from kafka.structs import OffsetAndMetadata, TopicPartition

from services.cli import counts, offsets, topics
from services.cli.contract import contracts
from services.cli.counts import Counts
from services.cli.problem import Problem
from shared.settings import Settings


@pytest.fixture
def settings(kafka, postgres):
    """A stack's settings, its topics made."""
    made = Settings(kafka=kafka.bootstrap, postgres=postgres, partitions=2)
    topics.provision(made, topics.topics())
    return made


def fill(settings):
    """Four outcomes, a repeat, a refused id; seven calls, of which one was returned."""
    rows = "('intent', 's', $1, decode(repeat('00', 32), 'hex'), $2, '', 'c', '', 'grpc', $1, '', now(), now(), $3)"
    columns = (
        "domain, source, id, digest, kind, body, caller, subject, door, place, trace_id, event_time, arrived_at, reason"
    )

    async def insert():
        connection = await asyncpg.connect(settings.postgres)
        insert = f"INSERT INTO outcomes ({columns}) VALUES {rows}"
        await connection.executemany(insert, [(str(number), "result", None) for number in range(3)])
        await connection.execute(insert, "3", "dead_letter", "TEXT_EMPTY")
        await connection.execute("INSERT INTO repeats (domain, place, source, id) VALUES ('intent', 'p', 's', '1')")
        await connection.execute(
            "INSERT INTO incidents (domain, place, source, id, digest, caller, reason)"
            " VALUES ('intent', 'q', 's', '1', decode(repeat('01', 32), 'hex'), 'c', 'ID_REUSED')"
        )
        await connection.execute(
            "INSERT INTO calls (domain, instance, accepted, settled, returned) VALUES ('intent', 'a', 7, 6, 1)"
        )
        await connection.close()

    asyncio.run(insert())


def test_each_column_is_counted_at_its_own_source(settings):
    """Records and calls are accepted, rows are outcomes, and pending is the difference: 5 + 7 - 3 - 1 - 1 - 1 - 1 = 5."""
    before = counts.count(settings)
    assert before["risk"].results == 0
    with KafkaProducer(bootstrap_servers=settings.kafka) as producer:
        for number in range(5):
            producer.send("intent.requests.v1", b"x", partition=number % 2)
    fill(settings)
    after = counts.count(settings)
    assert after["intent"].accepted_kafka - before["intent"].accepted_kafka == 5
    assert after["intent"].lag - before["intent"].lag == 5
    row = after["intent"]
    stored = (row.accepted_grpc, row.results, row.dead_letters, row.repeats, row.refused, row.returned)
    assert stored == (7, 3, 1, 1, 1, 1)
    assert row.pending - before["intent"].pending == 5
    assert set(after) == {*contracts(), "feedback"}


def call(settings, statements):
    async def run():
        connection = await asyncpg.connect(settings.postgres)
        await connection.execute(statements)
        await connection.close()

    asyncio.run(run())


def note(instance, accepted, settled, returned, age=0):
    return (
        "INSERT INTO calls (domain, instance, accepted, settled, returned, seen_at) VALUES "
        f"('risk', '{instance}', {accepted}, {settled}, {returned}, now() - interval '{age} seconds');"
    )


def store(run, number):
    columns = "domain, source, id, digest, kind, body, caller, subject, door, place, trace_id, event_time, arrived_at"
    return (
        f"INSERT INTO outcomes ({columns}) VALUES ('risk', 's', '{run}-{number}', decode(repeat('00', 32), 'hex'), 'result', '', "
        f"'c', '', 'grpc', 'grpc:{run}/{number}', '', now(), now());"
    )


@pytest.mark.parametrize(
    ("noted", "stored", "accepted", "returned", "pending"),
    [
        ([("a/one", 5, 5, 0)], 5, 5, 0, 0),  # at rest
        ([("a/one", 5, 3, 1)], 3, 5, 1, 1),  # one is in hand
        ([("a/one", 5, 3, 0, 2), ("a/two", 0, 0, 0)], 4, 5, 1, 0),  # killed with one in hand
        ([("a/one", 1, 1, 0, 2), ("a/two", 0, 0, 0)], 4, 4, 0, 0),  # killed before it had counted three
        ([("a/one", 5, 3, 0, 70)], 4, 5, 1, 0),  # gone for good
        ([], 2, 2, 0, 0),  # killed before it had counted anything
        ([("a/one", 5, 5, 0, 2), ("a/two", 0, 0, 0)], 4, 5, 0, 1),  # it said that five were settled: one row is lost
    ],
)
def test_killed_server_leaves_the_books_in_balance(settings, noted, stored, accepted, returned, pending):
    """What a server stored and had not counted is accepted; what ended with it was returned; what is lost shows as pending."""
    call(settings, "".join(note(*each) for each in noted) + "".join(store("one", number) for number in range(stored)))
    row = counts.count(settings)["risk"]
    kafka_before = row.accepted_kafka
    assert (row.accepted_grpc, row.returned, row.pending - kafka_before) == (accepted, returned, pending)


def test_lost_event_shows_as_pending():
    """Accepted does not follow from the outcomes: one that is missing is seen."""
    whole = Counts(10, 0, 9, 1, 0, 0, 0, 0)
    lossy = Counts(10, 0, 8, 1, 0, 0, 0, 0)
    assert (whole.accepted, whole.pending) == (10, 0)
    assert (lossy.accepted, lossy.pending) == (10, 1)


def test_committed_records_are_not_lag(kafka):
    """Lag is what the group has not committed; a topic that does not exist has none."""
    topic = kafka.topic()
    with KafkaProducer(bootstrap_servers=kafka.bootstrap) as producer:
        for _ in range(3):
            producer.send(topic, b"x")
    client = KafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    client.alter_group_offsets(kafka.prefix, {TopicPartition(topic, 0): OffsetAndMetadata(2, "", -1)})
    client.close()
    found = offsets.read(kafka.bootstrap, {kafka.prefix: topic, "nobody": f"{kafka.prefix}.nothing"})
    assert found == {kafka.prefix: offsets.Offsets(3, 1), "nobody": offsets.Offsets(0, 0)}


async def transact(kafka, topic):
    """Two records that count, and one that was thought better of."""
    producer = AIOKafkaProducer(bootstrap_servers=kafka.bootstrap, transactional_id=kafka.prefix)
    await producer.start()
    async with producer.transaction():
        for _ in range(2):
            await producer.send(topic, b"x")
    await producer.begin_transaction()
    await producer.send_and_wait(topic, b"x")
    await producer.abort_transaction()
    await producer.stop()


def test_what_transactions_leave_in_the_log_counts(kafka):
    """Two events, two markers and an aborted record: for such producers the documents say "at most"."""
    topic = kafka.topic()
    asyncio.run(transact(kafka, topic))
    assert offsets.read(kafka.bootstrap, {kafka.prefix: topic}) == {kafka.prefix: offsets.Offsets(5, 5)}


def test_no_model_is_live_in_an_empty_ledger(settings):
    """An empty ledger knows no model."""
    assert asyncio.run(counts.live_models(settings)) == set()


def test_server_that_is_down_is_named(postgres):
    """What does not answer is named with its address and without its password."""
    with pytest.raises(Problem, match=r"postgres at 127\.0\.0\.1:1/x does not answer") as found:
        counts.count(Settings(postgres="postgresql://u:hidden@127.0.0.1:1/x"))
    assert "hidden" not in str(found.value)
    with pytest.raises(Problem, match=r"no Kafka broker answers \(127\.0\.0\.1:1"):
        counts.count(Settings(postgres=postgres, kafka="127.0.0.1:1"))


def test_topics_have_their_retention(settings):
    """Requests stay three days, dead letters two weeks; making them twice makes nothing."""
    assert topics.provision(settings, topics.topics()) == []
    hours = {topic.name: topic.hours for topic in topics.topics()}
    assert (hours["imaging.requests.v1"], hours["imaging.dead-letters.v1"], hours["feedback.v1"]) == (72, 336, 72)
