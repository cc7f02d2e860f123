"""Explanations in results: what the handlers add for those who ask."""

from collections.abc import Mapping
from datetime import UTC, datetime
from itertools import cycle

import numpy as np
import pytest

from protos import event_pb2, intent_pb2, risk_pb2
from services.intent import handler as intent
from services.risk import handler as risk
from services.risk.issuers import Issuers
from shared.domain import Tools
from shared.event import Key
from shared.explanation import MOST_WORDS
from shared.inference.contract import Attribution, Card, Inference, Value
from shared.words import Scored

LABELS = {
    "intent": {"intent": ("cancel", "refund"), "sentiment": ("negative", "neutral")},
    "risk": {"sentiment": ("negative", "neutral"), "severity": ("none", "low", "medium", "high")},
}


def spell(text: str) -> tuple[Scored, ...]:
    """Every character is a token, with a score of its own."""
    return tuple(Scored(i, i + 1, score) for i, score in zip(range(len(text)), cycle((0.5, -0.25, 1.0)), strict=False))


async def infer(model: str, row: Mapping[str, Value], *, priority: int = 0, explain: str = "") -> Inference:
    """Explains what it is asked to, as far as it has such a head."""
    labels = LABELS[model]
    even = {head: np.full(len(names), 1 / len(names), np.float32) for head, names in labels.items()}
    told = None
    if explain in labels:
        text, pair = (spell(str(row[name])) if name in row else None for name in ("text", "text_pair"))
        lead = sum(piece.score for piece in (*(text or ()), *(pair or ()))) + 0.75
        told = Attribution(explain, labels[explain][0], lead, 0.75, text or (), pair)
    return Inference(Card(model, "v1", labels), even, attribution=told)


def tools(domain: str, explain: str) -> Tools:
    known = Issuers({"NRDH": ["Nordhavn"], "BRKM": ["Brackmoor"]})
    return Tools(Key(domain, "test", "1"), infer, datetime.now(UTC), explain=explain, lookups=known)


def total(told: event_pb2.Explanation) -> float:
    return sum(word.score for word in told.words) + told.about + told.rest


async def test_an_intent_is_explained_in_words() -> None:
    """Places and scores of words, which add up to the lead with the rest; and no word of the text itself."""
    text = "card lost, 卡丢了"
    result = await intent.handle(intent_pb2.IntentRequest(text=text), tools("intent", "sentiment"))
    (told,) = result.answer.explanations
    assert (told.head, told.label, told.target, told.left_out) == ("sentiment", "negative", "", 0)
    assert [text[word.start : word.end] for word in told.words] == ["card", "lost", ",", "卡", "丢", "了"]
    assert total(told) == pytest.approx(told.lead, abs=1e-3)
    assert b"card" not in told.SerializeToString()


@pytest.mark.parametrize("head", ["", "scope"])
async def test_nothing_is_explained_that_was_not_asked_for_or_the_model_lacks(head: str) -> None:
    """The answer is the same without."""
    request = intent_pb2.IntentRequest(text="card lost")
    result = await intent.handle(request, tools("intent", head))
    assert result == await intent.handle(request, tools("intent", ""))
    assert not result.answer.explanations


async def test_of_a_long_text_only_the_strongest_words_are_kept() -> None:
    """The others' scores are in the rest: the sum stays exact, and the result small."""
    request = intent_pb2.IntentRequest(text=" ".join(["word"] * 4000))
    (told,) = (await intent.handle(request, tools("intent", "intent"))).answer.explanations
    assert (len(told.words), told.left_out) == (MOST_WORDS, 4000 - MOST_WORDS)
    assert total(told) == pytest.approx(told.lead, abs=1e-2)
    assert told.ByteSize() < 2500


async def test_each_issuer_has_its_own_explanation() -> None:
    """In words of the headline, not of the name; what the name itself says is told apart."""
    headline = "Nordhavn beats Brackmoor"
    result = await risk.handle(risk_pb2.RiskRequest(headline=headline), tools("risk", "severity"))
    assert [(told.head, told.target) for told in result.answer.explanations] == [
        ("severity", "NRDH"),
        ("severity", "BRKM"),
    ]
    for told, name in zip(result.answer.explanations, ("Nordhavn", "Brackmoor"), strict=True):
        assert [headline[word.start : word.end] for word in told.words] == headline.split()
        assert told.about == pytest.approx(sum(piece.score for piece in spell(name)), abs=1e-4)
        assert total(told) == pytest.approx(told.lead, abs=1e-3)


async def test_many_issuers_share_the_room() -> None:
    """A result holds as many words whether it judges one issuer or as many as a request may name."""
    request = risk_pb2.RiskRequest(headline=" ".join(["word"] * 100), issuers=[f"Issuer {i}" for i in range(32)])
    told = (await risk.handle(request, tools("risk", "sentiment"))).answer.explanations
    assert [len(each.words) for each in told] == [MOST_WORDS // 32] * 32
    assert all(total(each) == pytest.approx(each.lead, abs=1e-2) for each in told)
