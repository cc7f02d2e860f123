"""Exactly one outcome an event."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import select

from shared.domain import Prediction
from shared.event import Key
from shared.store import tables
from shared.store.outcome import Outcome
from shared.store.postgres import Store, Unstorable
from shared.store.write import in_order
from tests.store.rows import again, count, dead_letter, outcome


async def kept(store: Store) -> tuple[int, int, int]:
    """How many outcomes, repeats and incidents there are."""
    return await count(store, tables.outcomes), await count(store, tables.repeats), await count(store, tables.incidents)


def stored(written: Outcome) -> Outcome:
    """What is read back of an outcome: its own row."""
    return replace(written, model="", request=None, predictions=(), facts=())


async def test_a_new_outcome_is_stored_whole(store: Store) -> None:
    """What was written is found again by its key, with its request and predictions."""
    written = outcome()
    settled = await store.write([written])
    assert settled[written.place].outcome == written
    assert not settled[written.place].known
    assert await store.find([written.key, Key("intent", "shop/eu", "none")]) == {written.key: stored(written)}
    assert await store.request_of(written.key) == b"where is my parcel?"
    prediction = await store.prediction(written.key.prediction_id)
    assert prediction is not None
    assert (prediction.key, prediction.model, prediction.model_version) == (written.key, "intent", "v1")
    assert prediction.answers == written.predictions


async def test_predictions_keep_their_order(store: Store) -> None:
    """The first prediction of a result stays the first: feedback without a head is about it."""
    heads = ("sentiment", "intent", "aspect")
    given = tuple(Prediction(head, "a", {"a": 1.0}) for head in heads)
    written = outcome(predictions=given)
    await store.write([written])
    prediction = await store.prediction(written.key.prediction_id)
    assert prediction is not None
    assert [answer.head for answer in prediction.answers] == list(heads)


async def test_the_same_place_again_is_no_repeat(store: Store) -> None:
    """A redelivery after a crash gets the stored outcome and leaves no trace."""
    await store.write([outcome()])
    settled = await store.write([outcome(body=b"another answer")])
    (one,) = settled.values()
    assert one.known
    assert not one.reused
    assert one.outcome == stored(outcome())
    assert await count(store, tables.repeats) == 0


async def test_another_place_with_the_same_payload_is_a_repeat(store: Store) -> None:
    """The same event sent twice has one outcome; the second arrival is noted once, however often it is delivered."""
    await store.write([outcome()])
    for _ in range(2):
        settled = await store.write([], [again(place="later")])
        assert settled["later"].known
        assert settled["later"].outcome == stored(outcome())
    assert await kept(store) == (1, 1, 0)


async def test_another_payload_under_the_same_key_is_an_incident(store: Store) -> None:
    """A reused id gets no second outcome, whether it was found out before or while writing."""
    await store.write([outcome()])
    settled = await store.write([outcome(payload=b"refund!", place="racing")], [again(payload=b"no!", place="later")])
    assert settled["racing"].reused
    assert settled["later"].reused
    assert settled["racing"].outcome == settled["later"].outcome == stored(outcome())
    assert await kept(store) == (1, 0, 2)


async def test_one_batch_may_hold_an_event_several_times(store: Store) -> None:
    """The first of the batch wins; the others are what they would be in a later batch."""
    batch = [outcome(place="a"), outcome(place="b"), outcome(payload=b"other", place="c"), outcome("2", place="d")]
    settled = await store.write(batch)
    assert {place: (one.known, one.reused) for place, one in settled.items()} == {
        "a": (False, False),
        "b": (True, False),
        "c": (False, True),
        "d": (False, False),
    }
    assert await kept(store) == (2, 1, 1)


async def test_two_writers_racing_for_the_same_keys_store_each_once(
    store: Store, another: Callable[[], Awaitable[Store]]
) -> None:
    """500 events through two doors at once, in opposite order: one row each, and both are told the same."""
    other = await another()
    names = [f"{number:03d}" for number in range(500)]
    left = [outcome(name, place=f"kafka:{name}", body=b"left") for name in names]
    right = [outcome(name, place=f"call:{name}", body=b"right", door="grpc") for name in names]
    batches = []
    for start in range(0, 500, 250):
        batches.append(store.write(left[start : start + 250]))
        batches.append(other.write(right[start : start + 250][::-1], outbox=True))
    told: dict[str, Any] = {}
    for settled in await asyncio.gather(*batches):
        told |= settled
    assert await count(store, tables.outcomes) == 500
    assert await count(store, tables.predictions) == 500
    assert await count(store, tables.repeats) == 500
    found = await store.find([each.key for each in left])
    for name in names:
        truth = found[Key("intent", "shop/eu", name)]
        assert stored(told[f"kafka:{name}"].outcome) == stored(told[f"call:{name}"].outcome) == truth
        assert told[f"kafka:{name}"].known != told[f"call:{name}"].known
    queued = {each.key for each in await store.outbox("intent", limit=1000)}
    assert queued == {key for key, each in found.items() if each.door == "grpc"}


async def test_facts_that_fail_take_everything_with_them(store: Store) -> None:
    """All of a batch is one transaction: one bad fact, and no outcome, request or prediction of the batch is stored."""
    bad = outcome("bad", facts=((tables.issuer_risks, {"domain": "intent", "source": "shop/eu", "id": "bad"}),))
    with pytest.raises(Unstorable) as refused:
        await store.write([outcome("good"), bad], [], outbox=True)
    assert refused.value.keys == (bad.key,)
    for table in (tables.outcomes, tables.requests, tables.predictions, tables.issuer_risks, tables.outbox):
        assert await count(store, table) == 0
    await store.write([outcome("good")])
    assert await count(store, tables.outcomes) == 1


@pytest.mark.parametrize(
    "fields",
    [
        {"subject": "a\0b"},
        {"caller": "\ud800"},
        {"kind": "perhaps"},
        {"event_time": "yesterday"},
        {"predictions": (Prediction("intent", "a", {"a": float("nan")}),)},
        {"facts": ((tables.issuer_risks, {"no_such_column": 1}),)},
        {"key": Key("intent", "shop/eu", "\0")},
    ],
    ids=["nul", "surrogate", "constraint", "type", "nan", "column", "key"],
)
async def test_a_row_that_postgres_refuses_is_named(store: Store, fields: dict[str, Any]) -> None:
    """A value that cannot be stored is never mistaken for Postgres being down, and its message holds no value."""
    bad = outcome("bad", **fields)
    with pytest.raises(Unstorable) as refused:
        await store.write([outcome("good"), bad, outcome("fine")])
    assert refused.value.keys == (bad.key,)
    assert "yesterday" not in str(refused.value)
    assert await count(store, tables.outcomes) == 0


async def test_a_dead_letter_is_stored_with_its_reason(store: Store) -> None:
    """Beside a result of the same batch, and without a prediction for people to judge."""
    letter = dead_letter("2", "LANGUAGE_UNKNOWN")
    await store.write([outcome("1"), letter])
    assert await store.find([letter.key]) == {letter.key: stored(letter)}
    assert await count(store, tables.predictions) == 1


async def test_the_outbox_gives_back_what_is_not_published(store: Store) -> None:
    """Queued outcomes stay until they are taken off, and only new ones are queued."""
    await store.write([outcome("1"), outcome("2")], outbox=True)
    await store.write([outcome("1")], [again("2")], outbox=True)
    queued = await store.outbox("intent")
    assert sorted(each.key.id for each in queued) == ["1", "2"]
    assert queued[0].body == b"answer to where is my parcel?"
    await store.published([Key("intent", "shop/eu", "1")])
    assert [each.key.id for each in await store.outbox("intent")] == ["2"]
    assert await count(store, tables.outbox) == 1
    assert await store.outbox("risk") == []


async def test_calls_of_processes_that_are_gone_still_count(store: Store) -> None:
    """Each run of a server counts for itself, and saying it again changes nothing."""
    for _ in range(2):
        await store.record_calls("intent", "serve-0/first", accepted=10, settled=7, returned=2)
        await store.record_calls("intent", "serve-0/second", accepted=5, settled=5, returned=0)
    columns = (tables.calls.c[name] for name in ("instance", "accepted", "settled", "returned"))
    async with store.engine.connect() as connection:
        rows = (await connection.execute(select(*columns).order_by("instance"))).all()
    assert rows == [("serve-0/first", 10, 7, 2), ("serve-0/second", 5, 5, 0)]


def test_keys_are_locked_in_one_order() -> None:
    """Two batches that share keys insert them in the same order, and arrivals of one key in their own."""
    batch = [outcome("b", place="1"), outcome("a", place="2"), outcome("b", place="3"), outcome("a", place="4")]
    assert [each.place for each in in_order(batch)] == ["2", "4", "1", "3"]


async def test_nothing_to_write_is_fine(store: Store) -> None:
    """An empty batch asks nothing of Postgres that could fail."""
    assert await store.write([]) == {}
    assert await store.find([]) == {}
