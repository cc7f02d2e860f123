"""Who shares the device with whom: light callers wait for passes that others fill, heavy ones mostly for their own."""

from collections.abc import Callable, Mapping, Set
from math import exp

LASTS = 1.0  # seconds for which a caller is reckoned with after it last had rows waiting, or many of them
# Passes that make a caller heavy: so much of what the heaviest has waiting, at least one, and no more than a few. Less is a burst of a
# light one, or waits for the heaviest.
BESIDE, FEW, MANY = 1 / 4, 1.0, 4.0
PERIOD = 3.0  # seconds over which it is averaged what a caller had
# Of their shares of the device: who had more, together, are not light. In small passes the device does about seven tenths of its work:
# room for that much of all shares, and no more.
MODEST = 2 / 3


class Company:
    """The callers of one priority, as they were of late. light: those who share the device with heavy ones, have little waiting, and ask
    together for less than their shares. Where all ask for as much as there is, each has little waiting now and much a moment later."""

    def __init__(self, weigh: Callable[[str], float]) -> None:
        self.light: frozenset[str] = frozenset()
        self.heavy: frozenset[str] = frozenset()
        self._weigh = weigh
        self._present: dict[str, float] = {}  # caller -> when it last had rows waiting
        self._heavy: dict[str, float] = {}  # caller -> when it last had many waiting
        self._had: dict[str, float] = {}  # caller -> seconds of the device, of late
        self._gone = 0.0  # those of callers who are reckoned with no more
        self._met = 0.0

    def meet(self, passes: Mapping[str, float], seconds: Callable[[str], float], now: float) -> None:
        """These have rows waiting, which fill so many passes and take so long. Many passes are one or more, unless another has far more."""
        many = min(max(FEW, BESIDE * max(passes.values())), MANY)
        self._present |= dict.fromkeys(passes, now)
        self._heavy |= dict.fromkeys((caller for caller, each in passes.items() if each >= many), now)
        self._present, self._heavy = (
            {caller: at for caller, at in seen.items() if now - at < LASTS} for seen in (self._present, self._heavy)
        )
        fading, self._met = exp(-max(now - self._met, 0.0) / PERIOD), max(now, self._met)
        self._gone = fading * (
            self._gone + sum(had for caller, had in self._had.items() if caller not in self._present)
        )
        self._had = {caller: fading * self._had.get(caller, 0.0) for caller in self._present}
        self.heavy = frozenset(self._heavy)
        rest = self._present.keys() - self.heavy
        modest = bool(self.heavy) and self._are_modest(rest, sum(map(seconds, rest & passes.keys())))
        self.light = frozenset(rest) if modest else frozenset()

    def serve(self, caller: str, seconds: float) -> None:
        """It has had so much of the device, of which there is a second each second."""
        self._had[caller] = self._had.get(caller, 0.0) + seconds

    def _are_modest(self, callers: Set[str], waiting: float) -> bool:
        """Whether they had less than `MODEST` of their shares, these seconds that they have waiting counted as had."""
        had = waiting + self._gone + sum(self._had[caller] for caller in callers)
        return had <= MODEST * PERIOD * sum(map(self._weigh, callers)) / sum(map(self._weigh, self._present))
