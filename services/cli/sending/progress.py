"""A progress bar for a sending, on a terminal."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from services.cli.sending.produce import Sent


@contextmanager
def sending_bar(topic: str, wanted: int | None, console: Console) -> Iterator[Callable[[Sent], None]]:
    """Yields what `produce` is to call; nothing is drawn where there is no terminal."""
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[state]}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(f"→ {topic}", total=wanted, state="")

        def told(sent: Sent) -> None:
            rate = sent.acknowledged / progress.tasks[0].elapsed if progress.tasks[0].elapsed else 0.0
            progress.update(task, completed=sent.sent, state=f"{sent.acknowledged:,} acknowledged, {rate:,.0f}/s")

        yield told
