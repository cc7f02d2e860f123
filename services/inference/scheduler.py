"""What the device does next. No torch and no threads here: time is an argument, so that a simulated device can try it.

Batching needs no timer: while the device works, rows pile up, and the pile is the next batch (after text-embeddings-inference's queue),
limited by a budget of tokens. Order is by priority; within a priority callers share what there is (start-time fair queueing, Goyal et al.
1996), and each caller's rows go by deadline. A small share is kept for rows of lesser priority, so that none starves.
"""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Protocol

DEFAULT_PRIORITY, LOWEST_PRIORITY = 5, 9  # 1 is the most urgent
RESERVED = 0.05  # of the device, for what waits behind a higher priority


class Lane(Protocol):
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
    waiting: bool = False  # set by the scheduler


@dataclass(frozen=True, slots=True)
class Batch:
    """Units of one lane, cheapest first, and those whose deadline passed while they waited."""

    lane: Lane
    units: list[Unit]
    expired: list[Unit]


@dataclass(slots=True, eq=False)
class _Line:
    """One caller's rows of one priority, by lane, each lane by deadline."""

    served: float  # virtual time: the cost it was given, counted from the level's time when it joined
    heaps: dict[Lane, list[tuple[float, int, Unit]]] = field(default_factory=dict)

    def add(self, unit: Unit) -> None:
        heapq.heappush(self.heaps.setdefault(unit.lane, []), (unit.deadline, unit.arrival, unit))

    def head(self) -> tuple[float, int, Unit]:
        return min(heap[0] for heap in self.heaps.values())

    def pop(self, lane: Lane) -> None:
        heapq.heappop(self.heaps[lane])
        if not self.heaps[lane]:
            del self.heaps[lane]

    def drop(self, lane: Lane) -> None:
        """Forgets the rows of this lane that are no longer waiting."""
        kept = [entry for entry in self.heaps.pop(lane, ()) if entry[2].waiting]
        if kept:
            heapq.heapify(kept)
            self.heaps[lane] = kept


@dataclass(slots=True, eq=False)
class _Level:
    """The rows of one priority."""

    time: float = 0.0  # virtual
    lines: dict[str, _Line] = field(default_factory=dict)

    def add(self, unit: Unit) -> None:
        self.lines.setdefault(unit.caller, _Line(self.time)).add(unit)

    def first(self) -> Unit:
        return min(self.lines.values(), key=lambda line: (line.served, line.head()[:2])).head()[2]

    def fill(self, lane: Lane, now: float, room: int, batch: Batch) -> int:
        """Moves rows of `lane` into `batch` while they fit; returns their cost. Into an empty batch the first always fits."""
        spent = 0
        turns = [(line.served, i, caller) for i, (caller, line) in enumerate(self.lines.items()) if lane in line.heaps]
        heapq.heapify(turns)
        while turns:
            served, i, caller = turns[0]
            line = self.lines[caller]
            unit = line.heaps[lane][0][2]
            if unit.deadline <= now:
                batch.expired.append(unit)
            elif batch.units and spent + unit.cost > room:
                break
            else:
                batch.units.append(unit)
                spent += unit.cost
                self.time = served
                line.served += unit.cost
            line.pop(lane)
            if lane in line.heaps:
                heapq.heapreplace(turns, (line.served, i, caller))
            else:
                heapq.heappop(turns)
                self.forget(caller)
        return spent

    def forget(self, caller: str) -> None:
        if not self.lines[caller].heaps:
            del self.lines[caller]


class Scheduler:
    """Holds what `Gate` lets in, so it needs no limit of its own."""

    def __init__(self) -> None:
        self.waiting = 0  # rows
        self.cost = 0  # of those
        self._levels: dict[int, _Level] = {}
        self._arrivals = count()
        self._reserve = 0.0  # cost owed to what waits behind a higher priority

    def add(self, units: Sequence[Unit]) -> None:
        for unit in units:
            unit.arrival, unit.waiting = next(self._arrivals), True
            self._levels.setdefault(unit.priority, _Level()).add(unit)
            self.cost += unit.cost
        self.waiting += len(units)

    def drop(self, units: Sequence[Unit]) -> None:
        """Their caller has left; those already taken are not waited for here any more, which is fine."""
        gone = [unit for unit in units if unit.waiting]
        self._settle(gone)
        for priority, caller, lane in {(unit.priority, unit.caller, unit.lane) for unit in gone}:
            level = self._levels[priority]
            level.lines[caller].drop(lane)
            level.forget(caller)
            self._forget(priority)

    def take(self, now: float) -> Batch | None:
        """The next batch: at most its lane's budget in cost, or a single row that costs more. None: nothing waits.

        Every row whose turn has come is in `units` or, too late, in `expired`; none is in both.
        """
        if not self._levels:
            return None
        order = sorted(self._levels)
        top, rest = order[0], order[1:]
        lead = self._owed(rest) if rest and self._reserve > 0 else None
        lane = (lead or self._levels[top].first()).lane
        batch, budget, spent = Batch(lane, [], []), lane.budget, 0
        if lead is not None:
            share = int(self._reserve) if lane == self._levels[top].first().lane else budget
            spent = self._fill(lead.priority, now, min(share, budget), batch)
            self._reserve -= spent
        for priority in order:
            cost = self._fill(priority, now, budget - spent, batch)
            spent += cost
            if priority == top:
                self._reserve = min(self._reserve + RESERVED * cost, budget) if rest else 0.0
        batch.units.sort(key=lambda unit: unit.cost)
        return batch

    def _owed(self, priorities: Sequence[int]) -> Unit:
        return min((self._levels[priority].first() for priority in priorities), key=lambda unit: unit.arrival)

    def _fill(self, priority: int, now: float, room: int, batch: Batch) -> int:
        level = self._levels.get(priority)
        if level is None:
            return 0
        before = len(batch.units), len(batch.expired)
        cost = level.fill(batch.lane, now, room, batch)
        self._settle(batch.units[before[0] :])
        self._settle(batch.expired[before[1] :])
        self._forget(priority)
        return cost

    def _settle(self, units: Sequence[Unit]) -> None:
        for unit in units:
            unit.waiting = False
            self.cost -= unit.cost
        self.waiting -= len(units)

    def _forget(self, priority: int) -> None:
        if priority in self._levels and not self._levels[priority].lines:
            del self._levels[priority]
