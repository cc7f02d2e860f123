"""One inference process, from its first line of log to leaving in order."""

import asyncio
import gc
import importlib
import json
import logging
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from services.inference.engine import Engine
from services.inference.fronts.fronted import fronted
from services.inference.fronts.port import count_fronts
from services.inference.lifecycle import Lifecycle
from services.inference.listening import announce, listening, open_admission, open_health
from services.inference.load import open_loader
from services.inference.registry import Registry
from services.inference.servicer import Servicer
from shared.bundle import SPEC
from shared.settings import Settings

log = logging.getLogger(__name__)

Announce = Callable[[str], Awaitable[None]]


async def serve(settings: Settings) -> None:
    """Returns when SIGTERM or SIGINT came and the calls in hand are answered.

    Raises:
        BundleError: a live bundle cannot be trusted.
    """
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    importing = asyncio.ensure_future(asyncio.to_thread(preload, settings.models))
    registry, engine = Registry(), Engine(open_admission(settings))
    engine.start()
    try:
        async with _open(settings, registry, engine) as publish:

            async def tell(model: str) -> None:
                if model:
                    await publish(model)
                else:
                    settle()
                    await publish("")
                    log.info("serving %s", ", ".join(registry.live()))

            following = asyncio.ensure_future(
                _follow(settings, Lifecycle(registry, open_loader(settings, engine), tell))
            )
            told: asyncio.Future[Any] = asyncio.ensure_future(stop.wait())
            ends: tuple[asyncio.Future[None], ...] = (following, engine.fault)
            await asyncio.wait((told, *ends), return_when=asyncio.FIRST_COMPLETED)
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


@asynccontextmanager
async def _open(settings: Settings, registry: Registry, engine: Engine) -> AsyncIterator[Announce]:
    """Callers are answered, by this process or by fronts of it; yields what is to be told of a model that is live."""
    if fronts := count_fronts(settings.fronts, settings.listen):
        async with fronted(settings, fronts, registry, engine) as publish:
            yield publish
    else:
        health = await open_health()
        async with listening(settings, Servicer(registry, engine, settings), health):
            yield partial(announce, health)


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
