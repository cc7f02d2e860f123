"""How many bytes were handed to Faust's buffers that our loop has not taken from them yet."""

import asyncio
from collections import deque
from collections.abc import Hashable, Iterable


def weigh(value: bytes | None, key: bytes | None, headers: Iterable[tuple[str, bytes | None]] | None) -> int:
    """Bytes of a record: its headers and its key may be as large as its value."""
    return len(value or b"") + len(key or b"") + sum(len(name) + len(content or b"") for name, content in headers or ())


class Load:
    """Of each partition in the order of its offsets, so that what Faust skips falls away with the next that is taken.

    Args:
        most: bytes from which it is full; the last one may reach beyond.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._bytes = 0
        self._handed: dict[Hashable, deque[tuple[int, int]]] = {}  # partition -> (offset, bytes)
        self._lighter = asyncio.Event()

    @property
    def full(self) -> bool:
        return self._bytes >= self._most

    async def room(self) -> None:
        """Returns when it is not full."""
        while self.full:
            self._lighter.clear()
            await self._lighter.wait()

    def add(self, partition: Hashable, offset: int, size: int) -> None:
        self._handed.setdefault(partition, deque()).append((offset, size))
        self._bytes += size

    def drop(self, partition: Hashable, offset: int) -> None:
        """All of the partition up to this offset was taken."""
        handed = self._handed.get(partition)
        while handed and handed[0][0] <= offset:
            self._bytes -= handed.popleft()[1]
        self._lighter.set()

    def clear(self) -> None:
        self._handed.clear()
        self._bytes = 0
        self._lighter.set()
