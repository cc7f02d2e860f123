"""Who waits at one priority: a line for each caller, who share what there is."""

import heapq
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from math import exp

from services.inference.filling import Filling, Verdict
from services.inference.units import Lane, Unit

# Seconds of the device, over its weight, that a caller who had less than its share may have at once before others share again: who asks
# for little on average asks for more than a share at moments (as Linux's fair scheduler treats who slept).
SAVED = 0.25
KEPT = 32  # callers who left are looked over when they are twice as many, or twice as many as the last time
LATELY = 1.0  # seconds of the device over which the part of it is averaged that a priority has, or after which those above it are over
DEBT = 1.0  # seconds of the device, over its weight, that a caller who had more is behind each other at most, ...
FULL = 4  # ... or so many full passes, where they take longer
MOST = 4096  # callers who left are remembered at once


@dataclass(slots=True, eq=False)
class Queue:
    """Rows of one lane by deadline. Those that were given up stay where they are, dead, until they come up or are more than the others:
    to take each out at once would cost a caller who gives up thousands of calls, and everyone else, the square of that."""

    heap: list[tuple[float, int, Unit]] = field(default_factory=list)  # the first is alive
    alive: int = 0

    def push(self, unit: Unit) -> None:
        heapq.heappush(self.heap, (unit.deadline, unit.arrival, unit))
        self.alive += 1

    def leave(self) -> None:
        """One of its rows waits no longer: it was taken from the head, or given up wherever it was."""
        self.alive -= 1
        if len(self.heap) > 2 * self.alive:
            self.heap = [entry for entry in self.heap if entry[2].waiting]
            heapq.heapify(self.heap)
        while self.heap and not self.heap[0][2].waiting:
            heapq.heappop(self.heap)


@dataclass(slots=True, eq=False)
class Line:
    """One caller's rows of one priority, by lane."""

    served: (
        float  # virtual time: the seconds it was given over its weight, counted from the level's time when it joined
    )
    weight: float
    queues: dict[Lane, Queue] = field(default_factory=dict)
    cost: Counter[Lane] = field(default_factory=Counter)
    latest: float = 0.0  # deadline of all that were ever in this line
    begun: bool = False  # some of them were served
    fresh: bool = False  # of a caller who was not remembered

    def add(self, unit: Unit) -> None:
        queue = self.queues.get(unit.lane)
        if queue is None:
            queue = self.queues[unit.lane] = Queue()
        queue.push(unit)
        self.cost[unit.lane] += unit.cost
        self.latest = max(self.latest, unit.deadline)

    def passes(self) -> float:
        """How many full ones its rows fill."""
        return sum(cost / lane.budget for lane, cost in self.cost.items())

    def head(self) -> tuple[float, int, Unit]:
        return min(queue.heap[0] for queue in self.queues.values())

    def following(self, unit: Unit) -> Unit | None:
        """The first row of its lane, if it is of the same request."""
        queue = self.queues.get(unit.lane)
        return queue.heap[0][2] if queue is not None and queue.heap[0][2].follows(unit) else None

    def remove(self, unit: Unit) -> None:
        """It waits no longer."""
        unit.waiting = False
        queue = self.queues[unit.lane]
        queue.leave()
        self.cost[unit.lane] -= unit.cost
        if not queue.alive:  # nor is anything else of the lane kept: it may be unloaded while others still wait
            del self.queues[unit.lane], self.cost[unit.lane]


