"""Rows of which a download may not tell, so that they must be asked for by their GlobalIDs.

A service may send a row that leaves the replica's area or where clause as deleted, or not at all;
and it says nothing of a row that was added by this device after its last download and is deleted
before the next one. Functions that write need an open transaction.
"""

import sqlite3
from collections.abc import Collection
from enum import Enum

from engine.geodatabase.bookkeeping import declare
from engine.geodatabase.layer_table import LayerTable
from engine.geodatabase.sql import quote
from engine.geodatabase.staging import stage_table

_TABLE = "fieldsync_watched"


class Reason(Enum):
    """Why a row is watched."""

    OUTSIDE = "outside"
    """It left the map's filter and is kept as it is there."""
    ADDED = "added"
    """It was sent after the last download."""
    RELATED = "related"
    """It belongs to a row that was deleted there, and was not read back since."""


def watch(
    connection: sqlite3.Connection, table: LayerTable, global_ids: Collection[str], reason: Reason
) -> None:
    """Watch these rows."""
    if not global_ids:
        return
    if not _exists(connection):  # many files never need it
        connection.execute(
            f"CREATE TABLE {_TABLE} (number INTEGER NOT NULL, reason TEXT NOT NULL, "
            "gid TEXT NOT NULL, PRIMARY KEY (number, reason, gid)) WITHOUT ROWID"
        )
        declare(connection, _TABLE)
    connection.executemany(
        f"INSERT OR IGNORE INTO {_TABLE} (number, reason, gid) VALUES (?, ?, ?)",
        [(table.number, reason.value, gid) for gid in global_ids],
    )


def watched(connection: sqlite3.Connection, table: LayerTable, reason: Reason) -> list[str]:
    """GlobalIDs of the rows that are watched."""
    if not _exists(connection):
        return []
    found = connection.execute(
        f"SELECT gid FROM {_TABLE} WHERE number = ? AND reason = ? ORDER BY gid",
        (table.number, reason.value),
    )
    return [gid for (gid,) in found]


def forget(connection: sqlite3.Connection, table: LayerTable, reason: Reason) -> None:
    """Watch no row of ``table`` any more for that reason."""
    if _exists(connection):
        connection.execute(
            f"DELETE FROM {_TABLE} WHERE number = ? AND reason = ?", (table.number, reason.value)
        )


def forget_inside(connection: sqlite3.Connection, table: LayerTable) -> None:
    """The staged rows of ``table`` came with a download, so they are inside; and rows that are not
    here any more are nowhere."""
    if _exists(connection):
        connection.execute(
            f"DELETE FROM {_TABLE} WHERE number = ? AND reason = ? AND (gid IN "
            f"(SELECT gid FROM {stage_table(table)}) OR NOT EXISTS (SELECT 1 FROM "
            f"{quote(table.name)} t WHERE t.{quote(table.global_id)} = {_TABLE}.gid))",
            (table.number, Reason.OUTSIDE.value),
        )


def _exists(connection: sqlite3.Connection) -> bool:
    found = connection.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (_TABLE,))
    return found.fetchone() is not None
