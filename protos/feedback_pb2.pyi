from protos import event_pb2 as _event_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class JudgementStatus(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    JUDGEMENT_STATUS_UNSPECIFIED: _ClassVar[JudgementStatus]
    JUDGEMENT_STATUS_ACCEPTED: _ClassVar[JudgementStatus]
    JUDGEMENT_STATUS_PROPOSED_LABEL: _ClassVar[JudgementStatus]
JUDGEMENT_STATUS_UNSPECIFIED: JudgementStatus
JUDGEMENT_STATUS_ACCEPTED: JudgementStatus
JUDGEMENT_STATUS_PROPOSED_LABEL: JudgementStatus

class FeedbackRequest(_message.Message):
    __slots__ = ("prediction_id", "head", "target", "label", "annotator", "confidence", "seconds", "comment", "supersedes")
    PREDICTION_ID_FIELD_NUMBER: _ClassVar[int]
    HEAD_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    ANNOTATOR_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    COMMENT_FIELD_NUMBER: _ClassVar[int]
    SUPERSEDES_FIELD_NUMBER: _ClassVar[int]
    prediction_id: str
    head: str
    target: str
    label: str
    annotator: str
    confidence: float
    seconds: float
    comment: str
    supersedes: str
    def __init__(self, prediction_id: _Optional[str] = ..., head: _Optional[str] = ..., target: _Optional[str] = ..., label: _Optional[str] = ..., annotator: _Optional[str] = ..., confidence: _Optional[float] = ..., seconds: _Optional[float] = ..., comment: _Optional[str] = ..., supersedes: _Optional[str] = ...) -> None: ...

class FeedbackResult(_message.Message):
    __slots__ = ("answer", "judgement_id", "status", "domain", "predicted", "label", "head", "target")
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    JUDGEMENT_ID_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    PREDICTED_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    HEAD_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    answer: _event_pb2.Answer
    judgement_id: str
    status: JudgementStatus
    domain: str
    predicted: str
    label: str
    head: str
    target: str
    def __init__(self, answer: _Optional[_Union[_event_pb2.Answer, _Mapping]] = ..., judgement_id: _Optional[str] = ..., status: _Optional[_Union[JudgementStatus, str]] = ..., domain: _Optional[str] = ..., predicted: _Optional[str] = ..., label: _Optional[str] = ..., head: _Optional[str] = ..., target: _Optional[str] = ...) -> None: ...

class FeedbackCall(_message.Message):
    __slots__ = ("event", "request")
    EVENT_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    event: _event_pb2.Event
    request: FeedbackRequest
    def __init__(self, event: _Optional[_Union[_event_pb2.Event, _Mapping]] = ..., request: _Optional[_Union[FeedbackRequest, _Mapping]] = ...) -> None: ...

class FeedbackReply(_message.Message):
    __slots__ = ("event", "result", "dead_letter", "known")
    EVENT_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    DEAD_LETTER_FIELD_NUMBER: _ClassVar[int]
    KNOWN_FIELD_NUMBER: _ClassVar[int]
    event: _event_pb2.Event
    result: FeedbackResult
    dead_letter: _event_pb2.DeadLetter
    known: bool
    def __init__(self, event: _Optional[_Union[_event_pb2.Event, _Mapping]] = ..., result: _Optional[_Union[FeedbackResult, _Mapping]] = ..., dead_letter: _Optional[_Union[_event_pb2.DeadLetter, _Mapping]] = ..., known: _Optional[bool] = ...) -> None: ...

class FeedbackBatch(_message.Message):
    __slots__ = ("calls",)
    CALLS_FIELD_NUMBER: _ClassVar[int]
    calls: _containers.RepeatedCompositeFieldContainer[FeedbackCall]
    def __init__(self, calls: _Optional[_Iterable[_Union[FeedbackCall, _Mapping]]] = ...) -> None: ...

class FeedbackReplies(_message.Message):
    __slots__ = ("replies",)
    REPLIES_FIELD_NUMBER: _ClassVar[int]
    replies: _containers.RepeatedCompositeFieldContainer[FeedbackReply]
    def __init__(self, replies: _Optional[_Iterable[_Union[FeedbackReply, _Mapping]]] = ...) -> None: ...
