"""What Postgres and Kafka say of each domain, for `tidemill status`.

`accepted` is counted where events come in: the end offsets of the request topic, and the calls that servers have noted. It is never the
sum of the other columns, so that a lost event shows as a difference.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import asyncpg

from services.cli import offsets
from services.cli.contract import contracts
from services.cli.problem import Problem
from shared.settings import Settings
from shared.store.engine import OUTAGES

# One row for each domain that has any.
#
# Calls are counted by the run of the server that took them. What a run has stored says which run it was, since a server that is killed
# does not count its last quarter of a second: it accepted at least what it stored. A run is over when its successor has begun, or when
# no deadline can keep a call of it open; what it had neither stored nor settled by then ended with it, and its callers saw that.
_COUNTS = """
WITH stored AS (
    SELECT domain, split_part(substr(place, 6), '/', 1) AS run, count(*) AS stored
    FROM (SELECT domain, place FROM outcomes WHERE door = 'grpc'
          UNION ALL SELECT domain, place FROM repeats UNION ALL SELECT domain, place FROM incidents) AS arrivals
    WHERE place LIKE 'grpc:%/%' GROUP BY 1, 2
), counted AS (
    SELECT domain, split_part(instance, '/', -1) AS run, accepted, settled, returned,
           seen_at < now() - interval '65 seconds' OR seen_at < max(seen_at) OVER (
               PARTITION BY domain, regexp_replace(instance, '/[^/]*$', '')) AS over
    FROM calls
), runs AS (
    SELECT domain, greatest(accepted, stored) AS accepted, greatest(settled, stored) AS kept, returned, coalesce(over, true) AS over
    FROM counted FULL JOIN stored USING (domain, run)
)
SELECT domain, sum(results)::bigint AS results, sum(dead_letters)::bigint AS dead_letters, sum(repeats)::bigint AS repeats,
       sum(refused)::bigint AS refused, sum(calls)::bigint AS calls, sum(returned)::bigint AS returned
FROM (
    SELECT domain, count(*) FILTER (WHERE kind = 'result') AS results, count(*) FILTER (WHERE kind = 'dead_letter') AS dead_letters,
           0 AS repeats, 0 AS refused, 0 AS calls, 0 AS returned FROM outcomes GROUP BY domain
    UNION ALL SELECT domain, 0, 0, count(*), 0, 0, 0 FROM repeats GROUP BY domain
    UNION ALL SELECT domain, 0, 0, 0, count(*), 0, 0 FROM incidents GROUP BY domain
    UNION ALL SELECT domain, 0, 0, 0, 0, sum(accepted), sum(CASE WHEN over THEN accepted - kept ELSE least(returned, accepted - kept) END)
              FROM runs GROUP BY domain
) AS everything GROUP BY domain
"""
_STORED = ("results", "dead_letters", "repeats", "refused", "calls", "returned")


@dataclass(frozen=True, slots=True)
class Counts:
    """One domain's events so far."""

    accepted_kafka: int
    accepted_grpc: int
    results: int
    dead_letters: int
    repeats: int
    refused: int  # their id belongs to another payload
    returned: int  # calls given back without an outcome: expired, cancelled, unavailable
    lag: int  # records that the stream worker has not committed

    @property
    def accepted(self) -> int:
        return self.accepted_kafka + self.accepted_grpc

    @property
    def pending(self) -> int:
        """Accepted and not yet settled; below 0 or above 0 at rest, something is wrong."""
        return self.accepted - self.results - self.dead_letters - self.repeats - self.refused - self.returned


def request_topics() -> dict[str, str]:
    """Each domain's request topic, feedback's included."""
    return {**{name: contract.requests for name, contract in contracts().items()}, "feedback": "feedback.v1"}


def count(settings: Settings) -> dict[str, Counts]:
    """Every domain's counts. Stored rows are read first, so that what arrives meanwhile is pending, not missing.

    Raises:
        Problem: Postgres or Kafka does not answer.
    """
    stored = asyncio.run(_stored(settings))
    written = offsets.read(settings.kafka, request_topics())
    return {name: _counts(stored.get(name, {}), written[name]) for name in request_topics()}


def _counts(stored: Mapping[str, Any], written: offsets.Offsets) -> Counts:
    rows = {column: int(stored.get(column, 0)) for column in _STORED}
    return Counts(accepted_kafka=written.written, accepted_grpc=rows.pop("calls"), lag=written.lag, **rows)


async def live_models(settings: Settings) -> set[str]:
    """The models that the ledger knows; what it last says of each is live."""
    return {row["model"] for row in await _query(settings, "SELECT DISTINCT model FROM ledger")}


async def _stored(settings: Settings) -> dict[str, Mapping[str, Any]]:
    return {row["domain"]: row for row in await _query(settings, _COUNTS)}


async def _query(settings: Settings, sql: str) -> list[Mapping[str, Any]]:
    try:
        connection = await asyncpg.connect(settings.postgres, timeout=10)
        try:
            rows: list[Mapping[str, Any]] = await connection.fetch(sql, timeout=60)
        finally:
            await connection.close()
    except OUTAGES as error:
        host = settings.postgres.rpartition("@")[2]
        raise Problem(f"postgres at {host} does not answer: {error or type(error).__name__}") from error
    return rows
