"""Promotion and rollback under load: the running inference service answers with the new version, and no call fails."""

import asyncio
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc

from bench.local import Local
from protos import event_pb2, intent_pb2
from shared.bundle import Bundle, load, publish
from shared.ledger import Ledger
from shared.settings import Settings
from tests.whole.sending import call, new_source

SWAP_WITHIN = 10.0  # s


@asynccontextmanager
async def ledger_of(stack: Local) -> AsyncIterator[Ledger]:
    ledger = Ledger.open(Settings(postgres=stack.address("postgres")))
    try:
        yield ledger
    finally:
        await ledger.close()


def edit(models: Path, version: str, fresh: str, scratch: Path) -> str:
    """The live intent bundle once more, under another version and with one threshold moved; its digest."""
    shutil.copytree(models / "intent" / version, scratch / fresh, dirs_exist_ok=True)
    spec = load(models / "intent" / version, Bundle)
    moved = spec.model_copy(update={"thresholds": {**spec.thresholds, "intent.confident": 0.123}})
    return publish(scratch / fresh, moved, models, fresh)[1]


class Callers:
    """Calls without a pause, each noting when it ended and which version answered."""

    def __init__(self, stack: Local) -> None:
        self.answered: list[tuple[float, str]] = []
        self.failed: list[str] = []
        self._stack = stack
        self._source = new_source()

    async def __aenter__(self) -> "Callers":
        self._tasks = [asyncio.create_task(self._call(number)) for number in range(4)]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def version(self, wanted: str, within: float) -> float:
        """When the last answer of another version came, once only `wanted` answers."""
        deadline = time.monotonic() + within
        while time.monotonic() < deadline:
            if self.answered and all(version == wanted for _, version in self.answered[-8:]):
                return max((at for at, version in self.answered if version != wanted), default=0.0)
            await asyncio.sleep(0.1)
        raise AssertionError(f"{wanted} does not answer after {within:.0f} s: {self.answered[-3:]}")

    async def _call(self, worker: int) -> None:
        async with grpc.aio.insecure_channel(self._stack.address("intent")) as channel:
            for number in range(1_000_000):
                event = event_pb2.Event(source=self._source, id=f"{worker}-{number}")
                message = intent_pb2.IntentCall(
                    event=event, request=intent_pb2.IntentRequest(text=f"please cancel order {number}", language="en")
                )
                try:
                    reply = await call(channel, "intent", message)
                except grpc.aio.AioRpcError as error:
                    self.failed.append(f"{error.code().name}: {error.details()}")
                    continue
                self.answered.append((time.monotonic(), reply.result.answer.model.version))


async def test_promotion_and_rollback_under_load(stack: Local, tmp_path: Path) -> None:
    """Every call is answered, within seconds by the promoted version and then by the old one again; inference is never restarted."""
    models = Path(stack.values()["TIDEMILL_MODELS"])
    before = stack.processes()["inference"]
    async with ledger_of(stack) as ledger, Callers(stack) as callers:
        entry = await ledger.live("intent")
        assert entry is not None
        await callers.version(entry.version, 60)
        digest = edit(models, entry.version, "edited", tmp_path)
        promoted = time.monotonic()
        await ledger.promote("intent", "edited", digest, approver="test", evidence={"why": "a test"})
        assert await callers.version("edited", 60) - promoted < SWAP_WITHIN
        back = time.monotonic()
        await ledger.rollback("intent", approver="test", reason="the test is over")
        assert await callers.version(entry.version, 60) - back < SWAP_WITHIN
    assert callers.failed == []
    assert stack.processes()["inference"] == before
