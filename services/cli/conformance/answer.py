"""What a server answered, read strictly, and whether two answers are the same."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from protos import inference_pb2 as oip
from services.cli.conformance.case import Failed
from services.cli.conformance.tensor import Tensor, read_raw
from shared.inference.datatypes import DATATYPES

RELATIVE, ABSOLUTE = (
    2e-2,
    2e-3,
)  # between two answers: half-precision arithmetic in batches of other sizes differs by as much

Answer = dict[str, Tensor]  # outputs by name, in the order of the response


def read_tensors(described: Iterable[Any], raws: Sequence[bytes]) -> list[Tensor]:
    """Inputs or outputs of a message.

    Raises:
        ValueError: contents are not what shape and datatype say.
    """
    tensors = list(described)
    if raws and len(raws) != len(tensors):
        raise ValueError(f"{len(raws)} raw contents for {len(tensors)} tensors")
    return [_read(each, raws[at] if raws else None) for at, each in enumerate(tensors)]


def _read(tensor: Any, raw: bytes | None) -> Tensor:
    shape = tuple(tensor.shape)
    if any(size < 0 for size in shape):
        raise ValueError(f"{tensor.name} has the shape {list(shape)}")
    if raw is not None:
        if tensor.HasField("contents"):
            raise ValueError(f"{tensor.name} has raw and typed contents")
        return Tensor(tensor.name, tensor.datatype, shape, read_raw(tensor.datatype, shape, raw))
    kind, field = DATATYPES.get(tensor.datatype, ("", ""))
    if not field:
        raise ValueError(f"{tensor.name}: {tensor.datatype!r} has no typed contents")
    values = list(getattr(tensor.contents, field))
    if len(values) != math.prod(shape):
        raise ValueError(f"{tensor.name}: {len(values):,} elements in the shape {list(shape)}")
    return Tensor(tensor.name, tensor.datatype, shape, np.array(values, kind) if kind else values)


def read_answer(response: oip.ModelInferResponse) -> Answer:
    """Raises Failed: the response contradicts itself."""
    try:
        tensors = read_tensors(response.outputs, response.raw_output_contents)
    except (ValueError, OverflowError) as error:
        raise Failed(f"an unreadable answer: {error}") from error
    if len({each.name for each in tensors}) != len(tensors):
        raise Failed("an output is there twice")
    return {each.name: each for each in tensors}


def differ(one: Answer, other: Answer) -> str:
    """The first output in which they are not the same; nothing if they are."""
    if list(one) != list(other):
        return f"outputs {', '.join(one)} against {', '.join(other)}"
    return next((name for name in one if not same(one[name], other[name])), "")


def same(one: Tensor, other: Tensor) -> bool:
    if (one.datatype, one.shape) != (other.datatype, other.shape):
        return False
    if one.datatype in {"FP16", "FP32", "FP64"}:
        return bool(np.allclose(one.values, other.values, rtol=RELATIVE, atol=ABSOLUTE, equal_nan=True))
    return list(one.values) == list(other.values)


def row(tensor: Tensor, at: int) -> Tensor:
    """One row of a tensor whose first dimension is the rows."""
    width = math.prod(tensor.shape[1:])
    return tensor.but(shape=(1, *tensor.shape[1:]), values=tensor.values[at * width : (at + 1) * width])
