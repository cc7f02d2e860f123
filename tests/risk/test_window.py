"""An issuer's rolling risk, from rows in a real database."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from protos import risk_pb2
from services.risk.handler import facts
from services.risk.issuers import Issuers
from services.risk.window import get_issuer
from shared.errors import Reject
from shared.event import Key
from shared.inference.contract import Inference
from shared.settings import Settings
from shared.settlement.settlement import Means
from shared.store.outcome import Outcome
from shared.store.postgres import Store

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


async def no_infer(model: str, row: Any, *, priority: int = 0, explain: str = "") -> Inference:
    raise AssertionError("a window is never inferred")


async def store_item(store: Store, id: str, risk: float, at: datetime) -> None:  # noqa: A002 - CloudEvents' own name
    request = risk_pb2.RiskRequest(headline="Nordhavn Shipping fined")
    request.published_at.FromDatetime(at.replace(tzinfo=None))
    result = risk_pb2.RiskResult(issuers=[risk_pb2.IssuerRisk(issuer="NRDH", name="Nordhavn Shipping", risk=risk)])
    key = Key("risk", "test", id)
    outcome = Outcome(
        key=key, digest=b"\0" * 32, kind="result", body=b"", door="kafka", place=id, event_time=NOON, arrived_at=NOON,
        facts=tuple(facts(key, request, result, NOON)),
    )  # fmt: skip
    await store.write([outcome])


async def test_items_add_up_and_fade(postgres: str) -> None:
    """100·(1 − ∏(1 − sᵢ·2^(−ageᵢ/6 h))), by the items' own time; what lies outside the window, or after it, does not count."""
    store = await Store.open(Settings(postgres=postgres))
    means = Means(store=store, infer=no_infer, lookups=Issuers({"NRDH": ["Nordhavn Shipping"]}))
    for number, (risk, age) in enumerate(((50, 0.5), (80, 6), (90, 30), (70, -1))):
        await store_item(store, str(number), risk, NOON - timedelta(hours=age))

    request = risk_pb2.GetIssuerRequest(issuer="nordhavn shipping")
    request.at.FromDatetime(NOON.replace(tzinfo=None))
    window = await get_issuer(request, means)

    recent = 0.5 * 2 ** (-0.5 / 6)
    assert (window.issuer, window.items_1h, window.items_24h) == ("NRDH", 1, 2)
    assert window.risk_1h == pytest.approx(100 * recent)
    assert window.risk_24h == pytest.approx(100 * (1 - (1 - recent) * (1 - 0.8 / 2)))
    await store.close()


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (risk_pb2.GetIssuerRequest(issuer=" "), "ISSUER_INVALID"),
        (risk_pb2.GetIssuerRequest(issuer="x" * 129), "ISSUER_INVALID"),
        (risk_pb2.GetIssuerRequest(issuer="NRDH", at={"seconds": 10**15}), "AT_INVALID"),
    ],
)
async def test_bad_requests_name_the_field(postgres: str, request_: risk_pb2.GetIssuerRequest, reason: str) -> None:
    """Refused before anything is looked up."""
    store = await Store.open(Settings(postgres=postgres))
    with pytest.raises(Reject) as caught:
        await get_issuer(request_, Means(store=store, infer=no_infer, lookups=Issuers({})))
    assert caught.value.reason == reason
    await store.close()
