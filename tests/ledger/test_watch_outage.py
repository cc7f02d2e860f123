"""Watching the ledger while Postgres restarts."""

import asyncio
from contextlib import aclosing
from pathlib import Path
from typing import Any

from shared.ledger import Ledger
from shared.settings import Settings
from shared.store.migrate import migrate
from tests.store.server import Server

WHO: dict[str, Any] = {"approver": "mei", "evidence": {}}


async def test_watch_survives_restarts(tmp_path: Path) -> None:
    """The watcher is silent while Postgres is down, listens again afterwards, and tells what changed."""
    server = Server(tmp_path / "postgres")
    server.start()
    await migrate(server.url)
    ledger, other = (Ledger.open(Settings(postgres=server.url)) for _ in range(2))
    try:
        await ledger.promote("intent", "v1", "a" * 64, **WHO)
        async with aclosing(other.watch(every=300)) as watching:
            assert (await asyncio.wait_for(anext(watching), 30))["intent"].version == "v1"
            following = asyncio.ensure_future(anext(watching))
            server.kill()
            await asyncio.sleep(0.5)
            server.start()
            assert not following.done()
            await ledger.promote("intent", "v2", "b" * 64, **WHO)
            assert (await asyncio.wait_for(following, 60))["intent"].version == "v2"
            await ledger.promote("intent", "v3", "c" * 64, **WHO)
            assert (await asyncio.wait_for(anext(watching), 30))["intent"].version == "v3"
    finally:
        await ledger.close()
        await other.close()
        server.stop()
