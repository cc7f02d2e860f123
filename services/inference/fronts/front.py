"""A front: one of several processes that speak gRPC on one port."""

import asyncio
import json
import signal
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any
from weakref import WeakValueDictionary, finalize

from grpc_health.v1 import health_pb2
from grpc_health.v1.health import aio as health_aio

from protos import inference_pb2 as oip
from services.inference.calls import Context
from services.inference.fronts.far import Far, FarModel
from services.inference.fronts.pipe import Kind, Pipe, connect
from services.inference.listening import announce, listening, open_admission, open_health
from services.inference.registry import Entry, Registry
from services.inference.servicer import Servicer
from services.inference.statistics import tell
from shared.health import LIVE
from shared.settings import Settings

BEAT = 1.0  # seconds between two tallies, each of which is answered with a pulse
SILENT = 30.0  # seconds without one, after which nothing here is alive, whatever this process can say itself
_SERVING, _NOT = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING


class FrontServicer(Servicer):
    """What is asked of the service as a whole, no front knows alone."""

    def __init__(self, registry: Registry, far: Far, settings: Settings) -> None:
        super().__init__(registry, far, settings)
        self._far = far

    async def ModelStatistics(  # noqa: N802
        self, request: oip.ModelStatisticsRequest, context: Context
    ) -> oip.ModelStatisticsResponse:
        if request.name:
            await self._find(request, context)
        return oip.ModelStatisticsResponse.FromString(await self._consult("ModelStatistics", request))

    async def RepositoryIndex(  # noqa: N802
        self, request: oip.RepositoryIndexRequest, context: Context
    ) -> oip.RepositoryIndexResponse:
        return oip.RepositoryIndexResponse.FromString(await self._consult("RepositoryIndex", request))

    async def _consult(self, method: str, request: Any) -> bytes:
        return await self._far.ask(Kind.CONSULT, f"{method}\0".encode(), request.SerializeToString())


class Front:
    """`run` it once."""

    def __init__(self, settings: Settings) -> None:
        self._settings, self._registry, self._far = settings, Registry(), Far(open_admission(settings))
        self._known: WeakValueDictionary[int, FarModel] = WeakValueDictionary()
        self._states: asyncio.Queue[tuple[int, bytes]] = asyncio.Queue()
        self._leaving = asyncio.Event()
        self._health: health_aio.HealthServicer | None = None
        self._pipe: Pipe

    async def run(self, end: socket.socket) -> bool:
        """Until it is told to leave (True), or the process at the other end is gone (False)."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._leaving.set)
        loop.add_signal_handler(signal.SIGINT, lambda: None)  # a terminal sends it to all; the other process says when
        self._pipe = self._far.pipe = await connect(end, self._hear)
        self._pipe.closed.add_done_callback(lambda _: self._far.lose())
        serving, beating, leaving = (
            asyncio.ensure_future(each()) for each in (self._serve, self._beat, self._leaving.wait)
        )
        await asyncio.wait((serving, leaving, self._pipe.closed), return_when=asyncio.FIRST_COMPLETED)
        if serving.done():
            serving.result()  # raises what ended it
        for task in (serving, leaving):
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        beating.cancel()
        gone = self._pipe.closed.done()
        self._pipe.close()
        return not gone

    def _hear(self, kind: int, number: int, body: bytes) -> None:
        if kind == Kind.STATE:
            self._states.put_nowait((number, body))
        elif kind == Kind.COUNT:
            self._tell_tally(number)
        elif kind == Kind.LEAVE:
            self._leaving.set()
        else:
            self._far.hear(kind, number, body)

    async def _serve(self) -> None:
        """Nobody is let in before it is known what is live."""
        health = self._health = await open_health()
        await self._apply(health)
        async with listening(
            self._settings, FrontServicer(self._registry, self._far, self._settings), health, shared=True
        ):
            while True:
                await self._apply(health)

    async def _apply(self, health: health_aio.HealthServicer) -> None:
        number, body = await self._states.get()
        state = json.loads(body)
        self._registry.models = {
            name: Entry([self._find(each) for each in versions]) for name, versions in state["models"].items()
        }
        self._registry.ready = state["ready"]
        for model in state["serving"]:
            await announce(health, model)
        self._pipe.send(Kind.APPLIED, number)

    def _find(self, told: Mapping[str, Any]) -> FarModel:
        model = self._known.get(told["number"])
        if model is None:
            model = self._known[told["number"]] = FarModel.read(told, self._far)
            finalize(model, self._forget, asyncio.get_running_loop(), model.number).atexit = False
        return model

    def _forget(self, loop: asyncio.AbstractEventLoop, version: int) -> None:
        """Called by whichever thread lets go of it last."""
        if not loop.is_closed():
            loop.call_soon_threadsafe(self._pipe.send, Kind.FORGET, version)

    async def _beat(self) -> None:
        while True:
            self._tell_tally(0)
            if self._health:
                alive = time.monotonic() - self._far.heard < SILENT
                await self._health.set(LIVE, _SERVING if alive else _NOT)
            await asyncio.sleep(BEAT)

    def _tell_tally(self, number: int) -> None:
        told = tell(self._registry.records, oip.ModelStatisticsRequest())
        self._pipe.send(Kind.TALLY, number, told.SerializeToString())
