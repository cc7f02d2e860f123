"""What a front asks the device and hears from it, as bytes: counts and lengths first, numbers as they lie in memory."""

import json
import math
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

import grpc
import numpy as np

from services.inference.engine import Call
from services.inference.refusal import Refusal
from services.inference.served import Answer
from services.inference.tensors import Tensor

_CALL = struct.Struct("<IdBI")  # the version's number, deadline, priority, rows
_ANSWER = struct.Struct("<dddBI")  # waited, preparing, computing; flags; rows in error
_TENSOR = struct.Struct("<H3sB")  # bytes of its name, numpy's name of its type, dimensions
_COUNT = struct.Struct("<I")
_BYTES = b"[s]"  # stands for a list of bytes, where numpy's name of a type stands for an array
_ON_DEVICE, _REPEATABLE = 1, 2


class Reading:
    """A frame's body, from its beginning to its end. What another process of ours wrote is trusted to be whole."""

    def __init__(self, body: bytes) -> None:
        self._body, self._at = body, 0

    def take(self, size: int) -> bytes:
        start, self._at = self._at, self._at + size
        return self._body[start : self._at]

    def unpack(self, form: struct.Struct) -> tuple[int, ...]:
        start, self._at = self._at, self._at + form.size
        return form.unpack_from(self._body, start)

    def count(self) -> int:
        (count,) = self.unpack(_COUNT)
        return count

    def text(self) -> str:
        return self.take(self.count()).decode()

    def texts(self) -> list[str]:
        return [self.text() for _ in range(self.count())]

    def tensors(self) -> dict[str, Tensor]:
        found: dict[str, Tensor] = {}
        for _ in range(self.count()):
            length, kind, dimensions = _TENSOR.unpack(self.take(_TENSOR.size))
            name = self.take(length).decode()
            shape = struct.unpack(f"<{dimensions}I", self.take(4 * dimensions))
            found[name] = self._list(shape[0]) if kind == _BYTES else self._array(kind.decode(), shape)
        return found

    def _array(self, kind: str, shape: Sequence[int]) -> Tensor:
        size, start = math.prod(shape), self._at
        array = np.frombuffer(self._body, kind, size, start)
        self._at = start + array.nbytes
        return array.reshape(shape)

    def _list(self, count: int) -> Tensor:
        lengths = struct.unpack(f"<{count}I", self.take(4 * count))
        ends = [*accumulate(lengths, initial=self._at)]
        self._at = ends[-1]
        return [self._body[start:end] for start, end in pairwise(ends)]


@dataclass(frozen=True, slots=True)
class Ask:
    """Rows for the version of this number. `tensors` are not read before there is room for them."""

    version: int
    rows: int
    call: Call
    tensors: Reading


def write_ask(version: int, rows: int, tensors: Mapping[str, Tensor], call: Call) -> list[bytes]:
    """Deadlines are of the clock that all processes of the machine share (time.monotonic)."""
    head = _CALL.pack(version, call.deadline, call.priority, rows)
    return [head, _write_text(call.caller), _write_text(call.head), _write_texts(call.asked), *_write_tensors(tensors)]


def read_ask(body: bytes) -> Ask:
    reading = Reading(body)
    version, deadline, priority, rows = reading.unpack(_CALL)
    caller, head, asked = reading.text(), reading.text(), frozenset(reading.texts())
    return Ask(version, rows, Call(deadline, caller, priority, None, asked, head), reading)


def write_answer(answer: Answer) -> list[bytes]:
    flags = _ON_DEVICE * answer.on_device | _REPEATABLE * answer.repeatable
    parts = [_ANSWER.pack(answer.waited, answer.preparing, answer.computing, flags, len(answer.errors))]
    for row, why in answer.errors.items():
        parts += (_COUNT.pack(row), _write_text(why))
    return [*parts, *_write_tensors(answer.tensors)]


def read_answer(body: bytes) -> Answer:
    reading = Reading(body)
    waited, preparing, computing, flags, bad = reading.unpack(_ANSWER)
    errors = {reading.count(): reading.text() for _ in range(bad)}
    on_device, repeatable = bool(flags & _ON_DEVICE), bool(flags & _REPEATABLE)
    return Answer(reading.tensors(), errors, waited, preparing, computing, on_device, repeatable)


def write_refusal(refused: Refusal) -> bytes:
    told = {name: getattr(refused, name) for name in ("reason", "detail", "fields", "retry_after", "facts")}
    return json.dumps({"code": refused.code.name, **told}).encode()


def read_refusal(body: bytes) -> Refusal:
    told = json.loads(body)
    return Refusal(grpc.StatusCode[told.pop("code")], **told)


def _write_text(text: str) -> bytes:
    raw = text.encode()
    return _COUNT.pack(len(raw)) + raw


def _write_texts(texts: Iterable[str]) -> bytes:
    written = [*map(_write_text, texts)]
    return _COUNT.pack(len(written)) + b"".join(written)


def _write_tensors(tensors: Mapping[str, Tensor]) -> list[bytes]:
    parts = [_COUNT.pack(len(tensors))]
    for name, tensor in tensors.items():
        raw = name.encode()
        if isinstance(tensor, list):
            count = len(tensor)
            lengths = struct.pack(f"<{count}I", *map(len, tensor))
            parts += (_TENSOR.pack(len(raw), _BYTES, 1), raw, _COUNT.pack(count), lengths, *tensor)
        else:
            kind, shape = tensor.dtype.str.encode(), tensor.shape
            parts += (_TENSOR.pack(len(raw), kind, len(shape)), raw, struct.pack(f"<{len(shape)}I", *shape))
            parts.append(tensor.tobytes())
    return parts
