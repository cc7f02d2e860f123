"""The port that all fronts listen on."""

import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager

EACH, MOST = 4, 4  # cores for a front; fronts that one event loop with the device can feed
FEW = 8  # cores below which there are none


def count_fronts(wanted: int | None, address: str = "") -> int:
    """`wanted`, or what suits this machine: where cores are few, a second process only takes them from the passes."""
    if wanted is not None:
        return wanted
    if (
        address.startswith(("unix:", "unix-abstract:")) or sys.platform != "linux"
    ):  # what cannot be shared, or not in turn
        return 0
    cores = len(os.sched_getaffinity(0))
    return 0 if cores < FEW else min(cores // EACH, MOST)


@contextmanager
def reserved(address: str) -> Iterator[str]:
    """`address` (host:port; port 0: any that is free) as host:port, kept while processes that share ports may listen there.

    Raises:
        SystemExit: it is no such address, or somebody listens there.
    """
    try:
        held = _bind(address)
    except (OSError, ValueError) as error:
        sys.exit(f"cannot share {address} (TIDEMILL_LISTEN) among processes (TIDEMILL_FRONTS): {error}")
    with held:
        yield f"{address.rpartition(':')[0]}:{held.getsockname()[1]}"


def _bind(address: str) -> socket.socket:
    """A socket that does not listen, so no connection ends there."""
    host, _, port = address.rpartition(":")
    family, kind, *_, place = socket.getaddrinfo(
        host.strip("[]"), int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    with socket.socket(family, kind) as alone:  # a second service that shares ports would get some of our calls, unseen
        alone.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # what is left of closed connections is no obstacle
        alone.bind(place)
    held = socket.socket(family, kind)
    for option in (socket.SO_REUSEADDR, socket.SO_REUSEPORT):  # as gRPC's own
        held.setsockopt(socket.SOL_SOCKET, option, 1)
    held.bind(place)
    return held
