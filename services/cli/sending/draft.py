"""An event to be: what is sent, under which name, before it goes through a door."""

import hashlib
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime

from google.protobuf import json_format
from google.protobuf.message import Message

from services.cli.contract import Contract, order
from shared.event import JSON, PROTOBUF, Key
from shared.topic import cloudevents

Headers = list[tuple[str, bytes]]


@dataclass(frozen=True, slots=True)
class Draft:
    """`request` may be raw bytes: events that are wrong on purpose."""

    source: str
    id: str
    request: Message | bytes
    caller: str = ""
    subject: str = ""
    content_type: str = PROTOBUF
    time: datetime = field(default_factory=lambda: datetime.now(UTC))


@dataclass(frozen=True, slots=True)
class Record:
    """A draft as Kafka carries it: CloudEvents 1.0 in binary mode, with W3C trace context."""

    topic: str
    key: bytes
    value: bytes
    headers: Headers
    event: Key


def fingerprint(request: Message | bytes) -> str:
    """The first 12 hex digits of the sha256 of what the request says."""
    body = request if isinstance(request, bytes) else request.SerializeToString(deterministic=True)
    return hashlib.sha256(body).hexdigest()[:12]


def numbered(number: int, request: Message | bytes) -> str:
    """The id of the event on a file's line: the same line is the same event whenever it is sent, an edited line a new one."""
    return f"{number}-{fingerprint(request)}"


def record(draft: Draft, contract: Contract, explain: str = "") -> Record:
    """`explain`: the head whose answer is to be explained."""
    subject = draft.subject or (order(draft.request) if isinstance(draft.request, Message) else "")
    return Record(
        topic=contract.requests,
        key=(subject or draft.id).encode(),
        value=_encode(draft),
        headers=_headers(draft, contract.request.DESCRIPTOR.full_name, subject, explain),
        event=Key(contract.name, draft.source, draft.id),
    )


def _encode(draft: Draft) -> bytes:
    if isinstance(draft.request, bytes):
        return draft.request
    if draft.content_type == JSON:
        return json_format.MessageToJson(draft.request, preserving_proto_field_name=True, indent=None).encode()
    return draft.request.SerializeToString(deterministic=True)


def _headers(draft: Draft, kind: str, subject: str, explain: str) -> Headers:
    made = cloudevents.headers(
        draft.source,
        draft.id,
        kind,
        draft.content_type,
        subject=subject,
        time=draft.time,
        caller=draft.caller,
        explain=explain,
    )
    return [*made, ("traceparent", f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01".encode())]
