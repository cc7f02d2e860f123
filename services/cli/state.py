"""What a running stack says of itself, on disk: DIR/processes.json for programs, DIR/state.json for `tidemill status`, DIR/lock."""

import fcntl
import json
import os
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from services.cli import stack
from services.cli.keeper import Keeper


def lock(data: Path) -> IO[str] | None:
    """The lock of a stack's supervisor, which lasts as long as its process; None if another process has it."""
    data.mkdir(parents=True, exist_ok=True)
    held = (data / "lock").open("a+", encoding="utf-8")
    for last in (False, False, True):  # whoever only asks holds it for a moment too
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            if last:
                held.close()
                return None
            time.sleep(0.1)
    held.truncate(0)
    held.write(str(os.getpid()))
    held.flush()
    return held


def supervisor(data: Path) -> int | None:
    """The pid of the supervisor that runs this stack; None if none does."""
    try:
        held = (data / "lock").open(encoding="utf-8")
    except FileNotFoundError:
        return None
    with held:
        try:
            fcntl.flock(held, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return int(held.read() or 0) or None
    return None


def show(data: Path, phase: str, keepers: Iterable[Keeper]) -> None:
    """Writes both files, each at once."""
    shown = {
        keeper.part.name: {
            "pid": keeper.pid,
            "ready": keeper.ready,
            "restarts": keeper.restarts,
            "missing": keeper.missing,
            "born": born(keeper.pid),
        }
        for keeper in keepers
    }
    pids = {name: process["pid"] for name, process in shown.items() if process["pid"]}
    stack.write(data / "processes.json", json.dumps(pids, indent=1) + "\n")
    stack.write(data / "state.json", json.dumps({"phase": phase, "processes": shown}, indent=1) + "\n")


def read(data: Path) -> dict[str, Any]:
    """What `show` last wrote; empty if nothing."""
    with suppress(FileNotFoundError):
        state: dict[str, Any] = json.loads((data / "state.json").read_text(encoding="utf-8"))
        return state
    return {}


def forget(data: Path) -> None:
    """Removes what is only true while the stack runs."""
    for name in ("processes.json", "state.json", "stack.env"):
        (data / name).unlink(missing_ok=True)


def born(pid: int | None) -> float | None:
    """When a process began, which tells it from a later one of the same number; None if it does not exist."""
    import psutil

    try:
        return float(psutil.Process(pid).create_time()) if pid else None
    except psutil.Error:
        return None
