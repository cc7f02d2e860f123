"""`tidemill provision`: the schema and the topics, where no local stack makes them."""

import asyncio

import typer

from services.cli import topics
from shared.settings import Settings
from shared.store.migrate import migrate


def provision() -> None:
    """Bring the schema of TIDEMILL_POSTGRES up to date and make the missing topics at TIDEMILL_KAFKA; safe to repeat.

    `tidemill up` does this itself; containers run it once before the services.

    Example:  [bold]TIDEMILL_KAFKA=kafka:9092 TIDEMILL_POSTGRES=postgresql://… tidemill provision[/bold]
    """
    settings = Settings()
    asyncio.run(migrate(settings.postgres))
    made = topics.provision(settings, topics.topics())
    typer.echo(f"the schema is up to date; topics made: {', '.join(made) or 'none, all were there'}")
