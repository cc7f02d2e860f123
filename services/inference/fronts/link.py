"""What one front asks, answered where the device is."""

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace

from protos import inference_pb2 as oip
from services.inference import refusal
from services.inference.admission import Full
from services.inference.engine import Engine
from services.inference.fronts.asking import read_ask, write_answer, write_refusal
from services.inference.fronts.far import PULSE
from services.inference.fronts.pipe import Kind, Pipe, connect
from services.inference.served import Served

Consult = Callable[[bytes], Awaitable[bytes]]


class Link:
    """`connect` it, and `close` it when its front is gone: whatever that had asked is dropped."""

    pipe: Pipe

    def __init__(self, engine: Engine, consult: Consult, kill: Callable[[], None]) -> None:
        """
        Args:
            consult: answers what is asked of the service as a whole.
            kill: ends a front that does not answer.
        """
        self._engine, self._consult, self.kill = engine, consult, kill
        self._versions: dict[int, Served] = {}  # that the front may ask
        self._working: dict[int, asyncio.Task[None]] = {}
        self._unconfirmed: dict[tuple[int, int], asyncio.Future[None]] = {}
        self.heard = time.monotonic()  # its last tally, of which it sends one every second
        self.tally = oip.ModelStatisticsResponse()  # what it has done, as it last said

    async def connect(self, end: socket.socket) -> None:
        self.pipe = await connect(end, self.hear)

    def close(self) -> None:
        for task in self._working.values():
            task.cancel()
        for confirmed in self._unconfirmed.values():
            confirmed.set_result(None)
        self._unconfirmed.clear()
        self._versions.clear()

    def tell(self, state: int, body: bytes, versions: Mapping[int, Served]) -> "asyncio.Future[None]":
        """Done when the front's callers see this state, or when it is gone."""
        self._versions.update(versions)
        return self._confirm(Kind.APPLIED, state, Kind.STATE, body)

    def count(self, number: int) -> "asyncio.Future[None]":
        """Done when `tally` is of now, or when it is gone."""
        return self._confirm(Kind.TALLY, number, Kind.COUNT)

    def _confirm(self, by: Kind, number: int, kind: Kind, body: bytes = b"") -> "asyncio.Future[None]":
        confirmed = self._unconfirmed[by, number] = asyncio.get_running_loop().create_future()
        self.pipe.send(kind, number, body)
        return confirmed

    def hear(self, kind: int, number: int, body: bytes) -> None:
        if kind == Kind.ASK:
            self._work(number, self._answer, body)
        elif kind == Kind.CANCEL:
            if task := self._working.get(number):
                task.cancel()
        elif kind == Kind.CONSULT:
            self._work(number, self._answer_whole, body)
        elif kind == Kind.FORGET:
            self._versions.pop(number, None)
        else:
            self._note(Kind(kind), number, body)

    def _note(self, kind: Kind, number: int, body: bytes) -> None:
        if kind == Kind.TALLY:
            self.tally, self.heard = oip.ModelStatisticsResponse.FromString(body), time.monotonic()
            self.pipe.send(Kind.PULSE, 0, PULSE.pack(self._engine.drain_time()))
        if confirmed := self._unconfirmed.pop((kind, number), None):
            confirmed.set_result(None)

    def _work(self, number: int, answer: Callable[[bytes], Awaitable[list[bytes]]], body: bytes) -> None:
        task = self._working[number] = asyncio.ensure_future(self._reply(number, answer, body))
        task.add_done_callback(lambda _: self._working.pop(number))

    async def _reply(self, number: int, answer: Callable[[bytes], Awaitable[list[bytes]]], body: bytes) -> None:
        try:
            self.pipe.send(Kind.ANSWER, number, *await answer(body))
        except Exception as error:
            self.pipe.send(Kind.REFUSAL, number, write_refusal(refusal.explain(error, "what a front asked")))

    async def _answer_whole(self, body: bytes) -> list[bytes]:
        return [await self._consult(body)]

    async def _answer(self, body: bytes) -> list[bytes]:
        ask = read_ask(body)
        served, call = self._versions[ask.version], ask.call
        if call.deadline <= time.monotonic():
            raise refusal.expired()
        try:
            with self._engine.admission.enter(ask.rows, len(body), call.caller, call.priority):
                return write_answer(await served.answer(ask.rows, ask.tensors.tensors(), replace(call, model=served)))
        except Full as full:
            raise refusal.full(full.reason, full.detail, call.caller, self._engine.drain_time()) from None
