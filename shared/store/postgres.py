"""The store of truth: exactly one outcome an event, whatever crashes, repeats or races."""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Self

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.event import Key
from shared.settings import Settings
from shared.store import books, read, write
from shared.store.engine import BadRow, make_engine, reaching_postgres, transaction, wait_for
from shared.store.outcome import Again, Outcome, Settled


class Unstorable(Exception):  # noqa: N818 - a state, as in shared.errors
    """Postgres is well and refuses these outcomes, whatever is tried; nothing of their batch was stored.

    Args:
        keys: the events at fault, never empty. The rest of the batch can be written without them.
        detail: the condition's name; never a value.
    """

    def __init__(self, keys: tuple[Key, ...], detail: str) -> None:
        super().__init__(f"{len(keys)} outcomes cannot be stored: {detail}")
        self.keys = keys
        self.detail = detail


class Store:
    """Every method is one transaction, and raises `Unavailable("postgres")` when it could not be committed.

    After `Unavailable` a write may or may not have happened (the commit's answer was lost): writing again is always safe.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self.engine = engine

    @classmethod
    async def open(cls, settings: Settings) -> Self:
        """Waits, saying for what, until Postgres is there and has our tables."""
        engine = make_engine(settings.postgres)
        store = cls(engine)
        await wait_for(store.ping, settings.postgres)
        return store

    async def close(self) -> None:
        await self.engine.dispose()

    async def ping(self) -> None:
        """Returns if Postgres answers and has our tables."""
        async with transaction(self.engine) as connection:
            await connection.execute(text("SELECT FROM outcomes LIMIT 0"))

    async def find(self, keys: Iterable[Key]) -> dict[Key, Outcome]:
        """The stored outcomes of those keys that have one."""
        async with transaction(self.engine) as connection:
            return await read.find(connection, keys)

    async def write(
        self, fresh: Sequence[Outcome], again: Sequence[Again] = (), *, outbox: bool = False
    ) -> dict[str, Settled]:
        """Stores a batch, all or nothing.

        Whoever comes second with a key, even at the same moment or in the same batch, gets the row of the first. A second arrival
        with the same payload is noted as a repeat, one with another payload as an incident; the same place again is the same
        arrival, delivered again, and notes nothing.

        Args:
            fresh: outcomes of events that were not found settled, at most one for each place.
            again: arrivals of events that were.
            outbox: also queue the new ones for publication, for doors that do not publish before they acknowledge.

        Returns:
            what each arrival came to, by its place.

        Raises:
            Unavailable: as above.
            Unstorable: some rows are refused for good; names them.
        """
        try:
            return await self._write(fresh, again, outbox)
        except BadRow as error:
            raise await self._find_fault(fresh, error) from error

    async def _write(self, fresh: Sequence[Outcome], again: Sequence[Again], outbox: bool) -> dict[str, Settled]:
        async with transaction(self.engine) as connection:
            new = await write.add(connection, fresh, outbox=outbox) if fresh else set()
            settled = {outcome.place: Settled(outcome) for outcome in fresh if outcome.place in new}
            rest = [*again, *(_again(outcome) for outcome in fresh if outcome.place not in new)]
            if rest:
                stored = await read.find(connection, {arrival.key for arrival in rest})
                repeats = [a for a in rest if _same(a, stored) and a.place != stored[a.key].place]
                incidents = [a for a in rest if not _same(a, stored)]
                await write.note_repeats(connection, repeats)
                await write.note_incidents(connection, incidents)
                for arrival in rest:
                    same = _same(arrival, stored)
                    settled[arrival.place] = Settled(stored[arrival.key], known=same, reused=not same)
        return settled

    async def _find_fault(self, fresh: Sequence[Outcome], error: BadRow) -> Unstorable:
        """Tries each outcome alone, storing none of them."""
        if len(fresh) == 1:
            return Unstorable((fresh[0].key,), str(error))
        faulty = {}
        for outcome in fresh:
            try:
                with reaching_postgres():
                    async with self.engine.connect() as connection:  # which rolls back
                        await write.add(connection, [outcome], outbox=False)
            except BadRow as reason:
                faulty[outcome.key] = str(reason)
        if not faulty:  # only together are they refused: two different events claim one row
            return Unstorable(tuple(outcome.key for outcome in fresh), str(error))
        return Unstorable(tuple(faulty), "; ".join(sorted(set(faulty.values()))))

    async def prediction(self, prediction_id: str) -> read.StoredPrediction | None:
        """What the result with this `answer.prediction_id` predicted; None where there is none."""
        async with transaction(self.engine) as connection:
            return (await read.predictions(connection, [prediction_id])).get(prediction_id)

    async def predictions(self, prediction_ids: Iterable[str]) -> dict[str, read.StoredPrediction]:
        async with transaction(self.engine) as connection:
            return await read.predictions(connection, prediction_ids)

    async def judgement(self, judgement_id: str) -> read.StoredJudgement | None:
        async with transaction(self.engine) as connection:
            return await read.judgement(connection, judgement_id)

    async def request_of(self, key: Key) -> bytes | None:
        """The event's request message, serialised; None where none was kept or it was erased."""
        async with transaction(self.engine) as connection:
            return await read.request_of(connection, key)

    async def outbox(self, domain: str, *, older_than: timedelta = timedelta(0), limit: int = 256) -> list[Outcome]:
        """Outcomes that are not yet published, oldest first."""
        async with transaction(self.engine) as connection:
            return await books.queued(connection, domain, older_than, limit)

    async def published(self, keys: Iterable[Key]) -> None:
        """Takes them off the outbox."""
        async with transaction(self.engine) as connection:
            await books.unqueue(connection, keys)

    async def record_calls(self, domain: str, instance: str, *, accepted: int, settled: int, returned: int) -> None:
        """Counts of gRPC calls since the start of this process.

        Args:
            instance: names this run of the process, not only its slot: a restarted process counts anew beside the old one's row.
        """
        async with transaction(self.engine) as connection:
            await books.record_calls(connection, domain, instance, accepted, settled, returned)


def _again(outcome: Outcome) -> Again:
    return Again(outcome.key, outcome.digest, outcome.place, outcome.caller)


def _same(arrival: Again, stored: dict[Key, Outcome]) -> bool:
    return stored[arrival.key].digest == arrival.digest
