"""A local stack of a measurement's own, driven through its public door: the `tidemill` command, `stack.env` and `processes.json`."""

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
INFRASTRUCTURE = frozenset({"kafka", "postgres", "valkey"})


class Broken(RuntimeError):  # noqa: N818 - a state
    """The stack did not do what it was told; the text is what it said."""


@dataclass(frozen=True)
class Local:
    """One stack in the folder `data`. `environment` is added to what the stack's processes see."""

    data: Path
    environment: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    def run(self, *arguments: str, within: float = 600, words: str | None = None) -> str:
        """`tidemill ARGUMENTS --data DIR`; returns what it printed.

        Raises:
            Broken: its exit status is not 0.
        """
        command = [sys.executable, "-m", "services.cli", *arguments, "--data", str(self.data)]
        done = subprocess.run(
            command, cwd=ROOT, env=self.surroundings(), input=words, capture_output=True, text=True, timeout=within
        )
        if done.returncode:
            raise Broken(f"`tidemill {' '.join(arguments)}` ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done.stdout

    def surroundings(self) -> dict[str, str]:
        """The environment of its commands: none of the caller's own TIDEMILL_* variables, which name another stack."""
        own = {name: value for name, value in os.environ.items() if not name.startswith("TIDEMILL_")}
        return {**own, **self.environment}

    def values(self) -> dict[str, str]:
        """`stack.env`, in which a value may be quoted for a shell."""
        lines = (self.data / "stack.env").read_text(encoding="utf-8").splitlines()
        return dict(shlex.split(line)[0].split("=", 1) for line in lines)

    def address(self, name: str) -> str:
        return self.values()[f"TIDEMILL_{name.upper()}"]

    def processes(self) -> dict[str, int]:
        """`processes.json`: what runs now, name -> pid."""
        found: dict[str, int] = json.loads((self.data / "processes.json").read_text(encoding="utf-8"))
        return found

    def services(self) -> list[str]:
        return sorted(set(self.processes()) - INFRASTRUCTURE)

    def status(self) -> dict[str, Any]:
        """`tidemill status --json`."""
        found: dict[str, Any] = json.loads(self.run("status", "--json"))
        return found

    def log(self, name: str) -> str:
        return (self.data / "logs" / f"{name}.log").read_text(encoding="utf-8", errors="replace")


@contextmanager
def running(
    data: Path, *options: str, environment: Mapping[str, str] = MappingProxyType({}), within: float = 900
) -> Iterator[Local]:
    """The stack in `data`, up and ready; ended afterwards, its data kept."""
    stack = Local(data, environment)
    stack.run("up", "--detach", *options, within=within)
    try:
        yield stack
    finally:
        stack.run("down", within=120)
