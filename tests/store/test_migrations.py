"""The schema that migrations make is the schema that the code expects."""

import asyncio
import subprocess
import sys

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, text

from shared.settings import Settings
from shared.store import tables
from shared.store.engine import BadRow, transaction
from shared.store.migrate import migrate
from shared.store.postgres import Store
from tests.store.rows import count, outcome


async def test_models_and_migrations_agree(store: Store) -> None:
    """Nothing is left to migrate: tables, columns, types, defaults, indexes and keys are the same."""

    def compare(connection: Connection) -> list[object]:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        return list(compare_metadata(context, tables.metadata))

    async with store.engine.connect() as connection:
        assert await connection.run_sync(compare) == []


async def test_several_may_migrate_at_once(postgres: str) -> None:
    """From an empty database, four migrations at the same moment all succeed."""
    admin = await Store.open(Settings(postgres=postgres))
    async with transaction(admin.engine) as connection:
        await connection.execute(text("DROP SCHEMA public CASCADE"))
        await connection.execute(text("CREATE SCHEMA public"))
    await admin.close()
    await asyncio.gather(*(migrate(postgres) for _ in range(4)))
    store = await Store.open(Settings(postgres=postgres))
    await store.write([outcome()])
    assert await count(store, tables.outcomes) == 1
    await store.close()


def test_the_command_migrates(postgres: str) -> None:
    """`python -m shared.store migrate` says that it is done and leaves with 0; anything else is a usage error."""
    command = [sys.executable, "-m", "shared.store"]
    done = subprocess.run([*command, "migrate"], env={"TIDEMILL_POSTGRES": postgres}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "up to date" in done.stderr
    assert "@" not in done.stderr, "neither user nor password"
    assert subprocess.run(command, capture_output=True).returncode == 2


@pytest.mark.parametrize(
    "change", ["UPDATE outcomes SET body = ''", "DELETE FROM outcomes", "TRUNCATE outcomes CASCADE"]
)
async def test_history_cannot_be_changed(store: Store, change: str) -> None:
    """Postgres itself refuses to change or delete the rows of an append-only table."""
    await store.write([outcome()])
    with pytest.raises(BadRow):
        async with transaction(store.engine) as connection:
            await connection.execute(text(change))
    assert await count(store, tables.outcomes) == 1


async def test_what_people_wrote_can_be_erased(store: Store) -> None:
    """A request's payload can be deleted; its outcome stays."""
    await store.write([outcome()])
    async with transaction(store.engine) as connection:
        await connection.execute(text("DELETE FROM requests"))
    assert await store.request_of(outcome().key) is None
    assert len(await store.find([outcome().key])) == 1
