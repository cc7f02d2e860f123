"""An event as it arrives, whichever door it came through, and its identity."""

import hashlib
import re
import uuid
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Literal

from google.protobuf import json_format
from google.protobuf.message import DecodeError, Message

from shared.errors import Reject

Door = Literal["kafka", "grpc"]
Headers = tuple[tuple[str, bytes], ...]

PROTOBUF = "application/protobuf"
JSON = "application/json"
MAX_NAME_BYTES = 256  # of source, id, caller and subject
MAX_PAYLOAD_BYTES = 16 * 1024 * 1024

# What may be repeated of a JSON parser's message: names of fields and places.
_UNKNOWN = re.compile(r'has no field named "([A-Za-z_]\w{0,63})" at "([\w.]{1,256})"', re.ASCII)
_MISTYPED = re.compile(r"Failed to parse ([A-Za-z_]\w{0,63}) field", re.ASCII)
_SYNTAX = re.compile(r"(line \d+ column \d+)")

# Prediction ids are derived from the event's key, so that a redelivered event names the same prediction.
_NAMESPACE = uuid.UUID("7c6f5a5e-3f0b-5a57-9a3d-1d8f5f0a6b11")


@dataclass(frozen=True, slots=True)
class Key:
    """Names one event, once and for ever."""

    domain: str
    source: str
    id: str

    @property
    def prediction_id(self) -> str:
        return _prediction_id(self.domain, self.source, self.id)


@lru_cache(maxsize=4096)  # asked for several times while an event is in hand
def _prediction_id(domain: str, source: str, id: str) -> str:  # noqa: A002 - CloudEvents' own name
    return str(uuid.uuid5(_NAMESPACE, "\x1f".join((domain, source, id))))


@dataclass(frozen=True, slots=True)
class Arrival:
    """One event at our door: a Kafka record or a gRPC call.

    ``place`` names this arrival (not the event): ``topic:partition:offset`` or a call's own id. The same event may arrive
    twice; the same place is the same arrival, seen again after a crash.
    """

    key: Key
    payload: bytes
    content_type: str
    door: Door
    place: str
    arrived_at: datetime
    caller: str = "anonymous"
    subject: str = ""
    explain: str = ""  # the head whose answer is to be explained: no part of what the event says
    time: datetime | None = None
    headers: Headers = ()
    record_key: bytes | None = None
    message: Message | None = field(default=None, compare=False)  # already decoded, by gRPC
    deadline: float | None = None  # of the event loop's clock: a gRPC call's; the stream waits however long
    flaw: Reject | None = field(default=None, compare=False)  # what its door found wrong with it


def check_name(field: str, name: str) -> None:
    """Refuse a source, id, caller or subject that cannot be one.

    Raises:
        Reject: ``EVENT_NAME_TOO_LONG``, ``EVENT_NAME_INVALID``.
    """
    size = len(name.encode("utf-8", "surrogatepass"))
    if size > MAX_NAME_BYTES:
        raise Reject("EVENT_NAME_TOO_LONG", f"{field} has {size:,} bytes; the limit is {MAX_NAME_BYTES}", field)
    if not name.isprintable():
        raise Reject("EVENT_NAME_INVALID", f"{field} holds a character that cannot be printed", field)


def check_explain(head: str, known: Collection[str]) -> None:
    """Refuse an explanation that the domain cannot give.

    Raises:
        Reject: ``EXPLAIN_UNKNOWN``.
    """
    if head and head not in known:
        heads = f"one of {', '.join(known)}, or empty" if known else "empty: this domain explains nothing"
        raise Reject("EXPLAIN_UNKNOWN", f"explain must be {heads}", "explain")


def decode(arrival: Arrival, request: type[Message]) -> Message:
    """The arrival's payload as the domain's request message.

    Raises:
        Reject: the arrival's own flaw, ``PAYLOAD_TOO_LARGE``, ``CONTENT_TYPE_UNKNOWN``, ``PAYLOAD_NOT_PROTOBUF``, ``PAYLOAD_NOT_UTF8``,
            ``PAYLOAD_NOT_JSON`` (also for unknown or mistyped fields, naming the field).
    """
    if arrival.flaw is not None:
        raise arrival.flaw
    if arrival.message is not None:
        return arrival.message
    if len(arrival.payload) > MAX_PAYLOAD_BYTES:
        raise Reject(
            "PAYLOAD_TOO_LARGE", f"the payload has {len(arrival.payload):,} bytes; the limit is {MAX_PAYLOAD_BYTES:,}"
        )
    kind = arrival.content_type.partition(";")[0].strip().lower()
    if kind == PROTOBUF:
        try:
            return request.FromString(arrival.payload)
        except DecodeError as error:
            raise Reject("PAYLOAD_NOT_PROTOBUF", f"the payload is not a {request.DESCRIPTOR.full_name}") from error
    if kind == JSON:
        return _from_json(arrival.payload, request)
    raise Reject("CONTENT_TYPE_UNKNOWN", f"content-type must be {PROTOBUF} or {JSON}", "content-type")


def _from_json(payload: bytes, request: type[Message]) -> Message:
    try:
        return json_format.Parse(payload.decode("utf-8"), request(), max_recursion_depth=32)
    except UnicodeDecodeError as error:
        raise Reject("PAYLOAD_NOT_UTF8", f"the JSON payload is not UTF-8 at byte {error.start}") from error
    except json_format.ParseError as error:
        why = _flaw(payload, str(error))
        raise Reject(
            "PAYLOAD_NOT_JSON", f"the payload is not a {request.DESCRIPTOR.full_name} in JSON: {why}"
        ) from error


def _flaw(payload: bytes, said: str) -> str:
    """What the parser says, without the words of the payload that it quotes."""
    if not payload.lstrip().startswith(b"{"):
        return "it must be a JSON object"
    if found := _UNKNOWN.search(said):
        return f"{found[2]} has no field named {found[1]!r}"
    if found := _MISTYPED.search(said):
        return f"the value of the {found[1]} field is of another kind"
    if found := _SYNTAX.search(said):
        return f"it is not JSON at {found[1]}"
    return "a key stands twice" if "duplicate key" in said else "it does not fit the message"


def digest(arrival: Arrival, message: Message | None) -> bytes:
    """SHA-256 of what the event says: of the decoded message where there is one, so that protobuf, JSON and gRPC agree."""
    body = message.SerializeToString(deterministic=True) if message is not None else arrival.payload
    return hashlib.sha256(body).digest()
