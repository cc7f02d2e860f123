"""A child process that answers one JSON line with another: the bare loops and the callers stay out of this process and of each other's."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any

from bench.local import ROOT

Job = dict[str, Any]


class Child:
    """Idle between jobs."""

    def __init__(self, process: "subprocess.Popen[str]", name: str) -> None:
        self._process, self._name = process, name

    def tell(self, job: Job) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()

    def hear(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self._name} ended with status {self._process.wait()}")
        return json.loads(line)

    def ask(self, job: Job) -> Any:
        self.tell(job)
        return self.hear()


@contextmanager
def running(module: str, *arguments: str, environment: Mapping[str, str] = MappingProxyType({})) -> Iterator[Child]:
    """`python -m MODULE ARGUMENTS`; the first that is heard of it is that it is ready. Ended afterwards by the end of its input."""
    command = [sys.executable, "-m", module, *arguments]
    with subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, **environment}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield Child(process, " ".join((module, *arguments)))
        finally:
            assert process.stdin is not None
            process.stdin.close()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()


def work(answer: Callable[[Job], Any]) -> None:
    """The child's side of it."""
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), flush=True)
