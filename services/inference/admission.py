"""How much may be inside at once. A request is refused here, early, before anything is decoded or tokenised for it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from services.inference.units import DEFAULT_PRIORITY

LARGEST = 1 / 2  # of the whole, that one caller may have inside whatever its weight: there is always room for another
KEPT = 1 / 8  # of the whole, for priorities above the default: what can wait must not shut out what cannot


@dataclass(eq=False)
class Full(Exception):  # noqa: N818 - a state
    """There is no room for this request; nothing of it was taken in."""

    reason: str
    detail: str


@dataclass(slots=True)
class Room:
    """What is inside."""

    rows: int = 0
    bytes: int = 0

    def lacks(self, rows: int, size: int, max_rows: float, max_bytes: float) -> str:
        """The limit that stands in the way; empty: none. A request larger than a limit enters alone."""
        if self.rows and self.rows + rows > max_rows:
            return f"{self.rows:,} rows are inside; the limit is {max_rows:,.0f}"
        if self.rows and self.bytes + size > max_bytes:
            return f"{self.bytes:,} bytes are inside; the limit is {max_bytes:,.0f}"
        return ""

    def change(self, rows: int, size: int) -> None:
        self.rows += rows
        self.bytes += size


@dataclass(slots=True)
class Admission:
    """Limits on rows and on bytes of input, over all callers and for each. `weights`: caller -> how much more room it has, up to half of
    the whole, and how much more of the device (see `Scheduler`), than a caller that is not named."""

    max_rows: int = 16_384
    max_bytes: int = 256 << 20
    caller_rows: int = 4096
    caller_bytes: int = 128 << 20
    weights: Mapping[str, float] = field(default_factory=dict)
    _callers: dict[str, Room] = field(default_factory=dict)  # those that are inside
    _all: Room = field(default_factory=Room)

    @property
    def rows(self) -> int:
        return self._all.rows

    @property
    def bytes(self) -> int:
        return self._all.bytes

    @contextmanager
    def enter(self, rows: int, size: int, caller: str = "", priority: int = DEFAULT_PRIORITY) -> Iterator[None]:
        """Room for one request, for as long as it is answered. The last eighth is for priorities above the default.

        Raises:
            Full: there is none: CALLER_QUOTA, for this caller; QUEUE_FULL, for anyone.
        """
        weight = self.weights.get(caller, 1.0)
        own = self._callers.get(caller) or Room()
        most_rows = min(weight * self.caller_rows, LARGEST * self.max_rows)
        most_bytes = min(weight * self.caller_bytes, LARGEST * self.max_bytes)
        if detail := own.lacks(rows, size, most_rows, most_bytes):
            raise Full("CALLER_QUOTA", f"of this caller {detail}")
        open_to = 1.0 if priority < DEFAULT_PRIORITY else 1 - KEPT
        if detail := self._all.lacks(rows, size, open_to * self.max_rows, open_to * self.max_bytes):
            raise Full("QUEUE_FULL", detail)
        self._callers[caller] = own
        own.change(rows, size)
        self._all.change(rows, size)
        try:
            yield
        finally:
            self._all.change(-rows, -size)
            own.change(-rows, -size)
            if not own.rows:
                del self._callers[caller]
