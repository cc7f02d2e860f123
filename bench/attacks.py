"""The kinds of attack, one at a time: what is sent, and what may come of it."""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field

import grpc

from bench.company import company, knowns
from bench.faults import fault
from bench.judging import OURS, judge, judge_answer, judge_fault, judge_stream, same
from bench.mutate import good, mutate
from protos import inference_pb2 as oip

SERVICE = "/inference.GRPCInferenceService"
NEIGHBOURS = 40  # different good requests
WITHIN = 60.0  # seconds that any call may take
LARGEST = 64 << 20  # bytes of a message
HUGE = 20_000  # so many requests come to one that is larger
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
Metadata = tuple[tuple[str, str], ...]


@dataclass
class Tally:
    kinds: Counter[str] = field(default_factory=Counter)
    statuses: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)  # what should not have been
    neighbours: int = 0
    harmed: int = 0
    rss: list[float] = field(default_factory=list)  # MB, after each part of the requests


@dataclass(frozen=True)
class Neighbour:
    request: bytes
    answer: oip.ModelInferResponse


class Attacks:
    """On one server. `learn` what is right before anything is wrong."""

    def __init__(self, channel: grpc.aio.Channel, address: str, seed: int) -> None:
        self.tally, self._seed, self._address = Tally(), seed, address
        self._infer = channel.unary_unary(
            f"{SERVICE}/ModelInfer", response_deserializer=oip.ModelInferResponse.FromString
        )
        self._stream = channel.stream_stream(
            f"{SERVICE}/ModelStreamInfer", response_deserializer=oip.ModelStreamInferResponse.FromString
        )
        self._nothing = channel.unary_unary(f"{SERVICE}/NoSuchMethod")
        self._neighbours: list[Neighbour] = []
        self._known = knowns(random.Random(seed))
        self._kinds: dict[Callable[[random.Random, int], Awaitable[str]], int] = {
            self._mutated: 52,
            self._faulty: 28,
            self._mixed: 8,
            self._hurried: 4,
            self._left: 4,
            self._streamed: 3,
            self._garbage: 1,
        }

    async def learn(self) -> None:
        chance = random.Random(self._seed)
        for _ in range(NEIGHBOURS):
            raw = good(chance).SerializeToString()
            self._neighbours.append(Neighbour(raw, await self._infer(raw, timeout=WITHIN)))
        for each in self._known:
            each.learn(await self._infer(each.ask(), timeout=WITHIN))

    async def one(self, number: int) -> None:
        chance = random.Random(f"{self._seed}/{number}")
        (kind,) = chance.choices(list(self._kinds), list(self._kinds.values()))
        if number % HUGE == HUGE - 1:
            kind = self._oversized
        self.tally.kinds[kind.__name__.strip("_")] += 1
        if wrong := await kind(chance, number):
            self.tally.wrong.append(f"{number}, {kind.__name__.strip('_')}: {wrong}")

    async def neighbour(self, number: int) -> None:
        """A good request has the answer that it always has."""
        self.tally.neighbours += 1
        neighbour = random.Random(f"{self._seed}/{number}/neighbour").choice(self._neighbours)
        wrong = ""
        try:
            answer = await self._infer(neighbour.request, timeout=WITHIN, metadata=_caller("neighbour"))
            wrong = "" if same(answer, neighbour.answer) else "had another answer than before"
        except grpc.aio.AioRpcError as error:
            wrong = f"had {error.code().name}: {error.details()}"
        if wrong:
            self.tally.harmed += 1
            self.tally.wrong.append(f"a good request, after {number}, {wrong}")

    async def _mutated(self, chance: random.Random, number: int) -> str:
        raw = mutate(chance)
        try:
            response = await self._infer(raw, timeout=WITHIN, metadata=_odd_caller(chance, number))
        except grpc.aio.AioRpcError as error:
            self._count(error)
            wrong = judge(error)
        else:
            self.tally.statuses["OK"] += 1
            wrong = judge_answer(raw, response)
        return f"{wrong}: {raw[:300].hex()}" if wrong else ""

    async def _faulty(self, chance: random.Random, number: int) -> str:
        """Exactly what is wrong must be told."""
        made = fault(chance)
        self.tally.faults[made.name] += 1
        try:
            await self._infer(made.raw, timeout=WITHIN)
        except grpc.aio.AioRpcError as error:
            self._count(error)
            wrong = judge_fault(made, error)
        else:
            wrong = "it was answered"
        return f"{made.name}: {wrong}" if wrong else ""

    async def _mixed(self, chance: random.Random, number: int) -> str:
        """The good rows of a call with bad ones are answered."""
        made = company(self._known, chance)
        try:
            response = await self._infer(made.raw, timeout=WITHIN)
        except grpc.aio.AioRpcError as error:
            return f"{error.code().name} {error.details()}"
        self.tally.statuses["OK"] += 1
        return made.judge(response)

    async def _hurried(self, chance: random.Random, number: int) -> str:
        """Next to no time, told by the call or as a parameter."""
        request, seconds = good(chance), 10 ** chance.uniform(-6, -1.5)
        if told := chance.random() < 0.5:
            request.parameters["timeout"].int64_param = max(int(seconds * 1e6), 1)
        raw = request.SerializeToString()
        try:
            response = await self._infer(raw, timeout=WITHIN if told else seconds)
        except grpc.aio.AioRpcError as error:
            self._count(error)
            if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED and not told:
                return ""  # the caller's own clock, which need not wait for the server's details
            return judge(error)
        self.tally.statuses["OK"] += 1
        return judge_answer(raw, response)

    async def _left(self, chance: random.Random, number: int) -> str:
        """Its caller does not wait for the answer; one that came sooner must be right."""
        raw = good(chance).SerializeToString() if chance.random() < 0.7 else mutate(chance)
        call = self._infer(raw, timeout=WITHIN)
        await asyncio.sleep(10 ** chance.uniform(-5, -0.5))
        left = call.cancel()
        try:
            response = await call
        except asyncio.CancelledError:
            if not left:
                raise
            status = (await call.code()).name
            self.tally.statuses[status] += 1
            return "" if status in OURS | {"CANCELLED"} else f"{status} {await call.details()}"
        except grpc.aio.AioRpcError as error:
            self._count(error)
            return judge(error)
        self.tally.statuses["OK"] += 1
        return judge_answer(raw, response)

    async def _streamed(self, chance: random.Random, number: int) -> str:
        """Good and bad messages, each of which has its own answer; some streams are left in their midst."""
        made = [
            chance.choice((mutate, lambda c: good(c).SerializeToString(), lambda c: fault(c).raw)) for _ in range(5)
        ]
        sent = [make(chance) for make in made]
        stream = self._stream(iter(sent), timeout=WITHIN)
        came = []
        leaves = chance.randrange(5) if chance.random() < 0.3 else None
        try:
            async for each in stream:
                came.append(each)
                if len(came) == leaves:
                    stream.cancel()
        except asyncio.CancelledError:
            if leaves is None:
                raise
        except grpc.aio.AioRpcError as error:
            self._count(error)
            return f"a stream ended with {error.code().name} {error.details()}"
        return judge_stream(sent[: len(came)] if leaves else sent, came)

    async def _garbage(self, chance: random.Random, number: int) -> str:
        """What is no gRPC, or of no method."""
        if chance.random() < 0.5:
            return await self._expect(grpc.StatusCode.UNIMPLEMENTED, self._nothing(chance.randbytes(9), timeout=WITHIN))
        host, _, port = self._address.rpartition(":")
        start = chance.choice((b"", PREFACE, PREFACE + bytes(9), b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01"))
        with suppress(OSError):
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(start + chance.randbytes(chance.choice((0, 9, 1000, 100_000))))
            with suppress(TimeoutError):
                async with asyncio.timeout(0.05):
                    await reader.read(100)
            writer.close()
            await writer.wait_closed()
        return ""

    async def _oversized(self, chance: random.Random, number: int) -> str:
        return await self._expect(grpc.StatusCode.RESOURCE_EXHAUSTED, self._infer(bytes(LARGEST + 1), timeout=WITHIN))

    async def _expect(self, code: grpc.StatusCode, call: Awaitable[object]) -> str:
        try:
            await call
        except grpc.aio.AioRpcError as error:
            self._count(error)
            return "" if error.code() is code else f"{error.code().name} {error.details()}, not {code.name}"
        return "it was answered"

    def _count(self, error: grpc.aio.AioRpcError) -> None:
        self.tally.statuses[error.code().name] += 1


def _caller(name: str) -> Metadata:
    return (("tidemill-caller", name),)


def _odd_caller(chance: random.Random, number: int) -> Metadata:
    """None, one of thousands that come once, or one with an odd name."""
    kind = chance.randrange(4)
    if kind == 1:
        return _caller(f"caller-{number}")
    return _caller("".join(chance.choices(" ~!/%", k=chance.choice((0, 1, 1000))))) if kind == 2 else ()
