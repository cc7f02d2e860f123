"""Where and when a figure was measured, and how a figure is printed so that a script can read it."""

import os
import platform
import statistics
from collections.abc import Iterable
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


def idle(seconds: float = 2.0) -> float:
    """The share of all cores that was in use during the last `seconds`, 0 to 1: what else runs here."""
    import psutil

    return float(psutil.cpu_percent(interval=seconds)) / 100


def result(name: str, value: float | int | str) -> None:
    shown = f"{value:.4g}" if isinstance(value, float) else str(value)
    print(f"RESULT {name}={shown}", flush=True)


def spread(values: Iterable[float], unit: str = "") -> str:
    """Median and range, for a person."""
    seen = sorted(values)
    return f"{statistics.median(seen):,.1f}{unit} ({seen[0]:,.1f} to {seen[-1]:,.1f}, {len(seen)} rounds)"
