"""The shared inference service, as a domain sees it: `await infer(model, row)`.

A call costs far more than a row, so concurrent calls travel together. There is no timer: what has gathered leaves at the event loop's next
turn, and while as many requests are under way as may be, the rest gathers further.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.rpc import error_details_pb2
from grpc_status.rpc_status import from_call
from opentelemetry import context as tracing
from opentelemetry.trace import Link, SpanKind, get_current_span

from protos import inference_pb2_grpc
from shared import telemetry
from shared.errors import Expired, Failure, Reject, Unavailable
from shared.inference.contract import Inference, Value, deadline
from shared.inference.wire import Signature, WireError, count_rows, encode, read_response, write_request
from shared.settings import Settings

log = logging.getLogger(__name__)

MAX_ROWS = 256  # of one request
MAX_EXPLAINED = 64  # of one request whose answers are explained; the service takes 128
IN_FLIGHT = 8  # requests under way at once, for each model and kind of row
MAX_MESSAGE_BYTES = 64 << 20
STOPPING = "this process is stopping"
_OPTIONS = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.lb_policy_name", "round_robin"),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 300),  # a server that was killed is used again as soon as it is back
    ("grpc.dns_min_time_between_resolutions_ms", 1_000),
    ("grpc.keepalive_time_ms", 20_000),  # a server that hangs, or a host that vanished, is noticed
    ("grpc.keepalive_timeout_ms", 5_000),
)


def open_infer(settings: Settings) -> "Client":
    """Connects when first used; to be called on a running event loop. `await client.close()` when done."""
    return Client(settings)


@dataclass(slots=True, eq=False)
class _Waiting:
    """One row and who waits for its answer."""

    values: tuple[Any, ...]
    answer: "asyncio.Future[Inference]"
    deadline: float
    trace: Any
    flight: "_Flight | None" = None


@dataclass(slots=True, eq=False)
class _Flight:
    """Rows on their way in one request."""

    rows: list[_Waiting]
    task: "asyncio.Task[None] | None" = None

    def abandon(self) -> None:
        """One of the callers has left. The last one takes the request with it: the server then drops its rows."""
        if self.task is not None and all(each.answer.done() for each in self.rows):
            self.task.cancel()


_Kind = tuple[str, int, str, Signature]  # model, priority, head explained, signature: such rows travel together


@dataclass(slots=True, eq=False)
class _Lane:
    """Rows of one kind."""

    kind: _Kind
    most: int  # rows of one request
    waiting: list[_Waiting] = field(default_factory=list)
    in_flight: int = 0
    scheduled: bool = False


class Client:
    """Implements `shared.inference.contract.Infer`."""

    def __init__(self, settings: Settings) -> None:
        target = settings.inference if ":///" in settings.inference else f"dns:///{settings.inference}"
        self._channel = grpc.aio.insecure_channel(target, options=_OPTIONS)
        self._stub = inference_pb2_grpc.GRPCInferenceServiceStub(self._channel)  # type: ignore[no-untyped-call]
        self._timeout, self._metadata = settings.call_timeout, (("tidemill-caller", settings.instance),)
        self._loop = asyncio.get_running_loop()
        self._lanes: dict[_Kind, _Lane] = {}
        self._sending: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        """Ends what is under way: whoever waits is told Unavailable."""
        for lane in self._lanes.values():
            _fail(lane.waiting, Unavailable("inference", STOPPING))
        for task in self._sending:
            task.cancel()
        await asyncio.gather(*self._sending, return_exceptions=True)
        await self._channel.close()

    async def __call__(
        self, model: str, row: Mapping[str, Value], *, priority: int = 0, explain: str = ""
    ) -> Inference:
        now, until = self._loop.time(), deadline.get()
        if until is not None and until <= now:
            raise Expired("the deadline passed before the model was asked")
        signature, values = encode(row)
        kind = (model, priority, explain, signature)
        lane = self._lanes.get(kind)
        if lane is None:
            lane = self._lanes[kind] = _Lane(kind, count_rows(signature, MAX_EXPLAINED if explain else MAX_ROWS))
        trace = tracing.get_current() if telemetry.enabled() else None
        waiting = _Waiting(values, self._loop.create_future(), until or now + self._timeout, trace)
        lane.waiting.append(waiting)
        if not lane.scheduled and lane.in_flight < IN_FLIGHT:
            lane.scheduled = True
            self._loop.call_soon(self._flush, lane)
        try:
            return await waiting.answer
        except asyncio.CancelledError:
            if waiting.flight is not None:
                waiting.flight.abandon()
            raise

    def _flush(self, lane: _Lane) -> None:
        """Sends what has gathered, as far as there is room; the rest goes when a request comes back."""
        lane.scheduled = False
        lane.waiting = [each for each in lane.waiting if not each.answer.done()]
        while lane.waiting and lane.in_flight < IN_FLIGHT:
            flight = _Flight(lane.waiting[: lane.most])
            lane.waiting = lane.waiting[lane.most :]
            for each in flight.rows:
                each.flight = flight
            flight.task = self._loop.create_task(self._send(lane.kind, flight.rows))
            lane.in_flight += 1
            self._sending.add(flight.task)
            flight.task.add_done_callback(lambda task: self._sent(lane, task))
        if not lane.waiting and not lane.in_flight:
            self._lanes.pop(lane.kind, None)

    def _sent(self, lane: _Lane, task: "asyncio.Task[None]") -> None:
        self._sending.discard(task)
        lane.in_flight -= 1
        self._flush(lane)

    async def _send(self, kind: _Kind, batch: list[_Waiting]) -> None:
        try:
            answers = await self._ask(kind, batch)
        except asyncio.CancelledError:
            _fail(batch, Unavailable("inference", STOPPING))
            raise
        except (Unavailable, Expired) as failure:
            _fail(batch, failure)
        # A Reject, or a bug: of one row, perhaps, which must not cost the others their answers.
        except Exception as flaw:
            if len(batch) == 1:
                _fail(batch, flaw)
            else:
                await self._send_one_by_one(kind, batch)
        else:
            for each, answer in zip(batch, answers, strict=True):
                if isinstance(answer, Reject):
                    _fail([each], answer)
                elif not each.answer.done():
                    each.answer.set_result(answer)

    async def _send_one_by_one(self, kind: _Kind, batch: list[_Waiting]) -> None:
        try:
            for each in batch:
                await self._send(kind, [each])
        finally:  # cancelled in the midst of it
            _fail(batch, Unavailable("inference", STOPPING))

    async def _ask(self, kind: _Kind, batch: Sequence[_Waiting]) -> list[Inference | Reject]:
        model, priority, explain, signature = kind
        request = write_request(model, signature, [each.values for each in batch], priority, explain)
        seconds = max(each.deadline for each in batch) - self._loop.time()
        if seconds <= 0:
            raise Expired("the deadline passed before the model was asked")
        try:
            if batch[0].trace is None:
                response = await self._stub.ModelInfer(request, timeout=seconds, metadata=self._metadata)
            else:
                response = await self._ask_traced(request, seconds, batch)
        except grpc.aio.AioRpcError as error:
            raise _translate(error, model) from error
        try:
            return read_response(response, len(batch))
        except WireError as error:
            raise Unavailable("inference", str(error)) from error

    async def _ask_traced(self, request: Any, seconds: float, batch: Sequence[_Waiting]) -> Any:
        """In a span of the first row's trace, linked to the others'."""
        spans = [get_current_span(each.trace).get_span_context() for each in batch]
        with telemetry.tracer.start_as_current_span(
            "inference.GRPCInferenceService/ModelInfer",
            batch[0].trace,
            SpanKind.CLIENT,
            {"rpc.system": "grpc", "tidemill.model": request.model_name, "tidemill.rows": len(batch)},
            links=[Link(span) for span in spans[1:] if span.is_valid and span.trace_id != spans[0].trace_id],
        ):
            metadata = (*self._metadata, *telemetry.inject())
            return await self._stub.ModelInfer(request, timeout=seconds, metadata=metadata)


def _fail(batch: Sequence[_Waiting], failure: Exception) -> None:
    for each in batch:
        if not each.answer.done():
            each.answer.set_exception(failure)


def _translate(error: grpc.aio.AioRpcError, model: str) -> Failure:
    code, text = error.code(), error.details() or ""
    if code == grpc.StatusCode.INVALID_ARGUMENT:
        reason, _, detail = text.partition(": ")
        return Reject(reason if reason.isupper() else "MODEL_INPUT_INVALID", detail or text)
    if code == grpc.StatusCode.DEADLINE_EXCEEDED:
        return Expired(f"model {model} did not answer within the deadline")
    if code == grpc.StatusCode.NOT_FOUND:
        return Unavailable("inference", f"no live model {model!r} there: {text}")
    return Unavailable("inference", f"{code.name}: {text}", _retry_after(error))


def _retry_after(error: grpc.aio.AioRpcError) -> float | None:
    """Seconds, where the server said when to come back."""
    try:
        status = from_call(error)
    except ValueError:  # its status and its details differ: a proxy's answer
        return None
    for detail in status.details if status is not None else ():
        retry = error_details_pb2.RetryInfo()
        if detail.Is(retry.DESCRIPTOR) and detail.Unpack(retry):
            return retry.retry_delay.ToNanoseconds() / 1e9  # type: ignore[no-any-return]
    return None
