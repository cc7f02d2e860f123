"""Progress on a terminal as bars, elsewhere as few lines."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from services.training.routes import Advance


@contextmanager
def shown(console: Console, title: str) -> Iterator[Advance]:
    """An `Advance` that shows what it is told. A step of which the amount is not known (0 of 0) is a line.

    Lines that begin with RESULT are printed as they are: programs read them.
    """
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bars:
        tasks: dict[str, TaskID] = {}

        def advance(step: str, done: int, of: int) -> None:
            if step.startswith("RESULT "):
                console.print(step, markup=False, highlight=False, soft_wrap=True)
            elif not console.is_terminal:
                if step not in tasks and done < max(of, 1):
                    tasks[step] = TaskID(len(tasks))
                    console.print(f"{title}: {step}", markup=False, highlight=False, soft_wrap=True)
            else:
                if step not in tasks:
                    tasks[step] = bars.add_task(f"{title}: {step}", total=of or None)
                bars.update(tasks[step], completed=done)

        yield advance
