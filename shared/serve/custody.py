"""What a gRPC server has taken in: bounded, counted, and brought to an end whatever becomes of the callers."""

import asyncio
from collections.abc import Awaitable
from dataclasses import replace

from shared.domain import Domain
from shared.errors import Failure, Unavailable
from shared.event import Arrival
from shared.serve.pile import PiledStore
from shared.serve.projector import Projector
from shared.serve.refusal import Overloaded
from shared.serve.room import Room
from shared.serve.tally import Tally
from shared.settlement.settlement import Means, settle
from shared.store.outcome import Settled

IN_HAND = 1024  # events at once; beyond, unary and batch calls are told to come back, and messages of streams wait in the transport
# Of payloads: settling a large one takes some eight times its size, and a quarter holds the largest batch.
IN_HAND_BYTES = 128 * 1024 * 1024


class Custody:
    """Between the calls and settlement."""

    def __init__(self, domain: Domain) -> None:
        self._domain = domain
        self._is_open = False
        self._means: Means
        self._tally: Tally
        self._piled: Means  # for settlement: concurrent calls share transactions
        self._projector: Projector
        self._finishing: set[asyncio.Task[list[Settled | Failure]]] = set()
        self._room = Room(IN_HAND, IN_HAND_BYTES)

    def open(self, means: Means, tally: Tally, projector: Projector) -> None:
        self._tally, self._projector, self._means = tally, projector, means
        self._piled = replace(means, store=PiledStore(means.store))
        self._is_open = True

    def _check_open(self) -> None:
        if not self._is_open:
            raise Unavailable("this server", "it is starting", 1.0)

    @property
    def means(self) -> Means:
        """Raises Unavailable before `open`."""
        self._check_open()
        return self._means

    @property
    def run(self) -> str:
        """Names this run of the server, in the places of what it takes. Raises Unavailable before `open`."""
        self._check_open()
        return self._tally.run

    async def take(self, arrivals: list[Arrival], patient: bool = False) -> Awaitable[list[Settled | Failure]]:
        """Returns once they are in hand: what each comes to, in their order, is then to be awaited.

        Args:
            patient: wait for room, rather than be told that there is none.

        Raises:
            Overloaded: there is none.
            Unavailable: before `open`.
        """
        self._check_open()
        if not arrivals:
            return asyncio.sleep(0, [])
        size = sum(len(arrival.payload) for arrival in arrivals)
        if patient:
            await self._room.wait(len(arrivals), size)
        elif not self._room.take(len(arrivals), size):
            events, most = self._room.most
            said = (
                f"{events:,} events or {most >> 20} MiB, or while streams wait a quarter of that, are in hand already"
            )
            raise Overloaded(f"{said}; try again in a moment")
        self._tally.accept(len(arrivals))
        # What was accepted is brought to an end, and counted, even if the caller goes away meanwhile.
        task = asyncio.ensure_future(self._finish(arrivals, patient))
        self._finishing.add(task)
        task.add_done_callback(self._finishing.discard)
        return asyncio.shield(task)

    async def _finish(self, arrivals: list[Arrival], patient: bool) -> list[Settled | Failure]:
        settled: list[Settled | Failure] = []
        try:
            settled = await settle(self._domain, arrivals, self._piled)
            self._projector.add(each for each in settled if isinstance(each, Settled))
            return settled
        finally:
            ended = sum(isinstance(each, Settled) for each in settled)
            for i in range(len(arrivals)):
                self._tally.end(settled=i < ended)
            self._room.give(len(arrivals), sum(len(arrival.payload) for arrival in arrivals), patient)

    async def finished(self) -> None:
        """Returns once all that was accepted has ended, which its deadlines bound."""
        await asyncio.gather(*self._finishing, return_exceptions=True)
