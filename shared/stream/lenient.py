"""Reads records whose headers have names that are not UTF-8. Kafka takes any bytes for a name; aiokafka fails on them.

One such record would otherwise end every worker that reads its partition, again and again, and hold up all that lies behind it.
"""

import struct
from collections.abc import Iterator
from typing import Any

from aiokafka.consumer import fetcher
from aiokafka.record.default_records import _DefaultRecordBatchPy
from aiokafka.record.memory_records import MemoryRecords

_LENGTH = struct.Struct(">i")  # of a batch, after its offset and without both
_BEFORE = 8
_MAGIC = 16  # where a batch says of which version it is


def install() -> None:
    """From now on aiokafka's consumers read so. It has no public way in."""
    fetcher.MemoryRecords = Records


class Records:
    """aiokafka's own, whose batches it hands out with a second way to read them."""

    def __init__(self, data: bytes) -> None:
        self._data = memoryview(data)
        self._at = 0
        self._records = MemoryRecords(data)
        self.has_next = self._records.has_next
        self.size_in_bytes = self._records.size_in_bytes

    def next_batch(self) -> Any:
        batch = self._records.next_batch()
        begin, self._at = self._at, self._end()
        return batch if self._data[begin + _MAGIC] < 2 else Batch(batch, self._data[begin : self._at])

    def _end(self) -> int:
        return int(self._at + _BEFORE + _LENGTH.size + _LENGTH.unpack_from(self._data, self._at + _BEFORE)[0])


class Batch:
    """aiokafka's own, as fast as it is, until it meets such a name; from there on by aiokafka's slower reader."""

    def __init__(self, batch: Any, data: memoryview) -> None:
        self._batch = batch
        self._data = data

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __next__(self) -> Any:
        return next(self._batch)

    def __iter__(self) -> Iterator[Any]:
        reached = -1
        try:
            for record in self._batch:
                reached = record.offset
                yield record
        except UnicodeDecodeError:
            slower = _DefaultRecordBatchPy(self._data)
            iter(slower)  # which decompresses it
            slower._buffer = _Escaping(slower._buffer)
            yield from (record for record in slower if record.offset > reached)


class _Escaping(bytearray):
    """Decodes what is not UTF-8 with its bytes written out, as in ``\\xff``."""

    def __getitem__(self, at: Any) -> Any:
        found = super().__getitem__(at)
        return _Escaping(found) if isinstance(at, slice) else found

    def decode(self, encoding: str = "utf-8", errors: str = "backslashreplace") -> str:
        return super().decode(encoding, errors)
