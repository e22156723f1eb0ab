"""One table's rows together with their log entries and bases, each found by GlobalID.

This is the small vocabulary of which merge, acknowledgement, conflicts and quarantine are made.
Rows are tuples in the order of :attr:`LayerTable.row_names`. Methods that write need an open
transaction, and :func:`applying` when they write rows.
"""

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, replace

from engine.geodatabase.carried import is_carried
from engine.geodatabase.difference import Cell, Difference, Row, difference
from engine.geodatabase.layer_table import LayerTable
from engine.geodatabase.log_schema import value_names
from engine.geodatabase.sql import quote, quoted


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What the log knows of a touched row. Sequence numbers: ``id`` of the first touch, ``seq`` of
    the last, ``data`` of the last change of a large column (0 = none)."""

    id: int
    gid: str
    had_base: bool
    seq: int
    data: int


@dataclass(frozen=True, slots=True)
class Stored:
    """A row as it lies in the table now, with its integer primary key."""

    key: int
    row: Row


class LoggedTable:
    """The rows of ``table`` in ``connection``'s file."""

    def __init__(self, connection: sqlite3.Connection, table: LayerTable) -> None:
        self.connection = connection
        self.table = table
        name, key, gid = quote(table.name), quote(table.key), quote(table.global_id)
        base = quote(table.base_table)
        kept = "".join(f",{quote(name)}" for name in value_names(table))
        self._positions = {column: at for at, column in enumerate(table.row_names)}
        self._row = f"SELECT {key},{quoted(table.row_names)} FROM {name} WHERE {gid}=?"
        marks = ",?" * len(table.row_names)
        self._insert = f"INSERT INTO {name}({key},{quoted(table.row_names)}) VALUES(?{marks})"
        self._delete = f"DELETE FROM {name} WHERE {gid}=?"
        self._entry = (
            "SELECT id,gid,had_base,seq,data FROM fieldsync_change"
            f" WHERE layer={table.number} AND gid=?"
        )
        self._base = f"SELECT key,lazy{kept} FROM {base} WHERE id=?"
        self._keep = (
            f"INSERT OR REPLACE INTO {base}(id,key,lazy{kept})"
            f" VALUES(?,?,?{',?' * (len(table.row_names) - 1)})"
        )
        self._forget = f"DELETE FROM {base} WHERE id=?"
        self._in_flight = f"SELECT 1 FROM fieldsync_sent WHERE layer={table.number} AND gid=?"

    # --- rows ------------------------------------------------------------------------------------

    def stored(self, gid: str) -> Stored | None:
        """The row of that GlobalID, or None."""
        found = self.connection.execute(self._row, (gid,)).fetchone()
        return None if found is None else Stored(found[0], tuple(found[1:]))

    def insert(self, row: Row, key: int | None = None) -> None:
        """Add ``row``, with the primary key ``key`` if it is given and free."""
        if key is not None:
            name, column = quote(self.table.name), quote(self.table.key)
            taken = self.connection.execute(f"SELECT 1 FROM {name} WHERE {column}=?", (key,))
            if taken.fetchone() is not None:
                key = None
        self.connection.execute(self._insert, (key, *row))

    def replace_row(self, old: Row, new: Row) -> bool:
        """Write the cells in which ``new`` differs from ``old``; False if there are none.

        Cells that only mean the same are written as well: the row becomes exactly ``new``.
        """
        changed = {
            name: cell
            for name, cell, was in zip(self.table.row_names, new, old, strict=True)
            if cell != was or type(cell) is not type(was)
        }
        self.set_cells(str(old[0]), changed)
        return bool(changed)

    def set_cells(self, gid: str, cells: Mapping[str, Cell]) -> None:
        """Write some columns of the row ``gid``."""
        if not cells:
            return
        assignments = ",".join(f"{quote(name)}=?" for name in cells)
        name, column = quote(self.table.name), quote(self.table.global_id)
        self.connection.execute(
            f"UPDATE {name} SET {assignments} WHERE {column}=?", (*cells.values(), gid)
        )

    def delete(self, gid: str) -> None:
        """Remove the row of that GlobalID, if it is there."""
        self.connection.execute(self._delete, (gid,))

    def edit(self, old: Row, new: Row) -> None:
        """Write ``new`` over ``old`` as a person's edit: it is pending afterwards."""
        gid = str(old[0])
        entry = self.entry(gid)
        base = old if entry is None else self.base(entry, old)
        self.replace_row(old, new)
        self._touch(self.set_base(gid, base))

    def remove(self, gid: str) -> None:
        """Delete the row as a person's edit: the delete is pending afterwards."""
        stored = self.stored(gid)
        if stored is None:
            return
        entry = self.entry(gid)
        base = stored.row if entry is None else self.base(entry, stored.row)
        self.delete(gid)
        self._touch(self.set_base(gid, base, key=stored.key))

    def _touch(self, entry: Entry) -> None:
        seq = next_seq(self.connection)
        self.connection.execute("UPDATE fieldsync_change SET seq=? WHERE id=?", (seq, entry.id))

    def cell(self, row: Row, name: str) -> Cell:
        """The cell of column ``name``."""
        return row[self._positions[name]]

    def with_cells(self, row: Row, cells: Mapping[str, Cell]) -> Row:
        """``row`` with some cells exchanged."""
        changed = list(row)
        for name, cell in cells.items():
            changed[self._positions[name]] = cell
        return tuple(changed)

    # --- entries and bases -----------------------------------------------------------------------

    def entry(self, gid: str) -> Entry | None:
        """The log entry of that row, or None if it was not touched."""
        found = self.connection.execute(self._entry, (gid,)).fetchone()
        if found is None:
            return None
        return Entry(
            id=found[0], gid=found[1], had_base=bool(found[2]), seq=found[3], data=found[4]
        )

    def base(self, entry: Entry, present: Row | None) -> Row | None:
        """The row as the service last knew it; None if it had none.

        ``present`` is the row now: it still has the geometry that a lazy base does not keep.
        """
        if not entry.had_base:
            return None
        found = self.connection.execute(self._base, (entry.id,)).fetchone()
        if found is None:
            return None
        values: Row = tuple(found[2:])
        if found[1] and present is not None:
            values = (present[1], *values[1:])
        return (entry.gid, *values)

    def base_key(self, entry: Entry) -> int | None:
        """The primary key that the row had when it was first touched."""
        found = self.connection.execute(self._base, (entry.id,)).fetchone()
        return None if found is None else found[0]

    def set_base(self, gid: str, base: Row | None, *, key: int | None = None) -> Entry:
        """From now on the service knows the row ``gid`` as ``base`` (None: it has no such row).

        Makes the entry if there is none. The caller settles or keeps it.
        """
        entry = self.entry(gid)
        if entry is None:
            seq = next_seq(self.connection)
            self.connection.execute(
                "INSERT INTO fieldsync_change(id,layer,gid,had_base,seq) VALUES(?,?,?,?,?)",
                (seq, self.table.number, gid, base is not None, seq),
            )
            entry = Entry(id=seq, gid=gid, had_base=base is not None, seq=seq, data=0)
        elif entry.had_base != (base is not None):
            self.connection.execute(
                "UPDATE fieldsync_change SET had_base=? WHERE id=?", (base is not None, entry.id)
            )
            entry = replace(entry, had_base=base is not None)
        if base is None:
            self.connection.execute(self._forget, (entry.id,))
            return entry
        if key is None:
            key = self.base_key(entry)
        values, lazy = base[1:], False
        if self.table.is_lazy:
            stored = self.stored(gid)
            lazy = stored is not None and stored.row[1] == base[1]
            if lazy:
                values = (None, *values[1:])
        self.connection.execute(self._keep, (entry.id, key, lazy, *values))
        return entry

    def set_data(self, entry: Entry, data: int) -> None:
        """Note when a large column was last changed; 0 = the service has it as it is here."""
        self.connection.execute("UPDATE fieldsync_change SET data=? WHERE id=?", (data, entry.id))

    def drop(self, entry: Entry) -> None:
        """Forget that the row was touched."""
        self.connection.execute(self._forget, (entry.id,))
        self.connection.execute("DELETE FROM fieldsync_change WHERE id=?", (entry.id,))

    def give_up(self, entry: Entry) -> None:
        """Forget a row that was taken out, unless it was added here and is in a file: somebody may
        yet add it there, so its delete stays due."""
        if not entry.had_base and is_carried(self.connection, self.table, entry.gid):
            self._touch(entry)
        else:
            self.drop(entry)

    def settle(self, gid: str) -> bool:
        """Drop the row's entry if there is nothing to send and it is in no batch or file; True if
        done.

        The entry also stays while a column that only the service may change differs from the base:
        the service's value would be forgotten.
        """
        entry = self.entry(gid)
        if entry is None or self.is_in_flight(gid) or self.is_edited(entry):
            return False
        if not entry.had_base and is_carried(self.connection, self.table, gid):
            return False  # deleted here, and perhaps yet to be added there
        stored = self.stored(gid)
        base = None if stored is None else self.base(entry, stored.row)
        if stored is not None and base is not None:
            owned = [c.name for c in self.table.columns if not c.is_editable]
            if any(self.cell(base, name) != self.cell(stored.row, name) for name in owned):
                return False
        self.drop(entry)
        return True

    def is_edited(self, entry: Entry) -> bool:
        """True if the row differs from what the service knows."""
        stored = self.stored(entry.gid)
        base = self.base(entry, None if stored is None else stored.row)
        if base is None or stored is None:
            return base is not None or stored is not None
        return bool(entry.data) or bool(self.difference(base, stored.row))

    def is_in_flight(self, gid: str) -> bool:
        """True if an edit of the row is in a batch whose outcome is not settled."""
        return self.connection.execute(self._in_flight, (gid,)).fetchone() is not None

    def difference(self, base: Row, row: Row) -> Difference:
        """What was edited in ``row``."""
        return difference(self.table, base, row)


def next_seq(connection: sqlite3.Connection) -> int:
    """A sequence number of the change log that was never used."""
    (seq,) = connection.execute(
        "UPDATE fieldsync_state SET seq=seq+1 WHERE id=1 RETURNING seq"
    ).fetchone()
    return int(seq)
