"""Redis made again from Postgres by the command."""

import asyncio
from datetime import UTC, datetime

from typer.testing import CliRunner

from protos import intent_pb2
from services.cli.__main__ import app
from services.cli.problem import Problem
from shared.event import Key
from shared.settings import Settings
from shared.store.outcome import Outcome
from shared.store.postgres import Store
from shared.store.redis import Projection


async def write(settings, count):
    """So many results in Postgres, none in Redis."""
    now, body = datetime.now(UTC), intent_pb2.IntentResult(intent="a").SerializeToString()
    store = await Store.open(settings)
    await store.write(
        [
            Outcome(Key("intent", "s", str(n)), b"d" * 32, "result", body, "kafka", f"t:0:{n}", now, now)
            for n in range(count)
        ]
    )
    await store.close()


async def projected(settings, count):
    projection = Projection.open(settings)
    try:
        found = await projection.find([Key("intent", "s", str(n)) for n in range(count)])
        return len(found), len((await projection.feed("intent"))[1])
    finally:
        await projection.close()


def test_an_empty_redis_is_filled_from_postgres(postgres, redis, tmp_path):
    """Every outcome of the last day and the live feed are there again, and the command counts them."""
    settings = Settings(postgres=postgres, redis=redis)
    asyncio.run(write(settings, 7))
    environment = {"TIDEMILL_POSTGRES": postgres, "TIDEMILL_REDIS": redis}
    ran = CliRunner().invoke(app, ["rebuild-redis", "--data", str(tmp_path)], env=environment)
    assert ran.exit_code == 0, ran.output
    assert "RESULT projected=7" in ran.output
    assert asyncio.run(projected(settings, 7)) == (7, 7)


def test_a_redis_that_is_down_is_said(postgres, tmp_path):
    """The message names it and the command that shows what runs."""
    environment = {"TIDEMILL_POSTGRES": postgres, "TIDEMILL_REDIS": "redis://127.0.0.1:1/0"}
    ran = CliRunner().invoke(app, ["rebuild-redis", "--data", str(tmp_path)], env=environment)
    assert isinstance(ran.exception, Problem)
    assert "redis is unavailable" in str(ran.exception)
    assert "tidemill status" in str(ran.exception)
