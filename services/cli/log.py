"""What the parts of the stack write to their log files."""

from collections.abc import Callable
from pathlib import Path


def tail(log: Path, lines: int = 15) -> str:
    """The last lines of a log, indented, for an error message."""
    try:
        text = log.read_bytes()[-8192:].decode("utf-8", "replace")
    except FileNotFoundError:
        return "  (no log)"
    return "\n".join(f"  {line}" for line in text.splitlines()[-lines:]) or "  (the log is empty)"


def size(log: Path) -> int:
    """In bytes; 0 if there is no such file."""
    return log.stat().st_size if log.exists() else 0


def follow(log: Path, seen: int, say: Callable[[str], None]) -> int:
    """Says the complete lines after byte `seen`; returns where they end."""
    with log.open("rb") as lines:
        lines.seek(seen)
        complete, newline, _ = lines.read().rpartition(b"\n")
    for line in complete.decode("utf-8", "replace").splitlines():
        say(line.rstrip())
    return seen + len(complete) + len(newline)
