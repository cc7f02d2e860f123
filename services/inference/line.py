"""Who waits at one priority: a line for each caller, who share what there is."""

import heapq
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from services.inference.filling import Filling, Verdict
from services.inference.units import Lane, Unit


@dataclass(slots=True, eq=False)
class Line:
    """One caller's rows of one priority, by lane, each lane by deadline."""

    served: (
        float  # virtual time: the seconds it was given over its weight, counted from the level's time when it joined
    )
    weight: float
    heaps: dict[Lane, list[tuple[float, int, Unit]]] = field(default_factory=dict)
    cost: Counter[Lane] = field(default_factory=Counter)
    latest: float = 0.0  # deadline of all that were ever in this line

    def add(self, unit: Unit) -> None:
        heapq.heappush(self.heaps.setdefault(unit.lane, []), (unit.deadline, unit.arrival, unit))
        self.cost[unit.lane] += unit.cost
        self.latest = max(self.latest, unit.deadline)

    def head(self) -> tuple[float, int, Unit]:
        return min(heap[0] for heap in self.heaps.values())

    def pop(self, lane: Lane) -> None:
        self.cost[lane] -= heapq.heappop(self.heaps[lane])[2].cost
        if not self.heaps[lane]:  # nor is anything else of the lane kept: it may be unloaded while others still wait
            del self.heaps[lane], self.cost[lane]

    def drop(self, lane: Lane) -> int:
        """Forgets the rows of this lane that are no longer waiting; returns what they cost."""
        before = self.cost.pop(lane, 0)
        kept = [entry for entry in self.heaps.pop(lane, ()) if entry[2].waiting]
        if kept:
            heapq.heapify(kept)
            self.heaps[lane] = kept
            self.cost[lane] = sum(entry[2].cost for entry in kept)
        return before - self.cost[lane]  # a Counter: 0 where there is none


@dataclass(slots=True, eq=False)
class Level:
    """The rows of one priority."""

    weigh: Callable[[str], float]  # a caller
    time: float = 0.0  # virtual
    lines: dict[str, Line] = field(default_factory=dict)
    cost: Counter[Lane] = field(default_factory=Counter)

    def add(self, unit: Unit) -> None:
        line = self.lines.get(unit.caller)
        if line is None:
            line = self.lines[unit.caller] = Line(self.time, self.weigh(unit.caller))
        line.add(unit)
        self.cost[unit.lane] += unit.cost

    def first(self) -> Unit:
        return min(self.lines.values(), key=lambda line: (line.served, line.head()[:2])).head()[2]

    def fill(self, filling: Filling, room: float) -> None:
        """Moves rows into the batch while it takes them, up to `room` in cost. Who was served least comes first."""
        lane, room = filling.lane, room + filling.spent
        crowds = self._crowds(lane)
        turns = [(line.served, i, caller) for i, (caller, line) in enumerate(self.lines.items()) if lane in line.heaps]
        heapq.heapify(turns)
        while turns:
            served, i, caller = turns[0]
            line = self.lines[caller]
            unit = line.heaps[lane][0][2]
            verdict = filling.offer(unit, room, caller in crowds)
            if verdict is Verdict.FULL:
                return
            if verdict is Verdict.IN:
                self.time = served
                line.served += filling.pace.share(unit.cost) / line.weight
            line.pop(lane)
            self._lighten(lane, unit.cost)
            if lane in line.heaps:
                heapq.heapreplace(turns, (line.served, i, caller))
            else:
                heapq.heappop(turns)
                self.forget(caller)

    def _crowds(self, lane: Lane) -> set[str]:
        """Where more waits than one pass takes: the callers with their share of a pass waiting, or more."""
        if self.cost[lane] < lane.budget:
            return set()
        present = {caller: line for caller, line in self.lines.items() if lane in line.heaps}
        share = lane.budget / sum(line.weight for line in present.values())
        return {caller for caller, line in present.items() if line.cost[lane] >= share * line.weight}

    def drop(self, units: Sequence[Unit]) -> None:
        """Forgets these rows, which are no longer waiting."""
        for caller, lane in {(unit.caller, unit.lane) for unit in units}:
            self._lighten(lane, self.lines[caller].drop(lane))
            self.forget(caller)

    def _lighten(self, lane: Lane, cost: int) -> None:
        self.cost[lane] -= cost
        if not self.cost[lane]:
            del self.cost[lane]

    def forget(self, caller: str) -> None:
        if caller in self.lines and not self.lines[caller].heaps:
            del self.lines[caller]
