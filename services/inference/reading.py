"""Bytes that are no message are the caller's fault: gRPC itself would end such a call with UNKNOWN, an exception's text and a traceback."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from services.inference.refusal import Refusal, invalid


class Readers:
    """Passes for a server when a servicer's methods are added to it, and hands them on with readers that do not raise.

    A method of one request is not called for what cannot be read. One of a stream of them gets None instead, and goes on.
    """

    def __init__(self, server: Any) -> None:
        self._server = server

    def add_generic_rpc_handlers(self, handlers: Sequence[Any]) -> None:
        """The generated code adds every method twice; the other time it tells their names."""

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, Any]) -> None:
        guarded = {name: _guard(handler) for name, handler in handlers.items()}
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, guarded),))


def unreadable() -> Refusal:
    return invalid("MESSAGE_UNREADABLE", "message", "these bytes are no message of this method")


def _guard(handler: Any) -> Any:
    read = _read_or_none(handler.request_deserializer)
    if handler.request_streaming:
        return handler._replace(request_deserializer=read)
    return handler._replace(request_deserializer=read, unary_unary=_refuse_none(handler.unary_unary))


def _read_or_none(parse: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    def read(raw: bytes) -> Any:
        try:
            return parse(raw)
        except DecodeError:
            return None

    return read


def _refuse_none(answer: Callable[[Any, Any], Awaitable[Any]]) -> Callable[[Any, Any], Awaitable[Any]]:
    async def behave(request: Any, context: Any) -> Any:
        if request is None:
            refused = unreadable()
            await context.abort(refused.code, str(refused), refused.metadata())
        return await answer(request, context)

    return behave
