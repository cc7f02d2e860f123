"""A store on a fresh database, and a projection in an empty Redis."""

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from shared.settings import Settings
from shared.store.postgres import Store
from shared.store.redis import Projection


@pytest.fixture
async def store(postgres: str) -> AsyncIterator[Store]:
    """A store on a migrated, empty database."""
    opened = await Store.open(Settings(postgres=postgres))
    yield opened
    await opened.close()


@pytest.fixture
async def projection(redis: str) -> AsyncIterator[Projection]:
    """A projection in an empty Redis."""
    opened = Projection.open(Settings(redis=redis))
    yield opened
    await opened.close()


@pytest.fixture
async def another(postgres: str) -> AsyncIterator[Callable[[], Awaitable[Store]]]:
    """Makes more stores on the same database: other processes, as Postgres sees them."""
    made: list[Store] = []

    async def make() -> Store:
        made.append(await Store.open(Settings(postgres=postgres)))
        return made[-1]

    yield make
    for each in made:
        await each.close()
