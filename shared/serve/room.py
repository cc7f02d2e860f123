"""What a server has in hand at most: so many events, and so many bytes of them."""

import asyncio
from collections import deque


class Room:
    """Whoever may not wait asks with `take`; whoever may, with `wait`, in the order of asking. What got room gives it back once."""

    def __init__(self, events: int, size: int) -> None:
        self.most = (events, size)  # size: in bytes
        self._held = (0, 0)
        self._waiting: deque[tuple[int, int, asyncio.Future[None]]] = deque()

    def take(self, events: int, size: int) -> bool:
        """Whether there is room now, which is then taken. What is larger than all of it is let in alone, rather than never."""
        alone = self._held == (0, 0)
        if self._waiting or not (alone or self._fits(events, size)):
            return False
        self._hold(events, size)
        return True

    async def wait(self, events: int, size: int) -> None:
        if self.take(events, size):
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((events, size, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # it had just got its turn
                self.give(events, size)
            raise

    def give(self, events: int, size: int) -> None:
        self._hold(-events, -size)
        while self._waiting:
            events, size, turn = self._waiting[0]
            if not turn.cancelled() and self._held != (0, 0) and not self._fits(events, size):
                return
            self._waiting.popleft()
            if not turn.cancelled():
                self._hold(events, size)
                turn.set_result(None)

    def _fits(self, events: int, size: int) -> bool:
        return self._held[0] + events <= self.most[0] and self._held[1] + size <= self.most[1]

    def _hold(self, events: int, size: int) -> None:
        self._held = (self._held[0] + events, self._held[1] + size)
