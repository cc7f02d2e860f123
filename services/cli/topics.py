"""The topics of the local stack. Elsewhere the operator makes them, with the same names and retention."""

from collections.abc import Iterable
from dataclasses import dataclass

from kafka.admin import KafkaAdminClient
from kafka.errors import TopicAlreadyExistsError

from services.cli.broker import administer
from services.cli.contract import contracts
from shared.settings import Settings

_HOUR = 3_600_000  # ms
_MAX_RECORD_BYTES = 18 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Topic:
    name: str
    hours: int  # of retention: people's words do not stay on the log for ever


def topics() -> list[Topic]:
    """Three for each domain, and three for feedback."""
    found = []
    for contract in contracts().values():
        found += [Topic(contract.requests, 72), Topic(contract.results, 168), Topic(contract.dead_letters, 336)]
    return [*found, Topic("feedback.v1", 72), Topic("feedback.results.v1", 168), Topic("feedback.dead-letters.v1", 336)]


def provision(settings: Settings, wanted: Iterable[Topic]) -> list[str]:
    """Makes the topics that are missing, waits until they have leaders, and returns their names. An existing one is left as it is.

    Raises:
        Absent: the cluster does not answer, or cannot just now.
        Problem: it refused.
    """
    with administer(settings.kafka) as client:
        return _create(client, settings, list(wanted))


def _create(client: KafkaAdminClient, settings: Settings, wanted: list[Topic]) -> list[str]:
    there = {topic["name"] for topic in client.describe_topics()}
    missing = {
        topic.name: {
            "num_partitions": settings.partitions,
            "replication_factor": settings.replication,
            "configs": {
                "retention.ms": topic.hours * _HOUR,
                "max.message.bytes": _MAX_RECORD_BYTES,
                "min.insync.replicas": max(1, settings.replication - 1),  # else acks=all could mean one copy
            },
        }
        for topic in wanted
        if topic.name not in there
    }
    if missing:
        try:
            client.create_topics(missing)
        except TopicAlreadyExistsError:
            return _create(client, settings, wanted)  # somebody else made one meanwhile
        client.wait_for_topics(list(missing))
    return list(missing)
