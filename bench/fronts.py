"""What a call costs the process with the device, with fronts and without: `python -m bench.fronts`.

One event loop answers as many calls a second as it has CPU time for. So what counts is not how many this machine manages, whose few cores
the passes need, but the CPU seconds of that loop's thread for a call: their ratio is how much further one device process reaches. The real
service on a real ledger; callers are in this process. Rounds are interleaved; a figure is the median of them.
"""

import argparse
import asyncio
import statistics
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import grpc
import psutil

from bench import machine, prior
from bench.inference import servers
from bench.inference.models import INTENT, prepare
from bench.inference.servers import Server
from protos import inference_pb2 as oip
from protos import inference_pb2_grpc
from shared.settings import Settings

PRIOR = "imaging"  # answered without a device: what is left is the calls themselves
FRONTS, ROUNDS = (0, 2), 3


@dataclass(frozen=True, slots=True)
class Load:
    """`calls` of so many rows, so many at once."""

    name: str
    model: str
    rows: int
    callers: int
    calls: int


LOADS = (Load("prior", PRIOR, 1, 64, 4_000), Load("unary", INTENT, 1, 64, 800), Load("rows_64", INTENT, 64, 8, 24))


@dataclass(frozen=True, slots=True)
class Spent:
    """CPU seconds: of the thread with the event loop, of the process, of its fronts."""

    loop: float
    process: float
    fronts: float

    @classmethod
    def now(cls, pid: int) -> "Spent":
        process = psutil.Process(pid)
        loop = next(each for each in process.threads() if each.id == pid)
        return cls(loop.user_time + loop.system_time, _cpu(process), sum(map(_cpu, process.children())))

    def of(self, before: "Spent", calls: int) -> "Spent":
        """Microseconds a call since then."""
        pairs = ((self.loop, before.loop), (self.process, before.process), (self.fronts, before.fronts))
        return Spent(*((now - then) / calls * 1e6 for now, then in pairs))


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


async def call(address: str, load: Load, texts: list[str]) -> None:
    """Each caller has a connection of its own, so that every front has some."""
    left = iter(range(load.calls))

    async def keep_calling() -> None:
        options = [("grpc.use_local_subchannel_pool", 1)]
        async with grpc.aio.insecure_channel(address, options) as channel:
            stub = inference_pb2_grpc.GRPCInferenceServiceStub(channel)  # type: ignore[no-untyped-call]
            for number in left:
                request = oip.ModelInferRequest(model_name=load.model)
                tensor = request.inputs.add(name="text", datatype="BYTES", shape=[load.rows])
                chosen = (texts[(number * load.rows + row) % len(texts)] for row in range(load.rows))
                tensor.contents.bytes_contents.extend(text.encode() for text in chosen)
                await stub.ModelInfer(request, timeout=60)

    await asyncio.gather(*(keep_calling() for _ in range(load.callers)))


def measure(server: Server, load: Load, texts: list[str]) -> Spent:
    before = Spent.now(server.pid)
    asyncio.run(call(server.address, load, texts))
    return Spent.now(server.pid).of(before, load.calls)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.fronts", description="CPU of the device process for a call")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--data", type=Path, default=Path(".tidemill/bench-inference"), help="models")
    given = parser.parse_args()
    print(machine.describe(given.seed), flush=True)
    models = prepare(given.data.resolve(), given.seed, 2_000)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        url = stack.enter_context(servers.database(folder))
        del models.live["imaging"]
        servers.go_live(url, models)
        prior.promote(Settings(postgres=url, models=models.store), PRIOR, "prior")
        running = {}
        for fronts in FRONTS:
            environment = {**servers.surroundings(url, models, "fp32"), "TIDEMILL_FRONTS": str(fronts)}
            (folder / str(fronts)).mkdir()
            running[fronts] = stack.enter_context(servers.serving(folder / str(fronts), {"fp32": environment}))["fp32"]
        for load in LOADS:
            rounds = [{f: measure(running[f], load, models.texts) for f in FRONTS} for _ in range(1 + ROUNDS)]
            report(load.name, rounds[1:])  # the first one warms up


def report(name: str, rounds: list[dict[int, Spent]]) -> None:
    for fronts in FRONTS:
        for part in ("loop", "process", "fronts"):
            value = statistics.median(getattr(each[fronts], part) for each in rounds)
            machine.result(f"{name}_with_{fronts}_fronts_{part}_us_per_call", value)
    without, within = FRONTS
    machine.result(f"{name}_reach", statistics.median(each[without].loop / each[within].loop for each in rounds))


if __name__ == "__main__":
    main()
