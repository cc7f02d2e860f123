"""Well-formed requests and what comes back."""

import math
from typing import Any

from protos import inference_pb2 as oip
from services.cli.conformance.answer import Answer, differ, row, same
from services.cli.conformance.case import Failed, Inapplicable, Level, model_case
from services.cli.conformance.cases.refusals import expect_answer_or_refusal
from services.cli.conformance.model import Model
from services.cli.conformance.target import Target
from services.cli.conformance.tensor import Tensor, make

ROWS = 5
LARGE = 5 << 20  # bytes of a request: more than gRPC's own default limit
_TEXT_ROWS, _WORD = 256, b"conformance "
_MOST_ROWS = 1024


@model_case("infer.answer", Level.REQUIRED, "raw contents in; outputs as the metadata describes them", asks=False)
def check_answer(target: Target, model: Model) -> str:
    if model.usual is None:
        raise Failed(f"{model.refusal} (a request made from the metadata; give a better one with --request)")
    described = {each.name: each for each in model.metadata.outputs}
    for name, tensor in model.usual.items():
        if name not in described:
            raise Failed(f"output {name} is not in the metadata")
        _check_output(tensor, described[name].datatype, tuple(described[name].shape))
    return f"{len(model.usual)} outputs"


def _check_output(tensor: Tensor, datatype: str, shape: tuple[int, ...]) -> None:
    fits = len(tensor.shape) == len(shape) and all(a in (-1, b) for a, b in zip(shape, tensor.shape, strict=True))
    if tensor.datatype != datatype or not fits:
        seen = f"{tensor.datatype} {list(tensor.shape)}"
        raise Failed(f"{tensor.name} is {seen}; the metadata says {datatype} {list(shape)}")


@model_case("infer.repeat", Level.COMMON, "the same request has the same answer")
def check_repeat(target: Target, model: Model) -> str:
    if not model.steady:
        raise Failed("two answers differed")
    return "the same"


@model_case("infer.id", Level.REQUIRED, "the request's id comes back")
def check_id(target: Target, model: Model) -> str:
    for name in ("7", "京-" + "x" * 200):
        request = model.request()
        request.id = name
        if (found := target.infer(request).id) != name:
            raise Failed(f"{found[:40]!r} for {name[:40]!r}")
    return "echoed"


@model_case("infer.names", Level.REQUIRED, "the answer names the model and one of its versions")
def check_names(target: Target, model: Model) -> str:
    response = target.infer(model.request())
    if response.model_name != model.name:
        raise Failed(f"the answer names {response.model_name!r}")
    versions = list(model.metadata.versions)
    if versions and response.model_version not in versions:
        raise Failed(f"version {response.model_version!r}; the metadata has {', '.join(versions)}")
    return f"{response.model_name} {response.model_version}"


@model_case("infer.rows", Level.COMMON, f"{ROWS} rows in, {ROWS} out, in order, each as if it were alone")
def check_rows(target: Target, model: Model) -> str:
    together = target.answer(model.request(model.tensors(ROWS)))
    columns = [each.name for each in model.metadata.outputs if each.shape and each.shape[0] == -1]
    for name in columns:
        if name in together and together[name].shape[:1] != (ROWS,):
            raise Failed(f"{name} has the shape {list(together[name].shape)}")
    for at in range(ROWS if model.steady else 0):
        alone = target.answer(model.request(model.tensors(1, at)))
        _check_row(alone, together, columns, at)
    return f"{ROWS} rows"


def _check_row(alone: Answer, together: Answer, columns: list[str], at: int) -> None:
    for name in columns:
        if name in alone and name in together and not same(alone[name], row(together[name], at)):
            raise Failed(f"row {at} of {name} is not what it is alone")


@model_case(
    "infer.parameters", Level.COMMON, "unknown parameters of every kind change nothing, on request, input and output"
)
def check_parameters(target: Target, model: Model) -> str:
    assert model.usual is not None
    kinds = [
        oip.InferParameter(bool_param=True),
        oip.InferParameter(int64_param=-(2**63)),
        oip.InferParameter(string_param="京"),
        oip.InferParameter(double_param=0.5),
        oip.InferParameter(uint64_param=2**64 - 1),
    ]
    for kind in kinds:
        request = model.request()
        for name in model.usual:
            request.outputs.add(name=name)
        holders: list[Any] = [request, *request.inputs, *request.outputs]
        for holder in holders:
            holder.parameters["conformance"].CopyFrom(kind)
        answer = target.answer(request)
        if model.steady and (name := differ(model.usual, answer)):
            raise Failed(f"{kind.WhichOneof('parameter_choice')} changed {name}")
    return f"{len(kinds)} kinds"


@model_case("infer.large", Level.COMMON, "a request of more than 4 MiB is read: answered, or refused for what it holds")
def check_large(target: Target, model: Model) -> str:
    request = model.request(_enlarge(model))
    seen = expect_answer_or_refusal(target, request, 3 * target.deadline)  # gRPC refuses a size with RESOURCE_EXHAUSTED
    return f"{request.ByteSize() / 2**20:.1f} MiB: {seen}"


def _enlarge(model: Model) -> list[Tensor]:
    """More than 4 MiB: long texts, or large arrays, or many rows."""
    tensors = model.tensors()
    for at, each in enumerate(tensors):
        if each.datatype == "BYTES" and model.batched:
            many, text = model.tensors(_TEXT_ROWS), _WORD * (LARGE // _TEXT_ROWS // len(_WORD) + 1)
            many[at] = many[at].but(values=[text] * len(many[at].values))
            return many
        shapes = [
            found.shape for found in model.metadata.inputs if found.name == each.name
        ]  # none: --request knows more
        free = [axis for shape in shapes for axis, size in enumerate(shape) if axis and size == -1]
        if free and each.datatype != "BYTES":
            fixed = math.prod(size for axis, size in enumerate(each.shape) if axis not in free)
            side = math.ceil((LARGE / fixed / each.values.itemsize) ** (1 / len(free)))
            shape = [side if axis in free else size for axis, size in enumerate(each.shape)]
            return [*tensors[:at], make(each.name, each.datatype, shape), *tensors[at + 1 :]]
    rows = LARGE // model.request().ByteSize() + 1
    if not model.batched or rows > _MOST_ROWS:
        raise Inapplicable("the metadata leaves no room for so much")
    return model.tensors(rows)
