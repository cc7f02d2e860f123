"""Child processes: started in their own group, ended with their parent, never left behind."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from services.cli import log as logs
from services.cli.part import Part

_LEASH = Path(__file__).with_name("leash.py")


class NotReady(RuntimeError):  # noqa: N818 - a state, as in shared.errors
    """A part ended, or did not serve in time; the text ends with the last lines of its log."""


def start(part: Part, log: Path) -> subprocess.Popen[bytes]:
    """Starts the part with its output appended to `log`. On Linux the kernel kills it when the thread that called this ends."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-I", "-S", str(_LEASH), str(os.getpid()), *part.command],
            env={**os.environ, **part.environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            process_group=0,  # Ctrl-C in the terminal is the parent's to pass on, in order
        )


def await_ready(part: Part, process: subprocess.Popen[bytes], log: Path, within: float = 60) -> None:
    """Returns once the part serves.

    Raises:
        NotReady: the process ended, or `within` seconds passed.
    """
    deadline = time.monotonic() + within
    while missing := part.probe():
        if process.poll() is not None:
            raise NotReady(f"{part.name} ended with status {process.returncode}; see {log}:\n{logs.tail(log)}")
        if time.monotonic() > deadline:
            raise NotReady(f"{part.name} did not come up in {within:.0f} s ({missing}); see {log}:\n{logs.tail(log)}")
        time.sleep(0.05)


def stop(part: Part, process: subprocess.Popen[bytes]) -> bool:
    """Asks for an orderly end and collects it; what has not ended after the part's grace is killed, and False returned."""
    orderly = True
    if process.poll() is None:
        process.send_signal(part.stop)
        try:
            process.wait(part.grace)
        except subprocess.TimeoutExpired:
            orderly = False
    kill_group(process.pid)
    process.wait()
    return orderly


def kill_group(pid: int) -> None:
    """Kills every process of the group that `pid` leads, if any is left."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
