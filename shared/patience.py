"""Waiting for something that is down: in place, visibly, with capped exponential backoff and jitter."""

import asyncio
import itertools
import logging
import random
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

from shared import telemetry
from shared.errors import Unavailable

log = logging.getLogger(__name__)

T = TypeVar("T")

FIRST_PAUSE = 0.05  # seconds
LONGEST_PAUSE = 2.0  # what is back must not be waited for much longer than it was away
LOG_EVERY = 10.0

_last_logged: dict[str, float] = {}


def pauses() -> Iterator[float]:
    """Seconds to wait before each next try: doubling, capped, and spread so that many waiters do not return together."""
    for attempt in itertools.count():
        yield min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(attempt, 16)) * random.uniform(0.5, 1.0)


def complain(error: Unavailable) -> None:
    """Log that we wait, at most once in ten seconds for each thing waited for."""
    telemetry.retries.add(1, {"tidemill.dependency": error.what})
    now = time.monotonic()
    if now - _last_logged.get(error.what, -LOG_EVERY) >= LOG_EVERY:
        _last_logged[error.what] = now
        log.warning("waiting for %s: %s", error.what, error.detail or "it is unavailable")


async def pause(error: Unavailable, seconds: float, until: float | None) -> None:
    """Wait before the next try.

    Raises:
        Unavailable: `error` itself, when the wait would pass `until` (the loop's clock).
    """
    complain(error)
    seconds = max(seconds, min(error.retry_after or 0.0, LONGEST_PAUSE))
    if until is not None and asyncio.get_running_loop().time() + seconds >= until:
        raise error
    await asyncio.sleep(seconds)


async def persist(
    ask: Callable[[], Awaitable[T]], *, until: float | None = None, beat: Callable[[], None] = lambda: None
) -> T:
    """`await ask()`, again and again while it raises Unavailable; `beat` is called on every try, for a watchdog to see.

    Raises:
        Unavailable: the last one, when another try would pass `until`.
    """
    what = ""
    for seconds in pauses():
        beat()
        try:
            answer = await ask()
        except Unavailable as error:
            what = error.what
            await pause(error, seconds, until)
        else:
            if what and _last_logged.pop(what, None) is not None:
                log.info("%s is back", what)
            return answer
    raise AssertionError("pauses never ends")
