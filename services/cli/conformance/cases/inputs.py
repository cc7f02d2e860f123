"""Inputs that are missing, unknown or of another shape than the metadata says."""

import grpc

from services.cli.conformance.answer import read_answer
from services.cli.conformance.case import Failed, Inapplicable, Level, model_case
from services.cli.conformance.cases.refusals import INVALID, expect_answer_or_refusal, expect_refusal, judge
from services.cli.conformance.model import Model
from services.cli.conformance.target import Target
from services.cli.conformance.tensor import make

MANY = 65_536  # rows: more than most servers take at once


@model_case("inputs.none", Level.COMMON, "INVALID_ARGUMENT")
def check_none(target: Target, model: Model) -> str:
    return expect_refusal(target, model.request([]))


@model_case("inputs.missing", Level.COMMON, "without one of the inputs: answered (it is optional) or INVALID_ARGUMENT")
def check_missing(target: Target, model: Model) -> str:
    tensors = model.tensors()
    if len(tensors) < 2:
        raise Inapplicable("there is one input")
    seen = {
        each.name: expect_answer_or_refusal(target, model.request([other for other in tensors if other is not each]))
        for each in tensors
    }
    return ", ".join(f"{name}: {said}" for name, said in seen.items())


@model_case("inputs.unknown", Level.COMMON, "INVALID_ARGUMENT")
def check_unknown(target: Target, model: Model) -> str:
    tensors = model.tensors()
    return expect_refusal(target, model.request([*tensors, tensors[0].but(name="no-such-input")]))


@model_case("inputs.twice", Level.COMMON, "INVALID_ARGUMENT for an input that is there twice")
def check_twice(target: Target, model: Model) -> str:
    tensors = model.tensors()
    return expect_refusal(target, model.request([*tensors, tensors[0]]))


@model_case("shape.rank", Level.COMMON, "INVALID_ARGUMENT for one dimension more, and for none")
def check_rank(target: Target, model: Model) -> str:
    shape = model.tensors()[0].shape
    expect_refusal(target, model.request(model.change_first(shape=(*shape, 1))))
    if not shape:
        return "one more"
    return expect_refusal(target, model.request(model.change_first(shape=())))


@model_case("shape.fixed", Level.COMMON, "INVALID_ARGUMENT where a dimension is not the metadata's")
def check_fixed(target: Target, model: Model) -> str:
    described = {each.name: each.shape for each in model.metadata.inputs}
    tensors = model.tensors()
    for at, tensor in enumerate(tensors):
        axis = next((axis for axis, size in enumerate(described.get(tensor.name, ())) if size > 0), None)
        if axis is not None:
            shape = [size + (place == axis) for place, size in enumerate(tensor.shape)]
            tensors[at] = make(tensor.name, tensor.datatype, shape)
            return expect_refusal(target, model.request(tensors))
    raise Inapplicable("every dimension is open")


@model_case("shape.negative", Level.COMMON, "INVALID_ARGUMENT")
def check_negative(target: Target, model: Model) -> str:
    shape = model.tensors()[0].shape
    return expect_refusal(target, model.request(model.change_first(shape=(-1, *shape[1:]))))


@model_case("shape.huge", Level.REQUIRED, "refused at once where a shape claims far more than is sent")
def check_huge(target: Target, model: Model) -> str:
    shape = model.tensors()[0].shape
    for first in (2**31 + 1, 2**40, 2**62, 2**63 - 1):
        for rest in (shape[1:], tuple(2**40 for _ in shape[1:])):
            seen = expect_refusal(target, model.request(model.change_first(shape=(first, *rest))))
    return seen


@model_case("rows.zero", Level.COMMON, "answered with no rows, or INVALID_ARGUMENT")
def check_zero(target: Target, model: Model) -> str:
    if not model.batched:
        raise Inapplicable("the number of rows is fixed")
    empty = [make(each.name, each.datatype, (0, *each.shape[1:])) for each in model.tensors()]
    try:
        answer = read_answer(target.infer(model.request(empty)))
    except grpc.RpcError as error:
        return judge(error, INVALID)
    if any(tensor.shape[:1] != (0,) for tensor in answer.values()):
        raise Failed("answered with rows")
    return "answered"


@model_case("rows.differ", Level.COMMON, "INVALID_ARGUMENT where inputs have different numbers of rows")
def check_differ(target: Target, model: Model) -> str:
    if not model.batched or len(model.metadata.inputs) < 2:
        raise Inapplicable("there are no two inputs with rows")
    return expect_refusal(target, model.request([*model.tensors(2)[:1], *model.tensors(3)[1:]]))


@model_case(
    "rows.many", Level.COMMON, "all of many rows are answered, or refused with INVALID_ARGUMENT or RESOURCE_EXHAUSTED"
)
def check_many(target: Target, model: Model) -> str:
    if not model.batched:
        raise Inapplicable("the number of rows is fixed")
    rows = model.rows_within(MANY)
    try:
        answer = read_answer(target.infer(model.request(model.tensors(rows)), timeout=3 * target.deadline))
    except grpc.RpcError as error:
        return f"{rows:,} rows: {judge(error, INVALID, grpc.StatusCode.RESOURCE_EXHAUSTED)}"
    columns = {each.name for each in model.metadata.outputs if each.shape[:1] == [-1]}
    for name, tensor in answer.items():
        if name in columns and tensor.shape[0] != rows:
            raise Failed(f"{rows:,} rows in, {tensor.shape[0]:,} rows of {name} out")
    return f"{rows:,} rows: answered"
