"""What the scheduler moves about: rows, the lanes they share, and the batches they end in."""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any, Protocol

DEFAULT_PRIORITY, LOWEST_PRIORITY = 5, 9  # 1 is the most urgent


class Lane(Hashable, Protocol):
    """Rows with the same lane can share a forward pass."""

    @property
    def budget(self) -> int:
        """The most that one pass may cost: more than it takes to keep the device busy only adds latency."""
        ...


@dataclass(slots=True, eq=False)
class Unit:
    """One row."""

    lane: Lane
    cost: int  # tokens or pixels
    deadline: float
    priority: int = DEFAULT_PRIORITY
    caller: str = ""
    payload: Any = None  # for the lane
    owner: Any = None  # for whoever waits for the result: its request, and the row of it
    index: int = 0
    arrival: int = 0  # set by the scheduler
    rest: int = 0  # set by the scheduler: what it costs and those of its request that come after it
    waiting: bool = False  # set by the scheduler
    company: int = (
        0  # set by the scheduler: a pass that it was in failed, and the next is to have so many rows at most; 0: any
    )

    def follows(self, other: "Unit") -> bool:
        """Whether both are of one request."""
        return self.owner is not None and self.owner is other.owner


@dataclass(frozen=True, slots=True)
class Batch:
    """Units of one lane, cheapest first, and those that are not computed because they would come too late.

    share: of the device, that their pass has. taken: when, by the engine's clock.
    """

    lane: Lane
    units: list[Unit]
    shed: list[Unit]
    share: float = 1.0
    taken: float = 0.0

    @property
    def cost(self) -> int:
        return sum(unit.cost for unit in self.units)
