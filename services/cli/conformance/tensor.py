"""Tensors as the protocol writes them, raw and typed."""

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from protos import inference_pb2 as oip
from shared.inference.datatypes import DATATYPES

FLOATS = ("FP16", "FP32", "FP64")
_BASE, _DIGITS = 97, 3  # numbers in a row are the digits of its place, in a base that every datatype holds
_LENGTH = struct.Struct("<I")
_TEXTS = (b"where is my card", b"refund, please", b"my parcel is late", b"thank you")


@dataclass(frozen=True, slots=True)
class Tensor:
    """`values` are flat, row by row: a numpy array, or for BYTES a list of bytes."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    values: Any

    @property
    def raw(self) -> bytes:
        if self.datatype == "BYTES":
            return b"".join(part for each in self.values for part in (_LENGTH.pack(len(each)), each))
        return np.asarray(self.values).tobytes()

    def typed(self) -> oip.InferTensorContents:
        """Raises KeyError for a datatype that has no typed contents."""
        field = DATATYPES[self.datatype].field
        if not field:
            raise KeyError(self.datatype)
        values = self.values if isinstance(self.values, list) else self.values.tolist()
        return oip.InferTensorContents(**{field: values})

    def but(self, **changes: Any) -> "Tensor":
        return replace(self, **changes)


def make(name: str, datatype: str, shape: Sequence[int], first: int = 0) -> Tensor:
    """A tensor of plausible values; row i holds what row `first + i` always holds, and no two rows the same."""
    rows, width = (shape[0], math.prod(shape[1:])) if shape else (1, 1)
    numbers = np.repeat(np.arange(first, first + rows), width)
    if datatype == "BYTES":
        return Tensor(name, datatype, tuple(shape), [_text(int(number)) for number in numbers])
    kind = DATATYPES[datatype].numpy
    digits = 1 + numbers // _BASE ** np.tile(np.arange(width) % _DIGITS, rows) % _BASE
    if datatype == "BOOL":
        return Tensor(name, datatype, tuple(shape), digits % 2 == 1)
    if datatype == "BF16":  # the upper half of the 32-bit float
        bits = (0.25 * digits).astype("<f4").view("<u4") >> 16
        return Tensor(name, datatype, tuple(shape), bits.astype(kind))
    scale = 0.25 if datatype in FLOATS else 1
    return Tensor(name, datatype, tuple(shape), (scale * digits).astype(kind))


def _text(number: int) -> bytes:
    text = _TEXTS[number % len(_TEXTS)]
    return text if number < len(_TEXTS) else b"%s %d" % (text, number)


def read_raw(datatype: str, shape: Sequence[int], raw: bytes) -> Any:
    """The flat values of a raw tensor.

    Raises:
        ValueError: the bytes are not what datatype and shape make.
    """
    count = math.prod(shape)
    if datatype == "BYTES":
        return _read_bytes(raw, count)
    if datatype not in DATATYPES:
        raise ValueError(f"datatype {datatype!r} is none of the protocol's")
    values = np.frombuffer(raw, DATATYPES[datatype].numpy)
    if len(values) != count:
        raise ValueError(f"{len(raw):,} raw bytes for {count:,} elements of {datatype}")
    return values


def _read_bytes(raw: bytes, count: int) -> list[bytes]:
    elements, at = [], 0
    for _ in range(count):
        if at + 4 > len(raw) or (end := at + 4 + _LENGTH.unpack_from(raw, at)[0]) > len(raw):
            raise ValueError("a BYTES element is cut short")
        elements.append(raw[at + 4 : end])
        at = end
    if at != len(raw):
        raise ValueError("bytes follow the last BYTES element")
    return elements
