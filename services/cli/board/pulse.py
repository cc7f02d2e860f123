"""How fast outcomes are stored, and how long they took from their arrival."""

from collections.abc import Mapping
from dataclasses import dataclass

from shared.store.engine import connect

WINDOW = 20  # seconds
_PULSE = f"""
SELECT domain, count(*), percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY extract(epoch FROM stored_at - arrived_at))
FROM outcomes WHERE domain = ANY($1::text[]) AND stored_at > now() - interval '{WINDOW} s' GROUP BY domain
"""  # noqa: S608 - our own number


@dataclass(frozen=True, slots=True)
class Pulse:
    """One domain's last `WINDOW` seconds. Latencies in seconds, from arrival to the transaction that stored the outcome."""

    rate: float = 0.0  # outcomes a second
    p50: float | None = None  # None: there were none
    p95: float | None = None


async def take(postgres: str, domains: list[str]) -> Mapping[str, Pulse]:
    """The pulse of each domain that has one. Raises what asyncpg does."""
    connection = await connect(postgres)
    try:
        rows = await connection.fetch(_PULSE, domains)
    finally:
        await connection.close()
    return {domain: Pulse(count / WINDOW, *quantiles) for domain, count, quantiles in rows}
