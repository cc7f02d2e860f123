"""Which labels training may learn from."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from shared import heads
from shared.domain import Prediction
from shared.event import Key
from shared.store import tables
from shared.store.engine import transaction
from shared.store.labels import Label, labels
from shared.store.outcome import Outcome
from shared.store.postgres import Store
from tests.store.rows import outcome

DAY = datetime(2026, 3, 2, 12, tzinfo=UTC)
INTENT = Prediction("intent", "track_order", {"track_order": 0.9, "refund_request": 0.1})


async def given(store: Store, *judged: dict[str, Any]) -> None:
    """Predictions 1 to 3 and these judgements of them, a minute apart, in their order."""
    await store.write([outcome(str(number), predictions=(INTENT,)) for number in (1, 2, 3)])
    await store.write([judgement(number, **fields) for number, fields in enumerate(judged)])


def judgement(number: int, on: str = "1", who: str = "ana", label: str = "refund_request", **fields: Any) -> Outcome:
    row = {
        "judgement_id": f"j{number}", "prediction_id": outcome(on).key.prediction_id, "head": "intent", "target": "",
        "domain": "intent", "label": label, "proposed": False, "annotator": who, "caller": "console", "comment": "",
        "judged_at": DAY + timedelta(minutes=number), "supersedes": None,
    } | fields  # fmt: skip
    key = Key("feedback", "console", f"j{number}")
    facts = ((tables.judgements, row),)
    return outcome(key=key, place=f"feedback.v1:0:{number}", request=None, predictions=(), facts=facts)


def short(found: list[Label]) -> dict[str, tuple[str, int, int]]:
    return {each.key.id: (each.label, each.votes, each.all_votes) for each in found}


async def test_a_label_with_its_provenance(store: Store) -> None:
    """Text, label, what the model had said, and the judgements it is made of."""
    await given(store, {"who": "ana"}, {"who": "bob"}, {"who": "eve", "label": "track_order"})
    (label,) = await labels(store, "intent")
    assert (label.key, label.request) == (Key("intent", "shop/eu", "1"), b"where is my parcel?")
    assert (label.head, label.target, label.label, label.predicted) == ("intent", "", "refund_request", "track_order")
    assert (label.votes, label.all_votes, label.judgement_ids) == (2, 3, ("j0", "j1"))
    assert (label.confirmed, round(label.agreement, 2)) == (False, 0.67)
    assert label.judged_at == DAY + timedelta(minutes=1)
    assert label.model_version == "v1"


async def test_the_last_word_of_each_counts(store: Store) -> None:
    """A later judgement replaces the same person's earlier one, and what is superseded is gone, whoever's it was."""
    await given(
        store,
        {"on": "1", "label": "refund_request"},
        {"on": "1", "label": "track_order"},
        {"on": "2", "label": "refund_request"},
        {"on": "2", "who": "boss", "label": "track_order", "supersedes": "j2"},
    )
    assert short(await labels(store, "intent")) == {"1": ("track_order", 1, 1), "2": ("track_order", 1, 1)}
    assert all(label.confirmed for label in await labels(store, "intent"))


async def test_people_who_disagree_make_no_label(store: Store) -> None:
    """Half is not a majority."""
    await given(store, {"who": "ana"}, {"who": "bob", "label": "track_order"}, {"on": "2"})
    assert short(await labels(store, "intent")) == {"2": ("refund_request", 1, 1)}


async def test_proposals_wait_for_approval(store: Store) -> None:
    """A proposed label counts once somebody approves it, and its author's older judgement that it replaced does not come back."""
    await given(
        store,
        {"on": "1", "label": "change_address", "proposed": True},
        {"on": "2", "label": "refund_request"},
        {"on": "2", "label": "close_account", "proposed": True, "supersedes": "j1"},
    )
    assert await labels(store, "intent") == []
    assert short(await labels(store, "intent", approved=["change_address"])) == {"1": ("change_address", 1, 1)}


async def test_a_proposal_counts_once_its_own_head_tells_the_label(store: Store) -> None:
    """Approved long ago and live since; told by another head alone, it still waits."""
    await given(store, {"on": "1", "label": "change_address", "proposed": True})
    assert await labels(store, "intent", told=[("sentiment", "change_address"), ("intent", "track_order")]) == []
    live = [("sentiment", "neutral"), ("intent", "change_address")]
    assert short(await labels(store, "intent", told=live)) == {"1": ("change_address", 1, 1)}


async def test_nobody_can_flood_a_data_set(store: Store) -> None:
    """Of one annotator only the first votes of a day count; those of the next day are counted anew."""
    tomorrow = DAY + timedelta(days=1)
    await given(store, {"on": "1"}, {"on": "2"}, {"on": "3", "judged_at": tomorrow})
    assert set(short(await labels(store, "intent", per_annotator=1, until=tomorrow))) == {"1", "3"}


async def test_a_data_set_can_be_made_again(store: Store) -> None:
    """As of a moment, what was said later neither counts nor supersedes."""
    await given(store, {}, {"label": "track_order", "supersedes": "j0"})
    assert short(await labels(store, "intent", until=DAY)) == {"1": ("refund_request", 1, 1)}
    assert short(await labels(store, "intent")) == {"1": ("track_order", 1, 1)}
    assert await labels(store, "intent", until=DAY - timedelta(days=1)) == []
    assert await labels(store, "risk") == []


async def test_an_erased_request_teaches_nothing(store: Store) -> None:
    """Once what a person wrote is deleted, no data set holds it any more."""
    await given(store, {"on": "1"}, {"on": "2"})
    async with transaction(store.engine) as connection:
        await connection.execute(text("DELETE FROM requests WHERE id = '1'"))
    assert set(short(await labels(store, "intent"))) == {"2"}


async def test_of_several_labels_each_must_be_let_in(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A judgement of several right labels that names new ones waits until all of these are approved, or told by now."""
    monkeypatch.setitem(heads.SEVERAL, "intent", ("intent",))  # type: ignore[index]
    await given(store, {"label": "refund_request|voucher", "proposed": True})
    assert not await labels(store, "intent", approved=("voucher",))
    told = [("intent", "refund_request")]
    (found,) = await labels(store, "intent", approved=("voucher",), told=told)
    assert found.label == "refund_request|voucher"
    assert not await labels(store, "intent", told=told)
    assert await labels(store, "intent", told=[*told, ("intent", "voucher")])
    monkeypatch.delitem(heads.SEVERAL, "intent")  # type: ignore[arg-type]
    assert not await labels(
        store, "intent", approved=("voucher",), told=told
    )  # here it is one label with a bar in its name
