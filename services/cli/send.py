"""Events from files, standard input or thin air onto a domain's topic: what `tidemill send` does."""

import itertools
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from services.cli import images, intake
from services.cli.contract import Contract
from services.cli.draft import Draft, Record, record
from services.cli.generate import generate
from services.cli.intake import Options
from services.cli.problem import Problem
from services.cli.produce import Sent, produce
from shared.settings import Settings


@dataclass(frozen=True, slots=True)
class Plan:
    """What to send: files (or "-"), or so many made-up events."""

    files: Sequence[str] = ()
    generated: int = 0
    seed: int = 0
    kind: str = ""  # of the files; empty: by their names
    claim: bool = False
    count: int = 0  # at most; 0: all
    rate: float = 0.0  # events a second at most; 0: no limit


def drafts(contract: Contract, plan: Plan, options: Options, settings: Settings) -> Iterator[Draft]:
    """Every event of the plan.

    Raises:
        Problem: nothing is named, or a file cannot be read; events of earlier lines have been yielded by then.
    """
    if bool(plan.files) == bool(plan.generated):
        raise Problem("name the files to send (or - for standard input), or --generate N; see `tidemill send --help`")
    if plan.generated:
        found: Iterator[Draft] = generate(contract, plan.generated, plan.seed, options)
    elif not contract.text_field:
        found = images.read([Path(file) for file in plan.files], settings.blobs, plan.claim, options)
    else:
        found = itertools.chain.from_iterable(_file(contract, file, plan.kind, options) for file in plan.files)
    return itertools.islice(found, plan.count or None)


def _file(contract: Contract, file: str, kind: str, options: Options) -> Iterator[Draft]:
    if file == "-":
        yield from intake.read(contract, sys.stdin, "stdin", kind or "txt", options)
        return
    path = Path(file)
    kind = kind or path.suffix.lstrip(".").lower()
    if kind not in intake.KINDS:
        known = ", ".join(f".{known}" for known in intake.KINDS)
        raise Problem(f"{file}: cannot tell what it holds; {contract.name} takes {known}, or say --as {intake.KINDS[0]}")
    try:
        with path.open(encoding="utf-8", newline="") as lines:
            yield from intake.read(contract, lines, file, kind, options)
    except OSError as error:
        raise Problem(f"{file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise Problem(f"{file}: not UTF-8 at byte {error.start}") from error


def send(contract: Contract, plan: Plan, options: Options, settings: Settings, console: Console) -> Sent:
    """Sends the plan's events with a progress bar on a terminal, and returns what became of them."""
    wanted = plan.count or plan.generated or None
    with _progress(contract.requests, wanted, console) as told:
        records: Iterator[Record] = (record(draft, contract) for draft in drafts(contract, plan, options, settings))
        return produce(settings.kafka, records, plan.rate, told)


@contextmanager
def _progress(topic: str, wanted: int | None, console: Console) -> Iterator[Callable[[Sent], None]]:
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[state]}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(f"→ {topic}", total=wanted, state="")

        def told(sent: Sent) -> None:
            rate = sent.acknowledged / progress.tasks[0].elapsed if progress.tasks[0].elapsed else 0.0
            progress.update(task, completed=sent.sent, state=f"{sent.acknowledged:,} acknowledged, {rate:,.0f}/s")

        yield told
