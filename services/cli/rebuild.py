"""`tidemill rebuild-redis`."""

import asyncio
import time

import typer
from rich.console import Console

from services.cli.contract import contracts, feedback
from services.cli.needs import stack_with
from services.cli.problem import Problem
from services.cli.stack import DEFAULT, Data
from shared.errors import Unavailable
from shared.settings import Settings
from shared.store.postgres import Store
from shared.store.rebuild import rebuild
from shared.store.redis import Projection

_POSTGRES_WITHIN = 15.0  # seconds


def rebuild_redis(data: Data = DEFAULT) -> None:
    """Make what Redis holds again from Postgres, while everything runs.

    Redis is derived: the latest outcomes (a day's), the live feed, cached issuer
    windows. Losing all of it loses nothing; this brings it back.

      tidemill rebuild-redis
    """
    settings, began = stack_with(data, "postgres", "redis").settings, time.monotonic()
    with Console().status("projecting outcomes from Postgres into Redis"):
        count = asyncio.run(_rebuild(settings))
    typer.echo(f"projected {count:,} outcomes in {time.monotonic() - began:.1f} s")
    typer.echo(f"RESULT projected={count}")


async def _rebuild(settings: Settings) -> int:
    results = {contract.name: contract.result for contract in (*contracts().values(), feedback())}
    projection = Projection.open(settings)
    try:
        await projection.ping()
        store = await asyncio.wait_for(Store.open(settings), _POSTGRES_WITHIN)
        try:
            return await rebuild(store, projection, results)
        finally:
            await store.close()
    except TimeoutError as error:
        raise Problem(f"postgres does not answer within {_POSTGRES_WITHIN:.0f} s; see `tidemill status`") from error
    except Unavailable as error:
        raise Problem(f"{error}; see `tidemill status`") from error
    finally:
        await projection.close()
