"""Requests that were well formed, until something was done to them. The same seed makes the same requests."""

import random
import struct
from collections.abc import Callable

from protos import inference_pb2 as oip

Request = oip.ModelInferRequest
TYPES = ("BOOL", "INT8", "INT64", "UINT8", "UINT64", "FP16", "FP32", "FP64", "BYTES", "", "pickle", "BYTES" * 100)
NAMES = (
    "",
    "intent",
    "risk",
    "imaging",
    "no-such",
    "../../etc/passwd",
    "\x00",
    "京" * 100,
    "n" * 5000,
    "text",
    "image",
    "row_error",
)
SIZES = (-(2**63), -1, 0, 1, 2, 3, 7, 1024, 1025, 4097, 2**16, 2**31 - 1, 2**31, 2**32, 2**40, 2**62, 2**63 - 1)
LENGTHS = (0, 1, 3, 4, 5, 100, 2**16, 2**31 - 1, 2**31, 2**32 - 1)
TEXTS = (
    b"",
    b" ",
    b"\xff\xfe",
    b"\x00",
    b"\xed\xa0\x80",
    "\U0001f600".encode(),
    b"card " * 7000,
    "‮refund".encode(),
    b"a" * 32_769,
)
WORDS = (b"where", b"is", b"my", b"card", b"parcel", b"refund", b"late", b"please", "在哪里".encode())
PARAMETERS = ("priority", "timeout", "card", "row_error", "sequence_id", "", "binary_data_size")
_MANY = 0.005  # share of requests with very many rows: they take long
MAX_SIDE = 40  # pixels, of most images


def pack(elements: list[bytes]) -> bytes:
    return b"".join(struct.pack("<I", len(each)) + each for each in elements)


def sentence(chance: random.Random) -> bytes:
    return b" ".join(chance.choices(WORDS, k=chance.randint(1, 9)))


def good(chance: random.Random) -> Request:
    """A request that is answered: by either text model or the image model, in one to five rows."""
    rows = chance.randint(1, 5)
    request = Request(model_name=chance.choice(("intent", "risk", "imaging")), id=str(chance.getrandbits(32)))
    if request.model_name == "imaging":
        shape = (rows, chance.randint(1, MAX_SIDE), chance.randint(1, MAX_SIDE))
        request.inputs.add(name="image", datatype="UINT8", shape=shape)
        request.raw_input_contents.append(chance.randbytes(shape[0] * shape[1] * shape[2]))
        return request
    for name in chance.choice((("text",), ("text", "text_pair"), ("text", "language"))):
        values = [b"en" if name == "language" else sentence(chance) for _ in range(rows)]
        request.inputs.add(name=name, datatype="BYTES", shape=[rows])
        request.raw_input_contents.append(pack(values))
    return request


def mutate(chance: random.Random) -> bytes:
    """A message for ModelInfer with one to three things done to it; one in ten was then damaged as bytes, too."""
    request = good(chance)
    for _ in range(chance.randint(1, 3)):
        chance.choice(_MUTATIONS)(request, chance)
    if chance.random() < _MANY:
        _rows(request, chance)
    raw: bytes = request.SerializeToString()
    return damage(raw, chance) if chance.random() < 0.1 else raw


def damage(raw: bytes, chance: random.Random) -> bytes:
    """Bits flipped, a piece cut out or repeated."""
    made = bytearray(raw)
    at, length = chance.randrange(len(made) + 1), chance.randint(1, 8)
    kind = chance.randrange(3)
    if kind == 0:
        for _ in range(length if made else 0):
            made[chance.randrange(len(made))] ^= 1 << chance.randrange(8)
    elif kind == 1:
        del made[at : at + length]
    else:
        made[at:at] = made[at : at + length] or chance.randbytes(length)
    return bytes(made)


def _name(request: Request, chance: random.Random) -> None:
    field = chance.choice(("model_name", "model_version", "id"))
    setattr(request, field, chance.choice(NAMES))


def _rename_input(request: Request, chance: random.Random) -> None:
    if request.inputs:
        chance.choice(request.inputs).name = chance.choice(NAMES)


def _datatype(request: Request, chance: random.Random) -> None:
    if request.inputs:
        chance.choice(request.inputs).datatype = chance.choice(TYPES)


def _shape(request: Request, chance: random.Random) -> None:
    if not request.inputs:
        return
    shape = chance.choice(request.inputs).shape
    if shape and chance.random() < 0.7:
        shape[chance.randrange(len(shape))] = chance.choice(SIZES)
    elif shape and chance.random() < 0.3:
        del shape[chance.randrange(len(shape))]
    else:
        shape.append(chance.choice(SIZES))


def _raw(request: Request, chance: random.Random) -> None:
    """Contents cut, grown, damaged, dropped or repeated."""
    raws = request.raw_input_contents
    kind = chance.randrange(6)
    if kind == 0 or not raws:
        raws.append(chance.randbytes(chance.randrange(20)))
    elif kind == 1:
        del raws[chance.randrange(len(raws))]
    else:
        at = chance.randrange(len(raws))
        cut = chance.randrange(len(raws[at]) + 1)
        raws[at] = (raws[at][:cut], raws[at] + chance.randbytes(5), damage(raws[at], chance), b"")[kind - 2]


