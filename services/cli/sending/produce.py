"""Puts events on their topic and waits until the broker has acknowledged each of them."""

import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from kafka import KafkaProducer
from kafka.errors import KafkaError

from services.cli import broker
from services.cli.problem import Problem
from services.cli.sending.draft import Record
from shared.event import Key

_MAX_RECORD_BYTES = 18 * 1024 * 1024
_ACKNOWLEDGED_WITHIN_MS = 30_000


@dataclass(slots=True)
class Sent:
    """What became of a sending: which event lies where, and why others were not taken."""

    places: dict[str, Key] = field(default_factory=dict)  # topic:partition:offset -> the event that lies there
    failures: Counter[str] = field(default_factory=Counter)
    sent: int = 0
    seconds: float = 0.0

    @property
    def acknowledged(self) -> int:
        return len(self.places)


def produce(
    kafka: str,
    records: Iterable[Record],
    rate: float = 0,
    told: Callable[[Sent], None] = lambda sent: None,
    patience: float = 15,
) -> Sent:
    """Sends every record (acks=all, idempotent: a retry inside the producer makes no second copy) and awaits all acknowledgements.

    Args:
        rate: events a second at most; 0: as fast as the broker takes them.
        told: called after each record, for a progress bar.
        patience: seconds within which a broker must answer and know the topic.

    Raises:
        Problem: no broker answers, or there is no such topic.
    """
    sent, start = Sent(), time.monotonic()
    with _open(kafka, patience) as producer:
        try:
            for record in records:
                if rate:
                    time.sleep(max(0.0, start + sent.sent / rate - time.monotonic()))
                _send(producer, record, sent)
                told(sent)
        finally:  # also when the person interrupts or a line cannot be read: what was sent is waited for and counted
            _flush(producer, sent)
            sent.seconds = time.monotonic() - start
            told(sent)
    return sent


def _open(kafka: str, patience: float) -> KafkaProducer:
    broker.check(kafka)
    try:
        return KafkaProducer(
            bootstrap_servers=kafka,
            acks="all",
            linger_ms=5,
            max_request_size=_MAX_RECORD_BYTES,
            max_block_ms=int(patience * 1000),
            bootstrap_timeout_ms=int(patience * 1000),
            allow_auto_create_topics=False,
            delivery_timeout_ms=_ACKNOWLEDGED_WITHIN_MS,
            request_timeout_ms=10_000,
        )
    except KafkaError as error:
        raise Problem(f"the Kafka broker at {kafka} does not serve: {error}; see `tidemill status`") from error


def _send(producer: KafkaProducer, record: Record, sent: Sent) -> None:
    sent.sent += 1
    try:
        future = producer.send(record.topic, record.value, key=record.key, headers=record.headers)
    except KafkaError as error:
        sent.failures[_say(error, record.topic)] += 1
        if sent.sent == 1:
            raise Problem(f"not one event was taken: {_say(error, record.topic)}") from error
        return

    def taken(place: object) -> None:
        sent.places[f"{record.topic}:{place.partition}:{place.offset}"] = record.event  # type: ignore[attr-defined]

    def refused(error: BaseException) -> None:
        sent.failures[_say(error, record.topic)] += 1

    future.add_callback(taken)
    future.add_errback(refused)


def _flush(producer: KafkaProducer, sent: Sent) -> None:
    try:
        producer.flush(timeout=_ACKNOWLEDGED_WITHIN_MS / 1000)
    except KafkaError as error:
        missing = sent.sent - sent.acknowledged - sent.failures.total()
        sent.failures[f"not acknowledged within {_ACKNOWLEDGED_WITHIN_MS // 1000} s ({error})"] += missing


def _say(error: BaseException, topic: str) -> str:
    return f"{topic}: {type(error).__name__}: {' '.join(str(error).split())[:200]}"
