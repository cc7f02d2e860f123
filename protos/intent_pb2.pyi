from protos import event_pb2 as _event_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class IntentRequest(_message.Message):
    __slots__ = ("text", "language", "conversation")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    CONVERSATION_FIELD_NUMBER: _ClassVar[int]
    text: str
    language: str
    conversation: str
    def __init__(self, text: _Optional[str] = ..., language: _Optional[str] = ..., conversation: _Optional[str] = ...) -> None: ...

class IntentResult(_message.Message):
    __slots__ = ("answer", "intent", "confidence", "out_of_scope", "out_of_scope_score", "ranking", "sentiment", "sentiment_ranking", "language", "truncated")
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    INTENT_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    OUT_OF_SCOPE_FIELD_NUMBER: _ClassVar[int]
    OUT_OF_SCOPE_SCORE_FIELD_NUMBER: _ClassVar[int]
    RANKING_FIELD_NUMBER: _ClassVar[int]
    SENTIMENT_FIELD_NUMBER: _ClassVar[int]
    SENTIMENT_RANKING_FIELD_NUMBER: _ClassVar[int]
    LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    TRUNCATED_FIELD_NUMBER: _ClassVar[int]
    answer: _event_pb2.Answer
    intent: str
    confidence: float
    out_of_scope: bool
    out_of_scope_score: float
    ranking: _containers.RepeatedCompositeFieldContainer[_event_pb2.Score]
    sentiment: str
    sentiment_ranking: _containers.RepeatedCompositeFieldContainer[_event_pb2.Score]
    language: str
    truncated: bool
    def __init__(self, answer: _Optional[_Union[_event_pb2.Answer, _Mapping]] = ..., intent: _Optional[str] = ..., confidence: _Optional[float] = ..., out_of_scope: _Optional[bool] = ..., out_of_scope_score: _Optional[float] = ..., ranking: _Optional[_Iterable[_Union[_event_pb2.Score, _Mapping]]] = ..., sentiment: _Optional[str] = ..., sentiment_ranking: _Optional[_Iterable[_Union[_event_pb2.Score, _Mapping]]] = ..., language: _Optional[str] = ..., truncated: _Optional[bool] = ...) -> None: ...

class IntentCall(_message.Message):
    __slots__ = ("event", "request", "explain")
    EVENT_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    EXPLAIN_FIELD_NUMBER: _ClassVar[int]
    event: _event_pb2.Event
    request: IntentRequest
    explain: str
    def __init__(self, event: _Optional[_Union[_event_pb2.Event, _Mapping]] = ..., request: _Optional[_Union[IntentRequest, _Mapping]] = ..., explain: _Optional[str] = ...) -> None: ...

class IntentReply(_message.Message):
    __slots__ = ("event", "result", "dead_letter", "known")
    EVENT_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    DEAD_LETTER_FIELD_NUMBER: _ClassVar[int]
    KNOWN_FIELD_NUMBER: _ClassVar[int]
    event: _event_pb2.Event
    result: IntentResult
    dead_letter: _event_pb2.DeadLetter
    known: bool
    def __init__(self, event: _Optional[_Union[_event_pb2.Event, _Mapping]] = ..., result: _Optional[_Union[IntentResult, _Mapping]] = ..., dead_letter: _Optional[_Union[_event_pb2.DeadLetter, _Mapping]] = ..., known: _Optional[bool] = ...) -> None: ...

class IntentBatch(_message.Message):
    __slots__ = ("calls",)
    CALLS_FIELD_NUMBER: _ClassVar[int]
    calls: _containers.RepeatedCompositeFieldContainer[IntentCall]
    def __init__(self, calls: _Optional[_Iterable[_Union[IntentCall, _Mapping]]] = ...) -> None: ...

class IntentReplies(_message.Message):
    __slots__ = ("replies",)
    REPLIES_FIELD_NUMBER: _ClassVar[int]
    replies: _containers.RepeatedCompositeFieldContainer[IntentReply]
    def __init__(self, replies: _Optional[_Iterable[_Union[IntentReply, _Mapping]]] = ...) -> None: ...
