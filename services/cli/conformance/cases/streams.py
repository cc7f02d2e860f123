"""ModelStreamInfer, Triton's extension."""

from collections.abc import Sequence

import grpc

from protos import inference_pb2 as oip
from services.cli.conformance.answer import differ, read_answer
from services.cli.conformance.case import Failed, Inapplicable, Level, model_case
from services.cli.conformance.model import Model
from services.cli.conformance.target import Target, describe

_REQUESTS = 20
_BAD = 7  # which of them is bad


@model_case("stream.answers", Level.EXTENSION, f"{_REQUESTS} requests of one stream have an answer each, by their ids")
def check_answers(target: Target, model: Model) -> str:
    for response in _stream(target, _number(model)):
        if response.error_message:
            raise Failed(response.error_message[:160])
        answer = read_answer(response.infer_response)
        if model.usual is not None and model.steady and (name := differ(model.usual, answer)):
            raise Failed(f"{name} is not what the unary call answers")
    return f"{_REQUESTS} answers"


@model_case(
    "stream.error", Level.EXTENSION, "a bad request has its error inside the stream, and the others their answers"
)
def check_error(target: Target, model: Model) -> str:
    requests = _number(model)
    requests[_BAD].model_name = "no-such-model"
    responses = _stream(target, requests, by_id=False)
    errors = [each.error_message for each in responses if each.error_message]
    if len(errors) != 1:
        raise Failed(f"{len(errors)} errors for one bad request")
    return errors[0][:60]


def _number(model: Model) -> list[oip.ModelInferRequest]:
    requests = [model.request() for _ in range(_REQUESTS)]
    for number, request in enumerate(requests):
        request.id = str(number)
    return requests


def _stream(
    target: Target, requests: Sequence[oip.ModelInferRequest], by_id: bool = True
) -> list[oip.ModelStreamInferResponse]:
    """As many responses as requests. Raises Inapplicable and Failed."""
    try:
        responses = list(target.stub.ModelStreamInfer(iter(requests), timeout=target.deadline))
    except grpc.RpcError as error:
        if error.code() == grpc.StatusCode.UNIMPLEMENTED:
            raise Inapplicable("the server has no ModelStreamInfer") from error
        raise Failed(f"the stream ended with {describe(error)}") from error
    if len(responses) != len(requests):
        raise Failed(f"{len(responses)} responses to {len(requests)} requests")
    ids = sorted(each.infer_response.id for each in responses)
    if by_id and ids != sorted(each.id for each in requests):
        raise Failed(f"the ids are {', '.join(ids)}")
    return responses
