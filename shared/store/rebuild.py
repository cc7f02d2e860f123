"""Makes Redis again from Postgres."""

from collections import defaultdict, deque
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime

from google.protobuf.message import Message
from sqlalchemy import text

from shared.store import read
from shared.store.engine import transaction
from shared.store.outcome import Outcome
from shared.store.postgres import Store
from shared.store.redis import FEED_LINES, KEPT, Projection

_PAGE = 500
_COLUMNS = ", ".join(read.OUTCOME_COLUMNS)
_RECENT = text(
    f"SELECT {_COLUMNS}, stored_at FROM outcomes WHERE (stored_at, domain, source, id) > (:stored_at, :domain, :source, :id) "  # noqa: S608
    "ORDER BY stored_at, domain, source, id LIMIT :limit"
)


async def rebuild(store: Store, projection: Projection, results: Mapping[str, type[Message]]) -> int:
    """Projects every outcome that Redis should still hold, for what is left of its time, and each domain's feed.

    Safe while workers write: they project the same values.

    Args:
        results: domain -> its result message; outcomes of other domains are left out.

    Returns:
        how many outcomes were projected.

    Raises:
        Unavailable: of Postgres or Redis.
    """
    count = 0
    feeds: dict[str, deque[Outcome]] = defaultdict(lambda: deque(maxlen=FEED_LINES))
    async for page in _pages(store):
        now = datetime.now(UTC)
        for domain, result in results.items():
            kept = [(outcome, KEPT - (now - stored_at)) for outcome, stored_at in page if outcome.key.domain == domain]
            await projection.project(domain, result, kept, ())
            feeds[domain].extend(outcome for outcome, _ in kept)
            count += len(kept)
    for domain, result in results.items():
        await projection.drop_feed(domain)
        await projection.project(domain, result, (), list(feeds[domain]))
    return count


async def _pages(store: Store) -> AsyncIterator[list[tuple[Outcome, datetime]]]:
    after = {"stored_at": datetime.now(UTC) - KEPT, "domain": "", "source": "", "id": ""}
    while True:
        async with transaction(store.engine) as connection:
            rows = (await connection.execute(_RECENT, {**after, "limit": _PAGE})).all()
        if not rows:
            return
        yield [(read.outcome_of(row), row.stored_at) for row in rows]
        last = rows[-1]
        after = {"stored_at": last.stored_at, "domain": last.domain, "source": last.source, "id": last.id}
