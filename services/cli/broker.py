"""Whether a Kafka broker is there at all, told at once: the client library would try for a long time before it says no."""

import socket

from services.cli.problem import Problem


def check(kafka: str) -> None:
    """Returns if any of the bootstrap addresses accepts a connection.

    Raises:
        Problem: none does; it says what to do.
    """
    refusals = []
    for address in kafka.split(","):
        host, _, port = address.strip().rpartition(":")
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()
        except (OSError, ValueError) as error:
            refusals.append(f"{address}: {error}")
        else:
            return
    raise Problem(
        f"no Kafka broker answers ({'; '.join(refusals)}): is the stack up? See `tidemill status`, `tidemill up`"
    )
