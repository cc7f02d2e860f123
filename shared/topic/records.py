"""What is published of a settled event: its result, or its dead letter with the original bytes."""

from datetime import UTC, datetime
from typing import NamedTuple

from google.protobuf import json_format

from protos import event_pb2
from shared.domain import Domain
from shared.errors import Reused
from shared.event import JSON, MAX_NAME_BYTES, PROTOBUF, Headers
from shared.store.outcome import Settled
from shared.topic import cloudevents

_STREAMS = "__streams.errors."  # Kafka 4.2's own names
_DLQ = "dlq."
OMITTED = "tidemill.omitted"  # the header that says what is not in a record, and why
_NAMED = ("ce_specversion", "ce_id", "ce_source", "ce_type", "ce_eventsource", "ce_eventid", f"{_DLQ}reason")


class Record(NamedTuple):
    topic: str
    key: bytes | None
    value: bytes
    headers: list[tuple[str, bytes]]


def as_it_is(record: Record) -> Record:
    return record


def without_value(record: Record) -> Record:
    """What is published of a record that is larger than its topic takes: everything but the value, and a word why."""
    why = f"the value of {len(record.value):,} bytes is larger than topic {record.topic} takes; the outcome is stored"
    return record._replace(value=b"", headers=[*record.headers, (OMITTED, why.encode())])


def named_only(record: Record) -> Record:
    """What is published of a record whose headers or key alone are too large: the event's name, the reason, and a word why."""
    names = dict(record.headers)
    kept = [(name, names[name]) for name in _NAMED if len(names.get(name) or b"") in range(1, MAX_NAME_BYTES + 1)]
    why = f"the headers or the key are larger than topic {record.topic} takes; the outcome is stored"
    return Record(record.topic, None, b"", [*kept, (OMITTED, why.encode())])


def record(domain: Domain, settled: Settled) -> Record:
    """The record to publish. The same event always gives the same `ce_id`, so that a consumer can drop repeats."""
    if settled.reused:
        why = Reused(settled.outcome.key.source, settled.outcome.key.id)
        now = datetime.now(UTC)
        return _dead_letter(domain, settled, why.reason, why.detail, 1, now)
    if settled.outcome.kind == "dead_letter":
        letter = event_pb2.DeadLetter.FromString(settled.outcome.body)
        failed_at = letter.failed_at.ToDatetime(UTC)
        return _dead_letter(domain, settled, letter.reason, letter.detail, letter.attempts, failed_at)
    return _result(domain, settled)


def _result(domain: Domain, settled: Settled) -> Record:
    outcome = settled.outcome
    asked = _content_type(settled.headers)
    value = outcome.body
    if asked == JSON:
        value = json_format.MessageToJson(domain.result.FromString(outcome.body), indent=None).encode()
    headers = cloudevents.headers(
        f"tidemill/{domain.name}",
        outcome.key.prediction_id,
        domain.result.DESCRIPTOR.full_name,
        JSON if asked == JSON else PROTOBUF,
        subject=outcome.subject,
        time=outcome.event_time,
    )
    headers += [  # which event this answers, readable without the payload
        ("ce_eventsource", outcome.key.source.encode()),
        ("ce_eventid", outcome.key.id.encode()),
        *((name, value) for name, value in settled.headers if name in ("traceparent", "tracestate")),
    ]
    return Record(domain.results, _key(settled), value, headers)


def _dead_letter(
    domain: Domain, settled: Settled, reason: str, detail: str, attempts: int, failed_at: datetime
) -> Record:
    headers = [(name, value) for name, value in settled.headers if not name.startswith((_STREAMS, _DLQ))]
    added = {
        f"{_STREAMS}exception": reason,
        f"{_STREAMS}message": detail,
        f"{_DLQ}reason": reason,
        f"{_DLQ}attempts": str(attempts),
        f"{_DLQ}first_failed_at": failed_at.isoformat(),
        f"{_DLQ}consumer.group": domain.name,
    }
    parts = settled.place.rsplit(":", 2)
    if len(parts) == 3:  # a Kafka record's place
        added |= dict(zip((f"{_STREAMS}topic", f"{_STREAMS}partition", f"{_STREAMS}offset"), parts, strict=True))
    headers += [(name, text.encode()) for name, text in added.items()]
    return Record(domain.dead_letters, _key(settled), settled.payload, headers)


def _key(settled: Settled) -> bytes | None:
    if settled.record_key is not None or settled.reused:  # who reuses an id learns nothing of the first one's subject
        return settled.record_key
    return settled.outcome.subject.encode() or None


def _content_type(headers: Headers) -> str:
    value = dict(headers).get("content-type") or b""
    return value.decode("ascii", "replace").partition(";")[0].strip().lower()
