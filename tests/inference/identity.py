"""A small server of the protocol that answers every input with itself - well, or with one fault. It is what the suite is judged by."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent import futures
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from protos import inference_pb2 as oip
from protos import inference_pb2_grpc
from services.cli.conformance.tensor import make
from services.inference.refusal import Refusal, invalid, unknown
from services.inference.tensors import TensorSpec, check, choose, read, write
from tests.listening import listening

Models = Mapping[str, Sequence[TensorSpec]]
MODELS: Models = {
    "identity": (
        TensorSpec("text", "BYTES"),
        TensorSpec("pair", "FP32", (-1, 2)),
        TensorSpec("pixels", "UINT8", (-1, 3)),
    ),
    "numbers": (TensorSpec("x", "FP32"),),
}
VERSIONS = ("1", "2")
SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING


def nothing(_: Any) -> None:
    pass


@dataclass(frozen=True)
class Fault:
    """What is wrong with a server; nothing, by default. Reasons are those of refusals (`services.inference.refusal`)."""

    lenient: tuple[str, ...] = ()  # answers instead of refusing for these reasons
    crash: tuple[str, ...] = ()  # ends such calls with INTERNAL
    harm: tuple[str, ...] = ()  # answers nobody any more after such a call
    request: Callable[[oip.ModelInferRequest], None] = nothing  # done to every request
    response: Callable[[oip.ModelInferResponse], None] = nothing  # done to every answer
    methods: Mapping[str, Callable[[Any], None]] = field(default_factory=dict)  # done to answers of other methods
    health: Callable[[str], int] = lambda service: SERVING  # of what is known
    knows_everyone: bool = False  # in health, metadata and statistics
    stream: Callable[[list[Any]], list[Any]] = lambda answers: answers
    stream_ends: bool = False  # at the first refusal
    left: bool = False  # answers nobody any more once a caller left
    slowness: float = 0.0  # seconds a call, one call at a time
    most: int = 1000  # calls at once; beyond, INTERNAL
    limit: int = 64 << 20  # bytes a message


class Identity(inference_pb2_grpc.GRPCInferenceServiceServicer):
    def __init__(self, models: Models, fault: Fault) -> None:
        self._models, self._fault = models, fault
        self._counts: Counter[tuple[str, str]] = Counter()
        self._device, self._lock = futures.ThreadPoolExecutor(1), threading.Lock()
        self._inside, self._broken = 0, False

    def ModelInfer(self, request: oip.ModelInferRequest, context: Any) -> oip.ModelInferResponse:  # noqa: N802
        self._enter(1)
        try:
            if self._inside > self._fault.most:
                context.abort(grpc.StatusCode.INTERNAL, "too many")
            if self._fault.slowness:
                self._device.submit(time.sleep, self._fault.slowness).result()  # first come, first served
            self._broken |= self._fault.left and not context.is_active()
            return self._infer(request)
        except Refusal as refused:
            code = grpc.StatusCode.INTERNAL if refused.reason in self._fault.crash else refused.code
            context.abort(code, str(refused))
            raise AssertionError from refused
        finally:
            self._enter(-1)

    def _enter(self, by: int) -> None:
        with self._lock:
            self._inside += by

    def ModelStreamInfer(  # noqa: N802
        self, requests: Iterator[oip.ModelInferRequest], context: Any
    ) -> Iterator[oip.ModelStreamInferResponse]:
        answers = []
        for request in requests:
            try:
                answers.append(oip.ModelStreamInferResponse(infer_response=self._infer(request)))
            except Refusal as refused:
                if self._fault.stream_ends:
                    context.abort(refused.code, str(refused))
                failed = oip.ModelInferResponse(id=request.id)
                answers.append(oip.ModelStreamInferResponse(error_message=str(refused), infer_response=failed))
        yield from self._fault.stream(answers)

    def _infer(self, request: oip.ModelInferRequest) -> oip.ModelInferResponse:
        try:
            if self._broken:
                raise Refusal(grpc.StatusCode.UNAVAILABLE, "BROKEN", "for good")
            self._fault.request(request)
            response = self._compute(request)
        except Refusal as refused:
            self._broken |= refused.reason in self._fault.harm
            if refused.reason not in self._fault.lenient:
                self._count(request.model_name, fail=1)
                raise
            response = self._compute(_replace(request, self._models))
        self._fault.response(response)
        return response

    def _compute(self, request: oip.ModelInferRequest) -> oip.ModelInferResponse:
        specs = self._models.get(request.model_name)
        if specs is None or request.model_version not in {"", *VERSIONS}:
            raise unknown("no such model or version")
        outputs = choose(request, [TensorSpec(f"{spec.name}.out", spec.datatype, spec.shape) for spec in specs])
        rows = check(request, specs)
        tensors = read(request)
        version = request.model_version or VERSIONS[0]
        response = oip.ModelInferResponse(model_name=request.model_name, model_version=version, id=request.id)
        for spec in outputs:
            write(response, spec, tensors[spec.name.removesuffix(".out")])
        self._count(request.model_name, success=1, rows=rows)
        return response

    def _count(self, model: str, **grown: int) -> None:
        with self._lock:
            self._counts.update({(model, name): value for name, value in grown.items()})

    def _say(self, answer: Any) -> Any:
        self._fault.methods.get(type(answer).__name__, nothing)(answer)
        return answer

    def _known(self, name: str, context: Any) -> None:
        if name not in self._models and not self._fault.knows_everyone:
            context.abort(grpc.StatusCode.NOT_FOUND, name)

    def ServerLive(self, request: oip.ServerLiveRequest, context: Any) -> Any:  # noqa: N802
        return self._say(oip.ServerLiveResponse(live=True))

    def ServerReady(self, request: oip.ServerReadyRequest, context: Any) -> Any:  # noqa: N802
        return self._say(oip.ServerReadyResponse(ready=True))

    def ServerMetadata(self, request: oip.ServerMetadataRequest, context: Any) -> Any:  # noqa: N802
        return self._say(oip.ServerMetadataResponse(name="identity", version="1"))

    def ModelReady(self, request: oip.ModelReadyRequest, context: Any) -> Any:  # noqa: N802
        return self._say(oip.ModelReadyResponse(ready=request.name in self._models))

    def ModelMetadata(self, request: oip.ModelMetadataRequest, context: Any) -> Any:  # noqa: N802
        self._known(request.name, context)
        answer = oip.ModelMetadataResponse(name=request.name, versions=VERSIONS)
        for spec in self._models.get(request.name, ()):
            answer.inputs.add(name=spec.name, datatype=spec.datatype, shape=spec.shape)
            answer.outputs.add(name=f"{spec.name}.out", datatype=spec.datatype, shape=spec.shape)
        return self._say(answer)

    def RepositoryIndex(self, request: oip.RepositoryIndexRequest, context: Any) -> Any:  # noqa: N802
        models = [oip.RepositoryIndexResponse.ModelIndex(name=name, state="READY") for name in self._models]
        return self._say(oip.RepositoryIndexResponse(models=models))

    def ModelStatistics(self, request: oip.ModelStatisticsRequest, context: Any) -> Any:  # noqa: N802
        self._known(request.name, context)
        success, fail, rows = (self._counts[request.name, name] for name in ("success", "fail", "rows"))
        answer = oip.ModelStatisticsResponse()
        found = answer.model_stats.add(name=request.name, inference_count=rows, execution_count=success)
        found.inference_stats.success.count, found.inference_stats.fail.count = success, fail
        found.batch_stats.add(batch_size=1).compute_infer.count = rows
        return self._say(answer)


class Bare(Identity):
    """The protocol's own six methods and no more."""

    ModelStreamInfer = inference_pb2_grpc.GRPCInferenceServiceServicer.ModelStreamInfer
    ModelStatistics = inference_pb2_grpc.GRPCInferenceServiceServicer.ModelStatistics
    RepositoryIndex = inference_pb2_grpc.GRPCInferenceServiceServicer.RepositoryIndex


