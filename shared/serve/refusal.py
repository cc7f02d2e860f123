"""How a gRPC call is refused: a status code, one sentence, and google.rpc details that a program can read."""

from typing import NoReturn

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2

from protos import event_pb2
from shared.errors import Expired, Failure, Reject, Reused, Unavailable

_CODES = {
    "ID_REUSED": grpc.StatusCode.ALREADY_EXISTS,
    "HANDLER_FAILED": grpc.StatusCode.INTERNAL,
    "MODEL_FAILED": grpc.StatusCode.INTERNAL,  # on this event alone, as inference says: our fault, and no use to ask again
}


class Overloaded(Failure):
    """This process has as many calls in hand as it takes."""


async def refuse(context: "grpc.aio.ServicerContext[bytes, object]", failure: Failure, domain: str) -> NoReturn:
    """End the call with the failure's status."""
    code, text, details = _told(failure, domain)
    status = status_pb2.Status(code=code.value[0], message=text)
    for detail in details:
        status.details.add().CopyFrom(_any(detail))
    await context.abort(code, text, (("grpc-status-details-bin", status.SerializeToString()),))
    raise AssertionError("abort raises")


def rejection(letter: event_pb2.DeadLetter) -> Reject:
    """The stored dead letter as what would have been raised."""
    return Reject(letter.reason, letter.detail, letter.field)


def _told(failure: Failure, domain: str) -> tuple[grpc.StatusCode, str, list[object]]:
    if isinstance(failure, Reject):
        details: list[object] = [error_details_pb2.ErrorInfo(reason=failure.reason, domain=f"tidemill.{domain}")]
        if failure.field and not isinstance(failure, Reused):
            violation = error_details_pb2.BadRequest.FieldViolation(
                field=failure.field, description=failure.detail, reason=failure.reason
            )
            details.append(error_details_pb2.BadRequest(field_violations=[violation]))
        return _CODES.get(failure.reason, grpc.StatusCode.INVALID_ARGUMENT), str(failure), details
    if isinstance(failure, Unavailable):
        return grpc.StatusCode.UNAVAILABLE, f"{failure.what} is unavailable; try again", [_retry(failure.retry_after)]
    if isinstance(failure, Overloaded):
        return grpc.StatusCode.RESOURCE_EXHAUSTED, str(failure), [_retry(0.5)]
    assert isinstance(failure, Expired)
    return grpc.StatusCode.DEADLINE_EXCEEDED, "the deadline passed before there was an answer; try again", []


def _retry(seconds: float | None) -> error_details_pb2.RetryInfo:
    delay = duration_pb2.Duration()
    delay.FromMilliseconds(int(1000 * (seconds or 1.0)))
    return error_details_pb2.RetryInfo(retry_delay=delay)


def _any(detail: object) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(detail)  # type: ignore[arg-type]
    return packed
