"""Hearing of changes in Postgres: LISTEN for speed, a slow poll for certainty."""

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import Any

import asyncpg

from shared.errors import Unavailable
from shared.store.engine import connect, reaching_postgres

log = logging.getLogger(__name__)

_RETRY = 1.0  # seconds between attempts to listen again


async def rings(url: str, channel: str, every: float) -> AsyncGenerator[None, None]:
    """Yields at once, after each notification on `channel`, after each new connection, and at least every `every` seconds.

    Never raises while Postgres is away: it goes on yielding, for the reader to see for itself, and listens again when it can.
    """
    rung = asyncio.Event()
    connection: asyncpg.Connection[Any] | None = None
    try:
        while True:
            connection = await _listening(connection, url, channel, rung)
            yield
            with suppress(TimeoutError):
                await asyncio.wait_for(rung.wait(), every if connection is not None else min(_RETRY, every))
            rung.clear()
    finally:
        if connection is not None:
            connection.terminate()


async def _listening(
    connection: "asyncpg.Connection[Any] | None", url: str, channel: str, rung: asyncio.Event
) -> "asyncpg.Connection[Any] | None":
    """A connection that listens: the same if it still answers, a new one otherwise, None while there is none."""
    try:
        with reaching_postgres():
            if connection is not None and not connection.is_closed():
                await connection.execute("SELECT 1", timeout=5)
                return connection
            fresh = await connect(url)
            fresh.add_termination_listener(lambda _: rung.set())
            await fresh.add_listener(channel, lambda *_: rung.set())
            return fresh
    except Unavailable as error:
        log.info("not listening on %s, polling instead: %s", channel, error)
        if connection is not None:
            connection.terminate()
        return None
