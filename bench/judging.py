"""What may be said to a request of which only this is known: that something was done to it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import grpc
import numpy as np
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2
from grpc_status.rpc_status import from_call

from bench.faults import Fault
from protos import inference_pb2 as oip

OURS = {"OK", "INVALID_ARGUMENT", "NOT_FOUND", "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED"}
_TOLD = re.compile(r"[A-Z][A-Z0-9_]+: .")


@dataclass(frozen=True)
class Told:
    """A refusal, read as a program reads it."""

    status: str
    reason: str
    fields: tuple[str, ...]


def listen(error: grpc.aio.AioRpcError) -> Told:
    """
    Raises:
        ValueError: it says nothing of the kind, or contradicts itself.
    """
    status = from_call(error)
    if status is None:
        raise ValueError("no details")
    info, request = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    for each in status.details:
        for known in (info, request):
            if each.Is(known.DESCRIPTOR):
                each.Unpack(known)
    return Told(error.code().name, info.reason, tuple(each.field for each in request.field_violations))


def judge(error: grpc.aio.AioRpcError) -> str:
    """What is wrong with a refusal; nothing if it is right: a status of ours with a reason, and the field where the argument is invalid."""
    if error.code().name not in OURS:
        return f"{error.code().name} {error.details()}"
    try:
        told = listen(error)
    except ValueError as other:
        return f"{error.code().name} with what contradicts it: {other}"
    if not told.reason or not (error.details() or "").startswith(f"{told.reason}: "):
        return f"{told.status} without a reason: {error.details()}"
    if told.status == "INVALID_ARGUMENT" and not (told.fields and all(told.fields)):
        return f"INVALID_ARGUMENT without a field: {error.details()}"
    return ""


def judge_fault(fault: Fault, error: grpc.aio.AioRpcError) -> str:
    """Of a request with one known fault."""
    if wrong := judge(error):
        return wrong
    expected = Told(fault.status, fault.reason, (fault.field,) if fault.field else ())
    told = listen(error)
    return "" if told == expected else f"{told}, but {expected} is right"


def judge_answer(raw: bytes, response: oip.ModelInferResponse) -> str:
    """What is wrong with an answer: a row of every output for each of the request, and probabilities, of a bad row zeros."""
    try:
        request = oip.ModelInferRequest.FromString(raw)
    except DecodeError:
        return "what is no message was answered"
    if response.id != request.id:
        return "another id"
    wanted = [each.name for each in request.outputs]
    if wanted and wanted != [each.name for each in response.outputs]:
        return f"{wanted} were asked for, and {[each.name for each in response.outputs]} came"
    rows = request.inputs[0].shape[0]
    for output, content in zip(response.outputs, response.raw_output_contents, strict=True):
        if output.shape[0] != rows:
            return f"{output.name} has {output.shape[0]} rows of {rows}"
        if output.datatype == "FP32":
            values = np.frombuffer(content, "<f4").reshape(tuple(output.shape))
            sums = values.sum(1)
            if not np.isfinite(values).all():
                return f"{output.name} is no number"
            if output.name.endswith(".probabilities") and not (np.isclose(sums, 1, atol=1e-3) | (sums == 0)).all():
                return f"{output.name} sums to {sums}"
    return ""


def judge_stream(sent: Sequence[bytes], came: Sequence[oip.ModelStreamInferResponse]) -> str:
    """One response for each message, in their order: an answer as it should be, or a reason."""
    if len(came) != len(sent):
        return f"{len(came)} responses to {len(sent)} messages of a stream"
    for raw, response in zip(sent, came, strict=True):
        if response.error_message:
            if not _TOLD.match(response.error_message):
                return f"a stream says {response.error_message[:100]}"
        elif wrong := judge_answer(raw, response.infer_response):
            return f"in a stream: {wrong}"
    return ""


def same(one: oip.ModelInferResponse, other: oip.ModelInferResponse) -> bool:
    if [each.name for each in one.outputs] != [each.name for each in other.outputs]:
        return False
    for output, mine, theirs in zip(one.outputs, one.raw_output_contents, other.raw_output_contents, strict=True):
        if output.datatype != "FP32":
            if mine != theirs:
                return False
        elif not np.allclose(np.frombuffer(mine, "<f4"), np.frombuffer(theirs, "<f4"), atol=1e-4):
            return False
    return True
