"""The synchronous door: the gRPC service of a domain, the same for every domain."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NoReturn

import grpc
from google.protobuf import message_factory
from google.protobuf.message import DecodeError, Message
from opentelemetry.trace import SpanKind

from protos import event_pb2
from shared import telemetry
from shared.domain import Domain
from shared.errors import Expired, Failure, Reject, Reused, Unavailable
from shared.event import Arrival, Headers, Key, check_name
from shared.ordered import in_order
from shared.patience import persist
from shared.serve.call import arrive, refused, reply, stored, unnamed
from shared.serve.custody import Custody
from shared.serve.projector import Projector
from shared.serve.refusal import refuse, rejection
from shared.serve.tally import Tally
from shared.settings import Settings
from shared.settlement.settlement import Means
from shared.store.outcome import Settled

log = logging.getLogger(__name__)

MAX_BATCH = 256  # calls
MAX_MESSAGE_BYTES = 33 * 1024 * 1024  # 32 MiB of requests and their envelopes
STREAM_WINDOW = 64  # events of one stream at once
EARLY = 0.05  # seconds before the caller's deadline at which we give up, so that our answer arrives before gRPC's own

Context = Any  # grpc.aio.ServicerContext, untyped
Unary = Callable[[bytes, Context], Awaitable[Message]]


class Service:
    """`<Verb>`, `<Verb>Batch`, `<Verb>Stream`, `GetOutcome` and the domain's extra methods."""

    def __init__(self, domain: Domain, settings: Settings) -> None:
        self.name = domain.service
        self._domain = domain
        self._settings = settings
        self._custody = Custody(domain)
        self._stopping = asyncio.Event()
        # Of streams: what waits before it waits as its bytes, not decoded and encoded again besides.
        self._entrance = asyncio.Lock()

    def open(self, means: Means, tally: Tally, projector: Projector) -> None:
        """From now on calls are answered; before, they are told that we start."""
        self._custody.open(means, tally, projector)

    def close(self) -> None:
        """End streams after the events in hand."""
        self._stopping.set()

    async def finished(self) -> None:
        """Returns once all that was accepted has ended, which its deadlines bound."""
        await self._custody.finished()

    def handlers(self) -> grpc.GenericRpcHandler:
        domain, verb = self._domain, self._domain.verb
        methods = {
            verb: self._unary(verb, self._one),
            f"{verb}Batch": self._unary(f"{verb}Batch", self._batch),
            f"{verb}Stream": grpc.stream_stream_rpc_method_handler(self._stream, response_serializer=_serialise),
            "GetOutcome": self._unary("GetOutcome", self._get_outcome),
        }
        for name, method in domain.extra_methods.items():
            service = domain.request.DESCRIPTOR.file.services_by_name[domain.service.rpartition(".")[2]]
            kind: Any = service.methods_by_name[name].input_type
            request = message_factory.GetMessageClass(kind)
            methods[name] = self._unary(name, self._extra(request, method))
        return grpc.method_handlers_generic_handler(domain.service, methods)

    def _unary(self, name: str, answer: Unary) -> grpc.RpcMethodHandler:
        async def guarded(data: bytes, context: Context) -> Message:
            try:
                with self._span(name, context):
                    return await answer(data, context)
            except Failure as failure:
                await refuse(context, failure, self._domain.name)
            # A fault of ours: gRPC would answer with its text, which may hold what somebody wrote.
            except Exception as bug:
                await self._confess(name, bug, context)

        return grpc.unary_unary_rpc_method_handler(guarded, response_serializer=_serialise)

    async def _confess(self, name: str, bug: Exception, context: Context) -> NoReturn:
        if isinstance(bug, grpc.aio.AbortError):
            raise bug
        log.error("%s: %s failed: %s", self._domain.name, name, type(bug).__name__)
        await context.abort(grpc.StatusCode.INTERNAL, "a fault of the server; its log says more")
        raise AssertionError("abort raises")

    async def _one(self, data: bytes, context: Context) -> Message:
        call = self._parse(self._domain.call, data)
        arrival = self._arrive(call, context, self._deadline(context))
        settled = (await (await self._custody.take([arrival])))[0]
        if isinstance(settled, Failure):
            raise settled
        if settled.reused:
            raise Reused(arrival.key.source, arrival.key.id)
        if settled.outcome.kind == "dead_letter":
            raise rejection(event_pb2.DeadLetter.FromString(settled.outcome.body))
        return reply(self._domain, arrival, settled)

    async def _batch(self, data: bytes, context: Context) -> Message:
        calls = self._parse(self._domain.batch, data).calls
        if len(calls) > MAX_BATCH:
            raise Reject("BATCH_TOO_LARGE", f"calls has {len(calls):,} events; the limit is {MAX_BATCH}", "calls")
        replies = await self._begin(calls, context)
        return self._domain.replies(replies=await replies)

    async def _stream(self, messages: AsyncIterator[bytes], context: Context) -> AsyncIterator[Message]:
        """Replies in the order of the calls. A call is read once the one before it is in hand."""

        async def let_in(data: bytes) -> Awaitable[Message]:
            async with self._entrance:
                replies = await self._begin([self._parse(self._domain.call, data)], context, patient=True)
            return _first(replies)

        try:
            async for each in in_order(messages, let_in, STREAM_WINDOW, self._stopping):
                yield each
            if self._stopping.is_set():
                raise Unavailable("this server", "it is stopping; open the stream again", 0.5)
        except Failure as failure:
            await refuse(context, failure, self._domain.name)
        except Exception as bug:  # as above
            await self._confess(f"{self._domain.verb}Stream", bug, context)

    async def _get_outcome(self, data: bytes, context: Context) -> Message:
        event: Any = self._parse(event_pb2.Event, data)
        if not event.id:
            raise Reject("EVENT_ID_EMPTY", "id must be that of the event whose outcome is asked for", "id")
        check_name("source", event.source)
        check_name("id", event.id)
        key = Key(self._domain.name, event.source or self._domain.requests, event.id)
        store = self._custody.means.store
        found = await persist(lambda: store.find([key]), until=self._deadline(context))
        if key not in found:
            await context.abort(
                grpc.StatusCode.NOT_FOUND, f"no outcome is stored for event {key.id!r} of source {key.source!r}"
            )
        return stored(self._domain, found[key], known=True)

    def _extra(self, request: type[Message], method: Callable[[Any, Any], Awaitable[Message]]) -> Unary:
        async def answer(data: bytes, context: Context) -> Message:
            try:
                async with asyncio.timeout_at(self._deadline(context)):
                    return await method(self._parse(request, data), self._custody.means)
            except TimeoutError as error:
                raise Expired("the call's deadline passed before there was an answer") from error

        return answer

    async def _begin(self, calls: Sequence[Any], context: Context, patient: bool = False) -> Awaitable[list[Message]]:
        """Returns once they are in hand: one reply a call is then to be awaited. An event that cannot be named is refused alone."""
        deadline = self._deadline(context)
        replies: dict[int, Message] = {}
        arrivals: dict[int, Arrival] = {}
        for i, call in enumerate(calls):
            try:
                arrivals[i] = self._arrive(call, context, deadline)
            except Reject as why:
                replies[i] = unnamed(self._domain, call, why)
        settled = await self._custody.take(list(arrivals.values()), patient)
        return self._reply(replies, arrivals, settled)

    async def _reply(
        self, replies: dict[int, Message], arrivals: dict[int, Arrival], settled: Awaitable[list[Settled | Failure]]
    ) -> list[Message]:
        """In the order of the calls. One without an outcome fails them all, to be sent again."""
        for (i, arrival), each in zip(arrivals.items(), await settled, strict=True):
            if isinstance(each, Reject):
                replies[i] = refused(self._domain, arrival, each)
            elif isinstance(each, Failure):
                raise each
            else:
                replies[i] = reply(self._domain, arrival, each)
        return [replies[i] for i in sorted(replies)]

    def _arrive(self, call: Any, context: Context, deadline: float) -> Arrival:
        caller = _metadata(context).get("tidemill-caller", "")
        return arrive(self._domain, call, caller, deadline, _trace(context), self._custody.run)

    def _parse(self, kind: type[Message], data: bytes) -> Any:
        try:
            return kind.FromString(data)
        except DecodeError as error:
            raise Reject("CALL_NOT_PROTOBUF", f"the message is not a {kind.DESCRIPTOR.full_name}") from error

    def _deadline(self, context: Context) -> float:
        asked = context.time_remaining()
        settings = self._settings
        seconds = settings.call_timeout if asked is None else min(asked, settings.call_timeout_max)
        return asyncio.get_running_loop().time() + max(0.0, seconds - EARLY)

    def _span(self, name: str, context: Context) -> AbstractContextManager[Any]:
        if not telemetry.enabled():
            return nullcontext()
        return telemetry.tracer.start_as_current_span(
            f"{self._domain.service}/{name}",
            telemetry.extract(_metadata(context).items()),
            SpanKind.SERVER,
            {"rpc.system": "grpc", "rpc.service": self._domain.service, "rpc.method": name},
        )


async def _first(replies: Awaitable[Sequence[Message]]) -> Message:
    return (await replies)[0]


def _serialise(message: Message) -> bytes:
    return message.SerializeToString()


def _metadata(context: Context) -> dict[str, Any]:
    return dict(context.invocation_metadata() or ())


def _trace(context: Context) -> Headers:
    """What the event's headers carry on: our own span where there is one, else the caller's."""
    ours = telemetry.inject()
    if not ours:
        metadata = _metadata(context)
        ours = tuple((name, metadata[name]) for name in ("traceparent", "tracestate") if name in metadata)
    return tuple((name, value.encode()) for name, value in ours)
