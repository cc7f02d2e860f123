"""What the cases of bad requests have in common."""

import grpc

from protos import inference_pb2 as oip
from services.cli.conformance.answer import read_answer
from services.cli.conformance.case import Failed, Level
from services.cli.conformance.target import Target, describe

INVALID = grpc.StatusCode.INVALID_ARGUMENT
# The server fell over or hung: that is no refusal, whatever the protocol leaves open.
_BROKEN = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED})


def expect_refusal(target: Target, request: oip.ModelInferRequest, *codes: grpc.StatusCode) -> str:
    """What was said. The protocol asks for any status but OK; which one (`codes`; none: INVALID_ARGUMENT) is common usage.

    Raises:
        Failed: it was answered, the server broke, or the status is another.
    """
    try:
        target.infer(request)
    except grpc.RpcError as error:
        return judge(error, *codes or (INVALID,))
    raise Failed("it was answered")


def judge(error: grpc.RpcError, *codes: grpc.StatusCode) -> str:
    """Raises Failed: as above."""
    if error.code() in codes:
        return str(error.code().name)
    raise Failed(describe(error), None if error.code() in _BROKEN else Level.COMMON)


def expect_answer_or_refusal(target: Target, request: oip.ModelInferRequest, timeout: float | None = None) -> str:
    """For what the protocol leaves open: an answer that can be read, or INVALID_ARGUMENT; no crash.

    Raises:
        Failed: neither.
    """
    try:
        response = target.infer(request, timeout)
    except grpc.RpcError as error:
        return judge(error, INVALID)
    read_answer(response)
    return "answered"
