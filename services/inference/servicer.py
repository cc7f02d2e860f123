"""The Open Inference Protocol's calls."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from importlib.metadata import version
from typing import Any, NoReturn, Protocol, cast

from opentelemetry.trace import SpanKind

from protos import inference_pb2 as oip
from protos import inference_pb2_grpc
from services.inference import metrics, recall, refusal
from services.inference.admission import Admission, Full
from services.inference.cache import Cache
from services.inference.calls import Context, find_explained, read_call, read_caller
from services.inference.engine import Call
from services.inference.passes import Device
from services.inference.reading import cut, received
from services.inference.refusal import Refusal
from services.inference.registry import Registry
from services.inference.served import EXPLANATIONS, ROW_ERROR, Answer, Served, list_errors
from services.inference.statistics import tell
from services.inference.tensors import Tensor, TensorSpec, check, choose, read, write
from services.inference.units import Batch
from shared import telemetry
from shared.settings import Settings

SERVICE = "inference.GRPCInferenceService"
LARGE = 64 << 10  # bytes of typed contents that are read off the event loop
STREAM_WINDOW = 32  # requests of one stream at once
EXTENSIONS = ("model_repository_index", "statistics", "row_error", "card", "explain", "priority", "timeout")


class Host(Protocol):
    """Where rows are computed: the engine of this process, or that of another one."""

    admission: Admission
    on_batch: Callable[[Batch, float], None]

    @property
    def waiting(self) -> int: ...
    def drain_time(self) -> float: ...


class Servicer(inference_pb2_grpc.GRPCInferenceServiceServicer):
    def __init__(self, registry: Registry, engine: Host, settings: Settings) -> None:
        self._registry, self._engine, self._settings = registry, engine, settings
        self._cache = Cache(settings.cache_bytes)
        engine.on_batch = self._count_pass

    async def ModelInfer(self, request: oip.ModelInferRequest, context: Context) -> oip.ModelInferResponse:  # noqa: N802
        try:
            with _span("ModelInfer", context):
                return await self._infer(request, context)
        except Exception as error:
            refused = refusal.explain(error, "ModelInfer")
            _count_refusal(refused, context)
            await _abort(context, refused)

    async def ModelStreamInfer(  # noqa: N802
        self, requests: AsyncIterator[oip.ModelInferRequest], context: Context
    ) -> AsyncIterator[oip.ModelStreamInferResponse]:
        """Answers in the order of the requests; several are worked on at once."""
        answers: asyncio.Queue[asyncio.Task[oip.ModelStreamInferResponse] | None] = asyncio.Queue()
        window = asyncio.Semaphore(STREAM_WINDOW)
        working: set[asyncio.Task[Any]] = set()

        async def receive() -> None:
            async for request in requests:
                await window.acquire()
                task = asyncio.ensure_future(self._streamed(request, context))
                working.add(task)
                task.add_done_callback(working.discard)
                answers.put_nowait(task)
                cut.set({})  # the stream may be silent for long, and must not hold what came last
                del request

        reader = asyncio.ensure_future(receive())
        reader.add_done_callback(lambda _: answers.put_nowait(None))
        try:
            while (task := await answers.get()) is not None:
                yield await task
                window.release()
            reader.result()
        finally:
            for each in (reader, *working):
                each.cancel()

    async def _streamed(
        self, request: oip.ModelInferRequest | Refusal, context: Context
    ) -> oip.ModelStreamInferResponse:
        if isinstance(request, Refusal):
            return oip.ModelStreamInferResponse(error_message=str(request))
        try:
            with _span("ModelStreamInfer", context):
                return oip.ModelStreamInferResponse(infer_response=await self._infer(request, context))
        except Exception as error:
            refused = refusal.explain(error, "ModelStreamInfer")
            _count_refusal(refused, context)
            failed = oip.ModelInferResponse(model_name=request.model_name, id=request.id)
            return oip.ModelStreamInferResponse(error_message=str(refused), infer_response=failed)

    async def _infer(self, request: oip.ModelInferRequest, context: Context) -> oip.ModelInferResponse:
        served = self._registry.find(request.model_name, request.model_version)
        began, done = time.monotonic(), False
        record = self._registry.record(served)
        try:
            outputs = choose(request, served.outputs, EXPLANATIONS if find_explained(request, served) else ())
            call = read_call(request, context, served, self._settings, outputs)
            rows, answer = await self._answer(request, served, call, outputs)
            computed = time.monotonic()
            response = _respond(request, served, outputs, rows, answer)
            done = True
            now = time.monotonic()
            record.succeed(answer, rows, now - began, now - computed)
            metrics.waited.record(answer.waited, {"tidemill.model": served.name})
            return response
        finally:
            if not done:
                record.fail.add(time.monotonic() - began)
            metrics.calls.add(1, {"tidemill.model": served.name, "tidemill.answered": done})

    async def _answer(
        self, request: oip.ModelInferRequest, served: Served, call: Call, outputs: Sequence[TensorSpec]
    ) -> tuple[int, Answer]:
        rows = check(request, served.inputs)
        if call.deadline <= time.monotonic():
            raise refusal.expired()
        admission, size = self._engine.admission, received.get() or request.ByteSize()
        try:
            with admission.enter(rows, size, call.caller, call.priority):
                tensors = await _read(request, size)
                answer = await recall.answer(self._cache, served, rows, tensors, call, outputs)
        except Full as full:
            raise refusal.full(full.reason, full.detail, call.caller, self._engine.drain_time()) from None
        if answer.errors and ROW_ERROR not in outputs:
            row, why = min(answer.errors.items())
            reason, _, detail = why.partition(": ")
            raise refusal.invalid(
                reason, f"row {row}", f"{detail} (ask for the output row_error to have the other rows answered)"
            )
        if not answer.on_device:
            self._registry.record(served).passed(rows, 0.0)
        if answer.recalling is not None:
            for hit, count in ((True, answer.recalled), (False, rows - answer.recalled)):
                metrics.recalled.add(count, {"tidemill.model": served.name, "tidemill.hit": hit})
        return rows, answer

    def _count_pass(self, batch: Batch, seconds: float) -> None:
        metrics.waiting.set(self._engine.waiting)
        for priority, count in Counter(unit.priority for unit in batch.shed).items():
            metrics.shed.add(count, {"tidemill.priority": priority})
        device = cast(Device, batch.lane)
        precision = {"tidemill.precision": device.precision}
        metrics.busy.add(seconds * batch.share, precision)
        if not batch.units:
            return
        metrics.passes.record(seconds, precision)
        metrics.rows.record(len(batch.units), precision)
        padding = device.padding(batch.units)
        metrics.padding.record(padding / (batch.cost + padding))
        for served, rows in Counter(unit.owner.model for unit in batch.units).items():
            self._registry.record(served).passed(rows, seconds)

    async def ServerLive(self, request: oip.ServerLiveRequest, context: Context) -> oip.ServerLiveResponse:  # noqa: N802
        return oip.ServerLiveResponse(live=True)

    async def ServerReady(self, request: oip.ServerReadyRequest, context: Context) -> oip.ServerReadyResponse:  # noqa: N802
        return oip.ServerReadyResponse(ready=self._registry.ready)

    async def ModelReady(self, request: oip.ModelReadyRequest, context: Context) -> oip.ModelReadyResponse:  # noqa: N802
        try:
            self._registry.find(request.name, request.version)
        except Refusal:
            return oip.ModelReadyResponse(ready=False)
        return oip.ModelReadyResponse(ready=True)

    async def ServerMetadata(  # noqa: N802
        self, request: oip.ServerMetadataRequest, context: Context
    ) -> oip.ServerMetadataResponse:
        return oip.ServerMetadataResponse(name="tidemill", version=version("tidemill"), extensions=EXTENSIONS)

    async def ModelMetadata(self, request: oip.ModelMetadataRequest, context: Context) -> oip.ModelMetadataResponse:  # noqa: N802
        served = await self._find(request, context)
        tensor = oip.ModelMetadataResponse.TensorMetadata
        return oip.ModelMetadataResponse(
            name=served.name,
            versions=[each.version for each in self._registry.models[served.name].versions],
            platform=served.platform,
            inputs=[tensor(name=each.name, datatype=each.datatype, shape=each.shape) for each in served.inputs],
            outputs=[tensor(name=each.name, datatype=each.datatype, shape=each.shape) for each in served.outputs],
        )

    async def ModelStatistics(  # noqa: N802
        self, request: oip.ModelStatisticsRequest, context: Context
    ) -> oip.ModelStatisticsResponse:
        if request.name:
            await self._find(request, context)
        return tell(self._registry.records, request)

    async def RepositoryIndex(  # noqa: N802
        self, request: oip.RepositoryIndexRequest, context: Context
    ) -> oip.RepositoryIndexResponse:
        response = oip.RepositoryIndexResponse()
        for name, entry in sorted(self._registry.models.items()):
            for served in entry.versions:
                response.models.add(name=name, version=served.version, state="READY")
            if entry.trouble and not request.ready:
                response.models.add(name=name, version=entry.wanted, state="UNAVAILABLE", reason=entry.trouble)
        return response

    async def _find(self, request: Any, context: Context) -> Served:
        try:
            return self._registry.find(request.name, request.version)
        except Refusal as refused:
            await _abort(context, refused)


def _count_refusal(refused: Refusal, context: Context) -> None:
    caller = metrics.name_caller(read_caller(context))
    metrics.refused.add(1, {"tidemill.caller": caller, "tidemill.reason": refused.reason})


async def _abort(context: Context, refused: Refusal) -> NoReturn:
    await context.abort(refused.code, str(refused), refused.metadata())
    raise AssertionError("abort raises")


async def _read(request: oip.ModelInferRequest, size: int) -> Mapping[str, Tensor]:
    """Raw contents only need to be looked at, but typed ones are read number by number: many of them not on the event loop."""
    if size <= LARGE or request.raw_input_contents:
        return read(request, cut.get())
    return await asyncio.to_thread(read, request, cut.get())


def _respond(
    request: oip.ModelInferRequest, served: Served, outputs: Sequence[TensorSpec], rows: int, answer: Answer
) -> oip.ModelInferResponse:
    response = oip.ModelInferResponse(model_name=served.name, model_version=served.version, id=request.id)
    if "card" in request.parameters and request.parameters["card"].bool_param:
        response.parameters["card"].string_param = served.card
    for spec in outputs:
        write(response, spec, list_errors(rows, answer.errors) if spec == ROW_ERROR else answer.tensors[spec.name])
    return response


def _span(method: str, context: Context) -> AbstractContextManager[Any]:
    if not telemetry.enabled():
        return nullcontext()
    return telemetry.tracer.start_as_current_span(
        f"{SERVICE}/{method}",
        telemetry.extract(context.invocation_metadata() or ()),
        SpanKind.SERVER,
        {"rpc.system": "grpc", "rpc.service": SERVICE, "rpc.method": method},
    )
