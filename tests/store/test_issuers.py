"""An issuer's risk over time."""

import asyncio
import math
from datetime import timedelta

import pytest

from services.risk.wiring import DOMAIN as RISK
from shared.domain import Domain
from shared.settings import Settings
from shared.store import tables
from shared.store.issuers import HALF_LIFE, windows
from shared.store.outcome import Outcome
from shared.store.postgres import Store
from shared.store.redis import Projection
from tests.store.rows import MORNING, outcome


def item(name: str, risk: float, hours_ago: float, issuer: str = "NRDH") -> Outcome:
    made = outcome(name)
    at = MORNING - timedelta(hours=hours_ago)
    row = {"domain": "intent", "source": "shop/eu", "id": name, "issuer": issuer, "risk": risk, "event_time": at}
    return outcome(name, predictions=(), key=made.key, facts=((tables.issuer_risks, row),))


def by_hand(*items: tuple[float, float]) -> float:
    """100·(1 − ∏(1 − sᵢ·2^(−ageᵢ/half-life))) over (s, age in hours)."""
    half_life = HALF_LIFE.total_seconds() / 3600
    return 100 * (1 - math.prod(1 - s * 2 ** (-age / half_life) for s, age in items))


async def test_windows_add_up_and_fade(store: Store) -> None:
    """The hour and the day hold their own items, older ones weigh less, other issuers and the future do not count."""
    await store.write(
        [
            item("1", 0.5, 0.5), item("2", 0.4, 3), item("3", 0.9, 23.9), item("4", 1.0, 24.1), item("5", 0.9, -0.1),
            item("6", 0.7, 0.5, "OSTR"),
        ]
    )  # fmt: skip
    found = await windows(store, ["NRDH", "ACME"], MORNING)
    window = found["NRDH"]
    assert (window.items_1h, window.items_24h) == (1, 3)
    assert window.risk_1h == pytest.approx(by_hand((0.5, 0.5)))
    assert window.risk_24h == pytest.approx(by_hand((0.5, 0.5), (0.4, 3), (0.9, 23.9)))
    assert (found["ACME"].risk_24h, found["ACME"].items_24h, found["ACME"].at) == (0, 0, MORNING)


async def test_late_items_count(store: Store) -> None:
    """An item that arrives late changes the window it belongs to, by its own time."""
    before = (await windows(store, ["NRDH"], MORNING))["NRDH"].risk_24h
    await store.write([item("late", 0.6, 12)])
    after = (await windows(store, ["NRDH"], MORNING))["NRDH"].risk_24h
    assert (before, after) == (0, pytest.approx(by_hand((0.6, 12))))


async def test_certain_risk_is_a_hundred(store: Store) -> None:
    """Many certain items neither overflow nor underflow."""
    await store.write([item(f"{number}", 1.0, 0) for number in range(200)])
    assert (await windows(store, ["NRDH"], MORNING))["NRDH"].risk_24h == pytest.approx(100)


async def test_a_new_item_drops_the_cached_window(store: Store, projection: Projection) -> None:
    """What is asked of now comes from Redis while it is fresh, and anew once an outcome named the issuer."""
    domain: Domain = RISK
    first = (await windows(store, ["NRDH"], projection=projection))["NRDH"]
    again = (await windows(store, ["NRDH"], projection=projection))["NRDH"]
    assert again == first
    settled = await store.write([outcome("n", facts=item("n", 0.5, 0).facts, event_time=MORNING)])
    await projection.write(domain, list(settled.values()))
    anew = (await windows(store, ["NRDH"], projection=projection))["NRDH"]
    assert anew.at > first.at


async def test_without_redis_windows_are_computed(store: Store) -> None:
    """The cache is a convenience: its absence is not the reader's problem."""
    gone = Projection.open(Settings(redis="redis://127.0.0.1:1/0"))
    found = await asyncio.wait_for(windows(store, ["NRDH"], projection=gone), 60)
    assert found["NRDH"].items_24h == 0
    await gone.close()
