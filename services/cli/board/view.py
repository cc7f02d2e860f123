"""The live view's drawing: for a terminal, and as plain lines where there is none."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from services.cli.board.board import Board
from services.cli.board.pulse import Pulse
from services.cli.counts import Counts

_LEAST = 4  # lines of latest decisions, however small the terminal


class View:
    """Draws a board as it is at the moment of drawing, as tall as the terminal allows."""

    def __init__(self, board: Board, most: int = 40) -> None:
        self._board = board
        self._most = most

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        board = self._board
        letters = list(board.letters)[-3:]
        fixed = len(board.domains) + len(letters) + 10 + len(board.trouble)
        room = min(self._most, max(_LEAST, (options.height or console.height) - fixed))
        parts: list[RenderableType] = [
            numbers(board),
            Panel(latest(list(board.lines)[-room:]), title="latest decisions"),
        ]
        if letters:
            parts.append(Panel(latest(letters), title="latest dead letters", border_style="red"))
        parts += [processes(board), *(Text(f"cannot read: {why}", "yellow") for why in board.trouble.values())]
        yield Group(*parts)


def numbers(board: Board) -> Table:
    table = Table(box=None, pad_edge=False, expand=True)
    table.add_column("domain", style="bold")
    for column in ("events/s", "p50", "p95", "lag", "pending", "accepted", "results", "dead letters", "repeats"):
        table.add_column(column, justify="right")
    for domain in board.domains:
        row, pulse = board.counts.get(domain), board.pulses.get(domain, Pulse())
        table.add_row(domain, f"{pulse.rate:,.1f}", milliseconds(pulse.p50), milliseconds(pulse.p95), *_counts(row))
    return table


def _counts(row: Counts | None) -> Iterable[str]:
    if row is None:
        return ("…",) * 6
    shown = (row.lag, row.pending, row.accepted, row.results, row.dead_letters, row.repeats)
    return (f"{number:,}" for number in shown)


def latest(lines: Iterable[dict[str, Any]]) -> RenderableType:
    """One row an outcome: when, which domain, what, how sure, why."""
    table = Table.grid(padding=(0, 2), expand=True)
    for column in ("time", "domain", "decision", "confidence"):
        table.add_column(column, no_wrap=True, justify="right" if column == "confidence" else "left")
    table.add_column("why", no_wrap=True, overflow="ellipsis", ratio=1)
    for line in lines:
        bad = line["kind"] == "dead_letter"
        table.add_row(*described(line), style="red" if bad else "")
    return table if table.row_count else Text("nothing yet", "dim")


def described(line: dict[str, Any]) -> tuple[str, str, str, str, str]:
    """A line of the feed as a person reads it: clock, domain, decision, confidence, why."""
    clock = datetime.fromisoformat(line["time"]).astimezone().strftime("%H:%M:%S")
    label = line.get("reason") or line.get("label")
    decision = str(line.get("decision") or "").removeprefix("DECISION_").lower().replace("_", " ")
    words = " ".join(filter(None, (decision, label))) or "answered"
    sure = f"{line['confidence']:.0%}" if "confidence" in line else ""
    return clock, line["domain"], words, sure, str(line.get("why", ""))


def processes(board: Board) -> Text:
    """One mark a process: ● serves, ○ does not; and how often it was started again."""
    text = Text()
    for name, process in board.processes.items():
        text.append("●" if process["ready"] else "○", "green" if process["ready"] else "red")
        text.append(f"{name}×{process['restarts']}  " if process["restarts"] else f"{name}  ")
    return text


def plain(board: Board) -> Iterator[str]:
    """The numbers as one line a domain, for logs and pipes."""
    clock = datetime.now().astimezone().strftime("%H:%M:%S")
    for domain, row in board.counts.items():
        pulse = board.pulses.get(domain, Pulse())
        yield (
            f"{clock} {domain}: {pulse.rate:.1f}/s, p50 {milliseconds(pulse.p50)}, p95 {milliseconds(pulse.p95)}, lag {row.lag}, "
            f"pending {row.pending}, accepted {row.accepted}, results {row.results}, dead letters {row.dead_letters}, "
            f"repeats {row.repeats}"
        )
    yield from (f"{clock} cannot read: {why}" for why in board.trouble.values())


def milliseconds(seconds: float | None) -> str:
    return "–" if seconds is None else f"{1000 * seconds:,.0f} ms"