@dataclass(slots=True, eq=False)
class Level:
    """The rows of one priority."""

    weigh: Callable[[str], float]  # a caller
    time: float = 0.0  # virtual: what each caller, over its weight, could have been served since the level began
    lines: dict[str, Line] = field(default_factory=dict)
    left: dict[str, float] = field(default_factory=dict)  # who has none waiting -> `served`, unless long ago
    cost: Counter[Lane] = field(default_factory=Counter)
    part: float = 1.0  # of the device that it had of late, since something waits
    alone: float = 0.0  # seconds of the device since a higher priority had rows
    kept: int = KEPT  # how many of those who left were remembered when it was last looked over

    def add(self, unit: Unit) -> None:
        line = self.lines.get(unit.caller)
        if line is None:
            fresh = unit.caller not in self.left
            saved = max(self.time - SAVED, self.left.pop(unit.caller, 0.0))
            line = self.lines[unit.caller] = Line(saved, self.weigh(unit.caller), fresh=fresh)
        line.add(unit)
        self.cost[unit.lane] += unit.cost

    def notice(self, part: float, seconds: float, *, highest: bool) -> None:
        """Of the pass that was just filled, of so many seconds, this was its own. highest: nothing above it waits, or was in the pass."""
        self.alone = self.alone + seconds if highest else 0.0
        self.part = 1.0 if self.alone >= LATELY else part + (self.part - part) * exp(-seconds / LATELY)

    def first(self) -> Unit:
        return min(self.lines.values(), key=lambda line: (line.served, line.head()[:2])).head()[2]

    def fill(self, filling: Filling, room: float, before: int) -> None:
        """Moves rows into the batch while it takes them, up to `room` in cost. Who was served least comes first.

        A turn is a request, as far as it fits: two that are each half computed would both be late. At the head of a queue that is too
        long all rows are in a hurry, and small batches would make it longer: so where more waits than one pass takes, `before` (the cost
        of the lane's rows of higher priorities) included, batches are cut short only a little for rows in a hurry, and not at all for
        callers who are to blame.

        Time goes with who was served least of those who wait, as in start-time fair queueing. What callers had who came only now, it
        goes on by besides, as shares of all: else each new name would begin ahead of who waits. (Were it so for all, it would run away
        from a caller who always waits: others are gone sooner than if they had shared, and would come back with less and less of a claim
        to go first.) Who was served far more than others, because these could not be, is behind them for a while, not for as long again.
        """
        taken, whole = len(filling.units), sum(line.weight for line in self.lines.values())
        anchored = any(line.begun for line in self.lines.values())
        new = {caller for caller, line in self.lines.items() if not anchored or (line.fresh and not line.begun)}
        self._take_turns(filling, room, before)
        cost = sum(unit.cost for unit in filling.units[taken:] if unit.caller in new)
        self.time += filling.pace.share(cost) / whole
        if self.lines:
            self.time = max(self.time, min(line.served for line in self.lines.values()))
            most = max(DEBT, FULL * filling.pace.share(filling.lane.budget))
            for line in self.lines.values():
                line.served = min(line.served, self.time + most / line.weight)

    def _take_turns(self, filling: Filling, room: float, before: int) -> None:
        lane, room = filling.lane, room + filling.spent
        crowds, least = self._crowds(lane), filling.pace.least()
        turns = [(line.served, i, caller) for i, (caller, line) in enumerate(self.lines.items()) if lane in line.queues]
        heapq.heapify(turns)
        while turns:
            _, i, caller = turns[0]
            line = self.lines[caller]
            unit = line.queues[lane].heap[0][2]
            full = filling.spent + before + self.cost[lane] >= lane.budget
            verdict = filling.offer(unit, room, lane.budget if caller in crowds else least if full else 0.0)
            if verdict is Verdict.FULL:
                return
            if verdict is Verdict.APART:
                heapq.heappop(turns)
                continue
            self._take(line, unit)
            if verdict is Verdict.IN:
                line.served += filling.pace.share(unit.cost) / line.weight
                line.begun = True
            else:
                self._shed_rest(line, unit, filling)
            if line.following(unit) is not None:
                continue
            if lane in line.queues:
                heapq.heapreplace(turns, (line.served, i, caller))
            else:
                heapq.heappop(turns)
                self.forget(caller)

    def _shed_rest(self, line: Line, unit: Unit, filling: Filling) -> None:
        """Of the request of a row that was shed."""
        while (following := line.following(unit)) is not None:
            filling.shed.append(following)
            self._take(line, following)

    def _crowds(self, lane: Lane) -> set[str]:
        """Where more waits than one pass takes: the callers with their share of a pass waiting, or more."""
        if self.cost[lane] < lane.budget:
            return set()
        present = {caller: line for caller, line in self.lines.items() if lane in line.queues}
        share = lane.budget / sum(line.weight for line in present.values())
        return {caller for caller, line in present.items() if line.cost[lane] >= share * line.weight}

    def charge(self, caller: str, seconds: float) -> None:
        """Its rows took so much longer than they were counted for when they were taken."""
        line = self.lines.get(caller)
        if line is not None:
            line.served += seconds / line.weight
        else:
            saved = max(self.time - SAVED, self.left.get(caller, 0.0))
            self.left[caller] = saved + seconds / self.weigh(caller)

    def undecided(self, lane: Lane) -> list[Unit]:
        """Rows of failed passes that wait to be tried again."""
        queues = [line.queues[lane] for line in self.lines.values() if lane in line.queues]
        return [unit for queue in queues for _, _, unit in queue.heap if unit.waiting and unit.company]

    def drop(self, unit: Unit) -> None:
        """Its caller has left."""
        self._take(self.lines[unit.caller], unit)
        self.forget(unit.caller)

    def _take(self, line: Line, unit: Unit) -> None:
        line.remove(unit)
        self.cost[unit.lane] -= unit.cost
        if not self.cost[unit.lane]:
            del self.cost[unit.lane]

    def forget(self, caller: str) -> None:
        if caller in self.lines and not self.lines[caller].queues:
            self.left[caller] = self.lines.pop(caller).served
            if len(self.left) > 2 * self.kept:
                owing = [(served, each) for each, served in self.left.items() if served > self.time - SAVED]
                self.left = {each: served for served, each in heapq.nlargest(MOST, owing)}
                self.kept = max(len(self.left), KEPT)
