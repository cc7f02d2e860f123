"""A small share of the device for each priority that waits behind a higher one, so that none starves: deficit round robin (Shreedhar and
Varghese 1995), in seconds of the device."""

from collections.abc import Iterable

RESERVED = 0.06  # of the device, for each: 5 %, and what of it is computed and then comes too late


class Credits:
    """Seconds that each priority is owed; below 0: it has had them beforehand."""

    def __init__(self) -> None:
        self._seconds: dict[int, float] = {}

    def owed(self, behind: Iterable[int]) -> list[int]:
        """Those of them whose turn it is, the most deserving first."""
        return sorted((p for p in behind if self[p] > 0), key=lambda p: -self[p])

    def __getitem__(self, priority: int) -> float:
        return self._seconds.get(priority, 0.0)

    def charge(self, priority: int, seconds: float) -> None:
        """It has had this much."""
        self._seconds[priority] = self[priority] - seconds

    def count(self, priority: int, seconds: float, most: float) -> None:
        """It has had this much of what others left: nothing that was owed to it, but for a while, up to `most`, nothing more is."""
        if seconds:
            self._seconds[priority] = max(self[priority] - seconds, min(self[priority], -most))

    def grant(self, behind: Iterable[int], seconds: float, most: float) -> None:
        """Of a pass of so many seconds, each that waited behind another is owed its share, up to `most`; debts are worked off."""
        waited = set(behind)
        for priority in waited | set(self._seconds):
            credit = self[priority] + RESERVED * seconds
            self._seconds[priority] = min(credit, most if priority in waited else 0.0)
