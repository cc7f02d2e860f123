"""Several processes speak gRPC in front of the one that computes: callers see one service, wherever their connections land."""

import asyncio
import gc
import json
import signal
import sys
import threading
import weakref
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import psutil
import pytest
from google.rpc import error_details_pb2

from protos import inference_pb2 as oip
from protos import inference_pb2_grpc
from services.inference.text import EncoderDevice
from services.inference.units import Unit
from shared.settings import Settings
from tests.inference.bundles import publish_encoder, sentence
from tests.inference.conftest import Running, Store, Turning, serving, until
from tests.inference.test_conformance_ours import conform
from tests.inference.test_lifecycle import publish_next
from tests.inference.test_process import started
from tests.inference.test_server import ask, detail, refused, tensors

Stub = inference_pb2_grpc.GRPCInferenceServiceStub


def find_fronts(pid: int | None = None) -> list[psutil.Process]:
    """Those of a process; of this one if none is named."""
    return [each for each in psutil.Process(pid).children() if _is_front(each)]


def _is_front(process: psutil.Process) -> bool:
    try:
        return "services.inference.fronts" in process.cmdline()
    except psutil.Error:  # it has just ended
        return False


def live(store: Store) -> Turning:
    ledger = Turning()
    for model, digest in store.digests.items():
        ledger.point(model, "v1", digest)
    return ledger


@pytest.fixture
async def fronted(store: Store) -> AsyncIterator[Running]:
    """All three models of `store`, behind two fronts that are processes of their own."""
    async with serving(Settings(models=store.place, fronts=2), live(store)) as server:
        while not (await server.stub.ServerReady(oip.ServerReadyRequest(), wait_for_ready=True)).ready:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        yield server


@asynccontextmanager
async def at_each_front(server: Running) -> AsyncIterator[dict[int, Stub]]:
    """By the front's process, what calls come in there: connections are opened until each has one."""
    async with AsyncExitStack() as stack:
        stubs: dict[int, Stub] = {}
        while len(stubs) < 2:
            before = {front.pid: len(front.net_connections()) for front in find_fronts()}
            options = [("grpc.use_local_subchannel_pool", 1)]
            channel = await stack.enter_async_context(grpc.aio.insecure_channel(server.address, options))
            stub = Stub(channel)
            await stub.ServerLive(oip.ServerLiveRequest(), wait_for_ready=True)
            (pid,) = [each.pid for each in find_fronts() if len(each.net_connections()) > before[each.pid]]
            stubs[pid] = stub
        yield stubs


