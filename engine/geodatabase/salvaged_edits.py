"""Brings the unsent edits of a damaged geodatabase into the one that was taken in its place.

What was salvaged is laid over the fresh rows as the device had it, each row with its base; then the
fresh rows are merged onto it like any download. So conflicts are seen and recorded as always. An
edit that cannot be told for sure is never guessed: a row that is missing in a damaged table was
perhaps deleted, perhaps lost, and is left as the service has it.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from engine import faults
from engine.geodatabase import attachments, catalog
from engine.geodatabase.applying import applying
from engine.geodatabase.attachments import Source
from engine.geodatabase.carried import copy_carried, is_carried
from engine.geodatabase.cells import as_new
from engine.geodatabase.conflicts import ConflictKind, record, store_deleted
from engine.geodatabase.dependents import Dependent
from engine.geodatabase.difference import Row, difference
from engine.geodatabase.layer_table import LayerTable
from engine.geodatabase.log_schema import value_names
from engine.geodatabase.logged_table import LoggedTable
from engine.geodatabase.merge import merge_table
from engine.geodatabase.remembered import recall, remember
from engine.geodatabase.salvage import damaged
from engine.geodatabase.salvaged_batches import OnTheWay
from engine.geodatabase.salvaged_notes import copy_refusals, keep_notes
from engine.geodatabase.sql import quote, quoted
from engine.geodatabase.staging import clear_staging, stage_deletes, stage_rows
from engine.model import ConflictPolicy, EditOperation

_NOTE = "salvaged-from"
MOST_COMPARED = 10_000  # rows of a table whose log is lost that are kept as conflicts


@dataclass(frozen=True, slots=True, kw_only=True)
class SalvagedEdit:
    """One edit of the damaged file. ``problem`` is empty if it was carried over whole."""

    table: str
    global_id: str
    operation: EditOperation | None
    problem: str = ""


@dataclass(slots=True, kw_only=True)
class Salvaged:
    """What became of the unsent edits. ``damage``: tables of the old file that could not be read
    whole, each with a note; ``conflicts`` were recorded on the way."""

    edits: list[SalvagedEdit] = field(default_factory=list)
    damage: dict[str, str] = field(default_factory=dict)
    conflicts: int = 0

    @property
    def saved(self) -> list[SalvagedEdit]:
        return [edit for edit in self.edits if not edit.problem]

    @property
    def lost(self) -> list[SalvagedEdit]:
        return [edit for edit in self.edits if edit.problem]


def was_adopted(connection: sqlite3.Connection, name: str) -> bool:
    """True if the edits of the file ``name`` are in this geodatabase already."""
    return recall(connection, _NOTE) == name


def adopt(
    connection: sqlite3.Connection,
    scratch: Path,
    name: str,
    dependents: dict[int, tuple[Dependent, ...]],
    folder: Path,
    *,
    every: frozenset[int] = frozenset(),
    now: str,
) -> Salvaged:
    """Carry over what ``scratch`` holds of the file ``name``; needs an open transaction.

    ``dependents`` by table number; attachment data goes through ``folder``. ``every``: numbers of
    the tables whose log of edits cannot be trusted, so that all rows are compared.
    """
    with closing(sqlite3.connect(scratch)) as old:
        salvaged = Salvaged(damage=damaged(old))
        present = {entry.table.number: entry.table for entry in catalog.entries(connection)}
        _go_on_counting(connection, old)
        _copy_conflicts(connection, old)
        copy_refusals(connection, old)
        on_the_way = OnTheWay(connection, old)
        with applying(connection):
            for before in (entry.table for entry in catalog.entries(old)):
                table = present.get(before.number)
                if table is None:
                    salvaged.edits += _without_table(old, before)
                else:
                    adoption = _Adoption(
                        connection, old, before, table, salvaged, on_the_way, folder, now
                    )
                    adoption.run(is_logged=table.number not in every)
        for number in sorted(present):
            merged = merge_table(
                connection,
                present[number],
                ConflictPolicy.LAST_SYNCED,
                now=now,
                dependents=dependents.get(number, ()),
            )
            salvaged.conflicts += merged.conflicts
            clear_staging(connection, present[number])
    remember(connection, _NOTE, name)
    faults.point("edits.salvaged")
    return salvaged


def _go_on_counting(connection: sqlite3.Connection, old: sqlite3.Connection) -> None:
    (seq,) = old.execute(
        "SELECT max(coalesce((SELECT max(seq) FROM fieldsync_state), 0),"
        " coalesce((SELECT max(seq) FROM fieldsync_change), 0))"
    ).fetchone()
    connection.execute("UPDATE fieldsync_state SET seq = max(seq, ?) WHERE id = 1", (seq,))


def _copy_conflicts(connection: sqlite3.Connection, old: sqlite3.Connection) -> None:
    """What lost a conflict earlier is nowhere else."""
    for name in ("fieldsync_conflict", "fieldsync_conflict_part"):
        columns = [
            c for (c,) in connection.execute("SELECT name FROM pragma_table_info(?)", (name,))
        ]
        marks = ",".join("?" * len(columns))
        for row in old.execute(f"SELECT {quoted(columns)} FROM {name}"):
            connection.execute(f"INSERT OR IGNORE INTO {name} VALUES ({marks})", row)


def _without_table(old: sqlite3.Connection, table: LayerTable) -> Iterator[SalvagedEdit]:
    for (gid,) in old.execute(
        "SELECT gid FROM fieldsync_change WHERE layer = ? ORDER BY id", (table.number,)
    ):
        yield SalvagedEdit(
            table=table.name,
            global_id=gid,
            operation=None,
            problem="the layer is not in the map any more",
        )


class _Adoption:
    """The rows of one table: ``before`` as the damaged file had it, ``table`` as it is now."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        old: sqlite3.Connection,
        before: LayerTable,
        table: LayerTable,
        salvaged: Salvaged,
        on_the_way: OnTheWay,
        folder: Path,
        now: str,
    ) -> None:
        self._connection = connection
        self._old = old
        self._before = before
        self._table = table
        self._salvaged = salvaged
        self._on_the_way = on_the_way
        self._folder = folder
        self._now = now
        self._logged = LoggedTable(connection, table)
        self._counterparts = names = _counterparts(before, table)
        self._missing = [name for name, there in names.items() if there is None]
        values = {n: "NULL" if there is None else quote(there) for n, there in names.items()}
        self._row = (
            f"SELECT {quote(before.key)}, {', '.join(values.values())} "
            f"FROM {quote(before.name)} WHERE {quote(before.global_id)} = ?"
        )
        kept = dict(zip(before.row_names[1:], value_names(before), strict=True))
        base = [
            "NULL" if there is None else quote(kept[there]) for there in list(names.values())[1:]
        ]
        self._base = (
            f"SELECT {', '.join(['lazy', *base])} FROM {quote(before.base_table)} WHERE id = ?"
        )
        self._is_whole = before.name not in salvaged.damage

    def run(self, *, is_logged: bool) -> None:
        self._is_whole &= is_logged
        copy_carried(self._connection, self._old, self._table, self._before)
        entries = self._old.execute(
            "SELECT id, gid, had_base, seq, data FROM fieldsync_change WHERE layer = ? ORDER BY id",
            (self._before.number,),
        ).fetchall()
        for id_, gid, had_base, seq, data in entries:
            self._entry(id_, gid, bool(had_base), bool(data))
            self._on_the_way.keep(self._logged, self._before, self._counterparts, gid, seq)
            keep_notes(self._logged, self._old, self._before, gid, seq)
        if not is_logged or "fieldsync_change" in self._salvaged.damage:
            self._compare({gid for _, gid, *_ in entries})

    def _entry(self, id_: int, gid: str, had_base: bool, has_data: bool) -> None:
        key, row = self._row_of(gid)
        fresh = self._logged.stored(gid)
        is_sent = self._on_the_way.has(self._before.number, gid)
        if row is None and not self._is_whole:
            self._tell(gid, None, "its row could not be read: it is as the service has it")
            return
        is_carried_here = not had_base and is_carried(self._connection, self._table, gid)
        if row is None and fresh is None and is_carried_here:
            self._logged.set_base(gid, None)  # whoever sends the file brings it there
            return
        if row is None and (fresh is None or not (had_base or is_sent or is_carried_here)):
            return  # deleted on both sides, or never sent
        base = self._base_of(id_, gid, row) if had_base else None
        theirs = None if fresh is None else fresh.row
        row, base = self._completed(row, theirs), self._completed(base, theirs)
        if had_base and base is None:
            if row is None:
                base = theirs  # deleted; what it was is not needed to delete it
            else:
                self._unclear(
                    gid, key, row, theirs, "what the service had before could not be read"
                )
                return
        if row is not None and base is not None:
            if not (has_data or is_sent or difference(self._table, base, row)):
                return  # touched, but not edited
            operation = EditOperation.UPDATE
        else:
            operation = EditOperation.ADD if row is not None else EditOperation.DELETE
        self._place(gid, row, base, theirs)
        if row is not None and self._table.noted and (has_data or base is None):
            problem = self._place_data(gid, key)
            if problem:
                self._take_back(gid, theirs)
                self._tell(gid, operation, problem)
                return
        self._tell(gid, operation)

    # --- rows -------------------------------------------------------------------------------------

    def _row_of(self, gid: str) -> tuple[int, Row | None]:
        found = self._old.execute(self._row, (gid,)).fetchone()
        return (0, None) if found is None else (found[0], tuple(found[1:]))

    def _base_of(self, id_: int, gid: str, row: Row | None) -> Row | None:
        found = self._old.execute(self._base, (id_,)).fetchone()
        if found is None:
            return None
        lazy, *cells = found
        base: Row = (gid, *cells)
        if lazy and self._table.geometry is not None:
            if row is None:
                return None
            base = (gid, row[1], *base[2:])
        return base

    def _completed(self, row: Row | None, theirs: Row | None) -> Row | None:
        """``row`` with the service's values of the columns that the damaged file did not have."""
        if row is None or theirs is None or not self._missing:
            return row
        cells = {name: self._logged.cell(theirs, name) for name in self._missing}
        return self._logged.with_cells(row, cells)

    def _place(self, gid: str, row: Row | None, base: Row | None, theirs: Row | None) -> None:
        """Lay the device's row and base over the fresh row, which waits to be merged."""
        if theirs is not None:
            stage_rows(self._connection, self._table, [theirs])
        elif base is not None:  # what was added may be there under another GlobalID
            stage_deletes(self._connection, self._table, [gid])
        if row is None:
            self._logged.delete(gid)
        elif theirs is None:
            self._logged.insert(row if base is not None else as_new(self._table, row))
        else:
            self._logged.replace_row(theirs, row)
        self._logged.set_base(gid, base)

    def _take_back(self, gid: str, theirs: Row | None) -> None:
        entry, stored = self._logged.entry(gid), self._logged.stored(gid)
        if entry is not None:
            self._logged.drop(entry)
        if stored is not None and theirs is not None:
            self._logged.replace_row(stored.row, theirs)
        elif stored is not None:
            self._logged.delete(gid)

    def _place_data(self, gid: str, key: int) -> str:
        """The bytes of an attachment; why they could not be had."""
        path = self._folder / "salvaged-data"
        try:
            if not attachments.data_size(self._old, self._before, key):
                return "its data could not be read"
            with open(path, "wb") as stream:
                for chunk in attachments.read_chunks(self._old, self._before, key):
                    stream.write(chunk)
            attachments.set_data(self._connection, self._table, gid, Source(path))
        finally:
            path.unlink(missing_ok=True)
        entry = self._logged.entry(gid)
        if entry is not None:
            self._logged.set_data(entry, entry.seq)
        return ""

    # --- what cannot be told ----------------------------------------------------------------------

    def _unclear(self, gid: str, key: int, row: Row, theirs: Row | None, why: str) -> None:
        """Keep my row among the conflicts; the row itself stays the service's."""
        if theirs is None:
            self._logged.insert(row)
            if self._table.noted:
                self._place_data(gid, key)
            store_deleted(
                self._connection,
                self._table,
                gid,
                policy=ConflictPolicy.LAST_SYNCED,
                now=self._now,
            )
        else:
            change = difference(self._table, theirs, row)
            names = [*change.columns]
            if change.geometry and self._table.geometry is not None:
                names.append(self._table.geometry)
            if not names:
                return
            record(
                self._connection,
                self._table,
                gid,
                kind=ConflictKind.UPDATED,
                policy=ConflictPolicy.LAST_SYNCED,
                columns=names,
                base=None,
                mine=row,
                theirs=theirs,
                now=self._now,
            )
        self._salvaged.conflicts += 1
        self._tell(gid, None, f"{why}: it is kept among the conflicts")

    def _compare(self, known: set[str]) -> None:
        """The log is lost in part: rows that differ from the service's may have been edited."""
        found = self._old.execute(
            f"SELECT {quote(self._before.global_id)} FROM {quote(self._before.name)} "
            f"WHERE {quote(self._before.global_id)} NOTNULL"
        ).fetchall()
        compared = 0
        for (gid,) in found:
            if gid in known:
                continue
            key, row = self._row_of(gid)
            fresh = self._logged.stored(gid)
            theirs = None if fresh is None else fresh.row
            row = self._completed(row, theirs)
            if row is None or (theirs is not None and not difference(self._table, theirs, row)):
                continue
            compared += 1
            if compared > MOST_COMPARED:
                self._tell(gid, None, "more rows differ than are kept; they are in the old file")
                return
            self._unclear(
                gid, key, row, theirs, "the log of edits cannot be trusted, and the row differs"
            )

    def _tell(self, gid: str, operation: EditOperation | None, problem: str = "") -> None:
        self._salvaged.edits.append(
            SalvagedEdit(
                table=self._table.name, global_id=gid, operation=operation, problem=problem
            )
        )


def _counterparts(before: LayerTable, table: LayerTable) -> dict[str, str | None]:
    """Column of the present table → that of the damaged file."""
    there = {c.name.casefold(): c.name for c in before.columns}
    names: dict[str, str | None] = {table.global_id: before.global_id}
    if table.geometry is not None:
        names[table.geometry] = before.geometry
    return names | {c.name: there.get(c.name.casefold()) for c in table.columns}
