"""Bad requests by the hundred thousand: `python -m bench.fuzz [--requests N] [--seed N] [HOST:PORT]`.

Without an address it starts a server of its own (`bench.small`) and watches its memory. Every request was well formed until something was
done to it (`bench.mutate`). Each must end with a status that says what it is about; every so often a well-formed request goes between
them, and must have the answer that it always has. Exit status 1 if anything was otherwise.
"""

import argparse
import asyncio
import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import numpy as np
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2
from grpc_status.rpc_status import from_call

from bench.machine import describe, result
from bench.mutate import good, mutate
from protos import inference_pb2 as oip

METHOD = "/inference.GRPCInferenceService/ModelInfer"
ROOT = Path(__file__).resolve().parents[1]
AT_ONCE = 16
EVERY = 10  # so many bad requests come to one good one
NEIGHBOURS = 40  # different good ones
WITHIN = 60.0  # seconds that any call may take
WARM = 0.2  # share of the requests after which memory is first looked at: until then pools and caches fill
GROWTH = 24.0  # MB that may be added from then on
OURS = {"OK", "INVALID_ARGUMENT", "NOT_FOUND", "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED"}


@dataclass
class Tally:
    statuses: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)  # what should not have been
    neighbours: int = 0
    harmed: int = 0
    rss: list[float] = field(default_factory=list)  # MB, after the first WARM of the requests, and at the end


@dataclass(frozen=True)
class Neighbour:
    request: bytes
    answer: oip.ModelInferResponse


class Fuzz:
    """One run against one server. `pid`: whose memory is watched."""

    def __init__(self, channel: grpc.aio.Channel, seed: int, pid: int | None = None) -> None:
        self.tally, self._chance, self._pid = Tally(), random.Random(seed), pid
        self._infer = channel.unary_unary(METHOD, response_deserializer=oip.ModelInferResponse.FromString)
        self._neighbours: list[Neighbour] = []

    async def run(self, requests: int) -> Tally:
        for _ in range(NEIGHBOURS):
            raw = good(self._chance).SerializeToString()
            self._neighbours.append(Neighbour(raw, await self._infer(raw, timeout=WITHIN)))
        for count in (int(requests * WARM), requests - int(requests * WARM)):
            left = iter(range(count))
            await asyncio.gather(*(self._work(left) for _ in range(AT_ONCE)))
            if self._pid is not None:
                self.tally.rss.append(_memory(self._pid))
        return self.tally

    async def _work(self, left: Iterator[int]) -> None:
        for number in left:
            await self._attack(mutate(self._chance))
            if number % EVERY == 0:
                await self._ask(self._chance.choice(self._neighbours))

    async def _attack(self, raw: bytes) -> None:
        try:
            response = await self._infer(raw, timeout=WITHIN)
        except grpc.aio.AioRpcError as error:
            self.tally.statuses[error.code().name] += 1
            fault = judge(raw, error)
        else:
            self.tally.statuses["OK"] += 1
            fault = judge_answer(raw, response)
        if fault:
            self.tally.wrong.append(f"{fault}: {raw[:300].hex()}")

    async def _ask(self, neighbour: Neighbour) -> None:
        self.tally.neighbours += 1
        try:
            answer = await self._infer(neighbour.request, timeout=WITHIN, metadata=(("tidemill-caller", "neighbour"),))
        except grpc.aio.AioRpcError as error:
            self.tally.harmed += 1
            self.tally.wrong.append(f"a good request had {error.code().name}: {error.details()}")
            return
        if not same(answer, neighbour.answer):
            self.tally.harmed += 1
            self.tally.wrong.append("a good request had another answer than before")


