"""Reads what a stack kept: rows from Postgres, records from its topics."""

import asyncio
from typing import Any

import asyncpg
from kafka import KafkaConsumer, TopicPartition

from bench.check import Published, Stored
from shared.event import Key

_ROWS = "SELECT domain, source, id, kind, reason, digest, body FROM outcomes WHERE source = $1"
_TWICE_APPLIED = """
SELECT comment, count(*) AS times FROM judgements WHERE comment = ANY($1) GROUP BY comment
"""
_UNPUBLISHED = "SELECT count(*) FROM outbox"
_INCIDENTS = "SELECT domain, source, id, count(*) AS times FROM incidents WHERE source = $1 GROUP BY domain, source, id"


async def stored(postgres: str, source: str) -> list[Stored]:
    rows = await query(postgres, _ROWS, source)
    return [Stored(Key(*row[:3]), row[3], row[4], row[5], row[6]) for row in rows]


async def judged(postgres: str, comments: list[str]) -> dict[str, int]:
    """How many judgements are stored for each feedback event, which names itself in its comment."""
    return {row["comment"]: row["times"] for row in await query(postgres, _TWICE_APPLIED, comments)}


async def incidents(postgres: str, source: str) -> dict[Key, int]:
    """Arrivals refused because their id belonged to another payload, by event."""
    return {Key(*row[:3]): row["times"] for row in await query(postgres, _INCIDENTS, source)}


async def unpublished(postgres: str) -> int:
    """Outcomes of calls that are not yet on their topic."""
    return int((await query(postgres, _UNPUBLISHED))[0][0])


async def query(postgres: str, statement: str, *values: object) -> list[Any]:
    connection = await asyncpg.connect(postgres, timeout=20)
    try:
        return list(await connection.fetch(statement, *values, timeout=120))
    finally:
        await connection.close()


async def published(kafka: str, domains: list[str], source: str) -> list[Published]:
    """Every record of the domains' results and dead-letter topics that is about an event of `source`."""
    return await asyncio.to_thread(_published, kafka, domains, source)


def _published(kafka: str, domains: list[str], source: str) -> list[Published]:
    topics = [f"{domain}.{kind}.v1" for domain in domains for kind in ("results", "dead-letters")]
    consumer = KafkaConsumer(bootstrap_servers=kafka, enable_auto_commit=False, auto_offset_reset="earliest")
    try:
        places = [TopicPartition(topic, number) for topic in topics for number in consumer.partitions_for_topic(topic)]
        consumer.assign(places)
        consumer.seek_to_beginning()
        ends = consumer.end_offsets(places)
        found: list[Published] = []
        while any(consumer.position(place) < ends[place] for place in places):
            for records in consumer.poll(timeout_ms=500).values():
                found += [each for record in records if (each := _read(record, source)) is not None]
        return found
    finally:
        consumer.close()


def _read(record: Any, source: str) -> Published | None:
    headers = {name: value.decode("utf-8", "replace") for name, value in record.headers}
    domain, kind, _ = record.topic.split(".")
    result = kind == "results"
    named = ("ce_eventsource", "ce_eventid") if result else ("ce_source", "ce_id")
    if headers.get(named[0]) != source:
        return None
    return Published(
        Key(domain, source, headers[named[1]]),
        "result" if result else "dead_letter",
        headers.get("dlq.reason", ""),
        record.value or b"",
        json=headers.get("content-type", "").startswith("application/json"),
    )
