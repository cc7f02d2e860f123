"""The outcome of one event, as it is stored."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from shared.domain import Prediction, Row
from shared.event import Door, Headers, Key

Kind = Literal["result", "dead_letter"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """One row of `outcomes`, and what is stored beside it in the same transaction when the row is new."""

    key: Key
    digest: bytes
    kind: Kind
    body: bytes  # the domain's result, or tidemill.v1.DeadLetter, serialised
    door: Door
    place: str
    event_time: datetime
    arrived_at: datetime
    reason: str | None = None
    model: str = ""
    model_version: str | None = None
    caller: str = "anonymous"
    subject: str = ""
    trace_id: str = ""
    request: bytes | None = field(default=None, repr=False)  # None: nothing of the request is kept
    predictions: tuple[Prediction, ...] = ()
    facts: tuple[Row, ...] = ()


@dataclass(frozen=True, slots=True)
class Settled:
    """What an arrival came to: `outcome` is the *stored* one, which a redelivery never changes.

    Exactly one of: new (`known` and `reused` false), seen before with the same payload (`known`), or refused because the key belongs
    to another payload (`reused`; `outcome` is then the first payload's and must not be shown to this caller).
    """

    outcome: Outcome
    known: bool = False
    reused: bool = False
    headers: Headers = ()
    record_key: bytes | None = None
    payload: bytes = field(default=b"", repr=False)  # the arrival's original bytes, for its dead letter
    place: str = ""  # the arrival's, which may differ from `outcome.place`


@dataclass(frozen=True, slots=True)
class Again:
    """An arrival whose key was found settled before any work was done; the store decides whether it is a repeat or a reuse."""

    key: Key
    digest: bytes
    place: str
    caller: str = "anonymous"
