"""Counting what a gRPC server accepted and how it ended, in Postgres within half a second, so that nothing can vanish unseen.

A server that is killed takes its last quarter of a second with it. What it had stored by then names the run that took the call
(`Tally.run`, in the arrival's place), so that whoever counts can tell those calls from the ones that ended with the process.
"""

import asyncio
import uuid
from typing import Protocol

from shared import telemetry
from shared.errors import Unavailable
from shared.patience import complain

FLUSH_EVERY = 0.25  # seconds


class Books(Protocol):
    async def record_calls(self, domain: str, instance: str, *, accepted: int, settled: int, returned: int) -> None: ...


class Tally:
    """accepted = settled + returned + still in hand.

    `settled`: there is a row for the call: an outcome, a repeat or an incident. `returned`: there is none, and the caller was told.
    """

    def __init__(self, domain: str, instance: str, books: Books) -> None:
        self._domain = domain
        self.run = uuid.uuid4().hex[:12]
        self._instance = f"{instance}/{self.run}"
        self._books = books
        self._written: tuple[int, int, int] | None = None
        self.accepted = self.settled = self.returned = 0

    def accept(self, events: int) -> None:
        self.accepted += events
        telemetry.calls.add(events, {"tidemill.domain": self._domain, "tidemill.state": "accepted"})

    def end(self, settled: bool) -> None:
        if settled:
            self.settled += 1
        else:
            self.returned += 1
        state = "settled" if settled else "returned"
        telemetry.calls.add(1, {"tidemill.domain": self._domain, "tidemill.state": state})

    async def keep(self) -> None:
        """Flush for ever."""
        while True:
            await asyncio.sleep(FLUSH_EVERY)
            try:
                await self.flush()
            except Unavailable as error:
                complain(error)

    async def flush(self) -> None:
        """Write the counts, if they have changed.

        Raises:
            Unavailable: they could not be written.
        """
        now = (self.accepted, self.settled, self.returned)
        if now != self._written:
            await self._books.record_calls(
                self._domain, self._instance, accepted=now[0], settled=now[1], returned=now[2]
            )
            self._written = now
