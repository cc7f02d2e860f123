"""How long a pass takes, learned from those that were made. There is no clock here: seconds come in as they were measured."""

from dataclasses import dataclass
from math import ceil

COLD = 2  # first passes of a lane, which allocate and compile, and so tell nothing
KNOWN = 4  # passes that it takes to estimate from
MEMORY = 0.95  # what a pass still counts for at the next one
# A pass that took longer than this many times the expected counts as that: one pause must not close the lane.
HICCUP = 4.0
MARGIN = 3.0  # mean deviations that an estimate adds: a row that ends a moment late was computed for nothing
NEARLY = 0.9  # of what the device does in full passes
SHARED = 10  # times smaller than the budget is a pass, where a light caller shares the device with a heavy one, ...
OVERHEAD = 0.3  # ... unless more than this share of it would be what any pass takes, ...
QUICK = 0.5  # ... or than this one, where the light caller's own rows are in it
ALIKE = 0.25  # relative deviation of passes' costs below which they tell how fast the device is, but not what any pass takes
GUESS = 0.1  # seconds that a full pass is taken for while nothing is known, where lanes are weighed against each other


@dataclass(slots=True)
class Pace:
    """Seconds as `fixed + each * cost`, by least squares that forgets; the deviation as in TCP's timer (Jacobson 1988)."""

    budget: int
    passes: int = 0
    fixed: float = 0.0
    each: float = 0.0
    deviation: float = 0.25  # mean, relative
    trust: float = 1.0  # in the estimate, where a request is refused by it before it waits
    _weight: float = 0.0
    _x: float = 0.0
    _y: float = 0.0
    _xx: float = 0.0
    _xy: float = 0.0

    @property
    def known(self) -> bool:
        return self.passes >= COLD + KNOWN

    def learn(self, cost: int, seconds: float) -> None:
        """One pass of this cost took this long."""
        self.passes, self.trust = self.passes + 1, 1.0
        if self.passes <= COLD:
            return
        expected = self.fixed + self.each * cost
        if self.known and expected > 0:
            seconds = min(seconds, HICCUP * expected)
            self.deviation += 0.1 * (abs(seconds / expected - 1) - self.deviation)
        self._weight = MEMORY * self._weight + 1
        self._x = MEMORY * self._x + cost
        self._y = MEMORY * self._y + seconds
        self._xx = MEMORY * self._xx + cost * cost
        self._xy = MEMORY * self._xy + cost * seconds
        self._fit()

    def seconds(self, cost: float) -> float:
        """That a pass of this cost takes at most, as far as can be told; 0 while nothing is known."""
        return (self.fixed + self.each * cost) * (1 + MARGIN * self.deviation) if self.known else 0.0

    def room(self, seconds: float) -> float:
        """The cost of the largest pass that ends within this time; anything while nothing is known."""
        if not self.known:
            return float("inf")
        return (seconds / (1 + MARGIN * self.deviation) - self.fixed) / self.each

    def further(self, cost: float, most: float) -> float:
        """Seconds that the passes, of `most` each, take besides, at most, in which rows of this cost go that one had no room for."""
        return ceil(cost / most) * self.fixed * (1 + MARGIN * self.deviation) if self.known else 0.0

    def least(self) -> float:
        """The cost of the smallest pass that still does nearly what a full one does in the same time; 0 while nothing is known."""
        if not self.known:
            return 0.0
        full = self.fixed + self.each * self.budget
        return NEARLY * self.fixed * self.budget / (full - NEARLY * self.each * self.budget)

    def shared(self) -> float:
        """The cost of a pass that nobody waits long for: small, but not so small that it wastes the device."""
        return min(max(self.budget / SHARED, self._spending(OVERHEAD)), self.budget)

    def quick(self) -> float:
        """The cost of a pass up to which more rows are nearly for nothing."""
        return min(self._spending(QUICK), self.budget)

    def _spending(self, share: float) -> float:
        """The cost of a pass of which this share is what any takes; more than any while nothing is known."""
        return self.fixed / self.each * (1 / share - 1) if self.known else float("inf")

    def share(self, cost: float) -> float:
        """Seconds of the device that rows of this cost take, beside others in a full pass: in these, lanes can be compared."""
        return cost * (self.each if self.known else GUESS / self.budget)

    def whole(self, cost: float) -> float:
        """Seconds of the device that rows of this cost take in full passes, their part of what any pass takes included."""
        return cost / self.budget * (self.fixed + self.each * self.budget if self.known else GUESS)

    def fade(self) -> None:
        """Nothing could be computed in time, says the estimate. Then nothing corrects it either, so it must not last."""
        for name in ("fixed", "each", "_y", "_xy"):
            setattr(self, name, 0.9 * getattr(self, name))

    def doubt(self) -> None:
        """A request was refused by the estimate while no pass was to be made that could correct it: one of many such is let in."""
        self.trust *= 0.9

    def _fit(self) -> None:
        x, y = self._x / self._weight, self._y / self._weight
        spread = self._xx / self._weight - x * x
        if spread > (ALIKE * x) ** 2:
            self.each = (self._xy / self._weight - x * y) / spread
            self.fixed = y - self.each * x
        elif (expected := self.fixed + self.each * x) > 0:  # what was learned of its parts holds, at another speed
            self.fixed, self.each = self.fixed * y / expected, self.each * y / expected
        if self.each <= 0 or self.fixed < 0:  # nothing is known of its parts, or all is noise
            self.each, self.fixed = max(y, 1e-9) / max(x, 1.0), 0.0
