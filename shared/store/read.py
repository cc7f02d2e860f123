"""Rows of the truth as objects. Called with a connection; see `Store`."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.domain import Prediction
from shared.event import Key
from shared.store import bulk, tables
from shared.store.outcome import Outcome

OUTCOME_COLUMNS = tuple(column.name for column in tables.outcomes.c if column.name != "stored_at")
_COLUMNS = ", ".join(f"o.{name}" for name in OUTCOME_COLUMNS)
_KEYS = bulk.unnest(tables.outcomes, ("domain", "source", "id"))

_FIND = text(  # LATERAL, so that the key's index is used also before Postgres knows that the table has grown
    f"SELECT {_COLUMNS} FROM {_KEYS} AS k (domain, source, id) CROSS JOIN LATERAL (SELECT * FROM outcomes "  # noqa: S608 - our own names
    "WHERE (domain, source, id) = (k.domain, k.source, k.id) LIMIT 1) AS o"
)
_PREDICTIONS = text(
    "SELECT prediction_id, head, target, label, probabilities, domain, source, id, model, model_version, trace_id "
    "FROM predictions WHERE prediction_id = ANY(CAST(:ids AS text[])) ORDER BY prediction_id, position"
)
_REQUEST = text("SELECT body FROM requests WHERE domain = :domain AND source = :source AND id = :id")
_JUDGEMENT = text(
    "SELECT judgement_id, prediction_id, head, target, label, annotator, judged_at "
    "FROM judgements WHERE judgement_id = :judgement_id"
)


@dataclass(frozen=True, slots=True)
class StoredPrediction:
    """What one result predicted: everything a person can judge, in the result's own order."""

    prediction_id: str
    key: Key
    model: str
    model_version: str
    trace_id: str
    answers: tuple[Prediction, ...]


@dataclass(frozen=True, slots=True)
class StoredJudgement:
    judgement_id: str
    prediction_id: str
    head: str
    target: str
    label: str
    annotator: str
    judged_at: datetime


async def find(connection: AsyncConnection, keys: Iterable[Key]) -> dict[Key, Outcome]:
    wanted = [(key.domain, key.source, key.id) for key in keys]
    return await outcomes(connection, _FIND, bulk.arrays(("domain", "source", "id"), wanted)) if wanted else {}


async def outcomes(connection: AsyncConnection, statement: TextClause, values: dict[str, Any]) -> dict[Key, Outcome]:
    """What `statement`, whose first columns are `OUTCOME_COLUMNS`, selects, in its order."""
    rows = (await connection.execute(statement, values)).all()
    return {outcome.key: outcome for outcome in map(outcome_of, rows)}


def outcome_of(row: Sequence[Any]) -> Outcome:
    """One row of `OUTCOME_COLUMNS`. What is stored beside it (request, predictions, facts) is not read; nor is `model`."""
    # fmt: off
    (
        domain, source, id_, digest, kind, body, reason, model_version, caller, subject, door, place, trace_id, event_time, arrived_at,
        *_,
    ) = row
    return Outcome(
        Key(domain, source, id_), digest, kind, body, door, place, event_time, arrived_at, reason=reason,
        model_version=model_version, caller=caller, subject=subject, trace_id=trace_id,
    )
    # fmt: on


async def predictions(connection: AsyncConnection, ids: Iterable[str]) -> dict[str, StoredPrediction]:
    """Those of `ids` that are known, by prediction id."""
    wanted = list(ids)
    if not wanted:
        return {}
    found: dict[str, list[Any]] = {}
    for row in (await connection.execute(_PREDICTIONS, {"ids": wanted})).all():
        found.setdefault(row.prediction_id, []).append(row)
    return {prediction_id: _prediction(rows) for prediction_id, rows in found.items()}


def _prediction(rows: Sequence[Any]) -> StoredPrediction:
    first = rows[0]
    return StoredPrediction(
        first.prediction_id,
        Key(first.domain, first.source, first.id),
        first.model,
        first.model_version,
        first.trace_id,
        tuple(Prediction(row.head, row.label, row.probabilities, row.target) for row in rows),
    )


async def request_of(connection: AsyncConnection, key: Key) -> bytes | None:
    values = {"domain": key.domain, "source": key.source, "id": key.id}
    body: bytes | None = (await connection.execute(_REQUEST, values)).scalar_one_or_none()
    return body


async def judgement(connection: AsyncConnection, judgement_id: str) -> StoredJudgement | None:
    row = (await connection.execute(_JUDGEMENT, {"judgement_id": judgement_id})).one_or_none()
    return StoredJudgement(*row) if row else None
