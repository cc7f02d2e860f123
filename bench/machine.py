"""Where and when a figure was measured, and how a figure is printed so that a script can read it."""

import os
import platform
import statistics
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path


def describe(seed: int | None = None) -> str:
    """CPU, cores, load of others, Python, date and seed in one line."""
    said = [
        cpu(),
        f"{os.cpu_count()} cores",
        f"load {os.getloadavg()[0]:.1f}",
        f"Python {platform.python_version()}",
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
    ]
    return ", ".join(said if seed is None else [*said, f"seed {seed}"])


def cpu() -> str:
    """The processor's own name, as far as the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.machine())


def spent(pids: Iterable[int]) -> float:
    """Seconds of processor time that these processes and their children have used."""
    import psutil

    total = 0.0
    for pid in pids:
        with suppress(psutil.Error):
            process = psutil.Process(pid)
            for each in (process, *process.children(recursive=True)):
                with suppress(psutil.Error):
                    times = each.cpu_times()
                    total += times.user + times.system
    return total


def use(own: Sequence[int], seconds: float = 2.0) -> tuple[float, float]:
    """(share of all cores that the processes `own` and their children used, share that everything else used) in the next `seconds`."""
    import psutil

    before = spent(own)
    all_ = float(psutil.cpu_percent(interval=seconds)) / 100
    mine = (spent(own) - before) / seconds / (psutil.cpu_count() or 1)
    return mine, max(0.0, all_ - mine)


def result(name: str, value: float | int | str) -> None:
    shown = f"{value:.4g}" if isinstance(value, float) else str(value)
    print(f"RESULT {name}={shown}", flush=True)


def spread(values: Iterable[float], unit: str = "") -> str:
    """Median and range, for a person."""
    seen = sorted(values)
    return f"{statistics.median(seen):,.1f}{unit} ({seen[0]:,.1f} to {seen[-1]:,.1f}, {len(seen)} rounds)"
