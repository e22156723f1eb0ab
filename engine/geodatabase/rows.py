"""Reading and changing single rows and pages of rows of a table, as a person's edits.

Synchronous functions over a connection; those that write need an open transaction, and what they
write goes into the change log.
"""

import sqlite3
from collections.abc import Mapping, Sequence

from engine.errors import BadParameterError, EditRefusedError, FeatureNotFoundError
from engine.geodatabase.layer_table import LayerTable
from engine.geodatabase.sql import quote, quoted
from engine.values import ColumnValue

Row = tuple[ColumnValue, ...]

_PAGE_ROWS = 500
_PAGE_BYTES = 1024 * 1024


def read_page(
    connection: sqlite3.Connection,
    table: LayerTable,
    where: str,
    parameters: Sequence[ColumnValue],
    after: int | None,
    names: Sequence[str] | None = None,
) -> tuple[list[Row], int | None]:
    """The rows that fulfil ``where`` behind the key ``after``, about a megabyte of them.

    ``names`` are the columns that are wanted, all if it is None. Also the last one's key, to go on
    with; None if there are no more.
    """
    key, name = quote(table.key), quote(table.name)
    wanted = table.row_names if names is None else names
    # The line break keeps a comment in the condition from swallowing what follows.
    condition = f"AND (\n{where}\n)" if where.strip() else ""
    first = -(2**63) if after is None else after + 1
    rows: list[Row] = []
    size = 0
    try:
        cursor = connection.execute(
            f"SELECT {key}, {quoted(wanted)} FROM {name} WHERE {key} >= ? {condition} "
            f"ORDER BY {key}",
            (first, *parameters),
        )
        for last, *cells in cursor:
            rows.append(tuple(cells))
            size += sum(len(c) for c in cells if isinstance(c, str | bytes))
            if len(rows) >= _PAGE_ROWS or size >= _PAGE_BYTES:
                return rows, last
    except (sqlite3.OperationalError, sqlite3.ProgrammingError) as error:
        if (
            where
            and getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) == sqlite3.SQLITE_ERROR
        ):
            raise BadParameterError(
                f"{table.name}: the condition {where!r} cannot be used: {error}"
            ) from error
        raise
    return rows, None


def find_row(connection: sqlite3.Connection, table: LayerTable, global_id: str) -> Row | None:
    """The row of that GlobalID."""
    found: Row | None = connection.execute(
        f"SELECT {quoted(table.row_names)} FROM {quote(table.name)} "
        f"WHERE {quote(table.global_id)} = ?",
        (global_id,),
    ).fetchone()
    return found


def get_row(connection: sqlite3.Connection, table: LayerTable, global_id: str) -> Row:
    """The row of that GlobalID; :exc:`FeatureNotFoundError` if there is none."""
    row = find_row(connection, table, global_id)
    if row is None:
        raise FeatureNotFoundError(f"{table.name} has no row {global_id}")
    return row


def insert_row(
    connection: sqlite3.Connection, table: LayerTable, cells: Mapping[str, ColumnValue]
) -> Row:
    """Add a row; as it then is. Its GlobalID must be among the cells and be new."""
    global_id = str(cells[table.global_id])
    if find_row(connection, table, global_id) is not None:
        raise EditRefusedError(f"{table.name} already has a row {global_id}")
    marks = ",".join("?" * len(cells))
    connection.execute(
        f"INSERT INTO {quote(table.name)} ({quoted(cells)}) VALUES ({marks})",
        tuple(cells.values()),
    )
    return get_row(connection, table, global_id)


def update_row(
    connection: sqlite3.Connection,
    table: LayerTable,
    global_id: str,
    cells: Mapping[str, ColumnValue],
) -> Row:
    """Change some columns of a row; as it then is."""
    if cells:
        changes = ", ".join(f"{quote(name)} = ?" for name in cells)
        connection.execute(
            f"UPDATE {quote(table.name)} SET {changes} WHERE {quote(table.global_id)} = ?",
            (*cells.values(), global_id),
        )
    return get_row(connection, table, global_id)


def delete_row(connection: sqlite3.Connection, table: LayerTable, global_id: str) -> None:
    """Delete a row; :exc:`FeatureNotFoundError` if there is none."""
    done = connection.execute(
        f"DELETE FROM {quote(table.name)} WHERE {quote(table.global_id)} = ?", (global_id,)
    )
    if not done.rowcount:
        raise FeatureNotFoundError(f"{table.name} has no row {global_id}")


def count_rows(connection: sqlite3.Connection, table: LayerTable) -> int:
    """How many rows the table has."""
    found = connection.execute(f"SELECT count(*) FROM {quote(table.name)}").fetchone()
    return int(found[0])
