"""Many rows in one statement: one array a column, so that a batch costs one round trip and little CPU a row."""

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

from sqlalchemy import Table, TextClause, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncConnection

_DIALECT = postgresql.dialect()  # type: ignore[no-untyped-call]


@cache
def unnest(table: Table, columns: tuple[str, ...]) -> str:
    """`unnest(...)` over one array parameter for each column, named and typed as the column.

    Raises:
        KeyError: the table has no such column.
    """
    arrays = (f"CAST(:{name} AS {table.c[name].type.compile(_DIALECT)}[])" for name in columns)
    return f"unnest({', '.join(arrays)})"


@cache
def _insert(table: Table, columns: tuple[str, ...], tail: str) -> TextClause:
    names = ", ".join(columns)
    return text(f"INSERT INTO {table.name} ({names}) SELECT * FROM {unnest(table, columns)} {tail}")  # noqa: S608 - our own names


def arrays(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> dict[str, list[Any]]:
    """`rows` turned on their side: one list for each column."""
    return dict(zip(columns, map(list, zip(*rows, strict=True)), strict=True))


async def insert(
    connection: AsyncConnection,
    table: Table,
    columns: tuple[str, ...],
    rows: Sequence[Sequence[Any]],
    tail: str = "",
) -> Sequence[Any]:
    """Inserts `rows`, in their order, with one statement.

    Args:
        tail: what follows, e.g. ``ON CONFLICT DO NOTHING RETURNING place``.

    Returns:
        what the statement returns; nothing, and no statement, for no rows.
    """
    if not rows:
        return ()
    result = await connection.execute(_insert(table, columns, tail), arrays(columns, rows))
    return result.all() if result.returns_rows else ()
