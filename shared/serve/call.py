"""One gRPC call's event, on its way in and out."""

import time
import uuid
from datetime import UTC, datetime
from typing import Any

from google.protobuf.message import Message

from protos import event_pb2
from shared.domain import Domain
from shared.errors import Reject, Reused
from shared.event import MAX_NAME_BYTES, MAX_PAYLOAD_BYTES, PROTOBUF, Arrival, Headers, Key, check_explain, check_name
from shared.settlement.conclusion import dead_letter
from shared.store.outcome import Outcome, Settled
from shared.topic import cloudevents


def arrive(domain: Domain, call: Any, caller: str, deadline: float, trace: Headers, run: str) -> Arrival:
    """A `<Domain>Call` as an arrival. An event without an id gets one, which orders by time; without a source, the domain's topic.

    Args:
        run: the server's, by which `tidemill status` finds what a killed one had stored.

    Raises:
        Reject: the event cannot be named so: there is no key to store an outcome under. Or an explanation is asked for that there is none
            of: refused before anything is stored, for the event's outcome would lack it for ever.
    """
    event, request = call.event, call.request
    caller = event.caller or caller or "anonymous"
    for field in ("source", "id", "subject"):
        check_name(f"event.{field}", getattr(event, field))
    check_name("event.caller", caller)
    explain = getattr(call, "explain", "")
    check_explain(explain, domain.explains)
    moment = _time(event) if event.HasField("time") else None
    key = Key(domain.name, event.source or domain.requests, event.id or new_id())
    subject = event.subject or _order(domain, request)
    payload = request.SerializeToString()
    headers = cloudevents.headers(
        key.source,
        key.id,
        request.DESCRIPTOR.full_name,
        PROTOBUF,
        subject=subject,
        time=moment,
        caller=caller,
        explain=explain,
    )
    return Arrival(
        key=key,
        payload=payload,
        content_type=PROTOBUF,
        door="grpc",
        place=f"grpc:{run}/{uuid.uuid4().hex}",
        arrived_at=datetime.now(UTC),
        caller=caller,
        subject=event.subject,
        explain=explain,
        time=moment,
        headers=(*headers, *trace),
        record_key=subject.encode() or None,
        message=request if len(payload) <= MAX_PAYLOAD_BYTES else None,
        deadline=deadline,
    )


def _order(domain: Domain, request: Message) -> str:
    """What keeps the event's order. Nothing where it is too long for a name: its dead letter needs the room for the payload itself."""
    order = domain.order(request)
    return order if len(order.encode()) <= MAX_NAME_BYTES else ""


def new_id() -> str:
    """A UUID of version 7: the time in milliseconds, then random bits."""
    value = (time.time_ns() // 1_000_000) << 80 | uuid.uuid4().int & ((1 << 80) - 1)
    value = value & ~(0xF << 76) | 0x7 << 76
    return str(uuid.UUID(int=value & ~(0x3 << 62) | 0x2 << 62))


def _time(event: event_pb2.Event) -> datetime:
    try:
        return event.time.ToDatetime(UTC)
    except (ValueError, OverflowError) as error:
        raise Reject("EVENT_TIME_INVALID", "event.time must lie in the years 1 to 9999", "event.time") from error


def reply(domain: Domain, arrival: Arrival, settled: Settled) -> Message:
    """The `<Domain>Reply` of a settled call. Who reuses an id is told so, and nothing of the first event."""
    if settled.reused:
        return refused(domain, arrival, Reused(arrival.key.source, arrival.key.id))
    return stored(domain, settled.outcome, settled.known)


def stored(domain: Domain, outcome: Outcome, known: bool) -> Message:
    made: Any = domain.reply(known=known)
    if outcome.kind == "result":
        made.result.ParseFromString(outcome.body)
        made.event.CopyFrom(made.result.answer.event)
    else:
        made.dead_letter.ParseFromString(outcome.body)
        made.event.CopyFrom(made.dead_letter.event)
    return made  # type: ignore[no-any-return]


def refused(domain: Domain, arrival: Arrival, why: Reject) -> Message:
    letter = dead_letter(arrival, why)
    return domain.reply(event=letter.event, dead_letter=letter)


def unnamed(domain: Domain, call: Any, why: Reject) -> Message:
    """The reply to an event that cannot be named, in a batch or stream: nothing is stored of it."""
    letter = event_pb2.DeadLetter(reason=why.reason, detail=why.detail, field=why.field, attempts=1)
    letter.failed_at.FromDatetime(datetime.now(UTC))
    letter.event.source, letter.event.id = call.event.source[:256], call.event.id[:256]
    return domain.reply(event=letter.event, dead_letter=letter)
