"""Waiting in place: visible, bounded in its pauses, and over when it should be."""

import asyncio
import itertools
import logging

import pytest

from shared import patience
from shared.errors import Unavailable
from shared.logs import Sparing


def test_pauses_double_up_to_a_limit_and_are_spread() -> None:
    """So that many waiters neither hammer nor return together."""
    seen = list(itertools.islice(patience.pauses(), 40))
    assert max(seen) <= patience.LONGEST_PAUSE
    assert min(seen[10:]) >= patience.LONGEST_PAUSE / 2
    assert seen[0] <= patience.FIRST_PAUSE


async def test_it_is_tried_again_until_it_is_back(caplog: pytest.LogCaptureFixture) -> None:
    """One line says what is waited for and why, one that it is back."""
    tries = itertools.count()

    async def ask() -> str:
        if next(tries) < 4:
            raise Unavailable("the mill race", "no water")
        return "flour"

    with caplog.at_level(logging.INFO):
        assert await patience.persist(ask) == "flour"
    assert [record.getMessage() for record in caplog.records] == [
        "waiting for the mill race: no water",
        "the mill race is back",
    ]


async def test_it_ends_before_the_deadline() -> None:
    """The last reason is raised while there is time to tell it."""

    async def ask() -> None:
        raise Unavailable("postgres")

    loop = asyncio.get_running_loop()
    until = loop.time() + 0.5
    with pytest.raises(Unavailable):
        await patience.persist(ask, until=until)
    assert loop.time() < until + 0.2


def test_a_library_that_repeats_itself_is_heard_once() -> None:
    """Thirty lines a second about one broker help nobody; our own lines all pass."""
    sparing = Sparing()

    def record(name: str) -> logging.LogRecord:
        return logging.LogRecord(name, logging.ERROR, "", 0, "down", None, None)

    assert [sparing.filter(record("aiokafka.conn")) for _ in range(3)] == [True, False, False]
    assert sparing.filter(record("aiokafka.producer"))
    assert [sparing.filter(record("shared.patience")) for _ in range(2)] == [True, True]
