"""Whether a Kafka broker is there at all, told at once, and a client with which to ask it things."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from services.cli.problem import Problem

if TYPE_CHECKING:
    from kafka.admin import KafkaAdminClient

_WITHIN_MS = 10_000


class Absent(Problem):
    """The cluster cannot do it just now, but may later: it is away, starting, or has too few brokers as yet."""

    def __init__(self, seen: str, hint: str = "") -> None:
        super().__init__(seen + hint)
        self.seen = seen


def check(kafka: str) -> None:
    """Returns if any of the bootstrap addresses accepts a connection; the client library would try for long, and leave sockets open.

    Raises:
        Absent: none does; it says what to do.
    """
    refusals = []
    for address in kafka.split(","):
        if not (refusal := refused(address)):
            return
        refusals.append(f"{address}: {refusal}")
    raise Absent(
        f"no Kafka broker answers ({'; '.join(refusals)})", ": is the stack up? See `tidemill status`, `tidemill up`"
    )


def refused(address: str, within: float = 5) -> str:
    """Why no connection to ``host:port`` can be made; nothing if one can."""
    host, _, port = address.strip().rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), within).close()
    except (OSError, ValueError) as error:
        return str(error)
    return ""


@contextmanager
def administer(kafka: str) -> Iterator["KafkaAdminClient"]:
    """A client of the cluster at `kafka` (bootstrap servers, comma-separated).

    Raises:
        Absent: no broker answers, or one says that it cannot just now.
        Problem: one refused what was asked of it.
    """
    from kafka.admin import KafkaAdminClient  # late: it takes half a second, and a health check comes here too
    from kafka.errors import InvalidReplicationFactorError, KafkaError

    check(kafka)
    servers = kafka.split(",")
    try:
        client = KafkaAdminClient(
            bootstrap_servers=servers, request_timeout_ms=_WITHIN_MS, bootstrap_timeout_ms=_WITHIN_MS
        )
        try:
            yield client
        finally:
            client.close()
    except KafkaError as error:
        # Fewer brokers than copies is how a cluster looks of which only the first has started.
        passing = getattr(error, "retriable", False) or isinstance(error, InvalidReplicationFactorError)
        raise (Absent if passing else Problem)(f"kafka at {kafka}: {error}") from error
