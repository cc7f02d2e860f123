"""A domain is a function and a line of wiring; everything else is the same for all of them."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from google.protobuf.message import Message
from sqlalchemy import Table

from shared.event import Key
from shared.inference.contract import Infer
from shared.named import Named


@dataclass(frozen=True, slots=True)
class Tools:
    """What a handler may ask of the world, and what it may know of the event. Look-ups are read-only."""

    key: Key
    infer: Infer
    arrived_at: datetime
    time: datetime | None = None  # the event's own time
    caller: str = "anonymous"
    subject: str = ""
    explain: str = ""  # the head whose answer is to be explained; empty: none is
    lookups: Any = None  # the domain's own, made once by `Domain.open`


class Handle(Protocol):
    """The only place with domain thinking.

    Fills the result except `answer.event`, `answer.prediction_id`, `answer.answered_at` and `answer.trace_id`.

    Raises:
        Reject: the event can never succeed.
        Unavailable: something is down; the event is tried again.
    """

    def __call__(self, request: Any, tools: Tools, /) -> Awaitable[Message]: ...


@dataclass(frozen=True, slots=True)
class Prediction:
    """One thing a result predicted, that a person can judge: the full calibrated distribution, not its maximum alone."""

    head: str  # "intent", "sentiment", "severity", "finding"
    label: str  # of several right labels all, as `shared.several.join` joins them
    probabilities: dict[str, float]
    target: str = ""  # the issuer, where one result predicts for several


Row = tuple[Table, dict[str, Any]]
Facts = Callable[[Key, Any, Any, datetime], Sequence[Row]]


@dataclass(frozen=True, slots=True)
class Domain(Named):
    """The wiring of one domain. `name` is the folder, topic prefix, consumer group, model name and service name at once."""

    request: type[Message]
    result: type[Message]
    call: type[Message]
    reply: type[Message]
    batch: type[Message]
    replies: type[Message]
    verb: str  # gRPC methods are <verb>, <verb>Batch, <verb>Stream and GetOutcome
    handle: Handle
    # what a result predicted, for people to judge
    predictions: Callable[[Any], Sequence[Prediction]] = lambda result: ()
    # rows stored with the outcome, in one transaction
    facts: Facts = lambda key, request, result, time: ()
    # makes `Tools.lookups` from the settings, once a process; its `close()`, if it has one, is awaited at the end
    open: Callable[[Any], Awaitable[Any]] | None = None
    # further unary gRPC methods of the same service, `async method(request, means) -> reply`; Means are those of shared.settlement
    extra_methods: dict[str, Callable[[Any, Any], Awaitable[Message]]] = field(default_factory=dict)
    # what keeps order: conversation, issuer, study
    order: Callable[[Any], str] = lambda request: ""
    # what is kept of a request beside its outcome; inline images are left out
    keep: Callable[[Any], bytes] = lambda request: bytes(request.SerializeToString())
    # events that a stream worker settles together at most, and half of what it keeps ready: few where payloads are large
    at_once: int = 1024
    explains: tuple[str, ...] = ()  # heads whose answers its handler explains to those who ask
    infers: bool = True  # False: its handler never asks the inference service