def _length(request: Request, chance: random.Random) -> None:
    """A BYTES length that lies."""
    if request.raw_input_contents:
        at = chance.randrange(len(request.raw_input_contents))
        request.raw_input_contents[at] = struct.pack("<I", chance.choice(LENGTHS)) + request.raw_input_contents[at][4:]


def _texts(request: Request, chance: random.Random) -> None:
    """Well packed, but what is packed is odd."""
    for at, tensor in enumerate(request.inputs):
        if (
            tensor.datatype == "BYTES"
            and at < len(request.raw_input_contents)
            and tensor.shape
            and 0 < tensor.shape[0] < 10
        ):
            values = [
                chance.choice(TEXTS) if chance.random() < 0.5 else sentence(chance) for _ in range(tensor.shape[0])
            ]
            request.raw_input_contents[at] = pack(values)


def _typed(request: Request, chance: random.Random) -> None:
    """Typed contents, beside the raw ones or instead of them, in a field that may be wrong."""
    if not request.inputs:
        return
    contents = chance.choice(request.inputs).contents
    count = chance.choice((0, 1, 2, 5, 1025))
    kind = chance.randrange(5)
    if kind == 0:
        contents.bytes_contents.extend([sentence(chance)] * count)
    elif kind == 1:
        contents.uint_contents.extend([chance.getrandbits(32)] * count)
    elif kind == 2:
        contents.fp32_contents.extend([chance.choice((float("nan"), float("inf"), 0.5))] * count)
    elif kind == 3:
        contents.int64_contents.extend([-1] * count)
    else:
        contents.bool_contents.extend([True] * count)
    if chance.random() < 0.6:
        request.ClearField("raw_input_contents")


def _whole_typed(request: Request, chance: random.Random) -> None:
    """Everything as it should be, only typed."""
    for tensor, raw in zip(request.inputs, list(request.raw_input_contents), strict=False):
        if tensor.datatype == "UINT8":
            tensor.contents.uint_contents.extend(raw)
        elif tensor.datatype == "BYTES" and tensor.shape:
            tensor.contents.bytes_contents.extend(sentence(chance) for _ in range(max(0, min(tensor.shape[0], 2000))))
    request.ClearField("raw_input_contents")


def _outputs(request: Request, chance: random.Random) -> None:
    known = (
        "intent.probabilities",
        "severity.probabilities",
        "finding.probabilities",
        "truncated",
        "row_error",
        "embedding",
        "attribution",
    )
    for _ in range(chance.randint(1, 3)):
        request.outputs.add(name=chance.choice(known + NAMES))


def _parameters(request: Request, chance: random.Random) -> None:
    holders = [request.parameters]
    holders += [each.parameters for each in request.inputs]
    holders += [each.parameters for each in request.outputs]
    parameter = chance.choice(holders)[chance.choice(PARAMETERS)]
    kind = chance.randrange(6)
    if kind == 0:
        parameter.bool_param = chance.random() < 0.8
    elif kind == 1:
        parameter.int64_param = chance.choice((-(2**63), -1, 0, 1, 5, 10**7, 2**63 - 1))
    elif kind == 2:
        parameter.uint64_param = chance.choice((0, 1, 9, 10, 10**7, 2**64 - 1))
    elif kind == 3:
        parameter.double_param = chance.choice((float("nan"), -1.0, 0.5, 1e308))
    elif kind == 4:
        parameter.string_param = chance.choice(NAMES)


def _inputs(request: Request, chance: random.Random) -> None:
    """Inputs dropped, doubled, or by the dozen."""
    if not request.inputs:
        return
    at, kind = chance.randrange(len(request.inputs)), chance.randrange(3)
    if kind == 0:
        del request.inputs[at]
        del request.raw_input_contents[at : at + 1]
        return
    for _ in range(1 if kind == 1 else 20):
        request.inputs.add().CopyFrom(request.inputs[at])
        if at < len(request.raw_input_contents):
            request.raw_input_contents.append(request.raw_input_contents[at])


def _rows(request: Request, chance: random.Random) -> None:
    """Many rows, sometimes more than are allowed, with contents that fit."""
    rows = chance.choice((64, 1024, 1025, 3000))
    for at, tensor in enumerate(request.inputs):
        if tensor.datatype == "BYTES" and at < len(request.raw_input_contents):
            tensor.shape[:] = [rows]
            request.raw_input_contents[at] = pack([b"en"] * rows)


_MUTATIONS: tuple[Callable[[Request, random.Random], None], ...] = (
    _name, _rename_input, _datatype, _shape, _shape, _raw, _raw, _length, _texts, _texts, _typed, _whole_typed, _outputs, _parameters,
    _parameters, _inputs,
)  # fmt: skip
