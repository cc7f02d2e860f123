"""Tensors from outside: everything they claim is checked, and nothing but a refusal ever comes of a lie."""

import struct
from typing import Any

import grpc
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protos import inference_pb2 as oip
from services.inference.refusal import Refusal
from services.inference.tensors import (
    MAX_ROWS,
    Tensor,
    TensorSpec,
    check,
    choose,
    pack_bytes,
    read,
    unpack_bytes,
    write,
)

TEXT = (TensorSpec("text", "BYTES"), TensorSpec("pair", "BYTES", optional=True))
KINDS = {
    "BOOL": "?",
    "INT8": "i1",
    "INT16": "<i2",
    "INT32": "<i4",
    "INT64": "<i8",
    "UINT8": "u1",
    "UINT16": "<u2",
    "UINT32": "<u4",
    "UINT64": "<u8",
    "FP16": "<f2",
    "BF16": "<u2",
    "FP32": "<f4",
    "FP64": "<f8",
}
FIELDS = {"BOOL": "bool", "INT64": "int64", "UINT64": "uint64", "FP32": "fp32", "FP64": "fp64"}


def request(*inputs: tuple[str, str, list[int], bytes | None]) -> oip.ModelInferRequest:
    made = oip.ModelInferRequest(model_name="m")
    for name, datatype, shape, raw in inputs:
        made.inputs.add(name=name, datatype=datatype, shape=shape)
        if raw is not None:
            made.raw_input_contents.append(raw)
    return made


def take(made: oip.ModelInferRequest, *specs: TensorSpec) -> dict[str, Tensor]:
    check(made, specs)
    return read(made)


def refusal(made: oip.ModelInferRequest, *specs: TensorSpec) -> Refusal:
    with pytest.raises(Refusal) as caught:
        take(made, *specs)
    assert caught.value.code == grpc.StatusCode.INVALID_ARGUMENT
    assert caught.value.fields
    return caught.value


@pytest.mark.parametrize("datatype", KINDS)
def test_every_datatype_travels_raw(datatype: str) -> None:
    """What is written is what is read, little-endian."""
    values = np.array([[0, 1], [1, 0]], KINDS[datatype])
    spec = TensorSpec("x", datatype, (-1, 2))
    response = oip.ModelInferResponse()
    write(response, spec, values)
    raw = response.raw_output_contents[0]
    assert raw == values.tobytes()
    tensors = take(request(("x", datatype, [2, 2], raw)), spec)
    np.testing.assert_array_equal(tensors["x"], values)


@pytest.mark.parametrize("datatype", [kind for kind in KINDS if kind not in {"FP16", "BF16"}])
def test_every_datatype_travels_typed(datatype: str) -> None:
    """Typed contents sit in the field of their datatype and in no other."""
    made = request(("x", datatype, [2], None))
    field = FIELDS.get(datatype, "uint" if datatype.startswith("U") else "int") + "_contents"
    getattr(made.inputs[0].contents, field).extend([0, 1])
    spec = TensorSpec("x", datatype)
    tensor = take(made, spec)["x"]
    np.testing.assert_array_equal(tensor, np.array([0, 1], KINDS[datatype]))
    made.inputs[0].contents.bytes_contents.append(b"x")
    assert refusal(made, spec).reason == "CONTENTS_MISMATCH"


def test_bytes_travel_raw_and_typed() -> None:
    """Elements of any length, empty ones included."""
    elements = [b"", b"a", "京".encode(), bytes(1000)]
    raw = request(("text", "BYTES", [4], pack_bytes(elements)))
    typed = request(("text", "BYTES", [4], None))
    typed.inputs[0].contents.bytes_contents.extend(elements)
    assert take(raw, *TEXT) == take(typed, *TEXT) == {"text": elements}


