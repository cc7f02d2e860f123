"""The port of a gRPC server, and what every one of ours is set to."""

import logging
import sys

import grpc

from shared.settings import Settings

log = logging.getLogger(__name__)


def options(max_message_bytes: int, *, shared: bool = False) -> tuple[tuple[str, int], ...]:
    """For `grpc.aio.server`. shared: other processes listen on the port too, and each has some of its connections."""
    return (
        ("grpc.max_receive_message_length", max_message_bytes),
        ("grpc.max_send_message_length", max_message_bytes),
        ("grpc.max_metadata_size", 16 * 1024),
        ("grpc.max_connection_age_ms", 300_000),  # so that callers spread over new servers
        ("grpc.max_connection_age_grace_ms", 60_000),
        (
            "grpc.so_reuseport",
            int(shared),
        ),  # unless it is meant, two processes on one port would share its calls unseen
    )


async def listen(server: grpc.aio.Server, settings: Settings, *services: str) -> int:
    """Starts a server that has its services; its port.

    Args:
        services: their full names, which reflection tells where it is switched on.

    Raises:
        SystemExit: the address cannot be listened on.
    """
    if settings.reflection and services:
        from grpc_reflection.v1alpha import reflection

        reflection.enable_server_reflection((*services, reflection.SERVICE_NAME), server)
    try:
        port = server.add_insecure_port(settings.listen)
    except RuntimeError as error:
        sys.exit(f"cannot listen on {settings.listen} (TIDEMILL_LISTEN): {error}")
    await server.start()
    log.info("listening on %s:%d", settings.listen.rpartition(":")[0], port)
    return int(port)
