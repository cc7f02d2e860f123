"""Free TCP ports that stay the same across restarts."""

import random
import socket
from pathlib import Path

# Below the ephemeral range (from 32768 on Linux): while a server is down, no outgoing connection can take its port.
_PORTS = range(20000, 32000)


def free() -> int:
    """A port on 127.0.0.1 that nothing listens on now."""
    for port in random.sample(_PORTS, 200):
        if _is_free(port):
            return port
    raise RuntimeError(f"no free port found on 127.0.0.1 between {_PORTS.start} and {_PORTS.stop}")


def keep(file: Path) -> int:
    """The port noted in `file`; a new one, noted there, if there is none or another program has taken it."""
    if file.exists() and _is_free(noted := int(file.read_text())):
        return noted
    file.parent.mkdir(parents=True, exist_ok=True)
    port = free()
    file.write_text(f"{port}\n")
    return port


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
