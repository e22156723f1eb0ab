"""Rows that a conflict keeps with their large column, and how they come back into their tables."""

import json
import sqlite3

from engine.geodatabase.cells import as_new, decode_row, encode_row
from engine.geodatabase.difference import Row, three_way
from engine.geodatabase.fetch_queue import is_outdated
from engine.geodatabase.layer_table import LayerTable
from engine.geodatabase.logged_table import LoggedTable
from engine.geodatabase.sql import quote

_EXTENT = ""  # no column has this name
"""What was edited of a stored row: ``none``, ``row``, or ``data`` (of an attachment, too)."""


def store_part(logged: LoggedTable, conflict: int, gid: str, *, is_given_up: bool = False) -> None:
    """Move one row with its large column into the store; ``is_given_up``: a person wants it so,
    and it is not to come to the service in any other way."""
    entry = logged.entry(gid)
    if keep_part(logged, conflict, gid):
        logged.delete(gid)
    if entry is not None and is_given_up:
        logged.give_up(entry)
    elif entry is not None:
        logged.drop(entry)


def keep_part(logged: LoggedTable, conflict: int, gid: str) -> bool:
    """Copy one row with its large column into the store; the bytes never leave SQLite. False if
    there is no such row."""
    table = logged.table
    stored = logged.stored(gid)
    if stored is None:
        return False
    extent = "none"
    entry = logged.entry(gid)
    if entry is not None and logged.is_edited(entry):
        extent = "data" if entry.data or not entry.had_base else "row"
    data = "NULL"
    if table.noted:
        data = quote(table.noted[0])
        if extent != "data":
            data = f"CASE WHEN NOT {is_outdated(table)} THEN {data} END"
    row = {**json.loads(encode_row(table, stored.row) or "{}"), _EXTENT: extent}
    logged.connection.execute(
        "INSERT INTO fieldsync_conflict_part(conflict,layer,gid,row,data)"
        f" SELECT ?,?,?,?,{data} FROM {quote(table.name)} WHERE {quote(table.global_id)}=?",
        (conflict, table.number, gid, json.dumps(row), gid),
    )
    return True


def restore_parts(
    connection: sqlite3.Connection, conflict: int, known: dict[int, LayerTable]
) -> None:
    """Put the stored rows back as adds, the feature itself first (its part was stored last).

    An attachment whose data had never come stays in the store: there is nothing to be sent.
    """
    bases = {
        (number, gid): base
        for number, gid, base in connection.execute(
            "SELECT layer,gid,base FROM fieldsync_conflict WHERE id=?", (conflict,)
        )
    }
    parts = connection.execute(
        "SELECT id,layer,gid,row,data IS NOT NULL FROM fieldsync_conflict_part WHERE conflict=?"
        " ORDER BY id DESC",
        (conflict,),
    ).fetchall()
    restored: list[tuple[int]] = []
    for part, number, gid, text, has_data in parts:
        logged = LoggedTable(connection, known[number])
        row = decode_row(logged.table, text)
        if row is None or (logged.table.noted and not has_data):
            continue
        restored.append((part,))
        stored, extent = logged.stored(gid), json.loads(text).get(_EXTENT)
        if stored is not None:
            base = decode_row(logged.table, bases.get((number, gid)))
            _put_on_top(logged, part, extent, base, row, stored.row)
            logged.settle(gid)
            continue
        logged.insert(as_new(logged.table, row))
        logged.set_base(gid, None)
        if logged.table.noted:
            # Should the row have come back there by itself, only edited data is newer than its.
            write_part_data(logged, part, gid, is_edited=extent not in ("none", "row"))
    connection.executemany("DELETE FROM fieldsync_conflict_part WHERE id=?", restored)


def _put_on_top(
    logged: LoggedTable, part: int, extent: str | None, base: Row | None, mine: Row, theirs: Row
) -> None:
    """The stored row is on the service again: what was edited of it goes on top."""
    if extent == "none":
        return
    if base is not None:
        row = three_way(logged.table, base, mine, theirs, theirs_win=False).row
    else:
        owned = [c.name for c in logged.table.columns if not c.is_editable]
        row = logged.with_cells(mine, {name: logged.cell(theirs, name) for name in owned})
    logged.edit(theirs, row)
    if logged.table.noted and extent != "row":
        write_part_data(logged, part, str(theirs[0]))


def write_part_data(logged: LoggedTable, part: int, gid: str, *, is_edited: bool = True) -> None:
    """Write the stored data of an attachment whose row was written just now; ``is_edited``: as a
    person's edit."""
    logged.connection.execute(
        f"UPDATE {quote(logged.table.name)} SET ({quote(logged.table.noted[0])},DATA_SIZE)="
        "(SELECT data,length(data) FROM fieldsync_conflict_part WHERE id=?)"
        f" WHERE {quote(logged.table.global_id)}=?",
        (part, gid),
    )
    entry = logged.entry(gid)
    assert entry is not None
    if is_edited:
        logged.set_data(entry, entry.seq)
