"""The ledger: what is live, by whose decision, and that nobody can rewrite it unnoticed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest
from sqlalchemy import text

from shared import chain
from shared.ledger import Broken, Entry, Ledger, Refused
from shared.settings import Settings

A, B, C = "a" * 64, "b" * 64, "c" * 64
WHO: dict[str, Any] = {"approver": "mei", "evidence": {"run": 1}}


@pytest.fixture
async def ledger(postgres: str) -> AsyncIterator[Ledger]:
    """A ledger without entries."""
    opened = Ledger.open(Settings(postgres=postgres))
    yield opened
    await opened.close()


async def tamper(ledger: Ledger, statement: str) -> None:
    """What somebody with all rights could do behind the trigger's back."""
    async with ledger._engine.begin() as connection:
        await connection.execute(text("ALTER TABLE ledger DISABLE TRIGGER append_only"))
        await connection.execute(text(statement))


async def test_the_newest_entry_of_a_model_is_live(ledger: Ledger) -> None:
    """Each model has its own line of versions; without an entry nothing is live."""
    assert await ledger.live("intent") is None
    await ledger.promote("intent", "v1", A, **WHO)
    await ledger.promote("risk", "v7", C, **WHO)
    entry = await ledger.promote("intent", "v2", B, **WHO)
    assert await ledger.live("intent") == entry
    assert {model: each.version for model, each in (await ledger.live_all()).items()} == {"intent": "v2", "risk": "v7"}
    assert [each.version for each in await ledger.history("intent")] == ["v1", "v2"]
    assert [each.seq for each in await ledger.history()] == [1, 2, 3]
    assert len(await ledger.verify()) == 3


async def test_evidence_is_hashed_as_it_is_stored(ledger: Ledger) -> None:
    """Numbers and texts that JSON and Postgres write differently do not break the chain."""
    evidence = {
        "ece": 1e-7,
        "big": 10**30,
        "zero": -0.0,
        "one": 1.0,
        "名": "取消订单 \\u0041 \u2028",
        "deep": [{"b": 1, "a": None}],
    }
    entry = await ledger.promote("intent", "v1", A, approver="梅", evidence=evidence)
    assert len(await ledger.verify()) == 1
    assert (await ledger.live("intent")) == entry
    assert entry.evidence["名"] == evidence["名"]


async def test_a_rollback_returns_to_the_version_before(ledger: Ledger) -> None:
    """And says from which, and why; a second one goes further back, not forth again."""
    for version, digest in (("v1", A), ("v2", B), ("v3", C)):
        await ledger.promote("intent", version, digest, **WHO)
    first = await ledger.rollback("intent", approver="ana", reason="more errors")
    assert (first.version, first.bundle_digest, first.action) == ("v2", B, "rollback")
    assert first.evidence == {"reason": "more errors", "from": "v3"}
    second = await ledger.rollback("intent", approver="ana", reason="still")
    assert second.version == "v1"
    with pytest.raises(Refused, match="no earlier version"):
        await ledger.rollback("intent", approver="ana", reason="and again")


async def test_a_rollback_to_a_named_version(ledger: Ledger) -> None:
    """Any version that was live and is in good standing will do; no other."""
    for version, digest in (("v1", A), ("v2", B), ("v3", C)):
        await ledger.promote("intent", version, digest, **WHO)
    assert (await ledger.rollback("intent", approver="ana", reason="r", to="v1")).version == "v1"
    with pytest.raises(Refused, match="v3"):
        await ledger.rollback("intent", approver="ana", reason="r", to="v3")
    with pytest.raises(Refused, match="reason"):
        await ledger.rollback("intent", approver="ana", reason=" ")


async def test_what_was_rolled_back_does_not_return_by_itself(ledger: Ledger) -> None:
    """Not even under a new version name; only forced and with a reason, which the ledger keeps."""
    await ledger.promote("intent", "v1", A, **WHO)
    await ledger.promote("intent", "v2", B, **WHO)
    await ledger.rollback("intent", approver="ana", reason="wrong refunds")
    for options in ({}, {"force": True}, {"reason": "please"}):
        with pytest.raises(Refused, match="rolled back"):
            await ledger.promote("intent", "v2-again", B, **WHO, **options)
    entry = await ledger.promote("intent", "v2", B, **WHO, force=True, reason="it was the network")
    assert entry.evidence == {"run": 1, "forced": True, "reason": "it was the network"}
    with pytest.raises(Refused, match="live already"):
        await ledger.promote("intent", "v2", B, **WHO)


async def test_a_promotion_stands_on_what_it_was_judged_against(ledger: Ledger) -> None:
    """Of two that were judged against the same live version, the second is refused, and so is one judged against nothing."""
    first = await ledger.promote("intent", "v1", A, **WHO, expected="")
    second = await ledger.promote("intent", "v2", B, **WHO, expected=first.hash)
    for outdated in ("", first.hash):
        with pytest.raises(Refused, match=r"v3 was judged against what is live no more: v2 \(entry 2\) is"):
            await ledger.promote("intent", "v3", C, **WHO, expected=outdated)
    with pytest.raises(Refused, match="live no more: nothing is"):
        await ledger.promote("risk", "v1", C, **WHO, expected=first.hash)
    await ledger.promote("risk", "v1", A, **WHO, expected="")
    assert (await ledger.promote("intent", "v3", C, **WHO, expected=second.hash)).seq == 4


