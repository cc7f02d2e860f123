"""What rows of a model usually take: from that a call can be refused before anything is spent on preparing its rows."""

from typing import Any
from weakref import WeakKeyDictionary

MEMORY = 0.9  # what calls so far still count for at the next one
CAUTION = 0.8  # of what they usually take: texts differ in length, and who is let in is looked at again


class Habits:
    """Rows of which more than the usual outputs are asked, explanations say, take another time, and are kept apart."""

    def __init__(self) -> None:
        self._usual: WeakKeyDictionary[Any, dict[bool, tuple[float, float]]] = WeakKeyDictionary()  # rows and seconds

    def learn(self, model: Any, rows: int, seconds: float, *, more: bool = False) -> None:
        """Rows of one call take so long, one after another."""
        if model is not None and seconds > 0:
            usual = self._usual.setdefault(model, {})
            before = usual.get(more, (0.0, 0.0))
            usual[more] = MEMORY * before[0] + rows, MEMORY * before[1] + seconds

    def guess(self, model: Any, rows: int, *, more: bool = False) -> float:
        """Seconds that so many take one after another, rather less; 0 while nothing is known."""
        usual = self._usual.get(model, {}).get(more) if model is not None else None
        return CAUTION * rows * usual[1] / usual[0] if usual else 0.0
