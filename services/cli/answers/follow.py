"""Reads topics as they grow, without a consumer group: looking changes nothing for anybody."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from services.cli import broker
from services.cli.problem import Problem

_SEEN = 10_000  # ids remembered to drop repeats: topics deliver at least once


class Follower:
    """Stands at the end (or the start) of some topics from the moment that it is made."""

    def __init__(self, kafka: str, topics: Sequence[str], from_start: bool) -> None:
        broker.check(kafka)
        with ExitStack() as opening:
            try:
                self._consumer = KafkaConsumer(
                    bootstrap_servers=kafka.split(","), enable_auto_commit=False, auto_offset_reset="earliest"
                )
                opening.callback(self.close)
                self._assign(topics, from_start)
            except KafkaError as error:
                raise Problem(f"the Kafka broker at {kafka} does not serve: {error}; see `tidemill status`") from error
            opening.pop_all()

    def _assign(self, topics: Sequence[str], from_start: bool) -> None:
        found = {topic: self._consumer.partitions_for_topic(topic) for topic in topics}
        if missing := [topic for topic, partitions in found.items() if not partitions]:
            raise Problem(f"there is no topic {', '.join(missing)}: `tidemill up` makes the topics of every domain")
        places = [TopicPartition(topic, number) for topic, numbers in found.items() for number in numbers or ()]
        self._consumer.assign(places)
        if from_start:
            self._consumer.seek_to_beginning(*places)
        else:
            for place, offset in self._consumer.end_offsets(places).items():
                self._consumer.seek(place, offset)

    def poll(self, within: float = 0.25) -> list[Any]:
        """What has come since the last call, in the order of time; waits up to `within` seconds for the first."""
        batches = self._consumer.poll(timeout_ms=int(within * 1000), max_records=500)
        return sorted((record for batch in batches.values() for record in batch), key=lambda record: record.timestamp)

    def close(self) -> None:
        self._consumer.close(autocommit=False)


def follow(
    follower: Follower, limit: int = 0, idle: float = 0, running: Callable[[], bool] = lambda: True
) -> Iterator[Any]:
    """Records without repeats (same topic, source and id), until `limit` of them (0: no limit) or `idle` seconds without one."""
    seen: dict[tuple[bytes, ...], None] = {}
    count, last = 0, time.monotonic()
    while running() and not (idle and time.monotonic() - last > idle):
        for record in follower.poll():
            last = time.monotonic()
            name = _name(record)
            if name in seen:
                continue
            seen[name] = None
            if len(seen) > _SEEN:
                del seen[next(iter(seen))]
            yield record
            count += 1
            if limit and count >= limit:
                return


def _name(record: Any) -> tuple[bytes, ...]:
    """The same for every delivery of the same outcome. A dead letter is one of its arrival: two of one id may differ in reason."""
    headers = dict(record.headers)
    id_ = headers.get("ce_id") or f"{record.partition}:{record.offset}".encode()
    origin = (headers.get(f"__streams.errors.{part}", b"") for part in ("topic", "partition", "offset"))
    return (record.topic.encode(), headers.get("ce_source", b""), id_, *origin)
