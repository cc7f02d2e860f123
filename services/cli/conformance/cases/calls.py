"""Deadlines, cancellation and what Triton's clients send as parameters."""

import grpc

from protos import inference_pb2 as oip
from services.cli.conformance.case import Failed, Inapplicable, Level, model_case
from services.cli.conformance.cases.refusals import INVALID, judge
from services.cli.conformance.model import Model
from services.cli.conformance.target import Target, describe

_AT_ONCE = 20
_HURRY = 0.002  # seconds: less than a server needs for many rows
_IN_TIME = {  # an answer, the deadline, or a refusal of so many rows
    grpc.StatusCode.OK,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    INVALID,
}
_ENDED = grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.UNAVAILABLE  # Triton's own word for a timeout is the second


@model_case("calls.concurrent", Level.REQUIRED, f"{_AT_ONCE} calls at once are each answered, with their own id")
def check_concurrent(target: Target, model: Model) -> str:
    requests = [model.request() for _ in range(_AT_ONCE)]
    for number, request in enumerate(requests):
        request.id = str(number)
    calls = [target.stub.ModelInfer.future(request, timeout=target.deadline) for request in requests]
    for number, call in enumerate(calls):
        if (found := call.result().id) != str(number):
            raise Failed(f"call {number} was answered with the id {found!r}")
    return f"{_AT_ONCE} answers"


@model_case("calls.deadline", Level.COMMON, "calls end at their deadline; later ones are answered")
def check_deadline(target: Target, model: Model) -> str:
    calls = [target.stub.ModelInfer.future(request, timeout=_HURRY) for request in _many(model)]
    codes = [call.code() for call in calls]
    if strange := set(codes) - _IN_TIME:
        raise Failed(", ".join(sorted(code.name for code in strange)))
    return f"{codes.count(grpc.StatusCode.DEADLINE_EXCEEDED)} of {_AT_ONCE} ended at {_HURRY * 1000:.0f} ms"


@model_case("calls.cancel", Level.COMMON, "calls that are cancelled end; later ones are answered")
def check_cancel(target: Target, model: Model) -> str:
    calls = [target.stub.ModelInfer.future(request, timeout=target.deadline) for request in _many(model)]
    calls[0].code()  # the others are in the queue, or on the way to it
    cancelled = sum(call.cancel() for call in calls)
    return f"{cancelled} of {_AT_ONCE} cancelled"


@model_case("calls.priority", Level.EXTENSION, "the parameter priority (uint64) is taken")
def check_priority(target: Target, model: Model) -> str:
    request = model.request()
    for priority in (0, 1, 2):
        request.parameters["priority"].uint64_param = priority
        try:
            target.infer(request)
        except grpc.RpcError as error:
            if priority and error.code() == INVALID:
                raise Inapplicable(f"priority {priority}: {describe(error)}") from error
            raise
    return "taken"


@model_case(
    "calls.timeout", Level.EXTENSION, "with the parameter timeout of 1 µs the call ends, or the parameter is not known"
)
def check_timeout(target: Target, model: Model) -> str:
    request = model.request()
    request.parameters["timeout"].int64_param = 1
    try:
        target.infer(request)
    except grpc.RpcError as error:
        return judge(error, *_ENDED)
    if "timeout" in list_extensions(target):
        raise Failed("it was answered, and the server names the extension timeout")
    raise Inapplicable("it was answered: the server does not heed it")


def _many(model: Model) -> list[oip.ModelInferRequest]:
    """Requests of as many rows as most servers take at once."""
    rows = model.rows_within(256)
    return [model.new(rows) for _ in range(_AT_ONCE)]


def list_extensions(target: Target) -> list[str]:
    """What the server says that it has beyond the protocol."""
    return list(target.stub.ServerMetadata(oip.ServerMetadataRequest(), timeout=target.deadline).extensions)
