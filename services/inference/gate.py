"""How much may be inside at once. A request is refused here, early, before anything is decoded or tokenised for it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


class Full(Exception):  # noqa: N818 - a state
    """There is no room for this request; nothing of it was taken in."""


@dataclass(slots=True)
class Gate:
    """Limits on rows and on bytes of input, over all callers. A request larger than a limit enters alone."""

    max_rows: int = 16_384
    max_bytes: int = 256 << 20
    rows: int = 0
    bytes: int = 0

    @contextmanager
    def enter(self, rows: int, size: int) -> Iterator[None]:
        """Room for one request, for as long as it is answered.

        Raises:
            Full: there is none.
        """
        if self.rows and (self.rows + rows > self.max_rows or self.bytes + size > self.max_bytes):
            raise Full
        self.rows += rows
        self.bytes += size
        try:
            yield
        finally:
            self.rows -= rows
            self.bytes -= size