BAD: dict[str, tuple[list[tuple[str, str, list[int], Any]], str]] = {
    "no inputs": ([], "INPUT_MISSING"),
    "the needed input is missing": ([("pair", "BYTES", [1], b"\1\0\0\0a")], "INPUT_MISSING"),
    "unknown input": ([("nonsense", "BYTES", [1], b"\1\0\0\0a")], "INPUT_UNKNOWN"),
    "twice": ([("text", "BYTES", [1], b"\1\0\0\0a")] * 2, "INPUT_TWICE"),
    "too many": ([("text", "BYTES", [1], b"\1\0\0\0a")] * 17, "TOO_MANY_INPUTS"),
    "wrong datatype": ([("text", "FP32", [1], b"\1\0\0\0")], "DATATYPE_WRONG"),
    "unknown datatype": ([("text", "pickle", [1], b"\1\0\0\0")], "DATATYPE_WRONG"),
    "rank": ([("text", "BYTES", [1, 1], b"\1\0\0\0a")], "SHAPE_WRONG"),
    "no shape": ([("text", "BYTES", [], b"\1\0\0\0a")], "SHAPE_WRONG"),
    "zero rows": ([("text", "BYTES", [0], b"")], "ROWS_OUT_OF_RANGE"),
    "negative rows": ([("text", "BYTES", [-1], b"\1\0\0\0a")], "ROWS_OUT_OF_RANGE"),
    "too many rows": ([("text", "BYTES", [MAX_ROWS + 1], bytes(4 * MAX_ROWS + 4))], "ROWS_OUT_OF_RANGE"),
    "absurdly many rows": ([("text", "BYTES", [2**62], b"\1\0\0\0a")], "ROWS_OUT_OF_RANGE"),
    "rows differ": ([("text", "BYTES", [1], b"\1\0\0\0a"), ("pair", "BYTES", [2], bytes(8))], "ROWS_DIFFER"),
    "fewer raw contents": ([("text", "BYTES", [1], b"\1\0\0\0a"), ("pair", "BYTES", [1], None)], "CONTENTS_MISMATCH"),
    "truncated length": ([("text", "BYTES", [2], b"\1\0\0\0a\1\0")], "CONTENTS_MISMATCH"),
    "truncated element": ([("text", "BYTES", [1], b"\5\0\0\0a")], "CONTENTS_MISMATCH"),
    "lying length": ([("text", "BYTES", [1], b"\xff\xff\xff\xffa")], "CONTENTS_MISMATCH"),
    "bytes left over": ([("text", "BYTES", [1], b"\1\0\0\0ab")], "CONTENTS_MISMATCH"),
    "nothing at all": ([("text", "BYTES", [1], b"")], "CONTENTS_MISMATCH"),
    "no contents": ([("text", "BYTES", [1], None)], "CONTENTS_MISMATCH"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_requests_are_refused_with_their_reason(name: str) -> None:
    """Each names the field at fault."""
    inputs, reason = BAD[name]
    assert refusal(request(*inputs), *TEXT).reason == reason


def test_raw_and_typed_contents_do_not_mix() -> None:
    """One request is one or the other."""
    made = request(("text", "BYTES", [1], b"\1\0\0\0a"))
    made.inputs[0].contents.bytes_contents.append(b"a")
    assert refusal(made, *TEXT).reason == "CONTENTS_MIXED"


def test_numbers_must_fit() -> None:
    """Byte counts, element counts and ranges are those of shape and datatype."""
    image = TensorSpec("image", "UINT8", (-1, -1, 4))
    assert refusal(request(("image", "UINT8", [1, 2, 4], bytes(7))), image).reason == "CONTENTS_MISMATCH"
    assert refusal(request(("image", "UINT8", [1, 2, 3], bytes(6))), image).reason == "SHAPE_WRONG"
    assert refusal(request(("image", "UINT8", [1, 0, 4], b"")), image).reason == "SHAPE_WRONG"
    assert refusal(request(("image", "UINT8", [1, 2**40, 4], bytes(8))), image).reason == "CONTENTS_MISMATCH"
    assert refusal(request(("flag", "BOOL", [1], b"\2")), TensorSpec("flag", "BOOL")).reason == "VALUE_OUT_OF_RANGE"
    small = request(("n", "INT8", [1], None))
    small.inputs[0].contents.int_contents.append(1000)
    assert refusal(small, TensorSpec("n", "INT8")).reason == "VALUE_OUT_OF_RANGE"
    half = request(("h", "FP16", [1], None))
    half.inputs[0].contents.fp32_contents.append(1)
    assert refusal(half, TensorSpec("h", "FP16")).reason == "CONTENTS_MISMATCH"


def test_outputs_are_a_subset_in_the_order_asked_for() -> None:
    """Nothing asked means all but the optional ones; a name that is unknown or there twice is refused."""
    specs = (TensorSpec("a", "FP32"), TensorSpec("b", "FP32"), TensorSpec("row_error", "BYTES", optional=True))
    made = oip.ModelInferRequest()
    assert [spec.name for spec in choose(made, specs)] == ["a", "b"]
    made.parameters["row_error"].bool_param = True
    assert [spec.name for spec in choose(made, specs)] == ["a", "b", "row_error"]
    made.outputs.add(name="row_error")
    made.outputs.add(name="a")
    assert [spec.name for spec in choose(made, specs)] == ["row_error", "a"]
    made.outputs.add(name="a")
    with pytest.raises(Refusal, match="OUTPUT_TWICE"):
        choose(made, specs)
    made.outputs[2].name = "c"
    with pytest.raises(Refusal, match="OUTPUT_UNKNOWN"):
        choose(made, specs)


@given(st.lists(st.binary(max_size=40), min_size=1, max_size=20))
def test_packing_bytes_is_reversible(elements: list[bytes]) -> None:
    """What is packed comes out again."""
    assert unpack_bytes(pack_bytes(elements), len(elements), "x") == elements


@given(st.binary(max_size=60), st.integers(1, 40))
def test_any_raw_bytes_are_read_wholly_or_refused(raw: bytes, count: int) -> None:
    """If they are accepted, they are exactly the packing of what was read."""
    try:
        elements = unpack_bytes(raw, count, "x")
    except Refusal:
        return
    assert len(elements) == count
    assert pack_bytes(elements) == raw


_names = st.sampled_from(["text", "pair", "x", "", "a" * 200])
_sizes = st.one_of(st.integers(-2, 5), st.sampled_from([2**31, 2**62, -(2**63)]))
_tensors = st.builds(
    oip.ModelInferRequest.InferInputTensor,
    name=_names,
    datatype=st.sampled_from(["BYTES", "UINT8", "FP32", "", "OBJECT"]),
    shape=st.lists(_sizes, max_size=4),
    contents=st.none()
    | st.builds(
        oip.InferTensorContents,
        bytes_contents=st.lists(st.binary(max_size=4), max_size=4),
        uint_contents=st.lists(st.integers(0, 2**32 - 1), max_size=4),
    ),
)
_raws = st.one_of(
    st.binary(max_size=16), st.integers(0, 2**32 - 1).map(lambda length: struct.pack("<I", length) + b"ab")
)


@given(
    st.builds(
        oip.ModelInferRequest, inputs=st.lists(_tensors, max_size=4), raw_input_contents=st.lists(_raws, max_size=4)
    )
)
def test_any_request_is_read_or_refused(made: oip.ModelInferRequest) -> None:
    """Nothing but a refusal is ever raised, and what is read has the rows that were announced."""
    specs = (*TEXT, TensorSpec("x", "UINT8", (-1, -1)))
    try:
        rows = check(made, specs[:2])
        tensors = read(made)
    except Refusal:
        return
    assert all(len(tensor) == rows for tensor in tensors.values())
