"""What a caller is told when its request cannot be answered: a status code, a stable reason, and which field is at fault."""

import logging
import uuid
from dataclasses import dataclass, field

import grpc
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2, status_pb2

log = logging.getLogger(__name__)

DOMAIN = "tidemill"
DETAILS = "grpc-status-details-bin"


@dataclass(eq=False)
class Refusal(Exception):  # noqa: N818 - a refusal is an answer
    """Detail texts are ours: they hold names and limits, never payload, paths or exception texts."""

    code: grpc.StatusCode
    reason: str
    detail: str
    fields: dict[str, str] = field(default_factory=dict)  # field path -> what is wrong with it
    retry_after: float | None = None  # seconds
    facts: dict[str, str] = field(default_factory=dict)  # for programs: ErrorInfo's metadata

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}"

    def metadata(self) -> tuple[tuple[str, bytes], ...]:
        """Trailing metadata that holds the same as google.rpc.Status, whose message must be the call's own text."""
        status = status_pb2.Status(code=self.code.value[0], message=str(self))
        status.details.add().Pack(error_details_pb2.ErrorInfo(reason=self.reason, domain=DOMAIN, metadata=self.facts))
        if self.fields:
            violation = error_details_pb2.BadRequest.FieldViolation
            violations = [violation(field=path, description=text) for path, text in self.fields.items()]
            status.details.add().Pack(error_details_pb2.BadRequest(field_violations=violations))
        if self.retry_after is not None:
            delay = Duration()
            delay.FromNanoseconds(int(self.retry_after * 1e9))
            status.details.add().Pack(error_details_pb2.RetryInfo(retry_delay=delay))
        return ((DETAILS, status.SerializeToString()),)


def invalid(reason: str, path: str, detail: str) -> Refusal:
    return Refusal(grpc.StatusCode.INVALID_ARGUMENT, reason, f"{path}: {detail}", {path: detail})


def unknown(detail: str) -> Refusal:
    return Refusal(grpc.StatusCode.NOT_FOUND, "MODEL_NOT_FOUND", detail)


def full(reason: str, detail: str, caller: str, retry_after: float) -> Refusal:
    return Refusal(
        grpc.StatusCode.RESOURCE_EXHAUSTED, reason, detail, retry_after=retry_after, facts={"caller": caller}
    )


def expired() -> Refusal:
    return Refusal(
        grpc.StatusCode.DEADLINE_EXCEEDED,
        "DEADLINE_EXCEEDED",
        "the deadline passed, or would have, before the rows were computed",
    )


def hopeless(rows: int, seconds: float) -> Refusal:
    detail = (
        f"{rows:,} rows take about {seconds:.2g} s, which is more than the deadline leaves; send fewer or wait longer"
    )
    return Refusal(grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE_TOO_SHORT", detail)


def overloaded(retry_after: float) -> Refusal:
    detail = "what waits already takes longer than the deadline leaves; nothing was computed"
    return Refusal(grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED", detail, retry_after=retry_after)


def broken() -> Refusal:
    return Refusal(
        grpc.StatusCode.INTERNAL,
        "COMPUTE_FAILED",
        "the device failed, also on a row that it had answered before; the server's log says why",
    )


def explain(error: Exception, call: str) -> Refusal:
    """What a call ends with that ended in this exception. One that nobody expected is logged; the caller learns where, not what."""
    if isinstance(error, Refusal):
        return error
    place = uuid.uuid4().hex[:12]
    log.error("%s failed (%s)", call, place, exc_info=error)
    detail = f"something is wrong with this server; its log says what, under {place}"
    return Refusal(grpc.StatusCode.INTERNAL, "UNEXPECTED", detail, facts={"log": place})
