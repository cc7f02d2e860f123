"""`tidemill provision`: the schema, the topics and the blob stores' markers, where no local stack makes them."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

import typer

from services.cli import topics
from services.cli.broker import Absent
from shared import claim
from shared.errors import Unavailable
from shared.patience import persist
from shared.settings import Settings
from shared.store.migrate import migrate


def provision() -> None:
    """Bring the schema of TIDEMILL_POSTGRES up to date, make the missing topics at TIDEMILL_KAFKA, mark the stores of TIDEMILL_BLOBS.

    Safe to repeat. It waits for PostgreSQL and Kafka, and says so. A blob store is marked by a hidden file, by which an empty store
    is told from one that is not mounted: so run it where the stores are mounted.
    `tidemill up` does all this itself; containers run it once before the services.

    Example:  [bold]TIDEMILL_KAFKA=kafka:9092 TIDEMILL_POSTGRES=postgresql://… tidemill provision[/bold]
    """
    settings = Settings()
    made = asyncio.run(_prepare(settings))
    typer.echo(f"the schema is up to date; topics made: {', '.join(made) or 'none, all were there'}")
    _mark(settings.blobs)


async def _prepare(settings: Settings) -> list[str]:
    await migrate(settings.postgres)

    async def make() -> list[str]:
        try:
            return await asyncio.to_thread(topics.provision, settings, topics.topics())
        except Absent as absent:
            raise Unavailable("kafka", absent.seen) from absent

    return await persist(make)


def _mark(blobs: Mapping[str, Path]) -> None:
    for name, folder in blobs.items():
        try:
            claim.mark(folder)
        except OSError as error:
            detail = f"{folder} cannot be marked ({error.strerror}): while it is empty, events that claim from it wait"
            typer.echo(f"blob store {name}: {detail}", err=True)
        else:
            typer.echo(f"blob store {name}: {folder} is marked")
