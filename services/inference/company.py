"""Who shares the device with whom: light callers wait for passes that others fill, heavy ones mostly for their own."""

from collections.abc import Mapping

LASTS = 1.0  # seconds for which a caller is reckoned with after it last had rows waiting, or many of them
# Passes that make a caller heavy: so much of what the heaviest has waiting, at least one, and no more than a few. Less is a burst of a
# light one, or waits for the heaviest.
BESIDE, FEW, MANY = 1 / 4, 1.0, 4.0


class Company:
    """The callers of one priority, as they were of late. light: those who share the device with others, and have little waiting."""

    def __init__(self) -> None:
        self.light: frozenset[str] = frozenset()
        self.heavy: frozenset[str] = frozenset()
        self._present: dict[str, float] = {}  # caller -> when it last had rows waiting
        self._heavy: dict[str, float] = {}  # caller -> when it last had many waiting

    def meet(self, passes: Mapping[str, float], now: float) -> None:
        """These have rows waiting, which fill so many passes. Many are one or more, unless another has more still by far."""
        many = min(max(FEW, BESIDE * max(passes.values())), MANY)
        self._present |= dict.fromkeys(passes, now)
        self._heavy |= dict.fromkeys((caller for caller, each in passes.items() if each >= many), now)
        self._present, self._heavy = (
            {caller: at for caller, at in seen.items() if now - at < LASTS} for seen in (self._present, self._heavy)
        )
        self.heavy = frozenset(self._heavy)
        self.light = frozenset(self._present.keys() - self.heavy) if len(self._present) > 1 else frozenset()
