"""The ledger says what is live: a hash-chained, append-only history of promotions and rollbacks, in Postgres.

Each entry's hash covers its contents and the hash before it, so that no entry can be changed, taken out of the middle or slipped in
unnoticed. Entries cut off the end leave a valid chain: keep the hash of the newest somewhere else to notice that too.
"""

import json
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any, Self

from sqlalchemy import Select, func, insert, select, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared import chain
from shared.chain import GENESIS, Action, Broken, Entry, Refused
from shared.errors import Unavailable
from shared.settings import Settings
from shared.store.engine import BadRow, make_engine, transaction
from shared.store.listen import rings
from shared.store.tables import ledger as table

__all__ = ["Broken", "Entry", "Ledger", "Refused"]

log = logging.getLogger(__name__)

CHANNEL = "tidemill_ledger"
POLL = 15.0  # seconds: how late a watcher may be when notifications are lost
_LOCK = 0x1ED6E  # advisory lock: one append at a time


class Ledger:
    """Every method but `watch` raises `Unavailable("postgres")` when Postgres cannot be reached."""

    def __init__(self, engine: AsyncEngine, url: str) -> None:
        self._engine = engine
        self._url = url

    @classmethod
    def open(cls, settings: Settings) -> Self:
        """Connects when first used."""
        return cls(make_engine(settings.postgres, connections=2, check=True), settings.postgres)

    async def close(self) -> None:
        await self._engine.dispose()

    async def promote(
        self,
        model: str,
        version: str,
        bundle_digest: str,
        *,
        approver: str,
        evidence: Mapping[str, Any],
        expected: str | None = None,
        force: bool = False,
        reason: str = "",
    ) -> Entry:
        """Makes a version live.

        Args:
            expected: the hash of the entry that must still be live, "" for none, because the version was judged against it;
                None: whatever is live.
            evidence: what vouches for it, as JSON: dataset manifest, gate report, seeds, code commit, base revision.
            force, reason: both are needed to bring back a bundle that was rolled back.

        Raises:
            Refused: the bundle was rolled back before, is live already, was judged against what is live no more, or a field is malformed.
        """
        async with self._appending() as (connection, entries):
            now = chain.live(entries, model)
            if expected is not None and expected != (now.hash if now else ""):
                is_live = f"{now.version} (entry {now.seq})" if now else "nothing"
                raise Refused(
                    f"{model} {version} was judged against what is live no more: {is_live} is; judge it against that, then promote it"
                )
            if now is not None and now.bundle_digest == bundle_digest:
                raise Refused(f"{model} {now.version} is live already, with the same bundle")
            if bundle_digest in chain.withdrawn(entries, model) and not (force and reason):
                raise Refused(
                    f"{model} {version} (bundle {bundle_digest[:12]}…) was rolled back; to bring it back, force it and give a reason"
                )
            given = {**evidence, **({"forced": True} if force else {}), **({"reason": reason} if reason else {})}
            return await _append(connection, entries, model, version, "promote", bundle_digest, given, approver)

    async def rollback(self, model: str, *, approver: str, reason: str, to: str = "") -> Entry:
        """Makes an earlier version live again, and keeps the present one from coming back by itself.

        Args:
            to: its version; empty: the newest earlier one that was not itself rolled back.

        Raises:
            Refused: there is no such version, or no reason.
        """
        if not reason.strip():
            raise Refused("a rollback needs a reason")
        async with self._appending() as (connection, entries):
            now, goal = chain.live(entries, model), chain.target(entries, model, to)
            if now is None or goal is None:
                raise Refused(f"{model} has no earlier version {to or 'in good standing'} to roll back to")
            given = {"reason": reason, "from": now.version}
            return await _append(
                connection, entries, model, goal.version, "rollback", goal.bundle_digest, given, approver
            )

    async def live(self, model: str) -> Entry | None:
        """Raises Broken if the entry was tampered with."""
        return (await self.live_all()).get(model)

    async def live_all(self) -> dict[str, Entry]:
        """Model -> what is live. Raises Broken if one of these entries was tampered with."""
        newest = select(func.max(table.c.seq)).group_by(table.c.model)
        async with transaction(self._engine) as connection:
            entries = await _read(connection, select(table).where(table.c.seq.in_(newest)).order_by(table.c.model))
        for entry in entries:
            entry.check()
        return {entry.model: entry for entry in entries}

    async def history(self, model: str = "") -> list[Entry]:
        """Oldest first; of every model by default."""
        query = select(table).order_by(table.c.seq)
        async with transaction(self._engine) as connection:
            return await _read(connection, query.where(table.c.model == model) if model else query)

    async def verify(self) -> list[Entry]:
        """The history of every model, once its whole chain was walked and found unbroken.

        Raises:
            Broken: names the first entry that is wrong.
        """
        entries = await self.history()
        chain.check(entries)
        return entries

    async def watch(self, every: float = POLL) -> AsyncIterator[dict[str, Entry]]:
        """Yields what is live, at once and after every change; keeps silent, and trying, while Postgres is away.

        An entry that was tampered with is never yielded: what was live before stays so.
        """
        seen: dict[str, Entry] | None = None
        async with aclosing(rings(self._url, CHANNEL, every)) as bell:
            async for _ in bell:
                try:
                    now = await self.live_all()
                except Unavailable as error:
                    log.warning("waiting for the ledger: %s", error)
                    continue
                except Broken as error:
                    log.critical("not following the ledger: %s", error)
                    continue
                if now != seen:
                    seen = now
                    yield now

    @asynccontextmanager
    async def _appending(self) -> AsyncIterator[tuple[AsyncConnection, list[Entry]]]:
        """The whole history, which cannot grow until the block ends.

        Raises:
            Broken: it does not hold.
            Refused: what the block adds cannot be stored.
        """
        try:
            async with transaction(self._engine) as connection:
                await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
                entries = await _read(connection, select(table).order_by(table.c.seq))
                chain.check(entries)
                yield connection, entries
        except BadRow as error:
            raise Refused(f"an entry's texts cannot be stored: {error}") from error


async def _append(
    connection: AsyncConnection,
    entries: list[Entry],
    model: str,
    version: str,
    action: Action,
    bundle_digest: str,
    evidence: Mapping[str, Any],
    approver: str,
) -> Entry:
    chain.check_fields(model, version, bundle_digest, approver)
    previous = entries[-1].hash if entries else GENESIS
    entry = Entry(
        seq=len(entries) + 1,
        model=model,
        version=version,
        action=action,
        bundle_digest=bundle_digest,
        evidence=await _as_stored(connection, evidence),
        approver=approver,
        recorded_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
        previous=previous,
    )
    entry = replace(entry, hash=entry.expected_hash())
    await connection.execute(insert(table).values(**asdict(entry)))
    await connection.execute(text("SELECT pg_notify(:channel, :model)"), {"channel": CHANNEL, "model": model})
    return entry


async def _as_stored(connection: AsyncConnection, evidence: Mapping[str, Any]) -> dict[str, Any]:
    """The evidence as Postgres will give it back (jsonb has its own idea of numbers), so that its hash is of that."""
    try:
        given = json.dumps(evidence, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise Refused(f"the evidence is not JSON: {error}") from error
    stored: dict[str, Any] = (
        await connection.execute(text("SELECT CAST(:given AS jsonb)"), {"given": given})
    ).scalar_one()
    return stored


async def _read(connection: AsyncConnection, query: Select[Any]) -> list[Entry]:
    return [Entry(**row) for row in (await connection.execute(query)).mappings()]
