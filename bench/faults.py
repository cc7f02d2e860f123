"""Requests with one fault, and what must be said of it: the status, the reason and the field. The same chance makes the same ones."""

import random
from collections.abc import Callable
from dataclasses import dataclass

from bench.contents import (
    Expected,
    beyond,
    cut,
    grown,
    huge,
    large,
    length,
    mixed,
    nan,
    other_field,
    pick,
    raw_count,
    row,
    type_contents,
    typed_count,
)
from bench.mutate import NAMES, Request, good, pack

MAX_ROWS, MAX_INPUTS, MAX_EXPLAINED, SHOWN = 1024, 16, 128, 64
INVALID, UNKNOWN = "INVALID_ARGUMENT", "NOT_FOUND"
_NO_MESSAGE = 0.02  # share of faults
_MESSAGES = (
    ("garbage", b"\x0a\xff\xff", "MESSAGE_UNREADABLE"),
    ("large garbage", b"\x0a\xff\xff" + bytes(2 << 20), "MESSAGE_UNREADABLE"),
    ("a million empty inputs", b"\x2a\0" * (1 << 20), "MESSAGE_TOO_COMPLEX"),
    ("a large id", b"\x1a\x80\x80\x80\x01" + b"i" * (2 << 20), "MESSAGE_TOO_COMPLEX"),
)


@dataclass(frozen=True)
class Fault:
    """`name`: of the function that made it."""

    name: str
    raw: bytes
    status: str
    reason: str
    field: str


def fault(chance: random.Random) -> Fault:
    if chance.random() < _NO_MESSAGE:
        name, raw, reason = chance.choice(_MESSAGES)
        return Fault(name, raw, INVALID, reason, "message")
    make = chance.choice(_ALL)
    request = _begin(make, chance)
    reason, field = make(request, chance)
    status = UNKNOWN if reason == "MODEL_NOT_FOUND" else INVALID
    return Fault(make.__name__.strip("_"), request.SerializeToString(), status, reason, field)


def _begin(make: "Callable[[Request, random.Random], Expected]", chance: random.Random) -> Request:
    while True:
        request = good(chance)
        images = request.model_name == "imaging"
        if (make in _TEXT and images) or (make in _IMAGE and not images) or (make is _rows_differ and _alone(request)):
            continue
        if make in _EITHER and chance.random() < 0.3:
            type_contents(request)
        return request


def _alone(request: Request) -> bool:
    return len(request.inputs) == 1


def _no_model(request: Request, chance: random.Random) -> Expected:
    request.model_name = chance.choice([name for name in NAMES if name not in {"intent", "risk", "imaging"}])
    return "MODEL_NOT_FOUND", ""


def _no_version(request: Request, chance: random.Random) -> Expected:
    request.model_version = chance.choice([name for name in NAMES if name])
    return "MODEL_NOT_FOUND", ""


def _no_input(request: Request, chance: random.Random) -> Expected:
    at, _ = pick(request, chance)
    request.inputs[at].name = chance.choice([name for name in NAMES if name not in {"text", "image"}])
    return "INPUT_UNKNOWN", f"inputs[{request.inputs[at].name[:SHOWN]}]"


def _missing(request: Request, chance: random.Random) -> Expected:
    name = request.inputs[0].name
    del request.inputs[0], request.raw_input_contents[:1]
    return "INPUT_MISSING", f"inputs[{name}]"


def _twice(request: Request, chance: random.Random) -> Expected:
    at, field = pick(request, chance)
    request.inputs.add().CopyFrom(request.inputs[at])
    request.raw_input_contents.extend(request.raw_input_contents[at : at + 1])
    return "INPUT_TWICE", field


def _too_many(request: Request, chance: random.Random) -> Expected:
    for _ in range(MAX_INPUTS + chance.randrange(20)):
        request.inputs.add().CopyFrom(request.inputs[0])
    return "TOO_MANY_INPUTS", "inputs"


def _datatype(request: Request, chance: random.Random) -> Expected:
    at, field = pick(request, chance)
    wrong = [each for each in ("BOOL", "UINT8", "FP32", "BYTES", "", "pickle") if each != request.inputs[at].datatype]
    request.inputs[at].datatype = chance.choice(wrong)
    return "DATATYPE_WRONG", field