class Gate:
    """Passes wait for it once it is shut."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.open, self.rows = threading.Event(), 0
        compute = EncoderDevice.run

        def wait(device: EncoderDevice, units: Sequence[Unit]) -> Any:
            self.open.wait(60)
            self.rows += len(units)
            return compute(device, units)

        monkeypatch.setattr(EncoderDevice, "run", wait)


def named(caller: str) -> tuple[tuple[str, str], ...]:
    return (("tidemill-caller", caller),)


def check_same(found: oip.ModelInferResponse, expected: oip.ModelInferResponse) -> None:
    """But for what depends on the company that a row was computed in: the last digits."""
    for name, tensor in tensors(expected).items():
        if name == "attribution":
            pairs = zip(tensors(found)[name], tensor, strict=True)
            assert all(_read_label(one) == _read_label(other) for one, other in pairs)
        elif isinstance(tensor, list):
            assert tensors(found)[name] == tensor
        else:
            np.testing.assert_allclose(tensors(found)[name], tensor, atol=1e-5)
    for each in (found, expected):
        del each.raw_output_contents[:]
    assert found == expected


def _read_label(told: bytes) -> str:
    return str(json.loads(told)["label"]) if told else ""


async def test_answers_are_those_of_one_process(fronted: Running, store: Store) -> None:
    """Probabilities, cards, optional outputs, bad rows, images, refusals, metadata and index."""
    everything = ask("intent", "where is my card", "", "refund please", language=["en", "en", "zh"])
    for name in ("attribution", "row_error", "embedding", "sentiment.probabilities", "truncated"):
        everything.outputs.add(name=name)
    everything.parameters["card"].bool_param = True
    everything.parameters["head"].string_param = "sentiment"
    image = oip.ModelInferRequest(model_name="imaging")
    image.inputs.add(name="image", datatype="UINT8", shape=[2, 3, 5])
    image.raw_input_contents.append(bytes(range(30)))
    typed = oip.ModelInferRequest(model_name="risk", model_version="v1")
    typed.inputs.add(name="text", datatype="BYTES", shape=[1]).contents.bytes_contents.append(b"the bank")
    good = [everything, image, typed, ask("intent", *[sentence(1 + i % 40, i) for i in range(200)])]
    bad = [ask("intent", "late", ""), ask("nothing", "late"), ask("intent", "late", language=["en", "en"])]
    async with serving(Settings(models=store.place), live(store)) as alone:
        await until(lambda: alone.registry.ready)
        for request in good:
            check_same(*[await each.stub.ModelInfer(request) for each in (fronted, alone)])
        for request in bad:
            errors = [await refused(each.stub.ModelInfer(request)) for each in (fronted, alone)]
            assert (
                len({(each.code(), each.details(), *map(tuple, each.trailing_metadata() or ())) for each in errors})
                == 1
            )
        for method, question in (
            ("ModelMetadata", oip.ModelMetadataRequest(name="intent")),
            ("RepositoryIndex", oip.RepositoryIndexRequest()),
        ):
            found, expected = [await getattr(each.stub, method)(question) for each in (fronted, alone)]
            assert found == expected


async def test_it_keeps_to_the_protocol(fronted: Running) -> None:
    """An unmodified tritonclient, and every case of the conformance suite."""
    program = Path(__file__).with_name("triton_calls.py")
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(program), fronted.address, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await asyncio.wait_for(process.communicate(), 240)
    assert (process.returncode, out) == (0, b"ok\n"), err.decode()
    _, out = await conform(fronted.address, "--json", "--model", "intent")
    report = json.loads(out)
    failed = {each["case"]: each["seen"] for each in report["results"] if each["outcome"] == "fail"}
    # It counts on at most one pass a call, but passes side by side may share one's rows; the sums are a test of their own, below.
    failed.pop("statistics.reconcile", None)
    assert failed == {}
    assert report["models"] == ["intent"]


async def test_a_swap_fails_no_call_at_any_front(fronted: Running, store: Store) -> None:
    """Once a version is announced, every front answers with it; what all of them have forgotten leaves memory."""
    versions: Counter[tuple[int, str]] = Counter()
    stop = asyncio.Event()
    first = weakref.ref(fronted.registry.find("intent"))

    async def keep_calling(pid: int, stub: Stub) -> None:
        while not stop.is_set():
            response = await stub.ModelInfer(ask("intent", *[sentence(5, i) for i in range(8)]))
            versions[pid, response.model_version] += 1

    async with at_each_front(fronted) as stubs:
        callers = [asyncio.ensure_future(keep_calling(*each)) for each in stubs.items() for _ in range(3)]
        for seed, version in ((10, "v2"), (11, "v3")):
            encoder = publish_encoder(store.scratch, store.place, seed)
            fronted.ledger.point("intent", version, publish_next(store, version, seed, encoder))
            await until(lambda version=version: all(versions[pid, version] > 3 for pid in stubs))  # type: ignore[misc]
        stop.set()
        await asyncio.gather(*callers)
    await until(lambda: (gc.collect(), first() is None)[1])


async def test_statistics_reconcile_over_all_fronts(fronted: Running) -> None:
    """Each tells of the calls of all, at once, also of those that came in at one that has been killed since."""
    async with at_each_front(fronted) as stubs:
        for stub in stubs.values():
            good = [stub.ModelInfer(ask("intent", *[sentence(3, i)] * 2)) for i in range(15)]
            bad = [stub.ModelInfer(ask("intent", "")) for _ in range(2)]
            await asyncio.gather(*good, *bad, return_exceptions=True)
        told = [await each.ModelStatistics(oip.ModelStatisticsRequest(name="intent")) for each in stubs.values()]
        assert told[0] == told[1]
        killed, other = stubs
        psutil.Process(killed).kill()
        await until(lambda: killed not in {each.pid for each in find_fronts()})
        (found,) = (await stubs[other].ModelStatistics(oip.ModelStatisticsRequest(name="intent"))).model_stats
    assert (found.inference_stats.success.count, found.inference_stats.fail.count) == (30, 4)
    assert found.inference_stats.queue.count == found.inference_stats.compute_infer.count == 30
    assert found.inference_count == 60
    warm_up = 3
    assert sum(each.batch_size * each.compute_infer.count for each in found.batch_stats) == 60 + warm_up


async def test_a_callers_quota_is_one_over_all_fronts(fronted: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it has inside through one front counts at the other, where another caller is let in."""
    gate = Gate(monkeypatch)
    fronted.engine.admission.caller_rows = 100
    async with at_each_front(fronted) as stubs:
        one, other = stubs.values()
        inside = one.ModelInfer(ask("intent", *["late"] * 80), metadata=named("flood"))
        await until(lambda: fronted.engine.admission.rows == 80)
        error = await refused(other.ModelInfer(ask("intent", *["late"] * 80), metadata=named("flood")))
        assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        info = detail(error, error_details_pb2.ErrorInfo)
        assert (info.reason, info.metadata["caller"]) == ("CALLER_QUOTA", "flood")  # type: ignore[attr-defined]
        modest = other.ModelInfer(ask("intent", *["late"] * 80), metadata=named("modest"))
        await until(lambda: fronted.engine.admission.rows == 160)
        gate.open.set()
        assert {(await each).model_version for each in (inside, modest)} == {"v1"}