class Health(health_pb2_grpc.HealthServicer):
    def __init__(self, models: Models, fault: Fault) -> None:
        self._known, self._fault = {"", *models}, fault

    def Check(self, request: Any, context: Any) -> Any:  # noqa: N802
        if request.service not in self._known and not self._fault.knows_everyone:
            context.abort(grpc.StatusCode.NOT_FOUND, request.service)
        return health_pb2.HealthCheckResponse(status=self._fault.health(request.service))


def _replace(request: oip.ModelInferRequest, models: Models) -> oip.ModelInferRequest:
    """A request that can be answered, of the same model and id."""
    name = request.model_name if request.model_name in models else next(iter(models))
    made = oip.ModelInferRequest(model_name=name, id=request.id)
    for spec in models[name]:
        shape = [1, *spec.shape[1:]]
        made.inputs.add(name=spec.name, datatype=spec.datatype, shape=shape)
        made.raw_input_contents.append(make(spec.name, spec.datatype, shape).raw)
    return made


@contextmanager
def running_identity(fault: Fault, models: Models = MODELS, bare: bool = False) -> Iterator[str]:
    """Its address. `bare`: without extensions and without health."""
    server = grpc.server(
        futures.ThreadPoolExecutor(100),
        options=[("grpc.max_receive_message_length", fault.limit), ("grpc.so_reuseport", 0)],
    )
    inference_pb2_grpc.add_GRPCInferenceServiceServicer_to_server((Bare if bare else Identity)(models, fault), server)
    if not bare:
        health_pb2_grpc.add_HealthServicer_to_server(Health(models, fault), server)
    with listening(server) as address:
        yield address


def refuse_parameters(request: oip.ModelInferRequest) -> None:
    if "conformance" in request.parameters:
        raise invalid("PARAMETER_UNKNOWN", "parameters", "unknown")
