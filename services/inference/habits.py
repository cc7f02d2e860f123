"""What rows of a model usually take: from that a call can be refused before anything is spent on preparing its rows."""

from typing import Any
from weakref import WeakKeyDictionary

MEMORY = 0.9  # what calls so far still count for at the next one
CAUTION = 0.8  # of what they usually take: texts differ in length, and who is let in is looked at again


class Habits:
    def __init__(self) -> None:
        self._seconds: WeakKeyDictionary[Any, float] = WeakKeyDictionary()  # model -> of a row

    def learn(self, model: Any, rows: int, seconds: float) -> None:
        """Rows of one call take so long."""
        if model is not None and seconds > 0:
            usual = self._seconds.get(model, seconds / rows)
            self._seconds[model] = MEMORY * usual + (1 - MEMORY) * seconds / rows

    def guess(self, model: Any, rows: int) -> float:
        """Seconds that so many take at the least, probably; 0 while nothing is known."""
        return CAUTION * rows * self._seconds.get(model, 0.0) if model is not None else 0.0
