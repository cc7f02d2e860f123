"""What we depend on is down: events wait for it, calls hear of it by their deadline."""

import asyncio
from typing import Any

from shared.errors import Expired, Unavailable
from shared.settlement.settlement import Sink, settle
from tests.echo import answer
from tests.fakes import FakeStore, arrival, handling, means
from tests.settlement.outcomes import ECHO, result


async def test_a_missing_dependency_is_waited_for_in_place() -> None:
    """However often it is down: no event is dead-lettered, and every try beats."""
    tries = []

    async def down_at_first(request: Any, tools: Any) -> Any:
        tries.append(1)
        if len(tries) < 6:
            raise Unavailable("inference", retry_after=0.01)
        return answer(request.text)

    beats: list[int] = []
    store = FakeStore()
    store.broken = 2
    [settled] = await settle(handling(ECHO, down_at_first), [arrival("a")], means(store, beat=lambda: beats.append(1)))
    assert result(settled).intent == "a"
    assert len(tries) == 6
    assert len(beats) > 6


async def test_a_call_hears_of_a_missing_dependency_by_its_deadline(store: Sink) -> None:
    """Within the deadline we try again; then the caller is told, and nothing is stored."""
    soon = asyncio.get_running_loop().time() + 0.5
    [settled] = await settle(ECHO, [arrival("down", deadline=soon)], means(store))
    assert isinstance(settled, Unavailable)
    assert await store.find([arrival("down").key]) == {}


async def test_a_call_hears_of_a_missing_store_by_its_deadline() -> None:
    """Also when it is the store itself that is down."""
    store = FakeStore()
    store.broken = 1000
    soon = asyncio.get_running_loop().time() + 0.5
    [settled] = await settle(ECHO, [arrival("a", deadline=soon)], means(store))
    assert isinstance(settled, Unavailable)


async def test_an_expired_call_leaves_nothing_behind(store: Sink) -> None:
    """The expired event of a batch has no outcome; its neighbour has one, and the key can be used again."""
    soon = asyncio.get_running_loop().time() + 0.3
    later = asyncio.get_running_loop().time() + 30
    expired, fine = await settle(
        ECHO, [arrival("slow 9", "1", deadline=soon), arrival("a", "2", deadline=later)], means(store)
    )
    assert isinstance(expired, Expired)
    assert result(fine).intent == "a"
    [again] = await settle(ECHO, [arrival("b", "1", deadline=later)], means(store))
    assert result(again).intent == "b"
