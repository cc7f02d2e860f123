"""`python -m services.inference serve` as it is run, following the real ledger."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from shared.errors import Unavailable
from shared.inference.client import open_infer
from shared.ledger import Ledger
from shared.settings import Settings
from tests.inference.bundles import publish_text
from tests.inference.conftest import INTENT, Store


@dataclass
class Process:
    process: asyncio.subprocess.Process
    lines: list[str] = field(default_factory=list)
    grown: asyncio.Event = field(default_factory=asyncio.Event)

    async def read(self) -> None:
        assert self.process.stderr is not None
        async for line in self.process.stderr:
            self.lines.append(line.decode())
            self.grown.set()

    async def says(self, text: str) -> str:
        """The first line with this text, once it is there."""
        async with asyncio.timeout(120):
            while True:
                self.grown.clear()
                found = next((line for line in self.lines if text in line), None)
                if found is not None:
                    return found
                await self.grown.wait()

    async def address(self) -> str:
        return (await self.says("listening on ")).strip().rpartition(" ")[2]


@asynccontextmanager
async def started(postgres: str, store: Store) -> AsyncIterator[Process]:
    environment = {**os.environ, "TIDEMILL_POSTGRES": postgres, "TIDEMILL_MODELS": str(store.place)}
    environment.pop("TIDEMILL_LISTEN", None)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.inference", "serve", env=environment, stderr=asyncio.subprocess.PIPE
    )
    made = Process(process)
    reading = asyncio.ensure_future(made.read())
    try:
        yield made
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        await reading


async def promote(postgres: str, model: str, version: str, digest: str) -> None:
    ledger = Ledger.open(Settings(postgres=postgres))
    await ledger.promote(model, version, digest, approver="a test", evidence={})
    await ledger.close()


async def test_it_waits_serves_swaps_and_leaves_in_order(postgres: str, store: Store) -> None:
    """From an empty ledger, through two versions, to SIGTERM and exit code 0."""
    async with started(postgres, store) as server:
        await server.says("waiting for a live model")
        infer = open_infer(Settings(inference=await server.address()))
        with pytest.raises(Unavailable):
            await infer("intent", {"text": "refund"})
        await promote(postgres, "intent", "v1", store.digests["intent"])
        await server.says("serving intent")
        assert (await infer("intent", {"text": "refund"})).card.version == "v1"
        digest = publish_text(store.scratch, store.place, "intent", "v2", {"*": store.encoder}, INTENT, seed=9)
        await promote(postgres, "intent", "v2", digest)
        await server.says("intent v2 is live")
        assert (await infer("intent", {"text": "refund"})).card.version == "v2"
        await infer.close()
        server.process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(server.process.wait(), 60) == 0
    assert "stopped" in server.lines[-1]


async def test_a_changed_byte_keeps_it_from_serving(postgres: str, store: Store) -> None:
    """It ends with an error that names the file, and never says that it serves."""
    weights = store.place / "encoders" / store.encoder / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    await promote(postgres, "intent", "v1", store.digests["intent"])
    async with started(postgres, store) as server:
        assert await asyncio.wait_for(server.process.wait(), 120) == 1
    (line,) = [line for line in server.lines if "CRITICAL" in line]
    assert str(weights) in line
    assert not any("serving " in line and "not serving" not in line for line in server.lines)


async def test_without_postgres_it_waits_and_says_so(store: Store) -> None:
    """Visible in the log; SIGTERM still ends it in order."""
    async with started("postgresql://nobody@127.0.0.1:1/nothing", store) as server:
        await server.says("waiting for the ledger")
        server.process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(server.process.wait(), 60) == 0
