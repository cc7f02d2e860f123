"""Tensors of the Open Inference Protocol, to numpy and back. Everything a request claims is checked before anything is allocated."""

import math
import struct
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from protos import inference_pb2 as oip
from services.inference.refusal import invalid
from services.inference.wire import Cut, count, decode
from shared.inference.datatypes import DATATYPES

MAX_ROWS = 1024
MAX_INPUTS = 16
MAX_NAME = 64
STEP = 1 << 14  # typed elements that are read at a time: while numpy reads them, no other thread runs

_LENGTH = struct.Struct("<I")
_NUMBERS = {
    "int_contents": np.int32,
    "int64_contents": np.int64,
    "uint_contents": np.uint32,
    "uint64_contents": np.uint64,
}
NOTHING: Cut = MappingProxyType({})

Tensor = NDArray[Any] | list[bytes]  # BYTES are lists, of rank 1


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """A model's input or output. `shape` has -1 for what may vary; its first is the rows."""

    name: str
    datatype: str
    shape: tuple[int, ...] = (-1,)
    optional: bool = False


def check(request: oip.ModelInferRequest, specs: Sequence[TensorSpec]) -> int:
    """The number of rows, once names, datatypes and shapes are those of the model. Reads no contents.

    Raises:
        Refusal: INVALID_ARGUMENT, naming the input at fault.
    """
    if len(request.inputs) > MAX_INPUTS:
        raise invalid("TOO_MANY_INPUTS", "inputs", f"{len(request.inputs)} inputs; the limit is {MAX_INPUTS}")
    _check_names(request, {spec.name: spec for spec in specs})
    _check_contents(request)
    first = request.inputs[0]
    for each in request.inputs:
        if each.shape[0] != first.shape[0]:
            raise invalid("ROWS_DIFFER", _path(each), f"{each.shape[0]} rows, but {first.name} has {first.shape[0]}")
    return int(first.shape[0])


def read(request: oip.ModelInferRequest, cut: Cut = NOTHING) -> dict[str, Tensor]:
    """The tensors of a checked request, by name. cut: typed numbers that are not in it.

    Raises:
        Refusal: INVALID_ARGUMENT: contents that are not what shape and datatype say.
    """
    if not request.raw_input_contents:
        return {each.name: _typed(each, cut.get(at, {})) for at, each in enumerate(request.inputs)}
    pairs = zip(request.inputs, request.raw_input_contents, strict=True)
    return {each.name: _raw(each, raw) for each, raw in pairs}


def _check_names(request: oip.ModelInferRequest, specs: Mapping[str, TensorSpec]) -> None:
    seen: set[str] = set()
    for each in request.inputs:
        spec = specs.get(each.name)
        if spec is None:
            raise invalid("INPUT_UNKNOWN", _path(each), f"the model has no such input; it has {', '.join(specs)}")
        if each.name in seen:
            raise invalid("INPUT_TWICE", _path(each), "the input is there twice")
        seen.add(each.name)
        _check_shape(each, spec)
    missing = [name for name, spec in specs.items() if not spec.optional and name not in seen]
    if missing or not seen:  # where all are optional, one must still be there: it says how many rows there are
        raise invalid("INPUT_MISSING", f"inputs[{(missing or list(specs))[0]}]", "the model needs this input")


def _check_shape(tensor: oip.ModelInferRequest.InferInputTensor, spec: TensorSpec) -> None:
    shape = tuple(tensor.shape)
    if tensor.datatype != spec.datatype:
        known = tensor.datatype if tensor.datatype in DATATYPES else "that"
        raise invalid("DATATYPE_WRONG", _path(tensor), f"the datatype is {spec.datatype}, not {known}")
    if len(shape) != len(spec.shape):
        raise invalid("SHAPE_WRONG", _path(tensor), f"the shape has {len(spec.shape)} dimensions, not {len(shape)}")
    if not 1 <= shape[0] <= MAX_ROWS:
        raise invalid("ROWS_OUT_OF_RANGE", _path(tensor), f"{shape[0]} rows; 1 to {MAX_ROWS:,} are allowed")
    for axis, (size, allowed) in enumerate(zip(shape, spec.shape, strict=True)):
        if size < 1 or (allowed != -1 and size != allowed):
            expected = "at least 1" if allowed == -1 else str(allowed)
            raise invalid("SHAPE_WRONG", _path(tensor), f"dimension {axis} is {size}; it must be {expected}")


def _check_contents(request: oip.ModelInferRequest) -> None:
    """Either every input is raw or every input is typed."""
    raw = len(request.raw_input_contents)
    if not raw:
        return
    if raw != len(request.inputs):
        detail = f"{raw} raw contents for {len(request.inputs)} inputs"
        raise invalid("CONTENTS_MISMATCH", "raw_input_contents", detail)
    for each in request.inputs:
        if each.HasField("contents"):
            raise invalid("CONTENTS_MIXED", _path(each), "raw and typed contents cannot be mixed in one request")


