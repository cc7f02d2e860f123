"""The risk handler and its issuers, with an inference that reads one word."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from protos import risk_pb2
from services.risk.handler import SEVERITY, facts, handle, predictions
from services.risk.issuers import Issuers
from shared.domain import Tools
from shared.errors import Reject, Unavailable
from shared.event import Key
from shared.heads import NEEDED
from shared.inference.contract import Card, Inference, Value

KEY = Key("risk", "test", "1")
ISSUERS = Issuers({"NRDH": ["Nordhavn Shipping", "Nordhavn", "诺德航运"], "ALLY": ["Allyance Foods", "联益食品"]})
CARD = Card(
    "risk", "v1", {"sentiment": ("negative", "neutral", "positive"), "severity": ("none", "low", "medium", "high")}
)


async def infer(model: str, row: Mapping[str, Value], *, priority: int = 0, explain: str = "") -> Inference:
    """Bad news for Nordhavn, good news for everyone else."""
    bad = str(row["text"]).startswith(("Nordhavn", "诺德"))
    sentiment, severity = ([0.8, 0.1, 0.1], [0.0, 0.0, 0.5, 0.5]) if bad else ([0.1, 0.1, 0.8], [1.0, 0.0, 0.0, 0.0])
    return Inference(CARD, {"sentiment": np.array(sentiment, np.float32), "severity": np.array(severity, np.float32)})


async def assess(**fields: object) -> risk_pb2.RiskResult:
    return await handle(risk_pb2.RiskRequest(**fields), Tools(KEY, infer, datetime.now(UTC), lookups=ISSUERS))  # type: ignore[arg-type]


async def test_one_headline_is_judged_for_each_issuer_it_names() -> None:
    """Bad for one company, good for the other: two rows, two risks."""
    result = await assess(headline="Allyance Foods wins damages from Nordhavn Shipping")
    risks = {item.issuer: item for item in result.issuers}
    assert (risks["NRDH"].sentiment, risks["ALLY"].sentiment) == ("negative", "positive")
    assert risks["NRDH"].risk == pytest.approx(100 * 0.8 * (0.5 * 0.6 + 0.5 * 1.0))
    assert risks["ALLY"].risk == 0
    assert risks["NRDH"].name == "Nordhavn Shipping"
    assert "Nordhavn Shipping" in result.answer.why
    assert {(p.head, p.target) for p in predictions(result)} == {
        (head, issuer) for head in ("sentiment", "severity") for issuer in ("NRDH", "ALLY")
    }


async def test_one_result_is_of_one_version() -> None:
    """A model that is exchanged between two issuers of a headline is asked again, so that what the result names is what answered."""
    versions = iter(["v1", "v2", "v2", "v2"])

    async def swapped(model: str, row: Mapping[str, Value], *, priority: int = 0, explain: str = "") -> Inference:
        answer = await infer(model, row)
        return replace(answer, card=replace(CARD, version=next(versions)))

    headline = risk_pb2.RiskRequest(headline="Allyance Foods wins damages from Nordhavn Shipping")
    result = await handle(headline, Tools(KEY, swapped, datetime.now(UTC), lookups=ISSUERS))
    assert (result.answer.model.version, len(result.issuers), next(versions, None)) == ("v2", 2, None)


async def test_a_model_without_a_head_costs_no_event() -> None:
    """The event waits, as when the model is away; what the handler reads is what promotion and serving ask for."""

    async def lesser(model: str, row: Mapping[str, Value], *, priority: int = 0, explain: str = "") -> Inference:
        return Inference(
            Card("risk", "v2", {"sentiment": ("negative", "positive")}), {"sentiment": np.array([0.5, 0.5])}
        )

    tools = Tools(KEY, lesser, datetime.now(UTC), lookups=ISSUERS)
    with pytest.raises(Unavailable, match="risk v2 has no head 'severity'"):
        await handle(risk_pb2.RiskRequest(headline="Nordhavn sinks"), tools)
    assert NEEDED["risk"].keys() == CARD.labels.keys()
    assert NEEDED["risk"]["severity"] == tuple(SEVERITY)  # a number for each, and for no other


async def test_no_known_issuer_is_a_result_that_says_so() -> None:
    """What can be decoded but not judged is a result; an id is not a name ("ally" is a word)."""
    result = await assess(headline="Markets rally as an ally returns")
    assert not result.issuers
    assert "no known issuer" in result.answer.why
    assert not predictions(result)


@pytest.mark.parametrize("name", ["NORDHAVN SHİPPİNG", "Nordhavn Shıppıng", "nordhavn ſhipping"])
async def test_letters_that_only_match_are_no_trouble(name: str) -> None:
    """Turkish capitals and the dotless i match an i, yet folding their case makes none of them."""
    result = await assess(headline=f"{name} falls")
    assert [(item.issuer, item.name) for item in result.issuers] == [("NRDH", name)]


async def test_chinese_names_need_no_word_bounds() -> None:
    """Names match inside running Chinese text."""
    result = await assess(headline="因联益食品索赔诺德航运股价大跌")
    assert [item.issuer for item in result.issuers] == ["ALLY", "NRDH"]
    assert result.language == "zh"


async def test_named_issuers_are_taken_at_the_callers_word() -> None:
    """By id or by any name; one that is not known keeps the name it was given."""
    result = await assess(headline="Shipping line fined", issuers=["nrdh", "Nordhavn", "Unheard Plc"])
    assert [(item.issuer, item.name) for item in result.issuers] == [("NRDH", "nrdh"), ("Unheard Plc", "Unheard Plc")]


async def test_facts_carry_the_items_own_time() -> None:
    """A late item counts when it was published, not when it arrived."""
    request = risk_pb2.RiskRequest(headline="Nordhavn Shipping fined")
    request.published_at.FromDatetime(datetime(2026, 3, 1))  # noqa: DTZ001 - protobuf takes naive UTC
    result = await handle(request, Tools(KEY, infer, datetime.now(UTC), lookups=ISSUERS))
    [(_, row)] = facts(KEY, request, result, datetime.now(UTC))
    assert row["event_time"] == datetime(2026, 3, 1, tzinfo=UTC)
    assert row["risk"] == pytest.approx(result.issuers[0].risk / 100)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"headline": ""}, "HEADLINE_EMPTY"),
        ({"headline": "x" * 5000}, "HEADLINE_TOO_LONG"),
        ({"headline": "x", "body": "x" * 70_000}, "BODY_TOO_LONG"),
        ({"headline": "x", "issuers": ["a"] * 33}, "ISSUERS_TOO_MANY"),
        ({"headline": "x", "issuers": [" "]}, "ISSUER_INVALID"),
        ({"headline": "x", "issuers": ["a\0b"]}, "ISSUER_INVALID"),
        ({"headline": "x", "issuers": ["Nordhavn "]}, "ISSUER_INVALID"),
        ({"headline": "x", "publisher": "p" * 257}, "PUBLISHER_TOO_LONG"),
        ({"headline": "x", "published_at": {"seconds": 10**15}}, "PUBLISHED_AT_INVALID"),
    ],
)
async def test_bad_input_is_rejected(fields: dict[str, object], reason: str) -> None:
    """Each limit has its own reason code."""
    with pytest.raises(Reject) as caught:
        await assess(**fields)
    assert caught.value.reason == reason


def test_a_malformed_issuer_file_names_its_line(tmp_path: Path) -> None:
    """The error says where to look."""
    path = tmp_path / "issuers.jsonl"
    path.write_text('{"issuer": "A", "names": {"en": ["Alpha"]}}\n{"issuer": "B"}\n')
    with pytest.raises(ValueError, match=r"issuers\.jsonl:2"):
        Issuers.read(path)
