"""Calls to the services by gRPC, with errors that a person understands."""

import grpc
from google.protobuf.message import Message
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from services.cli.contract import Contract
from services.cli.problem import Problem

_ADVICE = {
    grpc.StatusCode.UNAVAILABLE: "nothing answers there, or what it depends on is down: see `tidemill status`",
    grpc.StatusCode.DEADLINE_EXCEEDED: "no answer within the deadline; allow more with --deadline SECONDS",
    grpc.StatusCode.UNIMPLEMENTED: "the service there does not know this call: is it another version?",
}
_MAX_MESSAGE_BYTES = 80 * 1024 * 1024


def invoke(contract: Contract, address: str, call: Message, deadline: float) -> Message:
    """One event through the synchronous door; the reply holds a result or a dead letter.

    Raises:
        Problem: the call failed; status, reason, field violations and advice in words.
    """
    return unary(address, f"/{contract.service}/{contract.verb}", call, contract.reply, deadline)


def unary(address: str, method: str, request: Message, reply: type[Message], deadline: float) -> Message:
    options = [("grpc.max_send_message_length", _MAX_MESSAGE_BYTES), ("grpc.max_receive_message_length", -1)]
    with grpc.insecure_channel(address, options) as channel:
        ask = channel.unary_unary(
            method, request_serializer=type(request).SerializeToString, response_deserializer=reply.FromString
        )
        try:
            answer: Message = ask(request, timeout=deadline)
        except grpc.RpcError as error:
            raise Problem(explain(error, address)) from error
    return answer


def explain(error: grpc.RpcError, address: str) -> str:
    """The status of a failed call, one line for each thing it says."""
    lines = [f"{address} answered {error.code().name}: {error.details() or 'no details'}"]
    lines += [f"  {line}" for line in _details(error) if line not in lines[0]]
    if advice := _ADVICE.get(error.code()):
        lines.append(f"  {advice}")
    return "\n".join(lines)


def _details(error: grpc.RpcError) -> list[str]:
    status = rpc_status.from_call(error)
    found = []
    for packed in status.details if status else ():
        if packed.Is(error_details_pb2.BadRequest.DESCRIPTOR):
            bad = error_details_pb2.BadRequest.FromString(packed.value)
            said = error.details() or ""
            for violation in bad.field_violations:
                what = "" if violation.description in said else f": {violation.description}"
                found.append(f"field {violation.field}{what}")
        elif packed.Is(error_details_pb2.ErrorInfo.DESCRIPTOR):
            found.append(error_details_pb2.ErrorInfo.FromString(packed.value).reason)
        elif packed.Is(error_details_pb2.RetryInfo.DESCRIPTOR):
            delay = error_details_pb2.RetryInfo.FromString(packed.value).retry_delay
            found.append(f"try again in {delay.seconds + delay.nanos / 1e9:.1f} s")
    return found
