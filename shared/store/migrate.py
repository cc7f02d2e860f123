"""Brings a database's schema up to date; safe when several start at once."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text

from shared.store.engine import make_engine, transaction, wait_for

_LOCK = 0x71DE  # advisory lock: one migration at a time


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    return config


def _upgrade(connection: Connection) -> None:
    command.upgrade(_config(connection), "head")


async def migrate(url: str) -> None:
    """Waits, saying for what, until Postgres is there, then upgrades in one transaction: all of it or nothing.

    Args:
        url: as `Settings.postgres`.
    """
    engine = make_engine(url, connections=1)

    async def attempt() -> None:
        async with transaction(engine) as connection:
            await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
            await connection.run_sync(_upgrade)

    try:
        await wait_for(attempt, url)
    finally:
        await engine.dispose()
