"""Rows whose GlobalID the service replaced by one of its own."""

import sqlite3
from collections.abc import Iterable, Mapping

from engine.geodatabase.applying import applying
from engine.geodatabase.carried import note_renamed
from engine.geodatabase.difference import Row, three_way
from engine.geodatabase.layer_table import LayerTable
from engine.geodatabase.logged_table import LoggedTable, Stored
from engine.geodatabase.sent import SentEdit, mark_overtaken, read_sent
from engine.geodatabase.sql import quote


def rename_global_ids(
    connection: sqlite3.Connection,
    table: LayerTable,
    renamed: Mapping[str, str],
    key_columns: Iterable[tuple[LayerTable, str]] = (),
) -> None:
    """Give rows of ``table`` the GlobalIDs that the service gave them (old → new).

    Row, base, log, batch in flight, stores and the ``key_columns`` (table, column) that point at
    the row follow in this one transaction. Where a child's base says that the service still has the
    old key, the new key becomes an update to be sent. If the row has already come back under its
    new GlobalID, the two become one: its values, with what was edited here since sending on top.
    """
    logged = LoggedTable(connection, table)
    children = [(LoggedTable(connection, child), column) for child, column in key_columns]
    with applying(connection):
        for old, new in renamed.items():
            if old == new:
                continue
            note_renamed(connection, table, old, new)
            _rename(logged, old, new)
            for child, column in children:
                _repoint(child, column, old, new)
            connection.execute(
                "UPDATE fieldsync_quarantine SET held_gid=? WHERE held_layer=? AND held_gid=?",
                (new, table.number, old),
            )


def _rename(logged: LoggedTable, old: str, new: str) -> None:
    connection, number = logged.connection, logged.table.number
    arrived = logged.stored(new)
    theirs: Row | None = None
    if arrived is not None:
        entry = logged.entry(new)
        theirs = arrived.row if entry is None else logged.base(entry, arrived.row)
        if entry is not None:
            logged.drop(entry)
        logged.delete(new)
    mine = logged.stored(old)
    sent = read_sent(connection, logged.table, old)
    logged.set_cells(old, {logged.table.global_id: new})
    for name in ("change", "sent", "conflict", "conflict_part"):
        connection.execute(
            f"UPDATE fieldsync_{name} SET gid=? WHERE layer=? AND gid=?", (new, number, old)
        )
    connection.execute(
        "UPDATE fieldsync_quarantine SET gid=? WHERE layer=? AND gid=?", (new, number, old)
    )
    if arrived is not None:
        _unite(logged, mine, arrived.row, theirs, sent, new)


def _unite(
    logged: LoggedTable,
    mine: Stored | None,
    arrived: Row,
    theirs: Row | None,
    sent: SentEdit | None,
    new: str,
) -> None:
    """Make one row of ours (renamed already) and the one that arrived under the new GlobalID."""
    if mine is not None:
        present = (new, *mine.row[1:])
        origin = present if sent is None or sent.values is None else (new, *sent.values[1:])
        merged = three_way(logged.table, origin, present, arrived, theirs_win=False)
        logged.replace_row(present, merged.row)
    logged.set_base(new, theirs)
    if sent is not None:
        mark_overtaken(logged.connection, sent, sent.names(logged.table))
    logged.settle(new)


def _repoint(child: LoggedTable, column: str, old: str, new: str) -> None:
    name, key = quote(child.table.name), quote(column)
    gid = quote(child.table.global_id)
    found = child.connection.execute(f"SELECT {gid} FROM {name} WHERE {key}=?", (old,)).fetchall()
    for (child_gid,) in found:
        stored = child.stored(child_gid)
        if stored is not None:
            child.edit(stored.row, child.with_cells(stored.row, {column: new}))
