"""Book-keeping beside the outcomes: what waits to be published, and what each server accepted. See `Store`."""

from collections.abc import Iterable
from datetime import timedelta

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.event import Key
from shared.store import bulk, read, tables
from shared.store.outcome import Outcome

_OUTCOME = ", ".join(f"o.{name}" for name in read.OUTCOME_COLUMNS)
_KEYS = bulk.unnest(tables.outbox, ("domain", "source", "id"))
_QUEUED = text(
    f"SELECT {_OUTCOME} FROM outbox q JOIN outcomes o USING (domain, source, id) "  # noqa: S608 - our own names
    "WHERE q.domain = :domain AND q.queued_at <= now() - CAST(:older_than AS interval) ORDER BY q.queued_at LIMIT :limit"
)
_UNQUEUE = text(
    f"DELETE FROM outbox USING {_KEYS} AS k (domain, source, id) "  # noqa: S608 - our own names
    "WHERE (outbox.domain, outbox.source, outbox.id) = (k.domain, k.source, k.id)"
)
_RECORD_CALLS = text(
    "INSERT INTO calls (domain, instance, accepted, settled, returned) "
    "VALUES (:domain, :instance, :accepted, :settled, :returned) ON CONFLICT (domain, instance) DO UPDATE SET "
    "accepted = excluded.accepted, settled = excluded.settled, returned = excluded.returned, seen_at = now()"
)


async def queued(connection: AsyncConnection, domain: str, older_than: timedelta, limit: int) -> list[Outcome]:
    values = {"domain": domain, "older_than": older_than, "limit": limit}
    return list((await read.outcomes(connection, _QUEUED, values)).values())


async def unqueue(connection: AsyncConnection, keys: Iterable[Key]) -> None:
    rows = sorted((key.domain, key.source, key.id) for key in keys)
    if rows:
        await connection.execute(_UNQUEUE, bulk.arrays(("domain", "source", "id"), rows))


async def record_calls(
    connection: AsyncConnection, domain: str, instance: str, accepted: int, settled: int, returned: int
) -> None:
    values = {"domain": domain, "instance": instance, "accepted": accepted, "settled": settled, "returned": returned}
    await connection.execute(_RECORD_CALLS, values)
