"""Where the demo plays: a running stack, and a console that says what happens."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.rule import Rule

from services.cli import state
from services.cli.problem import Problem
from services.cli.stack import Stack, open_stack


@contextmanager
def raised(data: Path, console: Console) -> Iterator[Stack]:
    """The stack of folder `data`: one that runs already is used and left running, else one is started and ended afterwards."""
    if state.supervisor(data.resolve()) is not None:
        console.print(f"a stack runs in {data} already: it is used, and left running")
        yield open_stack(data)
        return
    try:
        _tidemill("up", "--detach", "--data", str(data))
        yield open_stack(data)
    finally:
        _tidemill("down", "--data", str(data))


def _tidemill(*words: str) -> None:
    """Another command of this program, with its output on this terminal.

    Raises:
        Problem: it failed; it has said why.
    """
    status = subprocess.run([sys.executable, "-m", "services.cli", *words], check=False).returncode
    if status:
        raise Problem(f"`tidemill {' '.join(words)}` ended with status {status}")


def act(console: Console, number: int, title: str) -> None:
    """A line across the terminal, with what comes next."""
    console.print()
    console.print(Rule(f"[bold]{number}. {title}[/]", align="left"))
