"""A small layer with two rows, for tests that look at one statement or one step."""

import sqlite3
from collections.abc import Iterable

from engine.geodatabase.acknowledge import record_sent
from engine.geodatabase.change_log import Edit, pending_edits
from engine.geodatabase.dependents import Dependent
from engine.geodatabase.difference import Cell, Row
from engine.geodatabase.layer_table import LayerTable
from engine.geodatabase.merge import (
    MergeCounts,
    clear_staging,
    merge_table,
    stage_deletes,
    stage_rows,
)
from engine.model import ConflictPolicy
from tests.engine.geodatabase.log_oracle import make_table

TREES = make_table(5, name="trees")
LAZY_TREES = make_table(5, name="trees", lazy=True)
G1, G2 = "{AAAAAAAA-1111-4111-8111-111111111111}", "{BBBBBBBB-2222-4222-8222-222222222222}"
G3 = "{CCCCCCCC-3333-4333-8333-333333333333}"
POINT = b"GP\0\1" + b"\0" * 4 + b"\1" + b"\1\0\0\0" + b"\0" * 16
MOVED = POINT[:-1] + b"\x40"
WITH_ENVELOPE = b"GP\0\3" + POINT[4:8] + b"\0" * 32 + POINT[8:]
NOW = "2026-01-01T00:00:00.000Z"
ADD = f"INSERT INTO trees(GlobalID,geom,id,key) VALUES('{G3}',x'{POINT.hex()}','new',1)"
UPDATE = f"UPDATE trees SET id='mine',geom=x'{MOVED.hex()}' WHERE GlobalID='{G1}'"
DELETE = f"DELETE FROM trees WHERE GlobalID='{G1}'"


def two_rows(table: LayerTable) -> list[Row]:
    """The rows G1 and G2 as a service sends them, ``id`` is 'was'."""
    return [tree(table, G1, OBJECTID=1, id="was"), tree(table, G2, OBJECTID=2, id="was")]


def tree(table: LayerTable, gid: str, **cells: Cell) -> Row:
    """A row of ``table``; cells not named are NULL, the geometry is a point."""
    named: dict[str, Cell] = {table.global_id: gid, **cells}
    if table.geometry is not None:
        named.setdefault(table.geometry, POINT)
    assert named.keys() <= set(table.row_names)
    return tuple(named.get(name) for name in table.row_names)


def cells(connection: sqlite3.Connection, gid: str, *names: str) -> tuple[Cell, ...] | None:
    """Some cells of a tree; None if it is not there."""
    row: tuple[Cell, ...] | None = connection.execute(
        f"SELECT {','.join(names)} FROM trees WHERE GlobalID=?", (gid,)
    ).fetchone()
    return row


def brief(
    connection: sqlite3.Connection, table: LayerTable
) -> list[tuple[str, str, tuple[str, ...]]]:
    """The pending edits: operation, GlobalID and, of updates, columns."""
    return [_brief(edit) for edit in pending_edits(connection, table)]


def _brief(edit: Edit) -> tuple[str, str, tuple[str, ...]]:
    if edit.operation.value != "update":
        return edit.operation.value, edit.global_id, ()
    geometry = ("geom",) if edit.geometry_changed else ()
    return edit.operation.value, edit.global_id, (*geometry, *edit.columns)


def merge(
    connection: sqlite3.Connection,
    table: LayerTable,
    rows: Iterable[Row] = (),
    deletes: Iterable[str] = (),
    policy: ConflictPolicy = ConflictPolicy.LAST_SYNCED,
    *,
    dependents: tuple[Dependent, ...] = (),
) -> MergeCounts:
    """One download, merged in a transaction of its own."""
    clear_staging(connection, table)
    stage_rows(connection, table, rows)
    stage_deletes(connection, table, deletes)
    connection.execute("BEGIN IMMEDIATE")
    counts = merge_table(connection, table, policy, now=NOW, dependents=dependents)
    connection.execute("COMMIT")
    return counts


def send(connection: sqlite3.Connection, table: LayerTable, batch: int | str = 1) -> None:
    """Note the pending edits as sent, as they are now."""
    connection.execute("BEGIN IMMEDIATE")
    record_sent(connection, batch, pending_edits(connection, table))
    connection.execute("COMMIT")


def entries(connection: sqlite3.Connection) -> list[tuple[object, ...]]:
    """What the log still holds of edits, sent or not."""
    return connection.execute(
        "SELECT gid FROM fieldsync_change UNION ALL SELECT batch FROM fieldsync_sent"
    ).fetchall()
