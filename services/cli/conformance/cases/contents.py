"""Contents that are not what shape and datatype say. The protocol: "the raw contents must match exactly the size expected"."""

import struct
from typing import Any

from protos import inference_pb2 as oip
from services.cli.conformance.case import Inapplicable, Level, model_case
from services.cli.conformance.cases.refusals import expect_refusal
from services.cli.conformance.model import Model
from services.cli.conformance.target import Target
from shared.inference.datatypes import DATATYPES


@model_case("contents.mixed", Level.REQUIRED, "INVALID_ARGUMENT for raw and typed contents in one request")
def check_mixed(target: Target, model: Model) -> str:
    both = model.request()
    both.inputs[0].contents.CopyFrom(model.request(typed=True).inputs[0].contents)
    seen = expect_refusal(target, both)
    if len(both.inputs) > 1:  # some inputs one way, the others the other
        del both.raw_input_contents[0]
        expect_refusal(target, both)
    return seen


@model_case("contents.none", Level.REQUIRED, "INVALID_ARGUMENT where nothing is sent for a shape that has elements")
def check_none(target: Target, model: Model) -> str:
    request = model.request()
    del request.raw_input_contents[:]
    return expect_refusal(target, request)


@model_case("contents.raw.short", Level.REQUIRED, "INVALID_ARGUMENT for a byte fewer, and for none")
def check_raw_short(target: Target, model: Model) -> str:
    request = model.request()
    raw = request.raw_input_contents[0]
    for cut in (raw[:-1], b""):
        request.raw_input_contents[0] = cut
        seen = expect_refusal(target, request)
    return seen


@model_case("contents.raw.long", Level.REQUIRED, "INVALID_ARGUMENT for a byte more")
def check_raw_long(target: Target, model: Model) -> str:
    request = model.request()
    request.raw_input_contents[0] += b"\0"
    return expect_refusal(target, request)


@model_case("contents.raw.surplus", Level.REQUIRED, "INVALID_ARGUMENT for raw contents without an input")
def check_raw_surplus(target: Target, model: Model) -> str:
    request = model.request()
    request.raw_input_contents.append(request.raw_input_contents[0])
    return expect_refusal(target, request)


@model_case(
    "contents.raw.missing",
    Level.REQUIRED,
    "INVALID_ARGUMENT for an input without raw contents beside one that has some",
)
def check_raw_missing(target: Target, model: Model) -> str:
    request = model.request()
    if len(request.inputs) < 2:
        raise Inapplicable("there is one input")
    del request.raw_input_contents[-1]
    return expect_refusal(target, request)


@model_case("contents.typed.short", Level.REQUIRED, "INVALID_ARGUMENT for an element fewer")
def check_typed_short(target: Target, model: Model) -> str:
    request = model.request(typed=True)
    del _elements(request.inputs[0])[-1]
    return expect_refusal(target, request)


@model_case("contents.typed.long", Level.REQUIRED, "INVALID_ARGUMENT for an element more")
def check_typed_long(target: Target, model: Model) -> str:
    request = model.request(typed=True)
    values = _elements(request.inputs[0])
    values.append(values[0])
    return expect_refusal(target, request)


@model_case("contents.typed.field", Level.REQUIRED, "INVALID_ARGUMENT for elements in the field of another datatype")
def check_typed_field(target: Target, model: Model) -> str:
    request = model.request(typed=True)
    wrong = request.inputs[0]
    other = "BOOL" if wrong.datatype != "BOOL" else "INT64"
    count = len(_elements(wrong))
    wrong.contents.Clear()
    getattr(wrong.contents, DATATYPES[other].field).extend([True if other == "BOOL" else 1] * count)
    return expect_refusal(target, request)


@model_case(
    "contents.bytes.truncated",
    Level.REQUIRED,
    "INVALID_ARGUMENT for a BYTES element cut short, and for a length cut short",
)
def check_bytes_truncated(target: Target, model: Model) -> str:
    at = _find_bytes(model)
    for raw in (struct.pack("<I", 8) + b"short", b"\x05\0\0"):
        seen = expect_refusal(target, _with_raw(model, at, raw))
    return seen


@model_case(
    "contents.bytes.lying",
    Level.REQUIRED,
    "INVALID_ARGUMENT for a BYTES length of 4 GiB, and for one that is too short",
)
def check_bytes_lying(target: Target, model: Model) -> str:
    at = _find_bytes(model)
    for length in (2**32 - 1, 2**31, 2):
        seen = expect_refusal(target, _with_raw(model, at, struct.pack("<I", length) + b"where"))
    return seen


def _find_bytes(model: Model) -> int:
    """The first input of one BYTES element."""
    tensors = model.tensors()
    found = (at for at, each in enumerate(tensors) if each.datatype == "BYTES" and len(each.values) == 1)
    at = next(found, None)
    if at is None:
        raise Inapplicable("no input of one BYTES element")
    return at


def _with_raw(model: Model, at: int, raw: bytes) -> oip.ModelInferRequest:
    request = model.request()
    request.raw_input_contents[at] = raw
    return request


def _elements(tensor: oip.ModelInferRequest.InferInputTensor) -> Any:
    """Its typed elements, of whichever field they are in."""
    return getattr(tensor.contents, DATATYPES[tensor.datatype].field)
