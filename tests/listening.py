"""A gRPC server of a test's own."""

from collections.abc import Iterator
from contextlib import contextmanager

import grpc


@contextmanager
def listening(server: grpc.Server) -> Iterator[str]:
    """Starts it on a free port; its address, until the block ends."""
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait()
