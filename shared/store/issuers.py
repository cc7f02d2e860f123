"""An issuer's rolling risk, computed at read time from stored rows: late items count from the moment they are stored.

risk = 100·(1 − ∏(1 − sᵢ·2^(−ageᵢ/half-life))) over the items of the window, by event time. The half-life is six hours: what was said
this morning weighs half by noon, and 1/16 at the end of the 24-hour window, so that an item fades out instead of falling off its edge.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import text

from shared.errors import Unavailable
from shared.store.engine import transaction
from shared.store.postgres import Store
from shared.store.redis import Projection

HALF_LIFE = timedelta(hours=6)

# The product as a sum of logarithms, kept off ln(0) and off exp's underflow, which Postgres calls errors.
_RISK = (
    "100 * (1 - exp(greatest(sum(ln(greatest(1 - risk * faded, 1e-12))) FILTER (WHERE event_time > :at - {0}), -700)))"
)
_COUNT = "count(*) FILTER (WHERE event_time > :at - {0})"
_HOUR, _DAY = "interval '1 hour'", "interval '24 hours'"
_WINDOWS = text(
    f"SELECT issuer, coalesce({_RISK.format(_HOUR)}, 0), coalesce({_RISK.format(_DAY)}, 0), "  # noqa: S608 - our own words
    f"{_COUNT.format(_HOUR)}, {_COUNT.format(_DAY)} "
    "FROM (SELECT issuer, risk, event_time, power(2, -CAST(extract(epoch FROM :at - event_time) AS float8) / :half_life) AS faded "
    f"FROM issuer_risks WHERE issuer = ANY(:issuers) AND event_time > :at - {_DAY} AND event_time <= :at) AS items GROUP BY issuer"
)


@dataclass(frozen=True, slots=True)
class Window:
    """`risk_*`: 0 to 100; `items_*`: how many stored items they are made of."""

    issuer: str
    at: datetime
    risk_1h: float = 0.0
    risk_24h: float = 0.0
    items_1h: int = 0
    items_24h: int = 0


async def windows(
    store: Store, issuers: Iterable[str], at: datetime | None = None, *, projection: Projection | None = None
) -> dict[str, Window]:
    """The windows of each issuer that end at `at`; without items they are zero.

    Args:
        at: None: now, where an answer that is a few seconds old (see its own `at`) may come from `projection`.

    Raises:
        Unavailable: Postgres cannot be reached. Without Redis the answer is computed each time.
    """
    wanted = sorted(set(issuers))
    found = await _cached(projection, wanted) if projection is not None and at is None else {}
    missing = [issuer for issuer in wanted if issuer not in found]
    if missing:
        computed = await _compute(store, missing, at or datetime.now(UTC))
        if projection is not None and at is None:
            await _keep(projection, computed)
        found |= computed
    return found


async def _compute(store: Store, issuers: Sequence[str], at: datetime) -> dict[str, Window]:
    values = {"issuers": list(issuers), "at": at, "half_life": HALF_LIFE.total_seconds()}
    async with transaction(store.engine) as connection:
        rows = (await connection.execute(_WINDOWS, values)).all()
    found = {row[0]: Window(row[0], at, *row[1:]) for row in rows}
    return {issuer: found.get(issuer, Window(issuer, at)) for issuer in issuers}


async def _cached(projection: Projection, issuers: Sequence[str]) -> dict[str, Window]:
    try:
        values = await projection.windows(issuers)
    except Unavailable:
        return {}
    return {issuer: _unpack(value) for issuer, value in values.items()}


async def _keep(projection: Projection, computed: dict[str, Window]) -> None:
    try:
        await projection.keep_windows({issuer: _pack(window) for issuer, window in computed.items()})
    except Unavailable:
        return


def _pack(window: Window) -> bytes:
    return json.dumps(asdict(window) | {"at": window.at.isoformat()}).encode()


def _unpack(value: bytes) -> Window:
    fields = json.loads(value)
    return Window(**(fields | {"at": datetime.fromisoformat(fields["at"])}))
