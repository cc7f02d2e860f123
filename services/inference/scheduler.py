"""What the device does next. No torch, no threads, no clock: time is an argument, so that a simulated device can try it.

Batching needs no timer: while the device works, rows pile up, and the pile is the next batch (after text-embeddings-inference's queue),
limited by a budget of tokens. Order is by priority; within a priority callers share what there is by weight (start-time fair queueing,
Goyal et al. 1996), and each caller's rows go by deadline. A small share of the device is kept for each lesser priority, so that none
starves (`credits`). Rows that would end late are not computed.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from types import MappingProxyType
from weakref import WeakKeyDictionary

from services.inference.company import Company
from services.inference.credits import RESERVED, Credits
from services.inference.filling import Filling
from services.inference.line import Level
from services.inference.pace import Pace
from services.inference.units import Batch, Lane, Unit

HOPE = 1.5  # times the part of the device that a priority had of late: for what it may have soon, rows are let in
# Seconds for which the rows of a caller share no pass with others', after the model failed on one of them.
DOUBTED = 1.0
_NO_WEIGHTS: Mapping[str, float] = MappingProxyType({})


class Scheduler:
    """Holds what `Admission` lets in, so it needs no limit of its own."""

    def __init__(self, weights: Mapping[str, float] = _NO_WEIGHTS) -> None:
        """weights: caller -> its share of the device beside others'; 1 where there is none."""
        self.waiting = 0  # rows
        self.cost = 0  # of those
        self.sides = 1  # passes that are made side by side
        self._weigh: Callable[[str], float] = lambda caller: weights.get(caller, 1.0)
        self._levels: dict[int, Level] = {}
        self._arrivals = count()
        self._credits = Credits()
        self._companies: dict[int, Company] = {}  # by priority, of which there are nine
        self._doubted: dict[str, float] = {}  # caller -> until when
        # A lane that is unloaded must not be held here.
        self._paces: WeakKeyDictionary[Lane, Pace] = WeakKeyDictionary()

    def add(self, units: Sequence[Unit]) -> None:
        for unit in units:
            unit.arrival = next(self._arrivals)
        self._line_up(units)

    def _line_up(self, units: Sequence[Unit]) -> None:
        _sum_up(units)
        for unit in units:
            unit.waiting = True
            level = self._levels.get(unit.priority)
            if level is None:
                level = self._levels[unit.priority] = Level(self._weigh)
            level.add(unit)
            self.cost += unit.cost
        self.waiting += len(units)

    def drop(self, units: Sequence[Unit]) -> None:
        """Their caller has left; those already taken are not waited for here any more, which is fine."""
        gone = [unit for unit in units if unit.waiting]
        for unit in gone:
            self._levels[unit.priority].drop(unit)
            unit.payload = None  # it may lie in its queue for a while
            self._forget(unit.priority)
        self._settle(gone)

    def learn(self, lane: Lane, cost: int, seconds: float) -> None:
        """A pass of this cost took this long: what it is that later ones are expected to take."""
        self._pace(lane).learn(cost, seconds)

    def doubt(self, units: Sequence[Unit]) -> None:
        """Rows were refused for what they alone take. Where none of their lane wait, no pass would ever tell that they take less now."""
        for lane in {unit.lane for unit in units}:
            if not any(level.cost[lane] for level in self._levels.values()):
                self._pace(lane).doubt()

    def try_again(self, units: Sequence[Unit], seconds: float) -> None:
        """Their pass failed, after so long: each is tried among half as many, all of its caller, before what came later.

        A pass of one caller's rows is at its expense; of a pass that was shared nobody knows yet whose it was.
        """
        for unit in units:
            unit.company = (len(units) + 1) // 2
        self._line_up(sorted(units, key=lambda unit: unit.arrival))
        if len({unit.caller for unit in units}) == 1:
            self._charge(units, seconds)

    def distrust(self, unit: Unit, seconds: float, now: float) -> None:
        """The model fails on this row, which took so long to find out."""
        self._doubted[unit.caller] = now + DOUBTED
        self._charge([unit], seconds)

    def give_up(self, lane: Lane) -> list[Unit]:
        """The rows of failed passes that wait to be tried again, and now do so no longer: it is the device that fails."""
        gone = [unit for level in self._levels.values() for unit in level.undecided(lane)]
        self.drop(gone)
        return gone

    def backlog(self) -> float:
        """Seconds until all waiting rows are computed; a guess while nothing is known."""
        return sum(self._seconds(level.cost) for level in self._levels.values()) / self.sides

    def expect(self, batch: Batch) -> float:
        """Seconds that a pass takes at most, as far as can be told; 0 while nothing is known."""
        return self._pace(batch.lane).seconds(batch.cost)

    def is_ample(self) -> bool:
        """Whether a pass that began now would use the device well, and nothing is lost by taking it before the device is free."""
        costs = sum((level.cost for level in self._levels.values()), Counter[Lane]())
        return any(cost >= self._pace(lane).shared() for lane, cost in costs.items())

    def ahead(self, priority: int, caller: str, deadline: float) -> float:
        """Seconds that go before rows that are not yet added.

        Before them go all of higher priorities, and their caller's own whose deadlines are no later, and these at no more than `HOPE` times
        the pace that their priority had of late; but the small share that each priority keeps is theirs in any case. What other callers
        of their priority have waiting does not count: callers share.
        """
        own = 0.0
        level = self._levels.get(priority)
        line = level.lines.get(caller) if level else None
        if line is not None and line.latest <= deadline:
            own = self._known_seconds(line.cost)
        higher = sum(self._known_seconds(level.cost) for p, level in self._levels.items() if p < priority)
        part = min(max(HOPE * level.part, RESERVED), 1.0) if level else 1.0
        return min(max(own + higher, own / part), own / RESERVED) / self.sides

    def foresee(self, units: Sequence[Unit]) -> tuple[float, float]:
        """For rows of one request that are not yet added: (seconds that go before them, seconds that they take at the least)."""
        costs: dict[Lane, int] = {}
        for unit in units:
            costs[unit.lane] = costs.get(unit.lane, 0) + unit.cost
        alone = sum(self._known_seconds({lane: cost}) * self._pace(lane).trust for lane, cost in costs.items())
        one = units[0]
        return self.ahead(one.priority, one.caller, one.deadline), alone / min(self.sides, len(units))

    def take(self, now: float, free: int = 1) -> Batch | None:
        """The next batch: at most its lane's budget in cost, less where callers share, or one row that costs more. None: nothing waits.

        Every row whose turn has come is in `units` or, because it would end late, in `shed`; none is in both.
        free: as many can begin now, side by side: what waits is divided among them, unless it is little.
        """
        if not self._levels:
            return None
        order = sorted(self._levels)
        behind = order[1:]
        owed = self._credits.owed(behind)
        lane = self._levels[owed[0] if owed else order[0]].first().lane
        pace = self._pace(lane)
        company = self._meet(max(order), now)
        most = self._divide(lane, free)
        if company.light:
            most = min(most, self._before(max(order), lane) / free + pace.shared())
        self._doubted = {caller: until for caller, until in self._doubted.items() if until > now}
        filling = Filling(lane, pace, now, most, self.sides, self._doubted.keys(), company, max(order))
        elsewhere = lane != self._levels[order[0]].first().lane  # a pass that is made for what is owed alone
        for priority in owed:
            before = filling.spent
            self._fill(filling, priority, most if elsewhere else self._credits[priority] / pace.share(1))
            self._credits.charge(priority, pace.share(filling.spent - before))
        for priority in order:
            before = filling.spent
            self._fill(filling, priority, most)
            self._credits.count(priority, pace.share(filling.spent - before), pace.share(lane.budget))
        self._notice(filling)
        self._credits.grant(behind, pace.share(filling.spent), pace.share(lane.budget))
        if not filling.units and any(unit.deadline > now for unit in filling.shed):
            pace.fade()
        return Batch(lane, sorted(filling.units, key=lambda unit: unit.cost), filling.shed)

    def _divide(self, lane: Lane, free: int) -> float:
        """The cost of a pass that is begun with others of its lane: in a smaller one, most would be what any pass takes."""
        if free == 1:
            return lane.budget
        pace, whole = self._pace(lane), sum(level.cost[lane] for level in self._levels.values())
        return min(max(whole / free, pace.shared() if pace.known else 0.0), lane.budget)

    def _before(self, priority: int, lane: Lane) -> int:
        """The cost of the lane's rows of higher priorities."""
        return sum(level.cost[lane] for p, level in self._levels.items() if p < priority)

    def _meet(self, priority: int, now: float) -> Company:
        """The callers of the lowest priority that waits, who has it now or had it a moment ago.

        Whoever comes waits for the pass in hand. So passes are smaller while a light caller shares the device, and its own take along rows
        of heavy ones only where these are nearly for nothing. A caller who is alone has only itself to wait for, and one who has many rows
        waiting, mostly so: they get the most out of it. The lowest priority that waits is looked at: who has a higher one goes first in any
        case, and would pay for smaller passes: so what waits at higher ones has its room besides.
        """
        company = self._companies.setdefault(priority, Company(self._weigh))
        lines = self._levels[priority].lines
        passes = {caller: line.passes() for caller, line in lines.items()}
        company.meet(passes, lambda caller: self._alone(lines[caller].cost), now)
        return company

    def _fill(self, filling: Filling, priority: int, room: float) -> None:
        level = self._levels.get(priority)
        if level is None:
            return
        units, shed = len(filling.units), len(filling.shed)
        level.fill(filling, room, self._before(priority, filling.lane))
        self._settle(filling.units[units:])
        self._settle(filling.shed[shed:])
        self._forget(priority)

    def _charge(self, units: Sequence[Unit], seconds: float) -> None:
        """What rows of one caller took beyond what they were counted for when they were taken."""
        one, beyond = units[0], seconds - self._pace(units[0].lane).share(sum(unit.cost for unit in units))
        if beyond > 0:
            self._credits.charge(one.priority, beyond)
            if one.priority in self._levels:  # else nobody waits beside it
                self._levels[one.priority].charge(one.caller, beyond)

    def _notice(self, filling: Filling) -> None:
        """Tells each priority how much of the pass is its own, and whether it is the highest; and what callers of the company had of it."""
        spent, had = Counter[int](), Counter[str]()
        for unit in filling.units:
            spent[unit.priority] += unit.cost
            if unit.priority == filling.shared:
                had[unit.caller] += unit.cost
        for priority, level in self._levels.items() if filling.units else ():
            highest = priority <= min((*self._levels, *spent))
            level.notice(spent[priority] / filling.spent, filling.pace.share(filling.spent), highest=highest)
        for caller, cost in had.items():
            filling.company.serve(caller, self._alone({filling.lane: cost}))

    def _pace(self, lane: Lane) -> Pace:
        pace = self._paces.get(lane)
        if pace is None:
            pace = self._paces[lane] = Pace(lane.budget)
        return pace

    def _seconds(self, costs: Mapping[Lane, int]) -> float:
        return sum(self._pace(lane).share(cost) for lane, cost in costs.items() if cost)

    def _alone(self, costs: Mapping[Lane, int]) -> float:
        """Seconds in which nothing but these rows is computed, in full passes on all sides."""
        return sum(self._pace(lane).whole(cost) for lane, cost in costs.items()) / self.sides

    def _known_seconds(self, costs: Mapping[Lane, int]) -> float:
        return self._seconds({lane: cost for lane, cost in costs.items() if self._pace(lane).known})

    def _settle(self, units: Sequence[Unit]) -> None:
        self.cost -= sum(unit.cost for unit in units)
        self.waiting -= len(units)

    def _forget(self, priority: int) -> None:
        if priority in self._levels and not self._levels[priority].lines:
            del self._levels[priority]


def _sum_up(units: Sequence[Unit]) -> None:
    """Tells each row what its request costs from there on."""
    sums: Counter[tuple[int, Lane]] = Counter()
    for unit in reversed(units):
        request = id(unit if unit.owner is None else unit.owner), unit.lane
        sums[request] += unit.cost
        unit.rest = sums[request]
