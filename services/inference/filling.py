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
    sides: int = 1  # passes that are made beside it, itself included
    spent: int = 0
    units: list[Unit] = field(default_factory=list)
    shed: list[Unit] = field(default_factory=list)

    def offer(self, unit: Unit, room: float, floor: float) -> Verdict:
        """Takes the row, unless the batch would then cost more than `room`; into an empty batch the first always fits.

        A request is answered as a whole or not at all. So once begun it is gone on with beyond `room`, up to the limit; and where it would
        end late, its rows are shed before the first is computed, for whatever is computed next ends later still.
        floor: below this cost the batch is not cut short for a row in a hurry.
        """
        after = self.spent + unit.cost
        begun = bool(self.units) and unit.follows(self.units[-1])
        if not begun:
            in_time = self.pace.room(unit.deadline - self.now)
            if unit.deadline <= self.now or in_time < unit.cost:
                return self._drop(unit)
        if self.units and after > (self.limit if begun else min(room, self.limit)):
            return Verdict.FULL
        if not begun:
            if in_time < max(after, min(floor, self.limit)) or self._ends_late(unit):
                return self._drop(unit)
            self.limit = min(self.limit, in_time)
        self.units.append(unit)
        self.spent = after
        return Verdict.IN

    def _ends_late(self, unit: Unit) -> bool:
        """Whether the request of this row, the first of it, will: in this batch or, where it is too large, in as few as it takes."""
        whole = self.spent + unit.rest
        if whole <= self.limit or unit.rest == unit.cost:
            return self.pace.seconds(whole) > unit.deadline - self.now
        later = (whole - self.limit) / self.sides
        return self.pace.seconds(self.limit + later) + self.pace.further(later, self.limit) > unit.deadline - self.now

    def _drop(self, unit: Unit) -> Verdict:
        self.shed.append(unit)
        return Verdict.SHED
