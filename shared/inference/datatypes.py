"""The datatypes of the Open Inference Protocol, as it states them: facts that a server, its clients and their judge share.

How tensors are read and written is none: each of them does that in its own way, so that the judge is no copy of the judged.
"""

from collections.abc import Mapping
from typing import NamedTuple


class Datatype(NamedTuple):
    """`numpy` is the type of its raw elements, little-endian; `field` that of InferTensorContents with its typed ones."""

    numpy: str
    field: str


DATATYPES: Mapping[str, Datatype] = {
    "BOOL": Datatype("?", "bool_contents"),
    "INT8": Datatype("i1", "int_contents"),
    "INT16": Datatype("<i2", "int_contents"),
    "INT32": Datatype("<i4", "int_contents"),
    "INT64": Datatype("<i8", "int64_contents"),
    "UINT8": Datatype("u1", "uint_contents"),
    "UINT16": Datatype("<u2", "uint_contents"),
    "UINT32": Datatype("<u4", "uint_contents"),
    "UINT64": Datatype("<u8", "uint64_contents"),
    "FP16": Datatype("<f2", ""),  # the protocol has no typed field for 16-bit floats: raw only
    "BF16": Datatype("<u2", ""),  # as its bits: numpy has no such type
    "FP32": Datatype("<f4", "fp32_contents"),
    "FP64": Datatype("<f8", "fp64_contents"),
    "BYTES": Datatype("", "bytes_contents"),  # each element after its length, a little-endian uint32
}
