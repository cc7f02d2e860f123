"""Rows for the inference service as one request, and its answer as rows again."""

import json
import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from protos import inference_pb2 as oip
from shared.errors import Reject
from shared.heads import misfit
from shared.inference.contract import Attribution, Card, Inference, Value
from shared.inference.datatypes import DATATYPES
from shared.words import Scored

_SUFFIX = ".probabilities"
_LENGTH = struct.Struct("<I")
_NUMPY = {
    name: DATATYPES[name].numpy for name in ("FP32", "FP64", "BOOL", "INT32", "INT64", "UINT8")
}  # of those that are read
_DATATYPE = {"uint8": "UINT8", "float32": "FP32", "int64": "INT64"}

Signature = tuple[tuple[str, str, tuple[int, ...]], ...]  # of each input of a row: its name, datatype and shape


MAX_VALUE_BYTES = 64 * 1024  # of one text; so that a full request stays far below the server's limit on messages
MAX_ARRAY_BYTES = 48 << 20  # of one array


class WireError(Exception):
    """The server's answer is not one that this client understands."""


def encode(row: Mapping[str, Value]) -> tuple[Signature, tuple[Any, ...]]:
    """(signature, values): rows with the same signature fit into one request.

    Raises:
        Reject: a value is larger than anything the service takes.
        TypeError: a value is no text, bytes or array of a datatype that travels.
    """
    signature: list[tuple[str, str, tuple[int, ...]]] = []
    values: list[Any] = []
    for name, value in row.items():
        if isinstance(value, np.ndarray) and value.dtype.name in _DATATYPE:
            signature.append((name, _DATATYPE[value.dtype.name], value.shape))
            _check_size(name, value.nbytes, MAX_ARRAY_BYTES)
            values.append(value)
            continue
        if not isinstance(value, str | bytes):
            raise TypeError(f"input {name!r}: a row holds text, bytes, or arrays of {', '.join(_DATATYPE)}")
        raw = value.encode() if isinstance(value, str) else value
        _check_size(name, len(raw), MAX_VALUE_BYTES)
        signature.append((name, "BYTES", ()))
        values.append(raw)
    return tuple(signature), tuple(values)


def _check_size(name: str, size: int, limit: int) -> None:
    if size > limit:
        raise Reject("INPUT_TOO_LARGE", f"{name} has {size:,} bytes; the limit is {limit:,}", name)


def count_rows(signature: Signature, most: int) -> int:
    """How many rows of this signature go into one request: at most `most`, and fewer of large arrays."""
    size = sum(math.prod(shape) * np.dtype(_NUMPY[kind]).itemsize for _, kind, shape in signature if kind != "BYTES")
    return max(1, min(most, MAX_ARRAY_BYTES // max(size, 1)))


def write_request(
    model: str, signature: Signature, rows: Sequence[Sequence[Any]], priority: int, explain: str = ""
) -> oip.ModelInferRequest:
    """`rows` are values as `encode` gives them."""
    request = oip.ModelInferRequest(model_name=model)
    request.parameters["card"].bool_param = True
    request.parameters["row_error"].bool_param = True
    if priority:
        request.parameters["priority"].uint64_param = priority
    if explain:
        request.parameters["explain"].string_param = explain
    for (name, datatype, shape), values in zip(signature, zip(*rows, strict=True), strict=True):
        request.inputs.add(name=name, datatype=datatype, shape=(len(rows), *shape))
        request.raw_input_contents.append(_pack_bytes(values) if datatype == "BYTES" else np.stack(values).tobytes())
    return request


def _pack_bytes(values: Sequence[bytes]) -> bytes:
    return b"".join(part for value in values for part in (_LENGTH.pack(len(value)), value))


@dataclass(slots=True)
class _Columns:
    """A response's outputs."""

    truncated: NDArray[np.bool_]
    heads: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    errors: list[bytes] = field(default_factory=list)
    attributions: list[Attribution | None] = field(default_factory=list)
    extra: dict[str, NDArray[Any]] = field(default_factory=dict)


def read_response(response: oip.ModelInferResponse, rows: int) -> list[Inference | Reject]:
    """One answer a row.

    Raises:
        WireError: the response does not answer the request.
    """
    try:
        card = _read_card(response.parameters["card"].string_param)
        columns = _read_columns(response, rows)
        if columns.heads.keys() != card.labels.keys():
            raise ValueError("its heads are not those of its card")
    except (KeyError, TypeError, ValueError, struct.error) as error:
        raise WireError(f"the inference service's answer cannot be read: {error}") from error
    return [_read_row(card, columns, row) for row in range(rows)]


def _read_row(card: Card, columns: _Columns, row: int) -> Inference | Reject:
    if columns.errors and columns.errors[row]:
        reason, _, detail = columns.errors[row].decode(errors="replace").partition(": ")
        return Reject(reason, detail)
    probabilities = {head: column[row] for head, column in columns.heads.items()}
    extra = {name: column[row] for name, column in columns.extra.items()}
    attribution = columns.attributions[row] if columns.attributions else None
    return Inference(card, probabilities, bool(columns.truncated[row]), extra, attribution)


def _read_columns(response: oip.ModelInferResponse, rows: int) -> _Columns:
    columns = _Columns(np.zeros(rows, np.bool_))
    for output, raw in zip(response.outputs, response.raw_output_contents, strict=True):
        if output.name == "row_error":
            columns.errors = _unpack_bytes(raw, rows)
            continue
        if output.name == "attribution":
            columns.attributions = [_read_attribution(each) for each in _unpack_bytes(raw, rows)]
            continue
        tensor = np.frombuffer(raw, _NUMPY[output.datatype]).reshape(tuple(output.shape))
        if len(tensor) != rows:
            raise ValueError(f"{output.name} has {len(tensor)} rows of {rows}")
        if output.name.endswith(_SUFFIX):
            columns.heads[output.name.removesuffix(_SUFFIX)] = tensor
        elif output.name == "truncated":
            columns.truncated = tensor
        else:
            columns.extra[output.name] = tensor
    return columns


def _unpack_bytes(raw: bytes, count: int) -> list[bytes]:
    elements, at = [], 0
    for _ in range(count):
        start = at + 4
        at = start + _LENGTH.unpack_from(raw, at)[0]
        elements.append(raw[start:at])
    return elements


def _read_attribution(text: bytes) -> Attribution | None:
    """None of a row in error."""
    if not text:
        return None
    told = json.loads(text)
    pieces = {name: tuple(Scored(*piece) for piece in told[name]) for name in ("text", "text_pair") if name in told}
    return Attribution(told["head"], told["label"], told["lead"], told["rest"], **pieces)


@lru_cache(maxsize=64)
def _read_card(text: str) -> Card:
    card = json.loads(text)
    labels = {head: tuple(names) for head, names in card["labels"].items()}
    several = frozenset(card.get("multi_label", ()))
    if wrong := misfit(card["model"], labels, several):
        raise ValueError(f"{card['model']} {card['version']} has {wrong}; roll it back")
    return Card(card["model"], card["version"], labels, card["thresholds"], several)
