from protos import event_pb2 as _event_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Priority(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PRIORITY_UNSPECIFIED: _ClassVar[Priority]
    PRIORITY_STAT: _ClassVar[Priority]
    PRIORITY_ROUTINE: _ClassVar[Priority]
    PRIORITY_BATCH: _ClassVar[Priority]

class Decision(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DECISION_UNSPECIFIED: _ClassVar[Decision]
    DECISION_REPORT: _ClassVar[Decision]
    DECISION_REFER: _ClassVar[Decision]
    DECISION_NOT_ASSESSABLE: _ClassVar[Decision]
PRIORITY_UNSPECIFIED: Priority
PRIORITY_STAT: Priority
PRIORITY_ROUTINE: Priority
PRIORITY_BATCH: Priority
DECISION_UNSPECIFIED: Decision
DECISION_REPORT: Decision
DECISION_REFER: Decision
DECISION_NOT_ASSESSABLE: Decision

class ImagingRequest(_message.Message):
    __slots__ = ("inline", "claim", "priority", "study")
    INLINE_FIELD_NUMBER: _ClassVar[int]
    CLAIM_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    STUDY_FIELD_NUMBER: _ClassVar[int]
    inline: bytes
    claim: _event_pb2.Claim
    priority: Priority
    study: str
    def __init__(self, inline: _Optional[bytes] = ..., claim: _Optional[_Union[_event_pb2.Claim, _Mapping]] = ..., priority: _Optional[_Union[Priority, str]] = ..., study: _Optional[str] = ...) -> None: ...

class ImageFacts(_message.Message):
    __slots__ = ("format", "width", "height", "frames", "modality", "photometric")
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    FRAMES_FIELD_NUMBER: _ClassVar[int]
    MODALITY_FIELD_NUMBER: _ClassVar[int]
    PHOTOMETRIC_FIELD_NUMBER: _ClassVar[int]
    format: str
    width: int
    height: int
    frames: int
    modality: str
    photometric: str
    def __init__(self, format: _Optional[str] = ..., width: _Optional[int] = ..., height: _Optional[int] = ..., frames: _Optional[int] = ..., modality: _Optional[str] = ..., photometric: _Optional[str] = ...) -> None: ...

class ImagingResult(_message.Message):
    __slots__ = ("answer", "finding", "confidence", "probabilities", "uncertainty", "decision", "decision_reason", "image", "notice", "quality")
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    FINDING_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    PROBABILITIES_FIELD_NUMBER: _ClassVar[int]
    UNCERTAINTY_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    DECISION_REASON_FIELD_NUMBER: _ClassVar[int]
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    NOTICE_FIELD_NUMBER: _ClassVar[int]
    QUALITY_FIELD_NUMBER: _ClassVar[int]
    answer: _event_pb2.Answer
    finding: str
    confidence: float
    probabilities: _containers.RepeatedCompositeFieldContainer[_event_pb2.Score]
    uncertainty: float
    decision: Decision
    decision_reason: str
    image: ImageFacts
    notice: str
    quality: _containers.RepeatedCompositeFieldContainer[_event_pb2.Score]
    def __init__(self, answer: _Optional[_Union[_event_pb2.Answer, _Mapping]] = ..., finding: _Optional[str] = ..., confidence: _Optional[float] = ..., probabilities: _Optional[_Iterable[_Union[_event_pb2.Score, _Mapping]]] = ..., uncertainty: _Optional[float] = ..., decision: _Optional[_Union[Decision, str]] = ..., decision_reason: _Optional[str] = ..., image: _Optional[_Union[ImageFacts, _Mapping]] = ..., notice: _Optional[str] = ..., quality: _Optional[_Iterable[_Union[_event_pb2.Score, _Mapping]]] = ...) -> None: ...

class ImagingCall(_message.Message):
    __slots__ = ("event", "request", "explain")
    EVENT_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    EXPLAIN_FIELD_NUMBER: _ClassVar[int]
    event: _event_pb2.Event
    request: ImagingRequest
    explain: str
    def __init__(self, event: _Optional[_Union[_event_pb2.Event, _Mapping]] = ..., request: _Optional[_Union[ImagingRequest, _Mapping]] = ..., explain: _Optional[str] = ...) -> None: ...

class ImagingReply(_message.Message):
    __slots__ = ("event", "result", "dead_letter", "known")
    EVENT_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    DEAD_LETTER_FIELD_NUMBER: _ClassVar[int]
    KNOWN_FIELD_NUMBER: _ClassVar[int]
    event: _event_pb2.Event
    result: ImagingResult
    dead_letter: _event_pb2.DeadLetter
    known: bool
    def __init__(self, event: _Optional[_Union[_event_pb2.Event, _Mapping]] = ..., result: _Optional[_Union[ImagingResult, _Mapping]] = ..., dead_letter: _Optional[_Union[_event_pb2.DeadLetter, _Mapping]] = ..., known: _Optional[bool] = ...) -> None: ...

class ImagingBatch(_message.Message):
    __slots__ = ("calls",)
    CALLS_FIELD_NUMBER: _ClassVar[int]
    calls: _containers.RepeatedCompositeFieldContainer[ImagingCall]
    def __init__(self, calls: _Optional[_Iterable[_Union[ImagingCall, _Mapping]]] = ...) -> None: ...

class ImagingReplies(_message.Message):
    __slots__ = ("replies",)
    REPLIES_FIELD_NUMBER: _ClassVar[int]
    replies: _containers.RepeatedCompositeFieldContainer[ImagingReply]
    def __init__(self, replies: _Optional[_Iterable[_Union[ImagingReply, _Mapping]]] = ...) -> None: ...
