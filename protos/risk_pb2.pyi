import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from protos import event_pb2 as _event_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class RiskRequest(_message.Message):
    __slots__ = ("headline", "body", "language", "issuers", "published_at", "publisher")
    HEADLINE_FIELD_NUMBER: _ClassVar[int]
    BODY_FIELD_NUMBER: _ClassVar[int]
    LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    ISSUERS_FIELD_NUMBER: _ClassVar[int]
    PUBLISHED_AT_FIELD_NUMBER: _ClassVar[int]
    PUBLISHER_FIELD_NUMBER: _ClassVar[int]
    headline: str
    body: str
    language: str
    issuers: _containers.RepeatedScalarFieldContainer[str]
    published_at: _timestamp_pb2.Timestamp
    publisher: str
    def __init__(self, headline: _Optional[str] = ..., body: _Optional[str] = ..., language: _Optional[str] = ..., issuers: _Optional[_Iterable[str]] = ..., published_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., publisher: _Optional[str] = ...) -> None: ...

class IssuerRisk(_message.Message):
    __slots__ = ("issuer", "name", "sentiment", "sentiment_ranking", "severity", "severity_ranking", "risk", "why")
    ISSUER_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    SENTIMENT_FIELD_NUMBER: _ClassVar[int]
    SENTIMENT_RANKING_FIELD_NUMBER: _ClassVar[int]
    SEVERITY_FIELD_NUMBER: _ClassVar[int]
    SEVERITY_RANKING_FIELD_NUMBER: _ClassVar[int]
    RISK_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    issuer: str
    name: str
    sentiment: str
    sentiment_ranking: _containers.RepeatedCompositeFieldContainer[_event_pb2.Score]
    severity: str
    severity_ranking: _containers.RepeatedCompositeFieldContainer[_event_pb2.Score]
    risk: float
    why: str
    def __init__(self, issuer: _Optional[str] = ..., name: _Optional[str] = ..., sentiment: _Optional[str] = ..., sentiment_ranking: _Optional[_Iterable[_Union[_event_pb2.Score, _Mapping]]] = ..., severity: _Optional[str] = ..., severity_ranking: _Optional[_Iterable[_Union[_event_pb2.Score, _Mapping]]] = ..., risk: _Optional[float] = ..., why: _Optional[str] = ...) -> None: ...

class RiskResult(_message.Message):
    __slots__ = ("answer", "issuers", "language")
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    ISSUERS_FIELD_NUMBER: _ClassVar[int]
    LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    answer: _event_pb2.Answer
    issuers: _containers.RepeatedCompositeFieldContainer[IssuerRisk]
    language: str
    def __init__(self, answer: _Optional[_Union[_event_pb2.Answer, _Mapping]] = ..., issuers: _Optional[_Iterable[_Union[IssuerRisk, _Mapping]]] = ..., language: _Optional[str] = ...) -> None: ...

class RiskCall(_message.Message):
    __slots__ = ("event", "request", "explain")
    EVENT_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    EXPLAIN_FIELD_NUMBER: _ClassVar[int]
    event: _event_pb2.Event
    request: RiskRequest
    explain: str
    def __init__(self, event: _Optional[_Union[_event_pb2.Event, _Mapping]] = ..., request: _Optional[_Union[RiskRequest, _Mapping]] = ..., explain: _Optional[str] = ...) -> None: ...

class RiskReply(_message.Message):
    __slots__ = ("event", "result", "dead_letter", "known")
    EVENT_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    DEAD_LETTER_FIELD_NUMBER: _ClassVar[int]
    KNOWN_FIELD_NUMBER: _ClassVar[int]
    event: _event_pb2.Event
    result: RiskResult
    dead_letter: _event_pb2.DeadLetter
    known: bool
    def __init__(self, event: _Optional[_Union[_event_pb2.Event, _Mapping]] = ..., result: _Optional[_Union[RiskResult, _Mapping]] = ..., dead_letter: _Optional[_Union[_event_pb2.DeadLetter, _Mapping]] = ..., known: _Optional[bool] = ...) -> None: ...

class RiskBatch(_message.Message):
    __slots__ = ("calls",)
    CALLS_FIELD_NUMBER: _ClassVar[int]
    calls: _containers.RepeatedCompositeFieldContainer[RiskCall]
    def __init__(self, calls: _Optional[_Iterable[_Union[RiskCall, _Mapping]]] = ...) -> None: ...

class RiskReplies(_message.Message):
    __slots__ = ("replies",)
    REPLIES_FIELD_NUMBER: _ClassVar[int]
    replies: _containers.RepeatedCompositeFieldContainer[RiskReply]
    def __init__(self, replies: _Optional[_Iterable[_Union[RiskReply, _Mapping]]] = ...) -> None: ...

class GetIssuerRequest(_message.Message):
    __slots__ = ("issuer", "at")
    ISSUER_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    issuer: str
    at: _timestamp_pb2.Timestamp
    def __init__(self, issuer: _Optional[str] = ..., at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class IssuerWindow(_message.Message):
    __slots__ = ("issuer", "at", "risk_1h", "risk_24h", "items_1h", "items_24h")
    ISSUER_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    RISK_1H_FIELD_NUMBER: _ClassVar[int]
    RISK_24H_FIELD_NUMBER: _ClassVar[int]
    ITEMS_1H_FIELD_NUMBER: _ClassVar[int]
    ITEMS_24H_FIELD_NUMBER: _ClassVar[int]
    issuer: str
    at: _timestamp_pb2.Timestamp
    risk_1h: float
    risk_24h: float
    items_1h: int
    items_24h: int
    def __init__(self, issuer: _Optional[str] = ..., at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., risk_1h: _Optional[float] = ..., risk_24h: _Optional[float] = ..., items_1h: _Optional[int] = ..., items_24h: _Optional[int] = ...) -> None: ...
