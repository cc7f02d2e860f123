"""A Postgres of the test's own, which may be killed, stopped and started."""

import os
import signal
import subprocess
import time
from pathlib import Path

from services.cli import child
from services.cli.local import postgres


class Server:
    """One cluster in `folder`; the address stays the same across restarts."""

    def __init__(self, folder: Path) -> None:
        self._part = postgres.prepare(folder)
        self._log = folder / "log"
        self._process: subprocess.Popen[bytes] | None = None
        self.url = self._part.address

    def start(self) -> None:
        self._process = child.start(self._part, self._log)
        child.await_ready(self._part, self._process, self._log, within=120)

    def kill(self) -> None:
        """At once and without a word: what is not on disk is lost."""
        assert self._process is not None
        backends = self._backends()
        child.kill_group(self._process.pid)
        self._process.wait()
        deadline = time.monotonic() + 30
        for pid in backends:
            while Path(f"/proc/{pid}").exists():  # they see their parent's death, and hold its shared memory until then
                assert time.monotonic() < deadline
                time.sleep(0.01)

    def signal(self, number: signal.Signals) -> None:
        """To the server and all its backends."""
        assert self._process is not None
        for pid in (self._process.pid, *self._backends()):
            os.kill(pid, number)

    def _backends(self) -> list[int]:
        assert self._process is not None
        pid = self._process.pid
        return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def stop(self) -> None:
        if self._process is not None:
            child.stop(self._part, self._process)
