"""What a server has in hand at most: so many events, and so many bytes of them."""

import asyncio
from collections import deque

KEPT = 4  # a quarter is kept for those who may not wait: the largest batch fits


class Room:
    """Whoever may not wait asks with `take`; whoever may, with `wait`, in the order of asking. What got room gives it back once.

    Neither shuts the other out. Those who wait never have the last quarter of the room; while one of them waits, the others together
    have no more than that quarter, so that the rest falls free as what they hold ends.
    """

    def __init__(self, events: int, size: int) -> None:
        self.most = (events, size)  # size: in bytes
        self._kept = (events // KEPT, size // KEPT)
        self._taken = (0, 0)
        self._patient = (0, 0)  # what those hold who waited, or would have
        self._waiting: deque[tuple[int, int, asyncio.Future[None]]] = deque()

    def take(self, events: int, size: int) -> bool:
        """Whether there is room now, which is then taken. What is larger than all of it is let in alone, rather than never."""
        asked = (events, size)
        alone = self._taken == self._patient == (0, 0)
        fits = _within(self.most, self._taken, self._patient, asked)
        if not alone and not (fits and (not self._waiting or _within(self._kept, self._taken, asked))):
            return False
        self._taken = _add(self._taken, asked)
        return True

    async def wait(self, events: int, size: int) -> None:
        """Returns with the room taken, which is to be given back as `patient`."""
        if not self._waiting and self._lets_in(events, size):
            self._patient = _add(self._patient, (events, size))
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((events, size, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # it had just got its turn
                self.give(events, size, patient=True)
            else:
                self._call()
            raise

    def give(self, events: int, size: int, patient: bool = False) -> None:
        if patient:
            self._patient = _add(self._patient, (-events, -size))
        else:
            self._taken = _add(self._taken, (-events, -size))
        self._call()

    def _call(self) -> None:
        """Whose turn it is now."""
        while self._waiting:
            events, size, turn = self._waiting[0]
            if not turn.cancelled() and not self._lets_in(events, size):
                return
            self._waiting.popleft()
            if not turn.cancelled():
                self._patient = _add(self._patient, (events, size))
                turn.set_result(None)

    def _lets_in(self, events: int, size: int) -> bool:
        """Also, alone among those who wait, what is larger than their part: once the others have no more than theirs."""
        if self._patient == (0, 0) and _within(self._kept, self._taken):
            return True
        return _within(self.most, self._kept, self._patient, (events, size)) and _within(
            self.most, self._taken, self._patient, (events, size)
        )


def _add(*held: tuple[int, int]) -> tuple[int, int]:
    return sum(events for events, _ in held), sum(size for _, size in held)


def _within(most: tuple[int, int], *held: tuple[int, int]) -> bool:
    events, size = _add(*held)
    return events <= most[0] and size <= most[1]
