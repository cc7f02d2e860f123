"""A batch in the making: which rows it takes, which must wait, and which would come too late."""

from collections.abc import Container
from dataclasses import dataclass, field
from enum import Enum, auto

from services.inference.company import Company
from services.inference.pace import Pace
from services.inference.units import Lane, Unit

HURRY = 8  # full passes: a request that has less time is not begun where a later pass would take it as a whole, ...
WORTH = 0.75  # ... if this one is so full already


class Verdict(Enum):
    IN = auto()
    SHED = auto()
    FULL = auto()  # it must wait, and whoever is behind it too
    APART = auto()  # it must wait, for this pass is not for it; others need not


@dataclass(slots=True)
class Filling:
    """limit: the cost of the batch at most: the lane's budget, or less where a row in it is in a hurry. doubted: callers whose rows share
    no pass with others'. company: the callers of the priority `shared`, of whom heavy ones' rows make no pass that has a light one's much
    slower."""

    lane: Lane
    pace: Pace
    now: float
    limit: float
    sides: int  # passes that are made beside it, itself included
    doubted: Container[str]
    company: Company
    shared: int
    spent: int = 0
    units: list[Unit] = field(default_factory=list)
    shed: list[Unit] = field(default_factory=list)
    rows: float = float("inf")  # at most, because a pass of more has failed
    quick: float = float("inf")  # the cost at most with rows of heavy callers, because a light one's are in it
    apart: tuple[str, bool] | None = None  # whose rows alone, and whether those of failed passes; None: all others'

    def offer(self, unit: Unit, room: float, floor: float) -> Verdict:
        """Takes the row, unless the batch would then cost more than `room`; into an empty batch the first always fits.

        A request is answered as a whole or not at all. So once begun it is gone on with beyond `room`, up to the limit; and where it would
        end late, its rows are shed before the first is computed, for whatever is computed next ends later still.
        floor: below this cost the batch is not cut short for a row in a hurry.
        """
        apart = self._set_apart(unit)
        after, rows = self.spent + unit.cost, min(self.rows, unit.company or self.rows)
        if self.units and (apart != self.apart or (after > self.quick and self._is_among(unit, self.company.heavy))):
            return Verdict.APART
        begun = bool(self.units) and unit.follows(self.units[-1])
        if not begun:
            in_time = self.pace.room(unit.deadline - self.now)
            if unit.deadline <= self.now or in_time < unit.cost:
                return self._drop(unit)
        if self.units and (len(self.units) >= rows or after > (self.limit if begun else min(room, self.limit))):
            return Verdict.FULL
        if not begun:
            if self._is_risky(unit):
                return Verdict.APART
            if in_time < max(after, min(floor, self.limit)) or self._ends_late(unit):
                return self._drop(unit)
            self.limit = min(self.limit, in_time)
        self.units.append(unit)
        self.spent, self.rows, self.apart = after, rows, apart
        if self._is_among(unit, self.company.light):
            self.quick = self.pace.quick()
        return Verdict.IN

    def _set_apart(self, unit: Unit) -> tuple[str, bool] | None:
        """Rows of a failed pass are tried again with their caller's alone: whoever has none at fault is soon rid of the others'."""
        undecided = unit.company > 0
        return (unit.caller, undecided) if undecided or unit.caller in self.doubted else None

    def _is_among(self, unit: Unit, callers: Container[str]) -> bool:
        return unit.priority == self.shared and unit.caller in callers

    def _is_risky(self, unit: Unit) -> bool:
        """Whether its request, of which only a part has room here, would have room in a pass of its own, and is in a hurry: what is more
        urgent, and yet to come, then goes before the rest of it, and could make the part worthless.
        """
        hurry = unit.deadline - self.now < HURRY * self.pace.seconds(self.lane.budget)
        splits = self.limit < self.spent + unit.rest and unit.rest <= self.limit
        return hurry and splits and self.spent >= max(self.pace.least(), WORTH * self.limit)

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
