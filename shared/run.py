"""`python -m services.<domain> stream|serve`: one process of a domain, from waiting for what it needs to leaving in order."""

import asyncio
import logging
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import grpc
import uvloop
from grpc_health.v1.health import SERVICE_NAME as HEALTH

from shared import logs, telemetry
from shared.domain import Domain
from shared.errors import Unavailable
from shared.health import Health
from shared.listener import listen, options
from shared.means import Ready, open_means
from shared.serve.projector import Projector
from shared.serve.service import MAX_MESSAGE_BYTES, Service
from shared.serve.tally import Tally
from shared.settings import Settings

log = logging.getLogger(__name__)

DRAIN = 15.0  # seconds for the calls in hand when the process stops, then as long again for what is left to publish

Role = Callable[[Domain, Settings, asyncio.Event], Awaitable[None]]


def run(domain: Domain) -> None:
    """The whole process. Returns when SIGTERM or SIGINT came and everything in hand is finished."""
    roles: dict[str, Role] = {"stream": stream, "serve": serve}
    role = roles.get(sys.argv[1]) if len(sys.argv) == 2 else None
    if role is None:
        sys.exit(f"usage: python -m services.{domain.name} stream|serve")
    logs.start()
    telemetry.start(domain.name)
    try:
        uvloop.run(_until_told(role, domain, Settings()))
    finally:
        telemetry.stop()


async def _until_told(role: Role, domain: Domain, settings: Settings) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await role(domain, settings, stop)
    log.info("%s: stopped", domain.name)


async def stream(domain: Domain, settings: Settings, stop: asyncio.Event) -> None:
    """The streamed door; its gRPC server answers health checks only."""
    from shared.stream.watchdog import Watchdog
    from shared.stream.worker import Worker  # importing Faust takes a second, which the other role does without

    health, watchdog = Health(domain.service), Watchdog()
    async with _server(settings, health), AsyncExitStack() as stack:
        ready = await _unless(stop, open_means(domain, settings, stack))
        if ready is None:
            return
        worker = Worker(domain, settings, ready.means, ready.publisher, watchdog)
        watchdog.watch("starting", 120.0)
        watchdog.start()
        await worker.start()
        watchdog.forget("starting")
        watchdog.watch("the event loop", 60.0)
        log.info("%s: taking events from %s", domain.name, domain.requests)
        while not stop.is_set():
            watchdog.beat("the event loop")
            await health.set(await worker.progressing())
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), 1.0)
        await health.stop()
        await worker.stop()
        watchdog.stop()


async def serve(domain: Domain, settings: Settings, stop: asyncio.Event) -> None:
    """The synchronous door."""
    health, service = Health(domain.service), Service(domain, settings)
    async with _server(settings, health, service) as server, AsyncExitStack() as stack:
        ready = await _unless(stop, open_means(domain, settings, stack, outbox=True))
        if ready is None:
            return
        tally, projector = _open(domain, settings, service, ready)
        background = [asyncio.ensure_future(projector.work()), asyncio.ensure_future(tally.keep())]
        await health.set(True)
        log.info("%s: answering calls", domain.name)
        await asyncio.wait([asyncio.ensure_future(stop.wait()), *background], return_when=asyncio.FIRST_COMPLETED)
        await health.stop()
        service.close()
        await server.stop(DRAIN)
        await service.finished()
        await projector.drain(DRAIN)
        for task in background:
            task.cancel()
        await asyncio.gather(*background, return_exceptions=True)
        with suppress(Unavailable):  # its last counts are then missing: nothing that was settled is
            await tally.flush()
        for task in background:
            if not task.cancelled():
                task.result()  # a fault of ours ended it


def _open(domain: Domain, settings: Settings, service: Service, ready: Ready) -> tuple[Tally, Projector]:
    tally = Tally(domain.name, settings.instance, ready.store)
    projector = Projector(domain, ready.store, ready.means.projection, ready.publisher)
    service.open(ready.means, tally, projector)
    return tally, projector


@asynccontextmanager
async def _server(settings: Settings, health: Health, service: Service | None = None) -> AsyncIterator[grpc.aio.Server]:
    """A listening gRPC server, NOT_SERVING as yet.

    Raises:
        SystemExit: the address cannot be listened on.
    """
    server = grpc.aio.server(options=options(MAX_MESSAGE_BYTES))
    await health.attach(server)
    if service is not None:
        server.add_generic_rpc_handlers((service.handlers(),))
    await listen(server, settings, *((service.name, HEALTH) if service else ()))
    try:
        yield server
    finally:
        await server.stop(1.0)


async def _unless(stop: asyncio.Event, opening: Awaitable[Ready]) -> Ready | None:
    """What is opened; None if the process is told to stop meanwhile."""
    task = asyncio.ensure_future(opening)
    told = asyncio.ensure_future(stop.wait())
    await asyncio.wait([task, told], return_when=asyncio.FIRST_COMPLETED)
    told.cancel()
    if task.done():
        return task.result()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return None
