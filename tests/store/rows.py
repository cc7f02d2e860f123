"""Outcomes to put into a store, and how many rows it then has."""

import hashlib
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Table, func, select

from shared.domain import Prediction
from shared.event import Key
from shared.store.outcome import Again, Outcome
from shared.store.postgres import Store

MORNING = datetime(2026, 3, 2, 9, 30, 0, 123456, UTC)


def outcome(id: str = "1", payload: bytes = b"where is my parcel?", place: str = "", **fields: Any) -> Outcome:  # noqa: A002
    """One stored answer to one request; any field by name."""
    given: dict[str, Any] = {
        "key": Key("intent", "shop/eu", id),
        "digest": hashlib.sha256(payload).digest(),
        "kind": "result",
        "body": b"answer to " + payload,
        "door": "kafka",
        "place": place or f"intent.requests.v1:0:{id}",
        "event_time": MORNING,
        "arrived_at": MORNING,
        "model": "intent",
        "model_version": "v1",
        "trace_id": "0af7651916cd43dd8448eb211c80319c",
        "request": payload,
        "predictions": (Prediction("intent", "track_order", {"track_order": 0.875, "refund_request": 0.125}),),
    }
    return Outcome(**(given | fields))


def dead_letter(id: str = "1", reason: str = "TEXT_EMPTY", **fields: Any) -> Outcome:  # noqa: A002
    return outcome(id, kind="dead_letter", reason=reason, model="", model_version=None, predictions=(), **fields)


def again(id: str = "1", payload: bytes = b"where is my parcel?", place: str = "later") -> Again:  # noqa: A002
    like = outcome(id, payload, place)
    return Again(like.key, like.digest, like.place, like.caller)


async def count(store: Store, table: Table) -> int:
    async with store.engine.connect() as connection:
        return int((await connection.execute(select(func.count()).select_from(table))).scalar_one())
