"""One process of the local stack: how it is started, how it says that it is ready, how it is stopped."""

import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Part:
    """A child process.

    Args:
        name: unique in a stack, and the name of its log file.
        command: the program and its arguments; it must stay in the foreground.
        address: what clients are told: ``host:port`` or a URL.
        probe: asks the process, within about a second, whether it serves; returns what is missing, nothing when it does.
        environment: added to the parent's.
        stop: the signal that asks for an orderly end.
        grace: seconds that an orderly end may take before the process is killed.
        layer: parts of lower layers use it, so it ends after them: 0 domains, 1 inference, 2 servers.
    """

    name: str
    command: tuple[str, ...]
    address: str
    probe: Callable[[], str] = lambda: ""
    environment: Mapping[str, str] = field(default_factory=dict)
    stop: signal.Signals = signal.SIGTERM
    grace: float = 20
    layer: int = 0
