"""Large requests, looked at before protobuf reads them: it reads a message in one go, during which no other thread runs.

Two bytes of a message can be an empty input, of which protobuf makes an object of a hundred; two bytes are an element of a typed image,
and there may be millions. So of a large message, fields are counted first, and typed whole numbers are cut out, to be read piece by piece
elsewhere. What stays for protobuf is copied (raw contents, strings, floats) or little. https://protobuf.dev/programming-guides/encoding
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from services.inference.refusal import invalid

LARGE = 1 << 20  # bytes of a message that is looked at, and of what may stay in it besides contents
MAX_FIELDS = (
    8192  # of a large message: as many as elements of typed texts for three inputs of 1,024 rows, and room to spare
)
STEP = 1 << 16  # bytes that are decoded at a time: while numpy does, no other thread runs
NUMBERS = {1: "bool_contents", 2: "int_contents", 3: "int64_contents", 4: "uint_contents", 5: "uint64_contents"}
_RAW, _INPUTS, _CONTENTS, _ELEMENT = 7, 5, 5, 8  # of a request, of a request, of an input, of contents
_VARINT, _EIGHT, _BYTES, _FOUR = 0, 1, 2, 5
_LONGEST = 10  # bytes of a number

_Parts = list[bytes | memoryview]
Cut = Mapping[int, Mapping[str, list[memoryview]]]  # input -> contents' field -> pieces, of numbers one after another


@dataclass(slots=True)
class _Walk:
    """Through one message. `fields`, `rest`: how many more, and bytes besides contents, there may be."""

    fields: int = MAX_FIELDS
    rest: int = LARGE
    cut: dict[int, dict[str, list[memoryview]]] = field(default_factory=dict)
    inputs: int = 0

    def request(self, raw: memoryview) -> _Parts:
        kept: _Parts = []
        for number, kind, start, begin, end in self._fields(raw):
            if kind == _BYTES and number == _INPUTS:
                kept += _nested(_INPUTS, self._input(raw[begin:end]))
                self.inputs += 1
            else:
                self._keep(0 if number == _RAW else end - start)
                kept.append(raw[start:end])
        return kept

    def _input(self, raw: memoryview) -> _Parts:
        kept: _Parts = []
        for number, kind, start, begin, end in self._fields(raw):
            if kind == _BYTES and number == _CONTENTS:
                kept += _nested(_CONTENTS, self._contents(raw[begin:end]))
            else:
                self._keep(end - start)
                kept.append(raw[start:end])
        return kept

    def _contents(self, raw: memoryview) -> _Parts:
        kept: _Parts = []
        for number, kind, start, begin, end in self._fields(raw):
            if number in NUMBERS and kind in (_BYTES, _VARINT):
                self.cut.setdefault(self.inputs, {}).setdefault(NUMBERS[number], []).append(raw[begin:end])
            else:
                self._keep(end - start if number > _ELEMENT else 0)
                kept.append(raw[start:end])
        return kept

    def _keep(self, size: int) -> None:
        self.rest -= size
        if self.rest < 0:
            detail = f"it has more than {LARGE:,} bytes that are no contents"
            raise invalid("MESSAGE_TOO_COMPLEX", "message", detail)

    def _fields(self, raw: memoryview) -> Iterator[tuple[int, int, int, int, int]]:
        """(number, kind, where it starts, where its value begins, where it ends)."""
        at = 0
        while at < len(raw):
            self.fields -= 1
            if self.fields < 0:
                detail = f"it is large and has more than {MAX_FIELDS:,} fields and elements; send tensors raw, or numbers packed"
                raise invalid("MESSAGE_TOO_COMPLEX", "message", detail)
            tag, begin = _read_varint(raw, at)
            kind, end = tag & 7, begin
            if kind == _VARINT:
                _, end = _read_varint(raw, begin)
            elif kind == _BYTES:
                length, begin = _read_varint(raw, begin)
                end = begin + length
            elif kind in (_EIGHT, _FOUR):
                end = begin + (8 if kind == _EIGHT else 4)
            else:
                raise ValueError("a field of no known kind")
            if end > len(raw) or not tag >> 3:
                raise ValueError("a field is cut short, or has no number")
            yield tag >> 3, kind, at, begin, end
            at = end


def split(raw: bytes) -> tuple[bytes, Cut]:
    """A large ModelInferRequest without its typed whole numbers, and these.

    Raises:
        ValueError: it is no message.
        Refusal: INVALID_ARGUMENT: to read it would take too much.
    """
    walk = _Walk()
    kept = walk.request(memoryview(raw))
    return (b"".join(kept), walk.cut) if walk.cut else (raw, {})


def count(pieces: list[memoryview]) -> int:
    """Numbers in them."""
    return sum(int(np.count_nonzero(part < 128)) for piece in pieces for part in _parts(piece))


def decode(pieces: list[memoryview]) -> Iterator[NDArray[np.uint64]]:
    """Their numbers, some at a time; those below zero as 2**64 more.

    Raises:
        ValueError: a number is cut short or too long.
    """
    for piece in pieces:
        whole, at = np.frombuffer(piece, np.uint8), 0
        while at < len(whole):
            part = whole[at : at + STEP]
            ends = np.flatnonzero(part < 128)
            if not len(ends):
                raise ValueError("a number is cut short")
            starts = np.concatenate(([0], ends[:-1] + 1))
            lengths = ends - starts + 1
            if (longest := int(lengths.max())) > _LONGEST:
                raise ValueError("a number is too long")
            numbers = (part[starts] & 127).astype(np.uint64)
            for place in range(1, longest):
                more = lengths > place
                numbers[more] |= (part[starts[more] + place] & 127).astype(np.uint64) << np.uint64(7 * place)
            yield numbers
            at += int(ends[-1]) + 1


def _parts(piece: memoryview) -> Iterator[NDArray[np.uint8]]:
    whole = np.frombuffer(piece, np.uint8)
    return (whole[at : at + STEP] for at in range(0, len(whole), STEP))


def _read_varint(raw: memoryview, at: int) -> tuple[int, int]:
    """(the number, where it ends)."""
    number = shift = 0
    for end, byte in enumerate(raw[at : at + _LONGEST], at + 1):
        number |= (byte & 127) << shift
        if byte < 128:
            return number, end
        shift += 7
    raise ValueError("a number is cut short or too long")


def _nested(number: int, parts: _Parts) -> _Parts:
    """A field that is a message."""
    return [_varint(number << 3 | _BYTES), _varint(sum(map(len, parts))), *parts]


def _varint(number: int) -> bytes:
    made = bytearray()
    while number > 127:
        made.append(number & 127 | 128)
        number >>= 7
    made.append(number)
    return bytes(made)
