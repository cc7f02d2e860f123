"""A batch in the making: which rows it takes, which must wait, and which would come too late."""

from dataclasses import dataclass, field
from enum import Enum, auto

from services.inference.pace import Pace
from services.inference.units import Lane, Unit


class Verdict(Enum):
    IN = auto()
    SHED = auto()
    FULL = auto()  # it must wait, and whoever is behind it too


@dataclass(slots=True)
class Filling:
    """limit: the cost of the batch at most: the lane's budget, or less where a row in it is in a hurry."""

    lane: Lane
    pace: Pace
    now: float
    limit: float
    spent: int = 0
    units: list[Unit] = field(default_factory=list)
    shed: list[Unit] = field(default_factory=list)

    def offer(self, unit: Unit, room: float, crowded: bool) -> Verdict:
        """Takes the row, unless the batch would then cost more than `room`; into an empty batch the first always fits.

        A row that would end late is shed: it is computed with those before it or never, for whatever is computed next ends later still.
        crowded: more waits than one pass takes, and the row's caller is one of those to blame. Then a batch is not cut short for a row
        in a hurry: at the head of a queue that is too long all rows are, and small batches would make it longer.
        """
        in_time = self.pace.room(unit.deadline - self.now)
        after = self.spent + unit.cost
        if unit.deadline <= self.now or in_time < unit.cost:
            return self._drop(unit)
        if self.units and after > min(room, self.limit):
            return Verdict.FULL
        if in_time < (max(after, self.limit) if crowded else after):
            return self._drop(unit)
        self.units.append(unit)
        self.spent, self.limit = after, min(self.limit, in_time)
        return Verdict.IN

    def _drop(self, unit: Unit) -> Verdict:
        self.shed.append(unit)
        return Verdict.SHED