def _dimensions(request: Request, chance: random.Random) -> Expected:
    at, field = pick(request, chance)
    if chance.random() < 0.5:
        request.inputs[at].shape.append(chance.choice((-1, 0, 1, 2**62)))
    else:
        del request.inputs[at].shape[-1]
    return "SHAPE_WRONG", field


def _rows(request: Request, chance: random.Random) -> Expected:
    at, field = pick(request, chance)
    request.inputs[at].shape[0] = chance.choice((-(2**63), -1, 0, MAX_ROWS + 1, 2**31, 2**32, 2**63 - 1))
    return "ROWS_OUT_OF_RANGE", field


def _rows_over(request: Request, chance: random.Random) -> Expected:
    """All of them there."""
    rows = MAX_ROWS + chance.choice((1, 2, 1000))
    for at, tensor in enumerate(request.inputs):
        tensor.shape[0] = rows
        request.raw_input_contents[at] = pack([b"en"] * rows)
    return "ROWS_OUT_OF_RANGE", f"inputs[{request.inputs[0].name}]"


def _rows_differ(request: Request, chance: random.Random) -> Expected:
    request.inputs[1].shape[0] += chance.choice((1, 2, 100))
    return "ROWS_DIFFER", f"inputs[{request.inputs[1].name}]"


def _side(request: Request, chance: random.Random) -> Expected:
    request.inputs[0].shape[chance.choice((1, 2))] = chance.choice((-(2**63), -1, 0))
    return "SHAPE_WRONG", "inputs[image]"


def _no_output(request: Request, chance: random.Random) -> Expected:
    request.outputs.add(name=chance.choice([name for name in NAMES if name != "row_error"]))
    return "OUTPUT_UNKNOWN", f"outputs[{request.outputs[0].name[:SHOWN]}]"


def _output_twice(request: Request, chance: random.Random) -> Expected:
    name = {"intent": "intent.probabilities", "risk": "severity.probabilities", "imaging": "finding.probabilities"}
    for each in (name[request.model_name], "row_error", "row_error"):
        request.outputs.add(name=each)
    return "OUTPUT_TWICE", "outputs[row_error]"


def _priority(request: Request, chance: random.Random) -> Expected:
    if chance.random() < 0.5:
        request.parameters["priority"].uint64_param = chance.choice((10, 10**7, 2**64 - 1))
        return "PRIORITY_OUT_OF_RANGE", "parameters[priority]"
    request.parameters["priority"].int64_param = chance.choice((-1, -(2**63)))
    return "PARAMETER_OUT_OF_RANGE", "parameters[priority]"


def _timeout(request: Request, chance: random.Random) -> Expected:
    request.parameters["timeout"].int64_param = chance.choice((-1, -(2**63)))
    return "PARAMETER_OUT_OF_RANGE", "parameters[timeout]"


def _no_head(request: Request, chance: random.Random) -> Expected:
    request.outputs.add(name="attribution")
    request.parameters["head"].string_param = chance.choice([name for name in NAMES if name not in {"", "intent"}])
    return "HEAD_UNKNOWN", "parameters[head]"


def _explained(request: Request, chance: random.Random) -> Expected:
    """More rows than are explained at once."""
    rows = MAX_EXPLAINED + chance.choice((1, 100))
    for at, tensor in enumerate(request.inputs):
        tensor.shape[0] = rows
        request.raw_input_contents[at] = pack([b"en"] * rows)
    request.outputs.add(name="attribution")
    return "ROWS_OUT_OF_RANGE", "outputs[attribution]"


_EITHER = (
    _no_model,
    _no_version,
    _no_input,
    _datatype,
    _dimensions,
    _rows,
    _rows_differ,
    _no_output,
    _output_twice,
    _priority,
    _timeout,
)
_TEXT = (_rows_over, length, _explained, row, _no_head)
_IMAGE = (_side, huge, large, beyond, nan)
_RAW = (_missing, _twice, _too_many, raw_count, cut, grown, mixed, other_field, typed_count)
_ALL = (*_EITHER, *_TEXT, *_IMAGE, *_RAW)  # fmt: skip
