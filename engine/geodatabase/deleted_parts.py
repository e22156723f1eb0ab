"""Rows that were deleted here because the row went that they belong to: its delete decides.

A program that deletes them itself means just that, and its deletes are sent. Functions that write
need an open transaction.
"""

import sqlite3
from collections.abc import Iterable

from engine.geodatabase.bookkeeping import has_table, make_table
from engine.geodatabase.layer_table import LayerTable

_TABLE = "fieldsync_deleted_part"

# The note is of the delete that was the row's last edit.
_NOTED = f"SELECT 1 FROM {_TABLE} d WHERE d.layer=c.layer AND d.gid=c.gid AND d.seq=c.seq"

_MOOT = (
    f"{_TABLE} AS d WHERE NOT EXISTS(SELECT 1 FROM fieldsync_change c"
    " WHERE c.layer=d.layer AND c.gid=d.gid AND c.seq=d.seq)"
)


def note_parts(
    connection: sqlite3.Connection, table: LayerTable, global_ids: Iterable[str]
) -> None:
    """These rows were deleted just now with the one that they belong to."""
    make_table(
        connection,
        _TABLE,
        "(layer INTEGER NOT NULL, gid TEXT NOT NULL, seq INTEGER NOT NULL,"
        " PRIMARY KEY(layer,gid)) WITHOUT ROWID",
    )
    connection.executemany(
        f"INSERT OR REPLACE INTO {_TABLE} SELECT layer,gid,seq FROM fieldsync_change"
        " WHERE layer=? AND gid=? AND had_base",
        [(table.number, gid) for gid in global_ids],
    )


def part_condition(connection: sqlite3.Connection) -> str:
    """An SQL condition: the entry ``c`` of fieldsync_change is of such a delete."""
    return f"EXISTS({_NOTED})" if has_table(connection, _TABLE) else "0"


def went_with_another(connection: sqlite3.Connection, table: LayerTable, global_id: str) -> bool:
    """Whether that row was deleted with the one that it belonged to."""
    found = connection.execute(
        f"SELECT {part_condition(connection)} FROM fieldsync_change c WHERE c.layer=? AND c.gid=?",
        (table.number, global_id),
    ).fetchone()
    return found is not None and bool(found[0])


def has_moot_parts(connection: sqlite3.Connection) -> bool:
    """Whether :func:`prune_parts` has anything to do."""
    if not has_table(connection, _TABLE):
        return False
    return connection.execute(f"SELECT 1 FROM {_MOOT} LIMIT 1").fetchone() is not None


def prune_parts(connection: sqlite3.Connection) -> None:
    """Forget the deletes that were sent or undone."""
    connection.execute(f"DELETE FROM {_MOOT}")
