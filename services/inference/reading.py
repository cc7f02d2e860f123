"""What comes in and goes wrong before a method sees it, or in one that did not expect it.

gRPC itself would end such calls with UNKNOWN, an exception's text and a traceback.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from services.inference import wire
from services.inference.refusal import Refusal, explain, invalid

# Bytes of the message that was read last, in the task that read it: to ask the message itself would write all of it anew.
received: ContextVar[int] = ContextVar("received", default=0)
cut: ContextVar[wire.Cut] = ContextVar(
    "cut", default=MappingProxyType({})
)  # what was left out of it, to be read elsewhere

LOOKED_AT = {"ModelInfer", "ModelStreamInfer"}  # before they are parsed, where they are large


class Readers:
    """Passes for a server when a servicer's methods are added to it, and hands them on with readers that do not raise.

    A method of one request is not called for what cannot be read. One of a stream of them gets a Refusal instead, and goes on.
    """

    def __init__(self, server: Any) -> None:
        self._server = server

    def add_generic_rpc_handlers(self, handlers: Sequence[Any]) -> None:
        """The generated code adds every method twice; the other time it tells their names."""

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, Any]) -> None:
        guarded = {name: _guard(name, handler) for name, handler in handlers.items()}
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, guarded),))


def unreadable() -> Refusal:
    return invalid("MESSAGE_UNREADABLE", "message", "these bytes are no message of this method")


def _guard(name: str, handler: Any) -> Any:
    read = _read_or_refuse(handler.request_deserializer, looks=name in LOOKED_AT)
    if handler.request_streaming:
        return handler._replace(request_deserializer=read, stream_stream=_guard_stream(name, handler.stream_stream))
    return handler._replace(request_deserializer=read, unary_unary=_guard_call(name, handler.unary_unary))


def _read_or_refuse(parse: Callable[[bytes], Any], *, looks: bool) -> Callable[[bytes], Any]:
    def read(raw: bytes) -> Any:
        received.set(len(raw))
        cut.set({})
        try:
            if looks and len(raw) > wire.LARGE:
                raw, left_out = wire.split(raw)
                cut.set(left_out)
            return parse(raw)
        except Refusal as refused:
            return refused
        except (DecodeError, ValueError):
            return unreadable()

    return read


def _guard_call(name: str, answer: Callable[[Any, Any], Awaitable[Any]]) -> Callable[[Any, Any], Awaitable[Any]]:
    async def behave(request: Any, context: Any) -> Any:
        try:
            if isinstance(request, Refusal):
                raise request
            return await answer(request, context)
        except (
            grpc.aio.AbortError,
            grpc.aio.InternalError,
        ):  # the latter: the caller is gone, and nobody can be told anything
            raise
        except Exception as error:
            await _abort(context, explain(error, name))

    return behave


def _guard_stream(
    name: str, answer: Callable[[Any, Any], AsyncIterator[Any]]
) -> Callable[[Any, Any], AsyncIterator[Any]]:
    async def behave(requests: Any, context: Any) -> AsyncIterator[Any]:
        try:
            async with aclosing(answer(requests, context)) as answers:  # type: ignore[type-var] # it is a generator
                async for each in answers:
                    yield each
        except (grpc.aio.AbortError, grpc.aio.InternalError):  # as above
            raise
        except Exception as error:
            await _abort(context, explain(error, name))

    return behave


async def _abort(context: Any, refused: Refusal) -> None:
    await context.abort(refused.code, str(refused), refused.metadata())
