"""Answers that were given before, by what was asked: bounded in bytes, row by row, and of one version only."""

import hashlib
import sys
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from itertools import count
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from services.inference.served import Served
from services.inference.tensors import Tensor

Row = Mapping[str, Any]  # output -> its value for one row
Key = tuple[int, bytes]

OVERHEAD = 512  # bytes that an entry takes besides its values: key, digest, dictionaries


class Cache:
    """The least recently used rows leave first. `max_bytes` 0 keeps nothing."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes, self.bytes = max_bytes, 0
        self._rows: OrderedDict[Key, tuple[int, Row]] = OrderedDict()
        self._numbers: WeakKeyDictionary[Served, int] = WeakKeyDictionary()
        self._next = count()

    def __len__(self) -> int:
        return len(self._rows)

    def keys(self, served: Served, rows: int, tensors: Mapping[str, Tensor]) -> list[Key]:
        """One for each row. A version that is loaded again, under whatever name, has new ones: what it is now may differ."""
        number = self._numbers.get(served)
        if number is None:
            number = self._numbers[served] = next(self._next)
        return [(number, digest) for digest in digest_rows(rows, tensors)]

    def find(self, key: Key, names: Iterable[str]) -> Row | None:
        """The row, if it has all these outputs."""
        found = self._rows.get(key)
        if found is None or not all(name in found[1] for name in names):
            return None
        self._rows.move_to_end(key)
        return found[1]

    def keep(self, key: Key, row: Row) -> None:
        """A row that is larger than all the room there is, is not kept: the others would have left for nothing."""
        size = OVERHEAD + sum(sys.getsizeof(value) for value in row.values())
        self._drop(key)
        if size > self.max_bytes:
            return
        self._rows[key] = size, row
        self.bytes += size
        while self.bytes > self.max_bytes:
            self._drop(next(iter(self._rows)))

    def _drop(self, key: Key) -> None:
        if key in self._rows:
            self.bytes -= self._rows.pop(key)[0]


def digest_rows(rows: int, tensors: Mapping[str, Tensor]) -> list[bytes]:
    """For each row, 16 bytes that depend on every input of it: name, datatype, shape and content."""
    digests = [hashlib.blake2b(digest_size=16) for _ in range(rows)]
    for name, tensor in sorted(tensors.items()):
        kind = "BYTES" if isinstance(tensor, list) else f"{tensor.dtype.str}{tensor.shape[1:]}"
        for digest, value in zip(digests, tensor, strict=True):
            content = memoryview(value) if isinstance(value, bytes) else np.ascontiguousarray(value).data
            digest.update(f"{name}\0{kind}\0{content.nbytes}\0".encode())
            digest.update(content)
    return [digest.digest() for digest in digests]


def pick_rows(tensors: Mapping[str, Tensor], rows: Sequence[int]) -> dict[str, Tensor]:
    """The same tensors with these rows only."""
    return {
        name: [tensor[row] for row in rows] if isinstance(tensor, list) else tensor[list(rows)]
        for name, tensor in tensors.items()
    }


def cut_row(tensors: Mapping[str, Tensor], row: int) -> Row:
    """One row of an answer, copied: a view would keep the whole answer in memory."""
    return {
        name: tensor[row] if isinstance(tensor, list) else np.array(tensor[row]) for name, tensor in tensors.items()
    }


def stack_rows(rows: Sequence[Row], names: Iterable[str]) -> dict[str, Tensor]:
    """The inverse of `cut_row`, for all rows of an answer."""
    return {
        name: [row[name] for row in rows] if isinstance(rows[0][name], bytes) else np.stack([row[name] for row in rows])
        for name in names
    }
