"""What the live feed says of an outcome: one flat line for people, without a word of the request."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message

from protos import event_pb2
from shared.store.outcome import Outcome


def line(outcome: Outcome, result: type[Message]) -> dict[str, Any]:
    """The outcome in few words; a function of the stored row alone, so that a rebuilt feed says the same.

    Returns:
        `time` (its arrival, RFC 3339), `domain`, `source`, `id`, `kind`, `latency` (seconds from arrival to answer), and of a result
        `label`, `confidence`, `decision`, `why`, `version`; of a dead letter `reason`, `why`.
    """
    said: dict[str, Any] = {
        "time": outcome.arrived_at.astimezone(UTC).isoformat(timespec="milliseconds"),
        "domain": outcome.key.domain,
        "source": outcome.key.source,
        "id": outcome.key.id,
        "kind": outcome.kind,
    }
    try:
        return said | (_letter(outcome) if outcome.kind == "dead_letter" else _result(outcome, result))
    except DecodeError:  # of another version
        return said


def _letter(outcome: Outcome) -> dict[str, Any]:
    letter = event_pb2.DeadLetter.FromString(outcome.body)
    return {
        "reason": letter.reason,
        "why": letter.detail,
        "latency": _latency(outcome, letter.failed_at.ToDatetime(UTC)),
    }


def _result(outcome: Outcome, result: type[Message]) -> dict[str, Any]:
    message = result.FromString(outcome.body)
    answer: event_pb2.Answer = message.answer  # type: ignore[attr-defined]
    return {
        **dict(_shown(message)),
        "why": answer.why,
        "version": answer.model.version,
        "latency": _latency(outcome, answer.answered_at.ToDatetime(UTC)),
    }


def _shown(message: Message) -> Iterator[tuple[str, Any]]:
    """Of any domain's result: its first text as `label`, `confidence`, and as `decision` its enum or its "out of scope"."""
    label = ""
    for field, value in message.ListFields():
        if field.name == "language":  # tells of the question, not of the answer
            continue
        if field.type == FieldDescriptor.TYPE_STRING and not label and isinstance(value, str):
            label = value
            yield "label", label
        elif field.type == FieldDescriptor.TYPE_ENUM:
            names: Any = field.enum_type
            known = names.values_by_number.get(value)  # not that of a newer version's row
            yield "decision", known.name if known is not None else str(value)
        elif field.name == "confidence":
            yield "confidence", round(value, 4)
        elif field.name == "out_of_scope":
            yield "decision", "OUT_OF_SCOPE"


def _latency(outcome: Outcome, answered_at: datetime) -> float:
    return round((answered_at - outcome.arrived_at).total_seconds(), 4)
