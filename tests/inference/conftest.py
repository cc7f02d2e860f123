"""A server in this process, on models made for the test, following a ledger that the test turns."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import grpc
import pytest

from protos import inference_pb2_grpc
from services.cli.local import port
from services.inference.engine import Engine
from services.inference.fronts.fronted import fronted
from services.inference.lifecycle import Lifecycle
from services.inference.listening import MAX_MESSAGE_BYTES, announce, listening, open_admission, open_health
from services.inference.load import open_loader
from services.inference.registry import Registry
from services.inference.serve import Announce
from services.inference.servicer import Servicer
from shared.settings import Settings
from tests.inference.bundles import publish_encoder, publish_prior, publish_text

INTENT = {"intent": ["card_lost", "refund", "parcel_late"], "sentiment": ["negative", "neutral", "positive"]}
RISK = {"severity": ["none", "low", "medium", "high"], "sentiment": ["negative", "neutral", "positive"]}


@dataclass(frozen=True)
class Pointer:
    version: str
    bundle_digest: str


@dataclass
class Turning:
    """A ledger in memory: `point` moves what is live."""

    live: dict[str, Pointer] = field(default_factory=dict)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def point(self, model: str, version: str, digest: str) -> None:
        self.live = {**self.live, model: Pointer(version, digest)}
        self.changed.set()

    async def watch(self) -> AsyncIterator[dict[str, Pointer]]:
        while True:
            self.changed.clear()
            yield dict(self.live)
            await self.changed.wait()


@dataclass
class Store:
    """A bundle store with `intent` v1 and `risk` v1 on one encoder, and `imaging` v1, which answers its prior."""

    scratch: Path
    place: Path
    encoder: str = ""
    digests: dict[str, str] = field(default_factory=dict)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store(tmp_path, tmp_path / "models")
    made.encoder = publish_encoder(tmp_path, made.place)
    route = {"*": made.encoder}
    made.digests["intent"] = publish_text(tmp_path, made.place, "intent", "v1", route, INTENT)
    made.digests["risk"] = publish_text(tmp_path, made.place, "risk", "v1", route, RISK, seed=2)
    made.digests["imaging"] = publish_prior(tmp_path, made.place, "imaging", "v1", {"normal": 0.75, "opacity": 0.25})
    return made


@dataclass
class Running:
    """An inference server in this process."""

    address: str
    stub: inference_pb2_grpc.GRPCInferenceServiceStub
    registry: Registry
    ledger: Turning
    engine: Engine
    lifecycle: "asyncio.Task[None]"

    async def until_live(self, model: str, version: str) -> None:
        await until(lambda: self.registry.find(model).version == version)


async def until(true: Callable[[], bool]) -> None:
    """Waits, up to a minute, for what has no event of its own."""
    async with asyncio.timeout(60):
        while not true():  # noqa: ASYNC110 - what is waited for is seen only by looking
            await asyncio.sleep(0.01)


@asynccontextmanager
async def serving(settings: Settings, ledger: Turning) -> AsyncIterator[Running]:
    registry, engine = Registry(), Engine(open_admission(settings))
    engine.start()
    try:
        async with _doors(settings, registry, engine) as (address, tell):
            lifecycle = Lifecycle(registry, open_loader(settings, engine), tell)
            following = asyncio.ensure_future(lifecycle.follow(ledger.watch()))
            limits = [(f"grpc.max_{way}_message_length", MAX_MESSAGE_BYTES) for way in ("send", "receive")]
            async with grpc.aio.insecure_channel(address, limits) as channel:
                stub = inference_pb2_grpc.GRPCInferenceServiceStub(channel)  # type: ignore[no-untyped-call]
                yield Running(address, stub, registry, ledger, engine, following)
            following.cancel()
            with suppress(asyncio.CancelledError):
                await following
    finally:
        await engine.stop()


@asynccontextmanager
async def _doors(settings: Settings, registry: Registry, engine: Engine) -> AsyncIterator[tuple[str, Announce]]:
    """The address, and what is told that a model is live."""
    if settings.fronts:
        free = settings.model_copy(update={"listen": f"127.0.0.1:{port.free()}"})
        async with fronted(free, settings.fronts, registry, engine) as publish:
            yield free.listen, publish
    else:
        health = await open_health()
        async with listening(settings, Servicer(registry, engine, settings), health) as found:
            yield f"127.0.0.1:{found}", partial(announce, health)


@pytest.fixture
async def engine() -> AsyncIterator[Engine]:
    made = Engine()
    made.start()
    yield made
    await made.stop()


@pytest.fixture
async def running(store: Store) -> AsyncIterator[Running]:
    """All three models of `store`, live."""
    ledger = Turning()
    for model, digest in store.digests.items():
        ledger.point(model, "v1", digest)
    async with serving(Settings(models=store.place), ledger) as server:
        await until(lambda: server.registry.ready or server.lifecycle.done())
        assert server.registry.ready, server.lifecycle.result()
        yield server
