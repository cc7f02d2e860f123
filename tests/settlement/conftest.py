"""The same tests on the fake store and on Postgres."""

from collections.abc import AsyncIterator

import pytest

from shared.settings import Settings
from shared.settlement.settlement import Sink
from shared.store.postgres import Store
from tests.fakes import FakeStore


@pytest.fixture(params=["fake", "postgres"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[Sink]:
    if request.param == "fake":
        yield FakeStore()
        return
    real = await Store.open(Settings(postgres=request.getfixturevalue("postgres")))
    yield real
    await real.close()
