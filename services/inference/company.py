"""Who shares the device with whom: light callers wait for passes that others fill, heavy ones mostly for their own."""

from collections.abc import Mapping

from services.inference.line import Line

LASTS = 1.0  # seconds for which a caller is reckoned with after it last had rows waiting, or many of them
# Of what the heaviest has waiting, so much makes a caller heavy too; less is a burst of a light one, or waits for the heaviest.
BESIDE = 1 / 4


class Company:
    """The callers of one priority, as they were of late."""

    def __init__(self) -> None:
        self._present: dict[str, float] = {}  # caller -> when it last had rows waiting
        self._heavy: dict[str, float] = {}  # caller -> when it last had many waiting

    def meet(self, lines: Mapping[str, Line], now: float) -> None:
        """These have rows waiting. Many are a full pass or more that nobody else's rows dwarf."""
        passes = {caller: line.passes() for caller, line in lines.items()}
        many = max(1.0, BESIDE * max(passes.values()))
        self._present |= dict.fromkeys(passes, now)
        self._heavy |= dict.fromkeys((caller for caller, each in passes.items() if each >= many), now)
        self._present, self._heavy = (
            {caller: at for caller, at in seen.items() if now - at < LASTS} for seen in (self._present, self._heavy)
        )

    @property
    def light(self) -> frozenset[str]:
        """Callers who share the device with others, and have little waiting."""
        return frozenset(self._present.keys() - self._heavy.keys()) if len(self._present) > 1 else frozenset()

    @property
    def heavy(self) -> frozenset[str]:
        return frozenset(self._heavy)
