"""Feedback through settlement, Postgres and Redis: applied once, tied to its prediction, refused with a reason."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import select

from protos import event_pb2, feedback_pb2
from services.feedback.wiring import DOMAIN
from shared.event import JSON, PROTOBUF, Arrival, Key
from shared.inference.contract import Inference, Value
from shared.settings import Settings
from shared.settlement.settlement import Means, settle
from shared.store.outcome import Settled
from shared.store.postgres import Store
from shared.store.redis import Projection
from shared.store.tables import judgements
from tests.store.rows import outcome

JUDGED = outcome().key.prediction_id


async def no_infer(model: str, row: Mapping[str, Value], *, priority: int = 0, explain: str = "") -> Inference:
    raise AssertionError("feedback asks no model")


@pytest.fixture
async def means(postgres: str, redis: str) -> AsyncIterator[Means]:
    """What the service works with, and one stored prediction."""
    settings = Settings(postgres=postgres, redis=redis)
    store, projection = await Store.open(settings), Projection.open(settings)
    assert DOMAIN.open is not None
    lookups = await DOMAIN.open(settings)
    await store.write([outcome()])
    yield Means(store=store, infer=no_infer, lookups=lookups, projection=projection)
    await lookups.close()
    await projection.close()
    await store.close()


def arrival(
    name: str, payload: bytes | None = None, place: str = "", content_type: str = PROTOBUF, **fields: Any
) -> Arrival:
    given = {"prediction_id": JUDGED, "label": "refund_request", "annotator": "ana", **fields}
    body = payload if payload is not None else feedback_pb2.FeedbackRequest(**given).SerializeToString()
    key = Key("feedback", "console", name)
    return Arrival(key, body, content_type, "kafka", place or f"feedback.v1:0:{name}", datetime.now(UTC), "tenant")


async def settled(means: Means, *arrivals: Arrival) -> list[Settled]:
    found = await settle(DOMAIN, arrivals, means)
    assert all(isinstance(each, Settled) for each in found)
    return [each for each in found if isinstance(each, Settled)]


async def rows(means: Means) -> list[Any]:
    assert isinstance(means.store, Store)
    async with means.store.engine.connect() as connection:
        return list((await connection.execute(select(judgements).order_by(judgements.c.judged_at))).all())


async def test_a_judgement_is_stored_with_its_outcome(means: Means) -> None:
    """One row, whose id is the one that was answered, of the caller who sent it."""
    (one,) = await settled(means, arrival("1", comment="it was about money", confidence=0.9))
    result = feedback_pb2.FeedbackResult.FromString(one.outcome.body)
    assert result.answer.why == "the model said track_order; ana says refund_request"
    (row,) = await rows(means)
    assert (row.judgement_id, row.prediction_id, row.label, row.caller) == (
        result.judgement_id, JUDGED, "refund_request", "tenant",
    )  # fmt: skip
    assert (row.comment, row.confidence, row.seconds, row.proposed) == ("it was about money", 0.9, None, False)


async def test_feedback_is_applied_once(means: Means) -> None:
    """Redelivered, sent again, sent as JSON, twice in a batch: one judgement; the same id with another label is refused."""
    as_json = f'{{"predictionId": "{JUDGED}", "label": "refund_request", "annotator": "ana"}}'.encode()
    await settled(means, arrival("1"), arrival("1", place="feedback.v1:0:2"))
    await settled(means, arrival("1"))
    (same,) = await settled(means, arrival("1", as_json, "feedback.v1:0:3", JSON))
    assert same.known
    (other,) = await settled(means, arrival("1", place="feedback.v1:0:4", label="track_order"))
    assert other.reused
    assert [row.label for row in await rows(means)] == ["refund_request"]


async def test_feedback_on_nothing_is_a_dead_letter(means: Means) -> None:
    """An unknown prediction ends as a dead letter that says so, and costs its neighbours in the batch nothing."""
    lost, good = await settled(means, arrival("lost", prediction_id="00000000"), arrival("good"))
    letter = event_pb2.DeadLetter.FromString(lost.outcome.body)
    assert (lost.outcome.kind, letter.reason, letter.field) == ("dead_letter", "UNKNOWN_PREDICTION", "prediction_id")
    assert good.outcome.kind == "result"
    assert len(await rows(means)) == 1


async def test_a_judgement_replaces_an_earlier_one(means: Means) -> None:
    """Both stay; the later one names the earlier."""
    (first,) = await settled(means, arrival("1"))
    earlier = feedback_pb2.FeedbackResult.FromString(first.outcome.body).judgement_id
    await settled(means, arrival("2", label="track_order", supersedes=earlier))
    assert [(row.label, row.supersedes) for row in await rows(means)] == [
        ("refund_request", None),
        ("track_order", earlier),
    ]


async def test_a_hundred_at_once(means: Means) -> None:
    """A batch larger than the pool of connections waits for them instead of failing."""
    found = await settled(means, *(arrival(f"{number}", annotator=f"a{number}") for number in range(100)))
    assert {each.outcome.kind for each in found} == {"result"}
    assert len(await rows(means)) == 100


async def test_the_live_feed_tells_of_feedback(means: Means) -> None:
    """As of every domain's outcomes."""
    await asyncio.gather(means.projection.write(DOMAIN, await settled(means, arrival("1"))))
    _, (line,) = await means.projection.feed("feedback")
    assert line["why"] == "the model said track_order; ana says refund_request"
