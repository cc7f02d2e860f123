"""The process with the device and its models, as a front sees them."""

import asyncio
import struct
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

import grpc

from services.inference.admission import Admission
from services.inference.engine import Call
from services.inference.fronts.asking import read_answer, read_refusal, write_ask
from services.inference.fronts.pipe import Kind, Pipe
from services.inference.refusal import Refusal
from services.inference.served import Answer
from services.inference.tensors import Tensor, TensorSpec
from services.inference.units import Batch

PULSE = struct.Struct("<d")  # seconds


class Far:
    """To a servicer, its engine.

    `admission` bounds what this front holds. Who is let in is decided over there, over all fronts; but what is over a limit in this front
    alone is over it in any case, and is not even sent.
    """

    pipe: Pipe
    waiting = 0  # rows do that over there
    on_batch: Callable[[Batch, float], None]  # never called: passes are counted where they are made

    def __init__(self, admission: Admission) -> None:
        self.admission = admission
        self._drain, self._lost = 0.05, False
        self.heard = time.monotonic()  # when there was a sign of life from over there
        self._numbers = count()
        self._asked: dict[int, asyncio.Future[bytes]] = {}

    def drain_time(self) -> float:
        """Seconds until what waits over there is computed, as it was told of late."""
        return self._drain

    async def ask(self, kind: Kind, *parts: bytes) -> bytes:
        """What it answers. Whoever leaves here, leaves there too.

        Raises:
            Refusal: as it was refused there; UNAVAILABLE: there is nobody left.
        """
        if self._lost:
            raise _lost()
        number = next(self._numbers) & 0xFFFFFFFF
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._asked[number] = answer
        self.pipe.send(kind, number, *parts)
        try:
            return await answer
        except asyncio.CancelledError:
            self.pipe.send(Kind.CANCEL, number)
            raise
        finally:
            del self._asked[number]

    def lose(self) -> None:
        """It is gone, and will answer nothing."""
        self._lost = True
        for waiting in self._asked.values():
            if not waiting.done():
                waiting.set_exception(_lost())

    def hear(self, kind: int, number: int, body: bytes) -> None:
        """An answer, a refusal or a pulse."""
        if kind == Kind.PULSE:
            (self._drain,) = PULSE.unpack(body)
            self.heard = time.monotonic()
            return
        waiting = self._asked.get(number)
        if waiting is None or waiting.done():  # it has left
            return
        if kind == Kind.ANSWER:
            waiting.set_result(body)
        else:
            waiting.set_exception(read_refusal(body))


def _lost() -> Refusal:
    return Refusal(grpc.StatusCode.UNAVAILABLE, "DEVICE_LOST", "the process with the models has ended; ask again")


@dataclass(frozen=True, eq=False)
class FarModel:
    """A version in memory over there, for as long as this is."""

    name: str
    version: str
    platform: str
    card: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    number: int
    far: Far

    @classmethod
    def read(cls, told: Mapping[str, Any], far: Far) -> "FarModel":
        inputs, outputs = (_read_specs(told[side]) for side in ("inputs", "outputs"))
        return cls(told["name"], told["version"], told["platform"], told["card"], inputs, outputs, told["number"], far)

    async def answer(self, rows: int, tensors: Mapping[str, Tensor], call: Call) -> Answer:
        return read_answer(await self.far.ask(Kind.ASK, *write_ask(self.number, rows, tensors, call)))


def _read_specs(told: Sequence[Sequence[Any]]) -> tuple[TensorSpec, ...]:
    return tuple(TensorSpec(name, kind, tuple(shape), optional) for name, kind, shape, optional in told)
