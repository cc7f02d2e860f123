"""Redis holds projections: bounded, rebuilt from Postgres, and called by its name when it is away."""

from dataclasses import replace
from datetime import UTC, timedelta

import pytest

from protos import event_pb2, imaging_pb2, intent_pb2, risk_pb2
from services.intent.wiring import DOMAIN
from shared.errors import Unavailable
from shared.event import Key
from shared.settings import Settings
from shared.store.feed import line
from shared.store.outcome import Outcome, Settled
from shared.store.postgres import Store
from shared.store.rebuild import rebuild
from shared.store.redis import FEED_BATCHES, KEPT, Projection, feed_key
from tests.store.rows import MORNING, dead_letter, outcome


def answered(name: str = "1", **fields: object) -> Outcome:
    """An outcome with a real result in it."""
    result = intent_pb2.IntentResult(intent="track_order", confidence=0.87654, sentiment="neutral", **fields)
    result.answer.why = "most like track_order 88%"
    result.answer.model.version = "v1"
    result.answer.answered_at.FromDatetime(MORNING + timedelta(milliseconds=40))
    return outcome(name, body=result.SerializeToString())


def refused(name: str) -> Outcome:
    letter = event_pb2.DeadLetter(reason="TEXT_EMPTY", detail="text is empty", field="text")
    letter.failed_at.FromDatetime(MORNING)
    return dead_letter(name, body=letter.SerializeToString())


def row(each: Outcome) -> Outcome:
    return replace(each, model="", request=None, predictions=(), facts=())


async def test_an_outcome_is_found_by_its_key(projection: Projection) -> None:
    """Exactly as it is stored, for a day."""
    await projection.write(DOMAIN, [Settled(answered("1")), Settled(refused("2"))])
    keys = [Key("intent", "shop/eu", name) for name in ("1", "2", "3")]
    assert await projection.find(keys) == {keys[0]: row(answered("1")), keys[1]: row(refused("2"))}
    left = await projection.redis.pttl(f"tidemill:outcome:{keys[0].prediction_id}")
    assert timedelta(0) < timedelta(milliseconds=left) <= KEPT


async def test_the_feed_says_what_happened_in_few_words(projection: Projection) -> None:
    """One line each, without a word of the request; a reader goes on from where it was."""
    place, none = await projection.feed("intent")
    await projection.write(DOMAIN, [Settled(answered("1")), Settled(refused("2"))])
    place, (result, letter) = await projection.feed("intent", after=place)
    common = {
        "domain": "intent",
        "source": "shop/eu",
        "time": MORNING.astimezone(UTC).isoformat(timespec="milliseconds"),
    }
    assert result == common | {
        "id": "1", "kind": "result", "label": "track_order", "confidence": 0.8765, "why": "most like track_order 88%",
        "version": "v1", "latency": 0.04,
    }  # fmt: skip
    assert letter == common | {
        "id": "2", "kind": "dead_letter", "reason": "TEXT_EMPTY", "why": "text is empty", "latency": 0.0,
    }  # fmt: skip
    assert none == []
    assert await projection.feed("intent", after=place, wait=0.05) == (place, [])
    await projection.write(DOMAIN, [Settled(answered("3", out_of_scope=True))])
    _, (line,) = await projection.feed("intent", after=place)
    assert line["decision"] == "OUT_OF_SCOPE"


async def test_only_what_happened_is_fed(projection: Projection) -> None:
    """A repeat has an outcome, but it is no news; a reused id shows its caller nothing of the first."""
    await projection.write(
        DOMAIN,
        [
            Settled(answered("1"), known=True, place="later"),
            Settled(answered("2"), reused=True, place="later still"),
            Settled(answered("3"), known=True, place=answered("3").place),
        ],
    )
    _, lines = await projection.feed("intent")
    assert [line["id"] for line in lines] == ["3"]
    assert {key.id for key in await projection.find([answered(name).key for name in "123"])} == {"1", "3"}


async def test_the_feed_is_bounded(projection: Projection) -> None:
    """However many outcomes, Redis keeps the last few batches of them."""
    for _ in range(3 * FEED_BATCHES):
        await projection.write(DOMAIN, [Settled(answered("1"))])
    assert await projection.redis.xlen(feed_key("intent")) < 2 * FEED_BATCHES


async def test_a_body_of_another_version_is_fed_without_its_words(projection: Projection) -> None:
    """The feed never fails on what it cannot read."""
    await projection.write(DOMAIN, [Settled(outcome("1", body=b"\xff\xff"))])
    _, (line,) = await projection.feed("intent")
    assert (line["id"], line["kind"]) == ("1", "result")


def test_a_decision_of_another_version_is_fed_by_its_number() -> None:
    """Enums are open: a row that a newer version stored must not end the worker that projects it again."""
    result = imaging_pb2.ImagingResult(finding="normal", decision=99)  # type: ignore[arg-type]
    assert line(outcome("1", body=result.SerializeToString()), imaging_pb2.ImagingResult)["decision"] == "99"


def test_a_language_is_no_answer() -> None:
    """A result that says several things is fed by its reason, not by the language of what was asked."""
    result = risk_pb2.RiskResult(language="en", answer=event_pb2.Answer(why="Northwind: negative"))
    said = line(outcome("1", body=result.SerializeToString()), risk_pb2.RiskResult)
    assert (said.get("label"), said["why"]) == (None, "Northwind: negative")


async def test_a_rebuilt_redis_is_the_same(store: Store, projection: Projection) -> None:
    """After losing everything, every outcome and the feed are what they were, with no more time to live than before."""
    batch = [answered(f"{number:04d}") for number in range(700)] + [refused("x")]
    settled = await store.write(batch)
    await projection.write(DOMAIN, list(settled.values()))
    keys = [each.key for each in batch]
    before, (_, fed) = await projection.find(keys), await projection.feed("intent")
    await projection.redis.flushall()
    assert await projection.find(keys) == {}
    assert await rebuild(store, projection, {"intent": intent_pb2.IntentResult}) == 701
    assert await projection.find(keys) == before == {each.key: row(each) for each in batch}
    _, again = await projection.feed("intent")
    assert again == fed
    assert 0 < await projection.redis.pttl(f"tidemill:outcome:{keys[0].prediction_id}") <= KEPT.total_seconds() * 1000


async def test_without_redis_it_is_unavailable() -> None:
    """Not an exception of some library's."""
    gone = Projection.open(Settings(redis="redis://127.0.0.1:1/0"))
    with pytest.raises(Unavailable, match="redis"):
        await gone.write(DOMAIN, [Settled(answered())])
    with pytest.raises(Unavailable, match="redis"):
        await gone.ping()
    await gone.close()
