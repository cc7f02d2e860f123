"""The service as it is run: one real process for each precision, following one real ledger."""

import asyncio
import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import grpc

from bench import prior
from bench.inference.models import INTENT, Models, Pointer
from protos import inference_pb2 as oip
from protos import inference_pb2_grpc
from services.cli import child, health
from services.cli.local import port, postgres
from services.cli.part import Part
from services.inference.threads import WAITING
from shared.ledger import Ledger
from shared.settings import Settings
from shared.store.migrate import migrate

PRECISIONS = ("fp32", "bf16", "int8")


@dataclass(frozen=True, slots=True)
class Counts:
    """What a server says it did for all models: rows of calls it answered, rows its device computed, and in how many passes."""

    answered: int
    computed: int
    passes: int

    def __sub__(self, before: "Counts") -> "Counts":
        return Counts(self.answered - before.answered, self.computed - before.computed, self.passes - before.passes)


@dataclass(frozen=True, slots=True)
class Server:
    precision: str
    address: str
    pid: int

    def runs_in(self) -> set[str]:
        """The precisions that its model of intents answers in."""
        request = oip.ModelInferRequest(model_name=INTENT)
        request.parameters["card"].bool_param = True
        request.inputs.add(name="text", datatype="BYTES", shape=[1]).contents.bytes_contents.append(b"hello")
        with grpc.insecure_channel(self.address) as channel:
            stub = inference_pb2_grpc.GRPCInferenceServiceStub(channel)  # type: ignore[no-untyped-call]
            card = json.loads(stub.ModelInfer(request, timeout=30).parameters["card"].string_param)
        return set(card["precision"].values())

    def counts(self) -> Counts:
        with grpc.insecure_channel(self.address) as channel:
            stub = inference_pb2_grpc.GRPCInferenceServiceStub(channel)  # type: ignore[no-untyped-call]
            stats = stub.ModelStatistics(oip.ModelStatisticsRequest(), timeout=10).model_stats
        computed = sum(each.batch_size * each.compute_infer.count for model in stats for each in model.batch_stats)
        answered, passes = (
            sum(getattr(model, name) for model in stats) for name in ("inference_count", "execution_count")
        )
        return Counts(answered, computed, passes)


@contextmanager
def database(folder: Path) -> Iterator[str]:
    """The URL of a Postgres for the ledger."""
    with _running(postgres.prepare(folder / "postgres", {"fsync": "off"}), folder) as part:
        asyncio.run(migrate(part.address))
        yield part.address


def go_live(url: str, models: Models) -> None:
    """Promotes what is not live yet."""
    settings = Settings(postgres=url, models=models.store)

    async def live() -> dict[str, str]:
        ledger = Ledger.open(settings)
        try:
            return {model: entry.bundle_digest for model, entry in (await ledger.live_all()).items()}
        finally:
            await ledger.close()

    now = asyncio.run(live())
    for model, pointer in models.live.items():
        if now.get(model) != pointer.digest:
            promote(url, models, model, pointer)


def promote(url: str, models: Models, model: str, pointer: Pointer) -> None:
    prior.promote(Settings(postgres=url, models=models.store), model, pointer.version, pointer.digest)


def surroundings(url: str, models: Models, precision: str) -> dict[str, str]:
    """Of the service's process, and of one that does its work without a server."""
    return {
        "TIDEMILL_POSTGRES": url,
        "TIDEMILL_MODELS": str(models.store),
        "TIDEMILL_PRECISION": precision,
        **{name: os.environ.get(name, value) for name, value in WAITING.items()},  # as the service sets it for itself
    }


@contextmanager
def serving(folder: Path, environments: Mapping[str, Mapping[str, str]]) -> Iterator[dict[str, Server]]:
    """By precision, all of them at once: those that are not called are idle. A precision that does not come up, as where the device has
    no such arithmetic, is left out, and said to be; fp32 must."""
    with ExitStack() as stack:
        servers: dict[str, Server] = {}
        for precision, environment in environments.items():
            address = f"127.0.0.1:{port.free()}"
            command = (sys.executable, "-m", "services.inference", "serve")
            part = Part(
                f"inference-{precision}",
                command,
                address,
                partial(health.probe, address),
                {**environment, "TIDEMILL_LISTEN": address},
            )
            try:
                process = stack.enter_context(_process(part, folder))
            except child.NotReady as error:
                if precision == PRECISIONS[0]:
                    raise
                print(f"{precision} is not offered here: {error}", flush=True)
                continue
            server = Server(precision, address, process)
            if (runs := server.runs_in()) == {precision}:
                servers[precision] = server
            else:
                print(f"{precision} is not offered here: it would be {', '.join(sorted(runs))}", flush=True)
        yield servers


@contextmanager
def _running(part: Part, folder: Path) -> Iterator[Part]:
    with _process(part, folder):
        yield part


@contextmanager
def _process(part: Part, folder: Path) -> Iterator[int]:
    """Its pid, once it serves."""
    log = folder / "logs" / f"{part.name}.log"
    process = child.start(part, log)
    try:
        child.await_ready(part, process, log, within=300)
        yield process.pid
    finally:
        child.stop(part, process)