def _raw(tensor: oip.ModelInferRequest.InferInputTensor, raw: bytes) -> Tensor:
    if tensor.datatype == "BYTES":
        return unpack_bytes(raw, math.prod(tensor.shape), _path(tensor))
    kind = np.dtype(DATATYPES[tensor.datatype].numpy)
    expected = math.prod(tensor.shape) * kind.itemsize
    if len(raw) != expected:
        detail = f"{len(raw):,} raw bytes; shape and datatype make {expected:,}"
        raise invalid("CONTENTS_MISMATCH", _path(tensor), detail)
    if tensor.datatype == "BOOL" and np.frombuffer(raw, "u1").max() > 1:
        raise invalid("VALUE_OUT_OF_RANGE", _path(tensor), "a BOOL is a byte of 0 or 1")
    return np.frombuffer(raw, kind).reshape(tensor.shape)


def _typed(tensor: oip.ModelInferRequest.InferInputTensor, cut: Mapping[str, list[memoryview]]) -> Tensor:
    kind, field = DATATYPES[tensor.datatype]
    if not field:
        raise invalid("CONTENTS_MISMATCH", _path(tensor), f"{tensor.datatype} has no typed contents: send it raw")
    filled = {descriptor.name for descriptor, _ in tensor.contents.ListFields()} | cut.keys()
    if filled - {field}:
        raise invalid("CONTENTS_MISMATCH", _path(tensor), f"{tensor.datatype} belongs in {field}")
    values = getattr(tensor.contents, field)
    expected, there = math.prod(tensor.shape), count(cut[field]) if field in cut else len(values)
    if there != expected:
        raise invalid("CONTENTS_MISMATCH", _path(tensor), f"{there:,} elements; the shape makes {expected:,}")
    if tensor.datatype == "BYTES":
        return list(values)
    array = np.empty(expected, kind)
    try:
        if field in cut:
            _fill(array, field, cut[field])
        else:
            for start in range(0, expected, STEP):
                array[start : start + STEP] = np.array(values[start : start + STEP], kind)
        return array.reshape(tensor.shape)
    except OverflowError:
        raise invalid("VALUE_OUT_OF_RANGE", _path(tensor), f"an element does not fit {tensor.datatype}") from None
    except ValueError:
        raise invalid("CONTENTS_MISMATCH", _path(tensor), "the typed numbers are damaged") from None


def _fill(array: NDArray[Any], field: str, pieces: list[memoryview]) -> None:
    """As protobuf reads such a field, and numpy takes its numbers."""
    start = 0
    for numbers in decode(pieces):
        values = (numbers != 0) if field == "bool_contents" else numbers.astype(_NUMBERS[field])
        part = array[start : start + len(values)]
        part[:] = values
        if not np.array_equal(part, values):
            raise OverflowError
        start += len(values)


def unpack_bytes(raw: bytes, count: int, path: str) -> list[bytes]:
    """Elements of a raw BYTES tensor: for each, a little-endian uint32 length, then the bytes.

    Raises:
        Refusal: it holds more or fewer than `count` elements, or one is cut short.
    """
    elements, at, end = [], 0, len(raw)
    if 4 * count > end:
        raise invalid("CONTENTS_MISMATCH", path, f"{end:,} raw bytes cannot hold {count:,} elements")
    for index in range(count):
        start = at + 4
        at = start + _LENGTH.unpack_from(raw, at)[0] if start <= end else end + 1
        if at > end:
            raise invalid("CONTENTS_MISMATCH", path, f"element {index} is cut short")
        elements.append(raw[start:at])
    if at != end:
        raise invalid("CONTENTS_MISMATCH", path, f"{end - at:,} bytes follow the last of {count:,} elements")
    return elements


def pack_bytes(elements: Sequence[bytes]) -> bytes:
    return b"".join(part for each in elements for part in (_LENGTH.pack(len(each)), each))


def write(response: oip.ModelInferResponse, spec: TensorSpec, tensor: Tensor) -> None:
    """Adds one output, raw, as every client reads it."""
    if isinstance(tensor, list):
        response.outputs.add(name=spec.name, datatype="BYTES", shape=[len(tensor)])
        response.raw_output_contents.append(pack_bytes(tensor))
        return
    response.outputs.add(name=spec.name, datatype=spec.datatype, shape=tensor.shape)
    response.raw_output_contents.append(np.ascontiguousarray(tensor, DATATYPES[spec.datatype].numpy).tobytes())


def choose(
    request: oip.ModelInferRequest, specs: Sequence[TensorSpec], besides: Collection[str] = ()
) -> list[TensorSpec]:
    """The outputs asked for, in the order asked for; without a wish, all that are not optional, and those of `besides` that there are.

    Raises:
        Refusal: INVALID_ARGUMENT: an output is unknown or asked for twice.
    """
    if not request.outputs:
        asked = request.parameters["row_error"].bool_param if "row_error" in request.parameters else False
        return [
            spec for spec in specs if not spec.optional or (asked and spec.name == "row_error") or spec.name in besides
        ]
    known = {spec.name: spec for spec in specs}
    chosen: dict[str, TensorSpec] = {}
    for each in request.outputs:
        if each.name not in known:
            raise invalid("OUTPUT_UNKNOWN", f"outputs[{each.name[:MAX_NAME]}]", f"the model has {', '.join(known)}")
        if each.name in chosen:
            raise invalid("OUTPUT_TWICE", f"outputs[{each.name}]", "the output is asked for twice")
        chosen[each.name] = known[each.name]
    return list(chosen.values())


def _path(tensor: oip.ModelInferRequest.InferInputTensor) -> str:
    return f"inputs[{tensor.name[:MAX_NAME]}]"
