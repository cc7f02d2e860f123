"""From what a handler made of an event to the row that is stored."""

from dataclasses import replace
from datetime import UTC, datetime

from google.protobuf.message import Message

from protos import event_pb2
from shared.domain import Domain
from shared.errors import Reject
from shared.event import Arrival
from shared.store.outcome import Outcome


def conclude(
    domain: Domain, arrival: Arrival, digest: bytes, request: Message, result: Message, trace_id: str
) -> Outcome:
    """The outcome of an event that has a result; completes the result's `answer`."""
    now = datetime.now(UTC)
    answer: event_pb2.Answer = result.answer  # type: ignore[attr-defined]
    answer.event.CopyFrom(_event(arrival))
    answer.prediction_id = arrival.key.prediction_id
    answer.answered_at.FromDatetime(now)
    answer.trace_id = trace_id
    time = arrival.time or arrival.arrived_at
    return Outcome(
        key=arrival.key,
        digest=digest,
        kind="result",
        body=result.SerializeToString(),
        door=arrival.door,
        place=arrival.place,
        event_time=time,
        arrived_at=arrival.arrived_at,
        model=answer.model.name,
        model_version=answer.model.version or None,
        caller=arrival.caller,
        subject=arrival.subject,
        trace_id=trace_id,
        request=domain.keep(request),
        predictions=tuple(domain.predictions(result)),
        facts=tuple(domain.facts(arrival.key, request, result, time)),
    )


def refuse(
    domain: Domain, arrival: Arrival, digest: bytes, request: Message | None, why: Reject, attempts: int, trace_id: str
) -> Outcome:
    """The outcome of an event that can never succeed. Its request is kept, if it could be read, so that it can be sent again."""
    return Outcome(
        key=arrival.key,
        digest=digest,
        kind="dead_letter",
        body=dead_letter(arrival, why, attempts).SerializeToString(),
        door=arrival.door,
        place=arrival.place,
        event_time=arrival.time or arrival.arrived_at,
        arrived_at=arrival.arrived_at,
        reason=why.reason,
        caller=arrival.caller,
        subject=arrival.subject,
        trace_id=trace_id,
        request=_kept(domain, request),
    )


def _kept(domain: Domain, request: Message | None) -> bytes | None:
    try:
        return domain.keep(request) if request is not None else None
    except Exception:  # a bug in `keep` may be the very reason for this dead letter, which must not fail again
        return None


def dead_letter(arrival: Arrival, why: Reject, attempts: int = 1) -> event_pb2.DeadLetter:
    letter = event_pb2.DeadLetter(
        event=_event(arrival), reason=why.reason, detail=why.detail, field=why.field, attempts=attempts
    )
    letter.failed_at.FromDatetime(datetime.now(UTC))
    return letter


def unstorable(outcome: Outcome, detail: str) -> Outcome:
    """The dead letter instead of an outcome whose rows the store refuses, e.g. because a label holds NUL or a probability is not finite."""
    key = outcome.key
    event = event_pb2.Event(source=key.source, id=key.id, caller=outcome.caller, subject=outcome.subject)
    letter = event_pb2.DeadLetter(
        event=event, reason="HANDLER_FAILED", detail=f"what the handler answered cannot be stored: {detail}", attempts=1
    )
    letter.failed_at.FromDatetime(datetime.now(UTC))
    return replace(
        outcome,
        kind="dead_letter",
        body=letter.SerializeToString(),
        reason=letter.reason,
        model="",
        model_version=None,
        predictions=(),
        facts=(),
    )


def _event(arrival: Arrival) -> event_pb2.Event:
    event = event_pb2.Event(
        source=arrival.key.source, id=arrival.key.id, caller=arrival.caller, subject=arrival.subject
    )
    if arrival.time is not None:
        event.time.FromDatetime(arrival.time)
    return event
