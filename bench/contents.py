"""Contents with one fault: too few bytes, or too many, of the wrong kind, or not what shape, datatype and rows say."""

import random
import struct
from collections.abc import Iterable, MutableSequence
from typing import Any

from bench.mutate import Request, pack, sentence

MAX_SIDE, MAX_TEXT, MAX_LANGUAGE = 4096, 32 * 1024, 35
FLOATS = (float("nan"), float("inf"), 0.5)
Expected = tuple[str, str]  # reason, field; of a status other than INVALID_ARGUMENT no field


def type_contents(request: Request) -> None:
    """The same contents, typed."""
    for tensor, raw in zip(request.inputs, request.raw_input_contents, strict=True):
        if tensor.datatype == "UINT8":
            tensor.contents.uint_contents.extend(raw)
        else:
            tensor.contents.bytes_contents.extend(unpack(raw))
    request.ClearField("raw_input_contents")


def unpack(raw: bytes) -> Iterable[bytes]:
    at = 0
    while at < len(raw):
        (length,) = struct.unpack_from("<I", raw, at)
        yield raw[at + 4 : at + 4 + length]
        at += 4 + length


def pick(request: Request, chance: random.Random) -> tuple[int, str]:
    """(which input, its field)."""
    at = chance.randrange(len(request.inputs))
    return at, f"inputs[{request.inputs[at].name}]"


def raw_count(request: Request, chance: random.Random) -> Expected:
    if chance.random() < 0.5 and len(request.inputs) > 1:
        del request.raw_input_contents[0]
    else:
        request.raw_input_contents.extend([b""] * chance.choice((1, 50)))
    return "CONTENTS_MISMATCH", "raw_input_contents"


def cut(request: Request, chance: random.Random) -> Expected:
    at, field = pick(request, chance)
    request.raw_input_contents[at] = request.raw_input_contents[at][: -chance.randint(1, 9)]
    return "CONTENTS_MISMATCH", field


def grown(request: Request, chance: random.Random) -> Expected:
    at, field = pick(request, chance)
    request.raw_input_contents[at] += chance.randbytes(chance.randint(1, 9))
    return "CONTENTS_MISMATCH", field


def length(request: Request, chance: random.Random) -> Expected:
    """Of the first element, beyond the end; or of the last, so that bytes are left."""
    at, field = pick(request, chance)
    raw = request.raw_input_contents[at]
    if chance.random() < 0.5:
        lie = chance.choice((len(raw) - 3, 2**31, 2**32 - 1))
        request.raw_input_contents[at] = struct.pack("<I", lie) + raw[4:]
    else:
        elements = list(unpack(raw))
        request.raw_input_contents[at] = pack([*elements[:-1], b""]) + elements[-1]
    return "CONTENTS_MISMATCH", field


def mixed(request: Request, chance: random.Random) -> Expected:
    at, field = pick(request, chance)
    request.inputs[at].contents.uint_contents.append(1)
    return "CONTENTS_MIXED", field


def other_field(request: Request, chance: random.Random) -> Expected:
    type_contents(request)
    at, field = pick(request, chance)
    request.inputs[at].contents.fp32_contents.extend([chance.choice(FLOATS)] * chance.choice((1, 100)))
    return "CONTENTS_MISMATCH", field


def typed_count(request: Request, chance: random.Random) -> Expected:
    type_contents(request)
    at, field = pick(request, chance)
    contents = request.inputs[at].contents
    values: MutableSequence[Any] = (
        contents.uint_contents if request.inputs[at].datatype == "UINT8" else contents.bytes_contents
    )
    if chance.random() < 0.5:
        del values[-1]
    else:
        values.append(values[0])
    return "CONTENTS_MISMATCH", field


def beyond(request: Request, chance: random.Random) -> Expected:
    type_contents(request)
    values = request.inputs[0].contents.uint_contents
    values[chance.randrange(len(values))] = chance.choice((256, 2**31, 2**32 - 1))
    return "VALUE_OUT_OF_RANGE", "inputs[image]"


def nan(request: Request, chance: random.Random) -> Expected:
    """An image of floats, NaN among them."""
    count = len(request.raw_input_contents[0])
    values = chance.choices(FLOATS, k=count)
    if chance.random() < 0.5:
        request.inputs[0].datatype = "FP32"
        request.raw_input_contents[0] = struct.pack(f"<{count}f", *values)
        return "DATATYPE_WRONG", "inputs[image]"
    request.ClearField("raw_input_contents")
    request.inputs[0].contents.fp32_contents.extend(values)
    return "CONTENTS_MISMATCH", "inputs[image]"


def huge(request: Request, chance: random.Random) -> Expected:
    """By its shape; what is there is small."""
    request.inputs[0].shape[1:] = [chance.choice((MAX_SIDE, 2**31, 2**40, 2**62)) for _ in range(2)]
    return "CONTENTS_MISMATCH", "inputs[image]"


def large(request: Request, chance: random.Random) -> Expected:
    side = MAX_SIDE + chance.choice((1, 100))
    request.inputs[0].shape[:] = chance.choice(([1, 1, side], [1, side, 1]))
    request.raw_input_contents[0] = bytes(side)
    return "IMAGE_TOO_LARGE", "inputs[image]"


def row(request: Request, chance: random.Random) -> Expected:
    """One row is bad, and nobody asked for row_error."""
    rows = request.inputs[0].shape[0]
    at, name = chance.randrange(rows), request.inputs[-1].name
    reason, value = chance.choice(bad_values(name))
    values = [b"en" if name == "language" else sentence(chance) for _ in range(rows)]
    values[at] = value
    request.raw_input_contents[len(request.inputs) - 1] = pack(values)
    return reason, f"row {at}"


def bad_values(name: str) -> list[tuple[str, bytes]]:
    """(reason, value): what no row may hold as its `name`."""
    most = MAX_LANGUAGE if name == "language" else MAX_TEXT
    bad = [(f"{name.upper()}_NOT_UTF8", b"en\xff"), (f"{name.upper()}_NOT_UTF8", b"\xed\xa0\x80")]
    bad.append((f"{name.upper()}_TOO_LONG", b"a" * (most + 1)))
    return [*bad, ("TEXT_EMPTY", b""), ("TEXT_EMPTY", b" \n\t")] if name == "text" else bad