def judge(raw: bytes, error: grpc.aio.AioRpcError) -> str:
    """What is wrong with a refusal; nothing if it is right: a status of ours, and INVALID_ARGUMENT names the field at fault."""
    if error.code().name not in OURS:
        return f"{error.code().name} {error.details()}"
    try:
        status = from_call(error)
    except ValueError as other:
        return f"details that contradict the status: {other}"
    if status is None:
        return f"{error.code().name} without details"
    details = [each.TypeName() for each in status.details]
    if error_details_pb2.ErrorInfo.DESCRIPTOR.full_name not in details:
        return f"{error.code().name} without a reason"
    if (
        error.code() == grpc.StatusCode.INVALID_ARGUMENT
        and error_details_pb2.BadRequest.DESCRIPTOR.full_name not in details
    ):
        return f"INVALID_ARGUMENT without a field: {error.details()}"
    return ""


def judge_answer(raw: bytes, response: oip.ModelInferResponse) -> str:
    """What is wrong with an answer: a row of every output for each of the request, and probabilities, of a bad row zeros."""
    try:
        request = oip.ModelInferRequest.FromString(raw)
    except DecodeError:
        return "what is no message was answered"
    if response.id != request.id:
        return "another id"
    rows = request.inputs[0].shape[0]
    for output, content in zip(response.outputs, response.raw_output_contents, strict=True):
        if output.shape[0] != rows:
            return f"{output.name} has {output.shape[0]} rows of {rows}"
        if output.datatype == "FP32":
            sums = np.frombuffer(content, "<f4").reshape(tuple(output.shape)).sum(1)
            if not (np.isclose(sums, 1, atol=1e-3) | (sums == 0)).all():
                return f"{output.name} sums to {sums}"
    return ""


def same(one: oip.ModelInferResponse, other: oip.ModelInferResponse) -> bool:
    if [each.name for each in one.outputs] != [each.name for each in other.outputs]:
        return False
    for output, mine, theirs in zip(one.outputs, one.raw_output_contents, other.raw_output_contents, strict=True):
        if output.datatype != "FP32":
            if mine != theirs:
                return False
        elif not np.allclose(np.frombuffer(mine, "<f4"), np.frombuffer(theirs, "<f4"), atol=1e-4):
            return False
    return True


def _memory(pid: int) -> float:
    import psutil

    return float(psutil.Process(pid).memory_info().rss) / 1e6


@contextmanager
def _own() -> Iterator[tuple[str, int]]:
    """(address, pid) of a server that is there for this run alone, and remembers no answers: each must be computed."""
    environment = {**os.environ, "TIDEMILL_CACHE_BYTES": "0"}
    command = [sys.executable, "-m", "bench.small"]
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        try:
            yield process.stdout.readline().decode().strip(), process.pid
        finally:
            process.stdin.close()  # which ends it


async def attack(address: str, requests: int, seed: int, pid: int | None = None) -> Tally:
    async with grpc.aio.insecure_channel(address, [("grpc.max_receive_message_length", 64 << 20)]) as channel:
        return await Fuzz(channel, seed, pid).run(requests)


def _report(tally: Tally, requests: int, seconds: float) -> bool:
    """Whether everything was right."""
    print(
        f"{requests:,} bad requests in {seconds:.0f} s; {tally.neighbours:,} good ones between them, {tally.harmed} harmed"
    )
    for name, count in tally.statuses.most_common():
        result(f"status.{name}", count)
    result("requests", requests)
    result("requests_per_s", requests / seconds)
    result("neighbours", tally.neighbours)
    result("neighbours_harmed", tally.harmed)
    result("wrong", len(tally.wrong))
    grown = 0.0
    if tally.rss:
        before, after = tally.rss
        grown = after - before
        result("rss_before_mb", before)
        result("rss_after_mb", after)
    for each in tally.wrong[:20]:
        print(f"  wrong: {each}"[:700])
    return not tally.wrong and grown <= GROWTH


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument(
        "address", nargs="?", metavar="HOST:PORT", help="with models intent, risk and imaging; else one is started"
    )
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    given: Any = parser.parse_args()
    print(describe(given.seed))
    began = time.monotonic()
    if given.address:
        tally = asyncio.run(attack(given.address, given.requests, given.seed))
    else:
        with _own() as (address, pid):
            tally = asyncio.run(attack(address, given.requests, given.seed, pid))
    return 0 if _report(tally, given.requests, time.monotonic() - began) else 1


if __name__ == "__main__":
    sys.exit(main())
