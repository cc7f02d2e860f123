"""How a batch of outcomes becomes rows. Called inside one transaction; see `Store.write`."""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import Table
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.domain import Prediction
from shared.event import Key
from shared.store import bulk, tables
from shared.store.engine import BadRow
from shared.store.outcome import Again, Outcome
from shared.store.read import OUTCOME_COLUMNS

_KEY = ("domain", "source", "id")
_PREDICTION = (
    "prediction_id", "head", "target", "position", *_KEY, "label", "probabilities", "model", "model_version", "trace_id",
)  # fmt: skip


def in_order(outcomes: Iterable[Outcome]) -> list[Outcome]:
    """Sorted by key, so that two transactions that share keys lock them in the same order; arrivals of one key stay in theirs."""
    return sorted(outcomes, key=lambda outcome: _key(outcome.key))


async def add(connection: AsyncConnection, fresh: Sequence[Outcome], *, outbox: bool) -> set[str]:
    """Inserts those outcomes whose keys are new, with everything that belongs to them.

    Waits for another transaction that is inserting the same key.

    Returns:
        the places of the arrivals whose outcomes were inserted.
    """
    ordered = in_order(fresh)
    tail = "ON CONFLICT DO NOTHING RETURNING place"
    rows = await bulk.insert(connection, tables.outcomes, OUTCOME_COLUMNS, [_row(outcome) for outcome in ordered], tail)
    places = {row[0] for row in rows}
    new = [outcome for outcome in ordered if outcome.place in places]
    requests = [(*_key(outcome.key), outcome.request) for outcome in new if outcome.request is not None]
    await bulk.insert(connection, tables.requests, (*_KEY, "body"), requests)
    predictions = [row for outcome in new for row in _prediction_rows(outcome)]
    await bulk.insert(connection, tables.predictions, _PREDICTION, predictions)
    await _insert_facts(connection, new)
    if outbox:
        await bulk.insert(connection, tables.outbox, _KEY, [_key(outcome.key) for outcome in new])
    return places


async def note_repeats(connection: AsyncConnection, arrivals: Iterable[Again]) -> None:
    """Arrivals of settled events with the same payload. Noting one twice is harmless."""
    rows = sorted((again.key.domain, again.place, again.key.source, again.key.id) for again in arrivals)
    columns = ("domain", "place", "source", "id")
    await bulk.insert(connection, tables.repeats, columns, rows, "ON CONFLICT DO NOTHING")


async def note_incidents(connection: AsyncConnection, arrivals: Iterable[Again]) -> None:
    """Arrivals whose key belongs to another payload. Noting one twice is harmless."""
    rows = sorted(
        (again.key.domain, again.place, again.key.source, again.key.id, again.digest, again.caller, "ID_REUSED")
        for again in arrivals
    )
    columns = ("domain", "place", "source", "id", "digest", "caller", "reason")
    await bulk.insert(connection, tables.incidents, columns, rows, "ON CONFLICT DO NOTHING")


def _key(key: Key) -> tuple[str, str, str]:
    return key.domain, key.source, key.id


def _row(outcome: Outcome) -> tuple[Any, ...]:
    key = outcome.key
    # fmt: off
    return (
        key.domain, key.source, key.id, outcome.digest, outcome.kind, outcome.body, outcome.reason, outcome.model_version,
        outcome.caller, outcome.subject, outcome.door, outcome.place, outcome.trace_id, outcome.event_time, outcome.arrived_at,
    )
    # fmt: on


def _prediction_rows(outcome: Outcome) -> Iterator[tuple[Any, ...]]:
    if not outcome.predictions:
        return
    key, prediction_id, version = outcome.key, outcome.key.prediction_id, outcome.model_version or ""
    for position, each in enumerate(outcome.predictions):
        # fmt: off
        yield (
            prediction_id, each.head, each.target, position, key.domain, key.source, key.id, each.label,
            _distribution(each), outcome.model, version, outcome.trace_id,
        )
        # fmt: on


_quote = lru_cache(maxsize=4096)(json.dumps)  # labels come back in every prediction


def _distribution(prediction: Prediction) -> str:
    """The probabilities as JSON, to six significant digits: a float32 has seven, and half the bytes are stored."""
    pairs = (f"{_quote(label)}:{probability:.6g}" for label, probability in prediction.probabilities.items())
    return f"{{{','.join(pairs)}}}"


async def _insert_facts(connection: AsyncConnection, outcomes: Iterable[Outcome]) -> None:
    groups: dict[tuple[Table, tuple[str, ...]], list[tuple[Any, ...]]] = defaultdict(list)
    for outcome in outcomes:
        for table, values in outcome.facts:
            groups[table, tuple(values)].append(tuple(values.values()))
    for (table, columns), rows in groups.items():
        try:
            await bulk.insert(connection, table, columns, rows)
        except KeyError as error:
            raise BadRow(f"table {table.name} has no column {error}") from error
