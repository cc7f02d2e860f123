"""The protocol's datatypes, held to its proto file and to their own names."""

import re

import numpy as np
import pytest
from google.protobuf.descriptor import FieldDescriptor

from protos import inference_pb2 as oip
from shared.inference.datatypes import DATATYPES

FIELDS = oip.InferTensorContents.DESCRIPTOR.fields_by_name
NUMBERS = {  # of protobuf's types that typed elements have: kind, and bits
    FieldDescriptor.TYPE_BOOL: ("b", 8),
    FieldDescriptor.TYPE_INT32: ("i", 32),
    FieldDescriptor.TYPE_INT64: ("i", 64),
    FieldDescriptor.TYPE_UINT32: ("u", 32),
    FieldDescriptor.TYPE_UINT64: ("u", 64),
    FieldDescriptor.TYPE_FLOAT: ("f", 32),
    FieldDescriptor.TYPE_DOUBLE: ("f", 64),
}


def test_every_field_of_typed_contents_has_a_datatype() -> None:
    """And no datatype has a field that the protocol lacks."""
    assert {each.field for each in DATATYPES.values()} - {""} == set(FIELDS)


@pytest.mark.parametrize("name", sorted(set(DATATYPES) - {"BYTES", "BOOL"}))
def test_a_raw_element_is_as_long_as_its_name_says(name: str) -> None:
    """INT16 has 16 bits, signed and little-endian; what has a typed field fits into an element of that field."""
    kind, bits = re.fullmatch(r"([A-Z]+)(\d+)", name).groups()
    numpy = np.dtype(DATATYPES[name].numpy)
    assert numpy.itemsize == int(bits) / 8
    assert numpy.kind == {"INT": "i", "UINT": "u", "FP": "f", "BF": "u"}[kind]
    assert numpy.itemsize == 1 or numpy.str[0] == "<"
    if field := DATATYPES[name].field:
        of_field, widest = NUMBERS[FIELDS[field].type]
        assert (numpy.kind, numpy.itemsize * 8 <= widest) == (of_field, True)


def test_sixteen_bit_floats_have_no_typed_contents() -> None:
    """The protocol: they travel raw. BOOL is one byte, BYTES have no type of numpy's."""
    assert {name for name, each in DATATYPES.items() if not each.field} == {"FP16", "BF16"}
    assert (np.dtype(DATATYPES["BOOL"].numpy).itemsize, DATATYPES["BYTES"].numpy) == (1, "")
