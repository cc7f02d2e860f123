"""One record of a results or dead-letter topic, read for a person or a program."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from google.protobuf import json_format
from google.protobuf.message import DecodeError, Message

from services.cli.answers.summary import Summary, summarize
from services.cli.contract import Contract
from shared.event import JSON
from shared.topic.records import OMITTED


@dataclass(frozen=True, slots=True)
class Entry:
    """`result` is None for a dead letter, whose reason is then the summary's decision."""

    domain: str
    source: str
    id: str
    time: datetime
    summary: Summary
    place: str  # topic:partition:offset
    result: Message | None = None


def read(record: Any, contract: Contract) -> Entry:
    """A record as kafka-python hands it over."""
    headers = {name: value.decode("utf-8", "replace") for name, value in record.headers}
    place = f"{record.topic}:{record.partition}:{record.offset}"
    time = datetime.fromtimestamp(record.timestamp / 1000, UTC)
    source, id_ = headers.get("ce_source", ""), headers.get("ce_id", "")
    if record.topic == contract.dead_letters:
        why = headers.get("__streams.errors.message", "")
        return Entry(contract.name, source, id_, time, Summary(headers.get("dlq.reason", "UNKNOWN"), None, why), place)
    source, id_ = headers.get("ce_eventsource", source), headers.get("ce_eventid", id_)
    if omitted := headers.get(OMITTED):
        return Entry(contract.name, source, id_, time, Summary("answered", None, omitted), place, contract.result())
    try:
        result = _result(record.value, headers.get("content-type", ""), contract)
    except (DecodeError, json_format.ParseError, UnicodeDecodeError):
        why = f"not a {contract.result.DESCRIPTOR.full_name} of this version"
        return Entry(contract.name, source, id_, time, Summary("UNREADABLE", None, why), place)
    return Entry(contract.name, source, id_, time, summarize(result), place, result)


def _result(value: bytes, content_type: str, contract: Contract) -> Message:
    if content_type.startswith(JSON):
        return json_format.Parse(value, contract.result(), ignore_unknown_fields=True)
    return contract.result.FromString(value)


def as_json(entry: Entry) -> dict[str, Any]:
    """One flat object a line: who, when, what came of it, and the whole result."""
    shown: dict[str, Any] = {
        "domain": entry.domain,
        "kind": "dead_letter" if entry.result is None else "result",
        "time": entry.time.isoformat(),
        "source": entry.source,
        "id": entry.id,
        "place": entry.place,
    }
    if entry.result is None:
        return shown | {"reason": entry.summary.decision, "detail": entry.summary.why}
    return shown | {"result": json_format.MessageToDict(entry.result, preserving_proto_field_name=True)}


def as_line(entry: Entry) -> str:
    """time, domain, id, decision, confidence, why: in columns, with the newest at the bottom."""
    clock = entry.time.astimezone().strftime("%H:%M:%S")
    sure = f"{entry.summary.confidence:>4.0%}" if entry.summary.confidence is not None else "    "
    sign = "✗" if entry.result is None else "✓"
    name = entry.id if len(entry.id) <= 24 else f"{entry.id[:23]}…"
    return f"{clock}  {sign} {entry.domain:<8} {name:<24}  {entry.summary.decision:<32} {sure}  {entry.summary.why}"
