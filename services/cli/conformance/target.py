"""The server under test, and the models found on it."""

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

import grpc
from grpc_health.v1 import health_pb2_grpc

from protos import inference_pb2 as oip
from protos.inference_pb2_grpc import GRPCInferenceServiceStub
from services.cli.conformance.answer import Answer, differ, read_answer
from services.cli.conformance.case import Failed, Inapplicable
from services.cli.conformance.model import Model
from services.cli.conformance.tensor import Tensor
from services.cli.problem import Problem

_MESSAGE = 64 << 20
_OPTIONS = [("grpc.max_send_message_length", _MESSAGE), ("grpc.max_receive_message_length", _MESSAGE)]
READY = "READY"


class Target:
    """Calls wait at most `deadline` seconds: a server that hangs fails its case and not the suite. A context manager."""

    def __init__(self, address: str, deadline: float = 20) -> None:
        self.address, self.deadline = address, deadline
        self._channel = grpc.insecure_channel(address, _OPTIONS)
        self.stub: Any = GRPCInferenceServiceStub(self._channel)  # type: ignore[no-untyped-call]
        self.health: Any = health_pb2_grpc.HealthStub(self._channel)

    def __enter__(self) -> "Target":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._channel.close()

    def reach(self, within: float) -> None:
        """Raises Problem: nobody answers there."""
        try:
            grpc.channel_ready_future(self._channel).result(timeout=within)
        except grpc.FutureTimeoutError:
            raise Problem(f"nobody answers gRPC at {self.address}") from None

    def infer(self, request: oip.ModelInferRequest, timeout: float | None = None) -> oip.ModelInferResponse:
        """Raises grpc.RpcError."""
        response: oip.ModelInferResponse = self.stub.ModelInfer(request, timeout=timeout or self.deadline)
        return response

    def answer(self, request: oip.ModelInferRequest) -> Answer:
        """Raises Failed: it was refused, or the answer cannot be read."""
        try:
            return read_answer(self.infer(request))
        except grpc.RpcError as error:
            raise Failed(describe(error)) from error

    def optional(self, method: str, request: Any) -> Any:
        """A call that a server need not have.

        Raises:
            Inapplicable: it has not. Failed: it refused.
        """
        try:
            return getattr(self.stub, method)(request, timeout=self.deadline)
        except grpc.RpcError as error:
            if error.code() == grpc.StatusCode.UNIMPLEMENTED:
                raise Inapplicable(f"the server has no {method}") from error
            raise Failed(describe(error)) from error

    def check_unharmed(self, model: Model) -> None:
        """Raises Failed: a well-formed request is no longer answered as at the start."""
        if model.usual is None:
            return
        try:
            now = self.answer(model.request())
        except Failed as error:
            raise Failed(f"afterwards a well-formed request had {error}") from error
        if model.steady and (name := differ(model.usual, now)):
            raise Failed(f"afterwards a well-formed request was answered otherwise: {name}")


def discover(target: Target, names: Sequence[str], given: Mapping[str, tuple[Tensor, ...]]) -> list[Model]:
    """The models named, or without names those that RepositoryIndex says are ready.

    Raises:
        Problem: there is none, or one cannot be asked about.
    """
    if not names:
        try:
            index = target.stub.RepositoryIndex(oip.RepositoryIndexRequest(ready=True), timeout=target.deadline)
        except grpc.RpcError as error:
            raise Problem(
                f"{target.address} does not list its models ({describe(error)}): name one with --model"
            ) from error
        names = sorted({each.name for each in index.models if each.state in {"", READY}})
    if not names:
        raise Problem(f"{target.address} has no model that is ready")
    return [_load(target, name, given.get(name, ())) for name in names]


def _load(target: Target, name: str, given: tuple[Tensor, ...]) -> Model:
    try:
        metadata = target.stub.ModelMetadata(oip.ModelMetadataRequest(name=name), timeout=target.deadline)
    except grpc.RpcError as error:
        raise Problem(f"ModelMetadata of {name}: {describe(error)}") from error
    model = Model(name, metadata, given)
    try:
        model.usual = target.answer(model.request())
        model.steady = not differ(model.usual, target.answer(model.request()))
    except (Failed, Inapplicable) as error:
        model.usual, model.refusal = None, str(error)
    except Exception as error:  # as in `run`
        model.usual, model.refusal = None, f"no sense can be made of its answer: {say(error)}"
    return model


def say(error: Exception) -> str:
    """Type and text, cut to what fits a line."""
    return f"{type(error).__name__}: {str(error)[:160]}"


def describe(error: grpc.RpcError) -> str:
    """Status code and text, cut to what fits a line."""
    return f"{error.code().name}: {(error.details() or '')[:160]}"
