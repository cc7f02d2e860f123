"""One inference process, from its first line of log to leaving in order."""

import asyncio
import gc
import importlib
import json
import logging
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import SERVICE_NAME as HEALTH
from grpc_health.v1.health import aio as health_aio

from protos.inference_pb2_grpc import add_GRPCInferenceServiceServicer_to_server as add_servicer
from services.inference.admission import Admission
from services.inference.engine import Engine
from services.inference.lifecycle import Lifecycle
from services.inference.load import Loader
from services.inference.reading import Readers
from services.inference.registry import Registry
from services.inference.servicer import SERVICE, Servicer
from shared.bundle import SPEC
from shared.health import LIVE
from shared.listener import listen, options
from shared.settings import Settings

log = logging.getLogger(__name__)

MAX_MESSAGE_BYTES = 64 << 20
DRAIN = 15.0  # seconds for the calls in hand when the process stops
_SERVING, _NOT = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING


async def serve(settings: Settings) -> None:
    """Returns when SIGTERM or SIGINT came and the calls in hand are answered.

    Raises:
        BundleError: a live bundle cannot be trusted.
    """
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    importing = asyncio.ensure_future(asyncio.to_thread(preload, settings.models))
    health = health_aio.HealthServicer()
    registry, engine = Registry(), open_engine(settings)

    async def announce(model: str) -> None:
        await health.set(model, _SERVING)
        if not model:
            settle()
            await health.set(SERVICE, _SERVING)
            log.info("serving %s", ", ".join(registry.live()))

    engine.start()
    try:
        async with listening(settings, registry, engine, health):
            following = asyncio.ensure_future(
                _follow(settings, Lifecycle(registry, Loader(settings.models, engine, settings.precision), announce))
            )
            told: asyncio.Future[Any] = asyncio.ensure_future(stop.wait())
            ends: tuple[asyncio.Future[None], ...] = (following, engine.fault)
            await asyncio.wait((told, *ends), return_when=asyncio.FIRST_COMPLETED)
            await health.enter_graceful_shutdown()
            told.cancel()
            for end in ends:
                if end.done():
                    end.result()  # raises what ended it
            following.cancel()
            await importing
    finally:
        await engine.stop()


def settle() -> None:
    """What is in memory now, stays: collecting garbage looks at it no more, which took a tenth of a second from all calls at every swap.

    Models hold no cycles (tests/inference/test_memory.py), so those that were live at the start still leave when they are replaced.
    """
    gc.collect()
    gc.freeze()


def open_engine(settings: Settings) -> Engine:
    """Not yet started."""
    admission = Admission(
        caller_rows=settings.caller_rows, caller_bytes=settings.caller_bytes, weights=settings.caller_weights
    )
    return Engine(admission)


@asynccontextmanager
async def listening(
    settings: Settings, registry: Registry, engine: Engine, health: health_aio.HealthServicer
) -> AsyncIterator[int]:
    """A server that answers (yields its port) until the block ends, and then finishes the calls in hand.

    Raises:
        SystemExit: the address cannot be listened on.
    """
    server = grpc.aio.server(options=options(MAX_MESSAGE_BYTES))
    add_servicer(Servicer(registry, engine, settings), Readers(server))  # type: ignore[no-untyped-call]
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
    await health.set(LIVE, _SERVING)
    for service in ("", SERVICE):
        await health.set(service, _NOT)
    port = await listen(server, settings, SERVICE, HEALTH)
    try:
        yield port
    finally:
        await server.stop(DRAIN)


async def _follow(settings: Settings, lifecycle: Lifecycle) -> None:
    from shared.ledger import Ledger  # imports SQLAlchemy: after the server listens

    ledger = Ledger.open(settings)
    try:
        await lifecycle.follow(ledger.watch())
    finally:
        await ledger.close()


def preload(store: Path) -> None:
    """Imports torch, which takes seconds, while other things are waited for - unless no model in the store needs it."""
    for path in store.glob(f"*/*/{SPEC}"):
        with suppress(OSError, ValueError):
            kind = json.loads(path.read_bytes()).get("kind")
            if kind == "text-classifier":
                importlib.import_module("services.inference.text")
            if kind == "image-classifier":
                importlib.import_module("services.inference.picture")