async def test_of_two_promotions_at_once_one_is_refused(ledger: Ledger, postgres: str) -> None:
    """Two trainings that began at the same live version and end in the same moment, in two processes."""
    other = Ledger.open(Settings(postgres=postgres))
    live = await ledger.promote("intent", "v1", A, **WHO)
    ended = await asyncio.gather(
        ledger.promote("intent", "v2", B, **WHO, expected=live.hash),
        other.promote("intent", "v3", C, **WHO, expected=live.hash),
        return_exceptions=True,
    )
    assert sorted(type(each).__name__ for each in ended) == ["Entry", "Refused"]
    assert len(await ledger.verify()) == 2
    await other.close()


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"model": "../etc"}, "valid model"),
        ({"version": ""}, "valid model or version"),
        ({"bundle_digest": "A" * 64}, "64 hex"),
        ({"approver": " "}, "approver"),
        ({"evidence": {"x": float("nan")}}, "not JSON"),
        ({"evidence": {"x": "\0"}}, "cannot be stored"),
    ],
)
async def test_a_malformed_entry_is_refused(ledger: Ledger, fields: dict[str, Any], said: str) -> None:
    """With a reason that names the field; nothing is appended."""
    given = {"model": "intent", "version": "v1", "bundle_digest": A, **WHO, **fields}
    with pytest.raises(Refused, match=said):
        await ledger.promote(**given)
    assert await ledger.history() == []


async def test_concurrent_appends_make_one_chain(ledger: Ledger, postgres: str) -> None:
    """Twenty promotions from two processes at once: no fork, no gap, all there."""
    other = Ledger.open(Settings(postgres=postgres))
    digests = [f"{number:064x}" for number in range(20)]
    await asyncio.gather(
        *((ledger, other)[i % 2].promote(f"m{i % 3}", f"v{i}", digest, **WHO) for i, digest in enumerate(digests))
    )
    assert len(await other.verify()) == 20
    assert {entry.bundle_digest for entry in await ledger.history()} == set(digests)
    await other.close()


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("UPDATE ledger SET approver = 'nobody' WHERE seq = 2", "entry 2 .* was changed"),
        ("UPDATE ledger SET evidence = '{\"run\": 2}' WHERE seq = 3", "entry 3 .* was changed"),
        ("DELETE FROM ledger WHERE seq = 2", "entry 2 is missing"),
        ("UPDATE ledger SET previous = repeat('f', 64) WHERE seq = 4", "entry 4 .* does not follow entry 3"),
        ("UPDATE ledger SET seq = -seq WHERE seq = 1", "entry 1 is missing"),
    ],
)
async def test_tampering_is_found_and_named(ledger: Ledger, statement: str, said: str) -> None:
    """The first wrong entry is named, and nothing can be appended to a chain that does not hold."""
    for number in range(4):
        await ledger.promote("intent", f"v{number}", f"{number:064x}", **WHO)
    await tamper(ledger, statement)
    with pytest.raises(Broken, match=said):
        await ledger.verify()
    with pytest.raises(Broken, match=said):
        await ledger.promote("intent", "v9", C, **WHO)


async def test_what_is_live_is_checked_when_it_is_read(ledger: Ledger) -> None:
    """A live entry whose digest was swapped is not served."""
    await ledger.promote("intent", "v1", A, **WHO)
    await tamper(ledger, f"UPDATE ledger SET bundle_digest = '{B}'")
    with pytest.raises(Broken, match="entry 1"):
        await ledger.live("intent")


async def test_rewriting_an_entry_with_its_hash_breaks_the_next(ledger: Ledger) -> None:
    """Whoever also computes the hash anew must rewrite everything after it."""
    await ledger.promote("intent", "v1", A, **WHO)
    await ledger.promote("intent", "v2", B, **WHO)
    first, second = await ledger.history()
    forged = Entry(**{name: getattr(first, name) for name in Entry.__slots__} | {"approver": "eve"})
    forged = Entry(**{name: getattr(forged, name) for name in Entry.__slots__} | {"hash": forged.expected_hash()})
    with pytest.raises(Broken, match="entry 2"):
        chain.check([forged, second])


async def test_watch_tells_of_a_change_at_once(ledger: Ledger, postgres: str) -> None:
    """A watcher in another process hears of a promotion by notification, long before its next poll."""
    other = Ledger.open(Settings(postgres=postgres))
    async with aclosing(other.watch(every=300)) as watching:
        assert await asyncio.wait_for(anext(watching), 30) == {}
        for version, digest in (("v1", A), ("v2", B)):
            await ledger.promote("intent", version, digest, **WHO)
            live = await asyncio.wait_for(anext(watching), 30)
            assert live["intent"].version == version
    await other.close()


async def test_watch_polls_when_nobody_rings(ledger: Ledger) -> None:
    """An entry whose notification was lost is found by the poll; what was tampered with is not followed."""
    entry = await ledger.promote("intent", "v1", A, **WHO)
    async with aclosing(ledger.watch(every=0.1)) as watching:
        assert (await asyncio.wait_for(anext(watching), 30))["intent"].version == "v1"
        await tamper(ledger, "UPDATE ledger SET version = 'evil'")
        following = asyncio.ensure_future(anext(watching))
        await asyncio.sleep(0.5)
        assert not following.done()
        await tamper(ledger, "DELETE FROM ledger")
        assert await asyncio.wait_for(following, 30) == {}
    assert entry.seq == 1
