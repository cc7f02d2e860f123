"""A device that does not exist: time is a number, and a pass takes `fixed + each * cost` seconds, more or less."""

import heapq
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from services.inference.scheduler import Scheduler
from services.inference.units import Unit


@dataclass(frozen=True)
class Lane:
    name: str = "encoder"
    budget: int = 1024


@dataclass(frozen=True)
class Stream:
    """Requests that arrive at random (Poisson) for one caller, `load` of them in rows' cost a second."""

    load: float
    patience: float  # seconds from arrival to deadline
    priority: int = 5
    caller: str = ""
    rows: int = 4  # a request
    lane: Lane = Lane()

    def arrivals(self, until: float, random: np.random.Generator) -> Iterator[tuple[float, list[Unit]]]:
        """Rows as long as customers' texts are: 15 tokens in the mean, 82 at most."""
        at = 0.0
        while True:
            costs = np.clip(random.lognormal(2.6, 0.5, self.rows), 4, 82).astype(int)
            at += random.exponential(costs.sum() / self.load)
            if at >= until:
                return
            request = Request(self.rows)
            yield (
                at,
                [
                    Unit(self.lane, int(c), at + self.patience, self.priority, self.caller, payload=at, owner=request)
                    for c in costs
                ],
            )


@dataclass(eq=False)
class Request:
    """It is answered when all its rows are, in time."""

    rows: int
    ends: Counter[str] = field(default_factory=Counter)  # of its rows

    @property
    def end(self) -> str:
        """Of the whole, once every row has ended."""
        return next(how for how in ("refused", "shed", "expired", "late", "bad", "answered") if self.ends[how])


@dataclass
class Ended:
    """What became of requests, by priority and caller; `took`: seconds from arrival to answer of what was computed, by caller."""

    requests: Counter[tuple[int, str, str]] = field(default_factory=Counter)
    cost: Counter[int] = field(default_factory=Counter)  # computed, by priority
    computed: int = 0  # rows
    vain: int = 0  # of these, rows of requests that were not answered in time
    took: dict[str, list[float]] = field(default_factory=dict)
    passes: list[int] = field(default_factory=list)
    busy: float = 0.0

    def add(self, unit: Unit, how: str) -> None:
        """One row."""
        request: Request = unit.owner
        request.ends[how] += 1
        if request.ends.total() < request.rows:
            return
        self.requests[unit.priority, unit.caller, request.end] += 1
        computed = request.ends["answered"] + request.ends["late"]
        self.computed += computed
        self.vain += computed if request.end != "answered" else 0

    def count(self, how: str, priority: int | None = None, caller: str | None = None) -> int:
        return sum(
            n for (p, c, h), n in self.requests.items() if h == how and priority in {None, p} and caller in {None, c}
        )

    def rate(self, how: str, priority: int | None = None, caller: str | None = None) -> float:
        """Of the requests that came."""
        whole = sum(n for (p, c, _), n in self.requests.items() if priority in {None, p} and caller in {None, c})
        return self.count(how, priority, caller) / whole


@dataclass
class Device:
    fixed: float = 0.004
    each: float = 1e-4
    noise: float = 0.1
    scheduler: Scheduler = field(default_factory=Scheduler)
    bad: Collection[str] = ()  # callers on whose rows every pass fails

    def capacity(self, lane: Lane = Lane()) -> float:
        """Cost a second, in full passes."""
        return lane.budget / (self.fixed + self.each * lane.budget)

    def run(self, streams: Sequence[Stream], until: float, seed: int = 0) -> Ended:
        """Serves the streams to the end, as the engine does: refused at the door what is hopeless, dropped at its deadline what waits."""
        random, ended, now = np.random.default_rng(seed), Ended(), 0.0
        coming = sorted(
            (each for stream in streams for each in stream.arrivals(until, random)),
            key=lambda each: each[0],
            reverse=True,
        )
        timers: list[tuple[float, int, Unit]] = []
        while coming or self.scheduler.waiting:
            if not self.scheduler.waiting:
                now = max(now, coming[-1][0])
            while coming and coming[-1][0] <= now:
                self._arrive(*coming.pop(), timers, ended)
            self._expire(now, timers, ended)
            now += self._pass(now, random, ended)
        return ended

    def _arrive(self, at: float, units: list[Unit], timers: list[tuple[float, int, Unit]], ended: Ended) -> None:
        if sum(self.scheduler.foresee(units)) > units[0].deadline - at:
            for unit in units:
                ended.add(unit, "refused")
            return
        self.scheduler.add(units)
        for unit in units:
            heapq.heappush(timers, (unit.deadline, unit.arrival, unit))

    def _expire(self, now: float, timers: list[tuple[float, int, Unit]], ended: Ended) -> None:
        gone = []
        while timers and timers[0][0] <= now:
            gone.append(heapq.heappop(timers)[2])
        gone = [unit for unit in gone if unit.waiting]
        self.scheduler.drop(gone)
        for unit in gone:
            ended.add(unit, "expired")

    def _pass(self, now: float, random: np.random.Generator, ended: Ended) -> float:
        batch = self.scheduler.take(now)
        if batch is None:
            return 0.0
        for unit in batch.shed:
            ended.add(unit, "shed")
        if not batch.units:
            return 0.0
        assert all(unit.deadline > now for unit in batch.units), "an expired row is never computed"
        seconds = (self.fixed + self.each * batch.cost) * float(random.lognormal(0, self.noise))
        ended.busy += seconds
        if any(unit.caller in self.bad for unit in batch.units):
            return seconds + self._fail(batch.units, now, seconds, ended)
        self.scheduler.learn(batch.lane, batch.cost, seconds)
        for unit in batch.units:
            ended.add(unit, "answered" if now + seconds <= unit.deadline else "late")
            ended.cost[unit.priority] += unit.cost
            ended.took.setdefault(unit.caller, []).append(now + seconds - unit.payload)
        ended.passes.append(batch.cost)
        return seconds

    def _fail(self, units: list[Unit], now: float, seconds: float, ended: Ended) -> float:
        """As the engine does; returns the seconds that it takes besides, to try a row that is known to be good, and the bad one again."""
        if len(units) > 1:
            self.scheduler.try_again(units, seconds)
            return 0.0
        ended.busy += 2 * seconds
        ended.add(units[0], "bad")
        self.scheduler.distrust(units[0], 3 * seconds, now + 3 * seconds)
        return 2 * seconds
