"""Rows of which a download may not tell, so that they must be asked for by their GlobalIDs.

A service may send a row that leaves the replica's area or where clause as deleted, or not at all;
and it says nothing of a row that was added by this device after its last download and is deleted
before the next one. Functions that write need an open transaction.
"""

import sqlite3
from collections.abc import Collection
from enum import Enum

from engine.geodatabase.bookkeeping import has_table, make_table
from engine.geodatabase.layer_table import LayerTable
from engine.geodatabase.sql import quote
from engine.geodatabase.staging import stage_table

WATCHED = "fieldsync_watched"


class Reason(Enum):
    """Why a row is watched."""

    OUTSIDE = "outside"
    """It left the map's filter and is kept as it is there."""
    ADDED = "added"
    """It was sent after the last download."""
    EDITED = "edited"
    """An edit of it was sent after the last download, and may have taken it out of the filter."""
    RELATED = "related"
    """It belongs to a row that is gone there, and was not read back since."""


def watch(
    connection: sqlite3.Connection, table: LayerTable, global_ids: Collection[str], reason: Reason
) -> None:
    """Watch these rows."""
    if not global_ids:
        return
    make_watched(connection)
    connection.executemany(
        f"INSERT OR IGNORE INTO {WATCHED} (number, reason, gid) VALUES (?, ?, ?)",
        [(table.number, reason.value, gid) for gid in global_ids],
    )


def watched(
    connection: sqlite3.Connection,
    table: LayerTable,
    reason: Reason,
    *,
    after: str = "",
    limit: int = -1,
) -> list[str]:
    """GlobalIDs of the rows that are watched, in their order, behind ``after``; -1: all."""
    if not is_watching(connection):
        return []
    found = connection.execute(
        f"SELECT gid FROM {WATCHED} WHERE number = ? AND reason = ? AND gid > ?"
        " ORDER BY gid LIMIT ?",
        (table.number, reason.value, after, limit),
    )
    return [gid for (gid,) in found]


def forget(
    connection: sqlite3.Connection,
    table: LayerTable,
    reason: Reason,
    global_ids: Collection[str] | None = None,
) -> None:
    """Watch these rows of ``table`` no more for that reason; None: no row at all."""
    if not is_watching(connection):
        return
    statement = f"DELETE FROM {WATCHED} WHERE number = ? AND reason = ?"
    if global_ids is None:
        connection.execute(statement, (table.number, reason.value))
        return
    connection.executemany(
        f"{statement} AND gid = ?", [(table.number, reason.value, gid) for gid in global_ids]
    )


def forget_inside(connection: sqlite3.Connection, table: LayerTable) -> None:
    """The staged rows of ``table`` came with a download, so they are inside; and rows that are not
    here any more are nowhere."""
    if is_watching(connection):
        connection.execute(
            f"DELETE FROM {WATCHED} WHERE number = ? AND reason = ? AND (gid IN "
            f"(SELECT gid FROM {stage_table(table)}) OR NOT EXISTS (SELECT 1 FROM "
            f"{quote(table.name)} t WHERE t.{quote(table.global_id)} = {WATCHED}.gid))",
            (table.number, Reason.OUTSIDE.value),
        )


def is_watching(connection: sqlite3.Connection) -> bool:
    """Whether any row was ever watched; many files never need the table."""
    return has_table(connection, WATCHED)


def make_watched(connection: sqlite3.Connection) -> None:
    """Make the table of watched rows where it is missing."""
    make_table(
        connection,
        WATCHED,
        "(number INTEGER NOT NULL, reason TEXT NOT NULL, gid TEXT NOT NULL, "
        "PRIMARY KEY (number, reason, gid)) WITHOUT ROWID",
    )
