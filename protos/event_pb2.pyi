import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Event(_message.Message):
    __slots__ = ("source", "id", "caller", "subject", "time")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    CALLER_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    source: str
    id: str
    caller: str
    subject: str
    time: _timestamp_pb2.Timestamp
    def __init__(self, source: _Optional[str] = ..., id: _Optional[str] = ..., caller: _Optional[str] = ..., subject: _Optional[str] = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class Score(_message.Message):
    __slots__ = ("label", "probability")
    LABEL_FIELD_NUMBER: _ClassVar[int]
    PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    label: str
    probability: float
    def __init__(self, label: _Optional[str] = ..., probability: _Optional[float] = ...) -> None: ...

class Model(_message.Message):
    __slots__ = ("name", "version")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    name: str
    version: str
    def __init__(self, name: _Optional[str] = ..., version: _Optional[str] = ...) -> None: ...

class Answer(_message.Message):
    __slots__ = ("event", "prediction_id", "model", "why", "answered_at", "trace_id", "explanations")
    EVENT_FIELD_NUMBER: _ClassVar[int]
    PREDICTION_ID_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    ANSWERED_AT_FIELD_NUMBER: _ClassVar[int]
    TRACE_ID_FIELD_NUMBER: _ClassVar[int]
    EXPLANATIONS_FIELD_NUMBER: _ClassVar[int]
    event: Event
    prediction_id: str
    model: Model
    why: str
    answered_at: _timestamp_pb2.Timestamp
    trace_id: str
    explanations: _containers.RepeatedCompositeFieldContainer[Explanation]
    def __init__(self, event: _Optional[_Union[Event, _Mapping]] = ..., prediction_id: _Optional[str] = ..., model: _Optional[_Union[Model, _Mapping]] = ..., why: _Optional[str] = ..., answered_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., trace_id: _Optional[str] = ..., explanations: _Optional[_Iterable[_Union[Explanation, _Mapping]]] = ...) -> None: ...

class Explanation(_message.Message):
    __slots__ = ("head", "label", "target", "lead", "rest", "about", "words", "left_out", "seen")
    HEAD_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    LEAD_FIELD_NUMBER: _ClassVar[int]
    REST_FIELD_NUMBER: _ClassVar[int]
    ABOUT_FIELD_NUMBER: _ClassVar[int]
    WORDS_FIELD_NUMBER: _ClassVar[int]
    LEFT_OUT_FIELD_NUMBER: _ClassVar[int]
    SEEN_FIELD_NUMBER: _ClassVar[int]
    head: str
    label: str
    target: str
    lead: float
    rest: float
    about: float
    words: _containers.RepeatedCompositeFieldContainer[Word]
    left_out: int
    seen: HeatMap
    def __init__(self, head: _Optional[str] = ..., label: _Optional[str] = ..., target: _Optional[str] = ..., lead: _Optional[float] = ..., rest: _Optional[float] = ..., about: _Optional[float] = ..., words: _Optional[_Iterable[_Union[Word, _Mapping]]] = ..., left_out: _Optional[int] = ..., seen: _Optional[_Union[HeatMap, _Mapping]] = ...) -> None: ...

class HeatMap(_message.Message):
    __slots__ = ("down", "across", "scores")
    DOWN_FIELD_NUMBER: _ClassVar[int]
    ACROSS_FIELD_NUMBER: _ClassVar[int]
    SCORES_FIELD_NUMBER: _ClassVar[int]
    down: int
    across: int
    scores: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, down: _Optional[int] = ..., across: _Optional[int] = ..., scores: _Optional[_Iterable[float]] = ...) -> None: ...

class Word(_message.Message):
    __slots__ = ("start", "end", "score")
    START_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    start: int
    end: int
    score: float
    def __init__(self, start: _Optional[int] = ..., end: _Optional[int] = ..., score: _Optional[float] = ...) -> None: ...

class DeadLetter(_message.Message):
    __slots__ = ("event", "reason", "detail", "field", "attempts", "failed_at")
    EVENT_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    FIELD_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    FAILED_AT_FIELD_NUMBER: _ClassVar[int]
    event: Event
    reason: str
    detail: str
    field: str
    attempts: int
    failed_at: _timestamp_pb2.Timestamp
    def __init__(self, event: _Optional[_Union[Event, _Mapping]] = ..., reason: _Optional[str] = ..., detail: _Optional[str] = ..., field: _Optional[str] = ..., attempts: _Optional[int] = ..., failed_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class Claim(_message.Message):
    __slots__ = ("store", "key", "sha256")
    STORE_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    store: str
    key: str
    sha256: str
    def __init__(self, store: _Optional[str] = ..., key: _Optional[str] = ..., sha256: _Optional[str] = ...) -> None: ...
