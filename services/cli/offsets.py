"""How much was written to the request topics, and how much of it the workers have committed."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kafka.admin import KafkaAdminClient, OffsetSpec
from kafka.errors import KafkaError
from kafka.structs import TopicPartition

from services.cli.broker import administer

_PATIENCE = 20.0  # s


@dataclass(frozen=True, slots=True)
class Offsets:
    """Places in the log: of a producer that writes in transactions the markers, and what it aborted, count as well."""

    written: int  # records, ever: retention does not lower it
    lag: int  # of them, not committed by the topic's consumer group


def read(kafka: str, topics: Mapping[str, str]) -> dict[str, Offsets]:
    """The offsets of each topic, by the consumer group that owns it; zeros for a topic that does not exist.

    Raises:
        Problem: the broker does not answer.
    """
    with administer(kafka) as client:
        return _read(client, topics)


def _read(client: KafkaAdminClient, topics: Mapping[str, str]) -> dict[str, Offsets]:
    there = {topic["name"]: topic["partitions"] for topic in client.describe_topics()}
    places = {
        group: [TopicPartition(topic, partition["partition_index"]) for partition in there.get(topic, ())]
        for group, topic in topics.items()
    }
    groups = {group: partitions for group, partitions in places.items() if partitions}
    committed = _committed(client, groups) if groups else {}  # before the ends: a lag is never below 0
    everywhere = {place: OffsetSpec.LATEST for partitions in groups.values() for place in partitions}
    ends = client.list_partition_offsets(everywhere) if everywhere else {}
    found = {}
    for group, partitions in places.items():
        written = {place: ends[place].offset for place in partitions}
        done = {place: row.offset for place, row in committed.get(group, {}).items()}
        lag = sum(end - max(0, done.get(place, 0)) for place, end in written.items())
        found[group] = Offsets(sum(written.values()), lag)
    return found


def _committed(client: KafkaAdminClient, groups: dict[str, list[TopicPartition]]) -> dict[str, Any]:
    """A broker that has just started must first find its groups: it is asked again for a while."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            found: dict[str, Any] = client.list_group_offsets(groups)
        except KafkaError as error:
            if not error.retriable or time.monotonic() > deadline:
                raise
            time.sleep(0.2)
        else:
            return found
