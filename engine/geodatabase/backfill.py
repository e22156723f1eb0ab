"""New columns whose values are still to be fetched for the rows that were here before them.

The note is written in the transaction that adds the columns and moves on with the rows, so it is
known at any time how far that has come. Functions that write need an open transaction.
"""

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from engine.geodatabase.applying import applying
from engine.geodatabase.bookkeeping import has_table, make_table
from engine.geodatabase.difference import Cell
from engine.geodatabase.layer_table import LayerTable
from engine.geodatabase.logged_table import LoggedTable
from engine.geodatabase.sql import quote

_TABLE = "fieldsync_backfill"


@dataclass(frozen=True, slots=True, kw_only=True)
class Backfill:
    """The columns of a table that are not complete; rows up to the key ``after`` have them."""

    number: int
    columns: tuple[str, ...]
    after: int


def add(connection: sqlite3.Connection, table: LayerTable, columns: Sequence[str]) -> None:
    """These columns of ``table`` are new: no row has them yet."""
    make_table(
        connection,
        _TABLE,
        "(number INTEGER PRIMARY KEY, columns TEXT NOT NULL, after INTEGER NOT NULL)",
    )
    open_ones = next((b.columns for b in backfills(connection) if b.number == table.number), ())
    names = [name for name in dict.fromkeys((*open_ones, *columns)) if table.column(name)]
    connection.execute(f"DELETE FROM {_TABLE} WHERE number = ?", (table.number,))
    if names:
        connection.execute(
            f"INSERT INTO {_TABLE} VALUES (?, ?, ?)",
            (table.number, json.dumps(names, ensure_ascii=False), -(2**63)),
        )


def backfills(connection: sqlite3.Connection) -> list[Backfill]:
    """What is still to be filled, table by table."""
    if not has_table(connection, _TABLE):
        return []
    return [
        Backfill(number=number, columns=tuple(json.loads(columns)), after=after)
        for number, columns, after in connection.execute(
            f"SELECT number, columns, after FROM {_TABLE} ORDER BY number"
        )
    ]


def next_rows(
    connection: sqlite3.Connection, table: LayerTable, after: int, limit: int
) -> list[tuple[int, str]]:
    """(key, GlobalID) of the next rows behind ``after`` that the service may have."""
    key, gid = quote(table.key), quote(table.global_id)
    return connection.execute(
        f"SELECT {key}, {gid} FROM {quote(table.name)} WHERE {key} > ? AND {gid} NOTNULL "
        f"ORDER BY {key} LIMIT ?",
        (after, limit),
    ).fetchall()


def next_deleted(
    connection: sqlite3.Connection, table: LayerTable, after: str, limit: int
) -> list[str]:
    """GlobalIDs, behind ``after``, of rows that were deleted here and are there still: the delete
    may be taken back."""
    found = connection.execute(
        "SELECT c.gid FROM fieldsync_change c WHERE c.layer = ? AND c.had_base AND c.gid > ?"
        f" AND NOT EXISTS (SELECT 1 FROM {quote(table.name)} t"
        f" WHERE t.{quote(table.global_id)} = c.gid) ORDER BY c.gid LIMIT ?",
        (table.number, after, limit),
    )
    return [gid for (gid,) in found]


def fill(
    connection: sqlite3.Connection,
    table: LayerTable,
    columns: Sequence[str],
    rows: Mapping[str, Sequence[Cell]],
    after: int,
) -> None:
    """Write the service's values of ``columns`` (GlobalID → cells); rows up to ``after`` are done.

    What was edited here meanwhile stays an edit; the service's value becomes its base.
    """
    logged = LoggedTable(connection, table)
    touched = _touched(connection, table, rows)
    name, gid = quote(table.name), quote(table.global_id)
    assignments = ", ".join(f"{quote(column)} = ?" for column in columns)
    with applying(connection):
        connection.executemany(
            f"UPDATE {name} SET {assignments} WHERE {gid} = ?",
            [(*cells, key) for key, cells in rows.items() if key not in touched],
        )
        for key in touched:
            _fill_touched(logged, key, dict(zip(columns, rows[key], strict=True)))
    connection.execute(f"UPDATE {_TABLE} SET after = ? WHERE number = ?", (after, table.number))


def done(connection: sqlite3.Connection, table: LayerTable) -> None:
    """All rows have the new columns."""
    connection.execute(f"DELETE FROM {_TABLE} WHERE number = ?", (table.number,))


def _fill_touched(logged: LoggedTable, gid: str, cells: Mapping[str, Cell]) -> None:
    entry, stored = logged.entry(gid), logged.stored(gid)
    base = None if entry is None else logged.base(entry, None if stored is None else stored.row)
    if base is None:
        return  # an own row: what the service makes of it comes back with its acknowledgement
    if stored is not None:
        unedited = {n: c for n, c in cells.items() if _same(logged, stored.row, base, n)}
        logged.set_cells(gid, unedited)
    logged.set_base(gid, logged.with_cells(base, cells))


def _same(logged: LoggedTable, row: tuple[Cell, ...], base: tuple[Cell, ...], name: str) -> bool:
    return logged.cell(row, name) == logged.cell(base, name)


def _touched(
    connection: sqlite3.Connection, table: LayerTable, global_ids: Iterable[str]
) -> list[str]:
    found = connection.execute(
        "SELECT c.gid FROM json_each(?) j JOIN fieldsync_change c "
        "ON c.layer = ? AND c.gid = j.value",
        (json.dumps(list(global_ids)), table.number),
    )
    return [gid for (gid,) in found]
