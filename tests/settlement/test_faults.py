"""Handlers that fail, hang or are stopped: what that costs, and whom."""

import asyncio
import logging
from typing import Any

import pytest

from shared.settlement.settlement import Sink, settle
from tests.echo import answer, handle
from tests.fakes import FakeStore, arrival, handling, means
from tests.settlement.outcomes import ECHO, letter, result


async def test_a_bug_in_the_handler_costs_one_event(store: Sink, caplog: pytest.LogCaptureFixture) -> None:
    """After three attempts that event alone is a dead letter, and nobody repeats the exception's text."""
    with caplog.at_level(logging.DEBUG):
        batch = [arrival("a", "1"), arrival("bug 4111 1111", "2"), arrival("b", "3")]
        before, bad, after = await settle(ECHO, batch, means(store))
    assert (letter(bad).reason, letter(bad).attempts) == ("HANDLER_FAILED", 3)
    assert "ValueError" in letter(bad).detail
    assert "4111" not in letter(bad).detail + caplog.text
    assert [result(before).intent, result(after).intent] == ["a", "b"]


async def test_a_bug_that_passes_costs_nothing() -> None:
    """A handler that fails twice and then answers has answered."""
    failures = iter([ValueError(), KeyError()])

    async def flaky(request: Any, tools: Any) -> Any:
        for failure in failures:
            raise failure
        return answer(request.text)

    [settled] = await settle(handling(ECHO, flaky), [arrival("a")], means(FakeStore()))
    assert result(settled).intent == "a"


async def test_a_stray_cancellation_is_a_bug_like_any_other() -> None:
    """A handler that raises CancelledError itself must not make its batch look given up."""

    async def stray(request: Any, tools: Any) -> Any:
        if request.text == "stray":
            raise asyncio.CancelledError
        return answer(request.text)

    bad, fine = await settle(handling(ECHO, stray), [arrival("stray", "1"), arrival("a", "2")], means(FakeStore()))
    assert letter(bad).reason == "HANDLER_FAILED"
    assert result(fine).intent == "a"


async def test_a_handler_that_hangs_costs_one_event() -> None:
    """Once nothing else of the batch moves, it is stopped, and dead-lettered after three such attempts."""
    before, bad, after = await settle(
        ECHO, [arrival("a", "1"), arrival("hang", "2"), arrival("b", "3")], means(FakeStore()), hang=0.2
    )
    assert (letter(bad).reason, letter(bad).attempts) == ("HANDLER_FAILED", 3)
    assert [result(before).intent, result(after).intent] == ["a", "b"]


async def test_slow_is_not_hung() -> None:
    """While others of the batch still move, a slow handler is given its time."""
    texts = [f"slow {n / 10}" for n in range(1, 9)]
    settled = await settle(ECHO, [arrival(text, text) for text in texts], means(FakeStore()), hang=0.3)
    assert [result(each).intent for each in settled] == texts


async def test_what_the_store_refuses_costs_one_event(store: Sink) -> None:
    """A result that cannot be stored becomes a dead letter that can."""
    batch = [arrival("a", "1"), arrival("unstorable", "2"), arrival("b", "3")]
    before, bad, after = await settle(ECHO, batch, means(store))
    assert letter(bad).reason == "HANDLER_FAILED"
    assert [result(before).intent, result(after).intent] == ["a", "b"]


async def test_giving_up_a_batch_stops_its_handlers() -> None:
    """A cancelled settlement leaves no handler running and nothing stored."""
    stopped = asyncio.Event()

    async def wait(request: Any, tools: Any) -> Any:
        try:
            return await handle(request, tools)
        finally:
            stopped.set()

    store = FakeStore()
    task = asyncio.ensure_future(settle(handling(ECHO, wait), [arrival("hang")], means(store)))
    await asyncio.sleep(0.1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.wait_for(stopped.wait(), 5)
    assert store.rows == {}
