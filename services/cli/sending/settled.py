"""What became of events that were sent: asked of the stored truth, not of topics."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from services.cli.problem import Problem
from shared.errors import Unavailable
from shared.event import Key
from shared.store.engine import connect, reaching_postgres

_BATCH = 5_000
_PAUSE = 0.25

_OUTCOMES = """
SELECT o.place, o.domain, o.source, o.id, o.kind, o.reason
FROM unnest($1::text[], $2::text[], $3::text[]) AS k (domain, source, id) JOIN outcomes o USING (domain, source, id)
"""
_REFUSED = "SELECT place, reason FROM incidents WHERE domain = ANY($1::text[]) AND place = ANY($2::text[])"


@dataclass(slots=True)
class Tally:
    """Counts of arrivals by what they came to; `pending` have no outcome yet."""

    results: int = 0
    repeats: int = 0  # settled before, with the same payload: answered with the stored outcome
    dead_letters: Counter[str] = field(default_factory=Counter)  # by reason
    pending: int = 0


async def await_settled(
    postgres: str, places: Mapping[str, Key], within: float, told: Callable[[Tally], None] = lambda tally: None
) -> Tally:
    """Waits until every one of these arrivals has an outcome, at most `within` seconds; returns how they ended.

    Args:
        places: topic:partition:offset -> event, as the producer was told.

    Raises:
        Problem: Postgres cannot be asked.
    """
    deadline = time.monotonic() + within
    tally, left = Tally(), dict(places)
    try:
        with reaching_postgres():
            connection = await connect(postgres)
            try:
                while left:
                    await _settle(connection, left, tally)
                    tally.pending = len(left)
                    told(tally)
                    if not left or time.monotonic() > deadline:
                        break
                    await asyncio.sleep(_PAUSE)
            finally:
                await connection.close()
    except Unavailable as error:
        raise Problem(f"cannot ask what became of the events: {error}; see `tidemill status`") from error
    return tally


async def _settle(connection: Any, left: dict[str, Key], tally: Tally) -> None:
    """Takes every arrival that has ended off `left`."""
    everything = list(left.items())
    for start in range(0, len(everything), _BATCH):
        events = dict(everything[start : start + _BATCH])
        refused = await _refused(connection, events)
        ended = await _ended(connection, set(events.values()))
        for place, key in events.items():
            if place in refused:
                tally.dead_letters[refused[place]] += 1
            elif key not in ended:
                continue
            else:
                _count(tally, place, *ended[key])
            del left[place]


def _count(tally: Tally, place: str, stored: str, kind: str, reason: str | None) -> None:
    if kind == "dead_letter":
        tally.dead_letters[reason or "UNKNOWN"] += 1
    elif stored == place:
        tally.results += 1
    else:
        tally.repeats += 1


async def _ended(connection: Any, keys: set[Key]) -> dict[Key, tuple[str, str, str | None]]:
    columns = zip(*((key.domain, key.source, key.id) for key in keys), strict=True)
    rows = await connection.fetch(_OUTCOMES, *map(list, columns))
    return {Key(row[1], row[2], row[3]): (row[0], row[4], row[5]) for row in rows}


async def _refused(connection: Any, events: Mapping[str, Key]) -> dict[str, str]:
    domains = {key.domain for key in events.values()}
    rows = await connection.fetch(_REFUSED, list(domains), list(events))
    return {row[0]: row[1] for row in rows}
