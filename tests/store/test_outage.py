"""Postgres goes away: nothing is lost, nothing is doubled, and it is called by its name."""

import asyncio
import contextlib
import logging
import signal
import struct
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.errors import Unavailable
from shared.settings import Settings
from shared.store import engine, tables
from shared.store.migrate import migrate
from shared.store.postgres import Store
from tests.store.rows import count, outcome
from tests.store.server import Server


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A Postgres that runs."""
    made = Server(tmp_path / "postgres")
    made.start()
    yield made
    made.stop()


@pytest.fixture
async def store(server: Server) -> AsyncIterator[Store]:
    """A store on it."""
    await migrate(server.url)
    opened = await Store.open(Settings(postgres=server.url))
    yield opened
    await opened.close()


async def test_a_restart_in_mid_run_loses_and_doubles_nothing(server: Server, store: Store) -> None:
    """Postgres is killed among writes; writers who try again until they are told end with one row each."""
    some, down = asyncio.Event(), asyncio.Event()
    failures = 0

    async def insist(number: int) -> None:
        nonlocal failures
        while True:
            try:
                await store.write([outcome(f"{number}-{each}") for each in range(10)])
            except Unavailable:
                failures += 1
                down.set()
                await asyncio.sleep(0.05)
            else:
                some.set()
                return

    async def work() -> None:
        for number in range(0, 400, 4):
            await asyncio.gather(*(insist(number + each) for each in range(4)))

    working = asyncio.create_task(work())
    await some.wait()
    server.kill()
    await asyncio.wait_for(down.wait(), 60)
    assert not working.done()
    server.start()
    await asyncio.wait_for(working, 120)
    assert failures
    assert await count(store, tables.outcomes) == 4000
    assert await count(store, tables.repeats) == 0


async def test_a_server_that_hangs_is_unavailable(
    server: Server, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Postgres that takes the question and never answers does not hold us for ever; when it goes on, so do we."""
    await store.close()
    monkeypatch.setattr(engine, "COMMAND_TIMEOUT", 1.0)
    await store.write([outcome("1")])
    server.signal(signal.SIGSTOP)
    try:
        with pytest.raises(Unavailable, match="postgres"):
            await asyncio.wait_for(store.write([outcome("2")]), 60)
    finally:
        server.signal(signal.SIGCONT)
    for _ in range(100):
        with contextlib.suppress(Unavailable):
            await store.write([outcome("2")])
            break
        await asyncio.sleep(0.1)
    assert await count(store, tables.outcomes) == 2


async def test_a_server_that_says_it_ends_and_has_not_hung_up_is_unavailable(server: Server, store: Store) -> None:
    """A statement in that moment finds a connection in no state for one: told once, and what is asked again is done on another."""
    await store.close()
    pool = engine.make_engine(server.url, connections=1)
    async with pool.connect() as connection:
        link = (await connection.get_raw_connection()).driver_connection
    ends = b"SFATAL\0C57P01\0Mterminating connection\0\0"
    for _ in range(2):
        link._protocol.data_received(b"E" + struct.pack("!I", len(ends) + 4) + ends)
        with pytest.raises(Unavailable, match="postgres"), engine.reaching_postgres():
            await link.fetch("SELECT 1")
    with pytest.raises(Unavailable, match="postgres"):
        await ask(pool)
    assert await ask(pool) == 1
    await pool.dispose()


async def ask(pool: AsyncEngine) -> int:
    async with engine.transaction(pool) as connection:
        return (await connection.execute(text("SELECT 1"))).scalar_one()


async def test_starting_before_postgres_waits_and_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A process that starts first waits for the server, then for its tables, and names place and reason, never the password."""
    server = Server(tmp_path / "postgres")
    with caplog.at_level(logging.INFO):
        opening = asyncio.create_task(Store.open(Settings(postgres=server.url)))
        try:
            await asyncio.sleep(0.5)
            assert "waiting" in caplog.text
            server.start()
            await asyncio.sleep(0.5)
            assert not opening.done()
            await migrate(server.url)
            store = await asyncio.wait_for(opening, 60)
            await store.write([outcome()])
            await store.close()
        finally:
            opening.cancel()
            server.stop()
    host_port = engine.place_of(server.url)
    assert f"waiting for postgres: at {host_port}" in caplog.text
    assert server.url.partition("@")[0].rpartition(":")[2] not in caplog.text


async def test_a_missing_schema_is_no_fault_of_the_row(server: Server) -> None:
    """Without tables a write waits for them instead of condemning the event."""
    store = Store(engine.make_engine(server.url))
    with pytest.raises(Unavailable, match="migrate"):
        await store.write([outcome()])
    await store.close()
