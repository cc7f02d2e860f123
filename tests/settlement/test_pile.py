"""Concurrent callers share a transaction; each sees only its own answer or fault."""

import asyncio
from collections.abc import Sequence

import pytest

from shared.errors import Unavailable
from shared.serve.pile import Pile, PiledStore
from shared.settlement.settlement import settle
from shared.store.outcome import Settled
from tests.echo import echo
from tests.fakes import FakeStore, arrival, means

ECHO = echo("intent")


async def test_what_is_asked_meanwhile_is_one_round() -> None:
    """No timer: the first goes at once, the others together when it is back."""
    rounds: list[list[int]] = []

    async def answer(questions: list[int]) -> list[int | Exception]:
        rounds.append(questions)
        await asyncio.sleep(0.05)
        return [-question for question in questions]

    pile: Pile[int, int] = Pile(answer, lanes=1)
    first = asyncio.ensure_future(pile(0))
    await asyncio.sleep(0.01)
    assert await asyncio.gather(first, *(pile(n) for n in range(1, 9))) == [-n for n in range(9)]
    assert rounds == [[0], list(range(1, 9))]


async def test_a_round_is_bounded() -> None:
    """However many ask at once."""
    sizes: list[int] = []

    async def answer(questions: list[int]) -> Sequence[int | Exception]:
        sizes.append(len(questions))
        return questions

    pile: Pile[int, int] = Pile(answer, lanes=2, most=10)
    assert await asyncio.gather(*(pile(n) for n in range(95))) == list(range(95))
    assert max(sizes) == 10


async def test_nobody_waits_for_a_round_that_was_cancelled() -> None:
    """By whatever did that: who waited for ever would keep its room in the server for ever. The pile goes on."""
    ends = iter([asyncio.CancelledError()])

    async def answer(questions: list[int]) -> Sequence[int | Exception]:
        for end in ends:
            raise end
        return questions

    pile: Pile[int, int] = Pile(answer, lanes=1)
    asked = [asyncio.ensure_future(pile(n)) for n in range(3)]
    assert len((await asyncio.wait(asked, timeout=5))[0]) == 3
    assert all(each.cancelled() for each in asked)
    assert await pile(7) == 7


async def test_what_a_round_raises_all_its_askers_get() -> None:
    """And the pile goes on."""
    failures = iter([Unavailable("postgres")])

    async def answer(questions: list[int]) -> Sequence[int | Exception]:
        for failure in failures:
            raise failure
        return questions

    pile: Pile[int, int] = Pile(answer)
    asked = await asyncio.gather(pile(1), pile(2), return_exceptions=True)
    assert all(isinstance(each, Unavailable) for each in asked)
    assert await pile(3) == 3


async def test_an_asker_that_leaves_harms_nobody() -> None:
    """A caller that is cancelled takes neither the round nor its neighbours with it."""
    gate = asyncio.Event()

    async def answer(questions: list[int]) -> Sequence[int | Exception]:
        await gate.wait()
        return questions

    pile: Pile[int, int] = Pile(answer)
    leaving, staying = (asyncio.ensure_future(pile(n)) for n in (1, 2))
    await asyncio.sleep(0.01)
    leaving.cancel()
    gate.set()
    assert await staying == 2
    with pytest.raises(asyncio.CancelledError):
        await leaving


async def test_concurrent_calls_settle_together() -> None:
    """Fifty calls at once, few transactions, fifty answers; one that cannot be stored is its own caller's affair."""
    store = FakeStore()
    piled = means(PiledStore(store))
    texts = ["unstorable" if n == 7 else f"text {n}" for n in range(50)]
    settled = await asyncio.gather(*(settle(ECHO, [arrival(text, str(n))], piled) for n, text in enumerate(texts)))
    kinds = [each.outcome.kind for [each] in settled if isinstance(each, Settled)]
    assert kinds.count("result") == 49
    assert kinds[7] == "dead_letter"


async def test_one_key_from_many_callers_at_once() -> None:
    """All are told the one stored outcome."""
    store = FakeStore()
    piled = means(PiledStore(store))
    calls = (settle(ECHO, [arrival("a", "1", place=f"grpc:{n}")], piled) for n in range(20))
    settled = [each for [each] in await asyncio.gather(*calls) if isinstance(each, Settled)]
    assert len({each.outcome.body for each in settled}) == 1
    assert sum(not each.known for each in settled) == 1
    assert len(store.rows) == 1
