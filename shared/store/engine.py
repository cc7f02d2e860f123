"""The way to Postgres: its connections, waiting for it, and telling "it is down" from "this row cannot be stored"."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any
from urllib.parse import urlsplit

import asyncpg
from sqlalchemy import exc
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from shared.errors import Unavailable
from shared.patience import persist

_DOWN = str(Unavailable("postgres", " ")).rstrip() + " "
COMMAND_TIMEOUT = 15.0  # seconds, of one statement: a Postgres that hangs is as unavailable as one that is gone
# What a connection tells the server. A worker that is stopped in mid-transaction must not hold its keys for ever.
_SESSION = {
    "application_name": "tidemill",
    "statement_timeout": "14s",
    "lock_timeout": "10s",
    "idle_in_transaction_session_timeout": "10s",
    "jit": "off",
}
# SQLSTATE classes that are a row's own fault: data exception, integrity violation, program limit. Every other error
# (no schema yet, disk full, shutting down, deadlock, no permission) is the database's, and passes when somebody mends it.
_ROW_FAULTS = frozenset({"22", "23", "54"})
# What asyncpg raises when the database or the way to it fails. InternalClientError: the server has said that it ends, and not yet hung up.
OUTAGES = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
    EOFError,
    TimeoutError,
)


class BadRow(Exception):  # noqa: N818 - a state, as in shared.errors
    """Postgres is well and refuses what was to be stored."""


def asyncpg_dsn(url: str) -> str:
    """`url` as asyncpg reads it: also one that names SQLAlchemy's dialect."""
    scheme, separator, rest = url.partition("://")
    return f"{scheme.partition('+')[0]}{separator}{rest}"


def place_of(url: str) -> str:
    """host:port/database, without user and password, for messages."""
    parts = urlsplit(asyncpg_dsn(url))
    return f"{parts.netloc.rpartition('@')[2]}{parts.path}"


async def connect(url: str, **session: str) -> "asyncpg.Connection[Any]":
    """One connection outside the pool. `session`: server settings beside or instead of the usual ones."""
    return await asyncpg.connect(
        asyncpg_dsn(url), timeout=5, command_timeout=COMMAND_TIMEOUT, server_settings=_SESSION | session
    )


def make_engine(url: str, *, connections: int = 8, check: bool = False) -> AsyncEngine:
    """A pool of at most `connections`; nothing is connected yet. asyncpg reads the URL, so libpq's parameters (sslmode) work.

    Args:
        check: ask an idle connection whether it still works before each use, at the price of a round trip: for rare use without
            retries. Who tries again anyway is told `Unavailable` once, upon which all connections are made anew.
    """
    return create_async_engine(
        "postgresql+asyncpg://",
        async_creator=lambda: connect(url),
        pool_size=connections,
        max_overflow=0,
        pool_timeout=COMMAND_TIMEOUT,
        pool_pre_ping=check,
    )


@contextmanager
def reaching_postgres() -> Iterator[None]:
    """Names what went wrong in the block.

    Raises:
        BadRow: a value or a constraint was at fault. The message holds the condition's name only, never a value.
        Unavailable: anything else between us and a committed transaction.
    """
    try:
        yield
    except exc.DBAPIError as error:
        raise _named(error.orig if error.orig is not None else error) from error
    except (*OUTAGES, exc.TimeoutError) as error:
        raise _named(error) from error


def _named(error: BaseException) -> BadRow | Unavailable:
    state = str(getattr(error, "sqlstate", None) or "")
    cause = error.__cause__ or error
    if state[:2] in _ROW_FAULTS:
        return BadRow(f"{type(cause).__name__} ({state})")
    said = " ".join(str(cause).split())[:200]
    hint = "; has `python -m shared.store migrate` run?" if state.startswith("42") else ""
    return Unavailable("postgres", (said or type(cause).__name__) + hint)


@asynccontextmanager
async def transaction(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """One transaction, committed at the end of the block. Raises as `reaching_postgres`."""
    with reaching_postgres():
        async with engine.begin() as connection:
            yield connection


async def wait_for(attempt: Callable[[], Awaitable[None]], url: str) -> None:
    """Tries until Postgres is there, however long, saying where and why it waits."""

    async def look() -> None:
        try:
            await attempt()
        except Unavailable as error:
            raise Unavailable("postgres", f"at {place_of(url)}: {str(error).removeprefix(_DOWN)}") from error

    await persist(look)
