"""A process that answers on a port, until it has answered the calls in hand."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import SERVICE_NAME as HEALTH
from grpc_health.v1.health import aio as health_aio

from protos.inference_pb2_grpc import add_GRPCInferenceServiceServicer_to_server as add_servicer
from services.inference.admission import Admission
from services.inference.reading import Readers
from services.inference.servicer import SERVICE, Servicer
from shared.health import LIVE
from shared.listener import listen, options
from shared.settings import Settings

MAX_MESSAGE_BYTES = 64 << 20
DRAIN = 15.0  # seconds for the calls in hand when the process stops
_SERVING, _NOT = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING


def open_admission(settings: Settings) -> Admission:
    return Admission(
        caller_rows=settings.caller_rows, caller_bytes=settings.caller_bytes, weights=settings.caller_weights
    )


@asynccontextmanager
async def listening(
    settings: Settings, servicer: Servicer, health: health_aio.HealthServicer, *, shared: bool = False
) -> AsyncIterator[int]:
    """A server that answers (yields its port) until the block ends, and then finishes the calls in hand.

    Args:
        health: nothing serves yet; `announce` says what does.
        shared: other processes of ours listen on this port too.

    Raises:
        SystemExit: the address cannot be listened on.
    """
    server = grpc.aio.server(options=options(MAX_MESSAGE_BYTES, shared=shared))
    add_servicer(servicer, Readers(server))  # type: ignore[no-untyped-call]
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
    await health.set(LIVE, _SERVING)
    port = await listen(server, settings, SERVICE, HEALTH)
    try:
        yield port
    finally:
        await health.enter_graceful_shutdown()
        await server.stop(DRAIN)


async def open_health() -> health_aio.HealthServicer:
    """Nothing serves yet."""
    health = health_aio.HealthServicer()
    for service in ("", SERVICE):
        await health.set(service, _NOT)
    return health


async def announce(health: health_aio.HealthServicer, model: str) -> None:
    """This model serves; "": all that were live at the start do."""
    await health.set(model, _SERVING)
    if not model:
        await health.set(SERVICE, _SERVING)