async def test_a_front_that_is_killed_is_replaced(fronted: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it had asked is dropped and not computed; calls at the other go on, and soon there are two again."""
    gate = Gate(monkeypatch)
    async with at_each_front(fronted) as stubs:
        (killed, lost), (kept, other) = stubs.items()
        waiting = [stub.ModelInfer(ask("intent", *["late"] * 300), timeout=60) for stub in (other, lost, lost)]
        await until(lambda: fronted.engine.admission.rows == 900)
        psutil.Process(killed).kill()
        await until(lambda: fronted.engine.admission.rows == 300)
        for call in waiting[1:]:
            assert (await refused(call)).code() == grpc.StatusCode.UNAVAILABLE
        gate.open.set()
        assert len(tensors(await waiting[0])["truncated"]) == 300
        await until(lambda: len(find_fronts()) == 2)
        assert kept in {each.pid for each in find_fronts()}
        answered = await lost.ModelInfer(ask("intent", "late"), wait_for_ready=True, timeout=60)
        assert answered.model_version == "v1"
    assert gate.rows < 900


async def test_who_leaves_a_front_leaves_the_queue(fronted: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cancelled, or past its deadline."""
    gate = Gate(monkeypatch)
    leaving = fronted.stub.ModelInfer(ask("intent", *["late"] * 300))
    late = fronted.stub.ModelInfer(ask("intent", *["late"] * 300), timeout=0.4)
    await until(lambda: fronted.engine.admission.rows == 600)
    leaving.cancel()
    assert (await refused(late)).code() == grpc.StatusCode.DEADLINE_EXCEEDED
    await until(lambda: fronted.engine.admission.rows == 0)
    gate.open.set()
    assert (await fronted.stub.ModelInfer(ask("intent", "late"))).model_version == "v1"
    assert gate.rows < 600


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 0), (signal.SIGKILL, -signal.SIGKILL)])
async def test_the_service_is_as_one_process_to_who_started_it(
    store: Store, monkeypatch: pytest.MonkeyPatch, number: int, status: int
) -> None:
    """Its exit status is that of the process with the device, and no front outlives it."""
    monkeypatch.setenv("TIDEMILL_FRONTS", "2")
    async with started("postgresql://nobody@127.0.0.1:1/nothing", store) as server:
        address = (await server.says("front 1: listening on ")).split()[-1]
        await server.says(f"front 2: listening on {address}")
        fronts = find_fronts(server.process.pid)
        async with grpc.aio.insecure_channel(address) as channel:
            stub = Stub(channel)
            assert (await stub.ServerLive(oip.ServerLiveRequest())).live
            assert not (await stub.ServerReady(oip.ServerReadyRequest())).ready
        server.process.send_signal(number)
        assert await asyncio.wait_for(server.process.wait(), 60) == status
        await until(lambda: len(fronts) == 2 and not any(each.is_running() for each in fronts))
