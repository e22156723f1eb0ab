"""The edits made on this device that the service does not have, read from the change log.

The log says which rows were touched and what they were; each edit is found by comparing that base
with the row as it is. A row changed back, or added and deleted again, is no edit.
"""

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum

from engine.geodatabase.deleted_parts import Whole, whole_condition, whole_of
from engine.geodatabase.difference import Cell, Difference, Row, difference
from engine.geodatabase.layer_table import LayerTable
from engine.geodatabase.log_schema import value_names
from engine.geodatabase.logged_table import Entry, LoggedTable
from engine.geodatabase.sql import quote
from engine.model import EditOperation

BATCH_BYTES = 2 * 1024 * 1024
"""About how much memory the edits take that :func:`pending_edits` returns; one may be larger."""


class EditState(Enum):
    """Whether an edit may be sent now."""

    PENDING = "pending"
    IN_FLIGHT = "in_flight"
    QUARANTINED = "quarantined"
    HELD = "held"


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """One row's net edit.

    ``row`` is the row now (None after a delete), ``base`` the row as the service last knew it
    (None for an add), both in the order of ``table.row_names``. A lazy base has the row's own
    geometry unless it was changed. ``key`` is the row's integer primary key, for a delete its last
    one. ``first`` and ``last`` are the sequence numbers of the first and last touch.
    ``columns`` are the changed editable columns, for an add all of them, without the geometry.
    ``data_changed``: a large column (attachment data) must be sent too.
    """

    table: LayerTable = field(repr=False)
    global_id: str
    operation: EditOperation
    key: int | None
    first: int
    last: int
    row: Row | None = field(repr=False)
    base: Row | None = field(repr=False)
    columns: tuple[str, ...] = ()
    geometry_changed: bool = False
    data_changed: bool = False
    state: EditState = EditState.PENDING


@dataclass(frozen=True, slots=True)
class EditCounts:
    """How many edits of each operation."""

    adds: int = 0
    updates: int = 0
    deletes: int = 0

    @property
    def total(self) -> int:
        return self.adds + self.updates + self.deletes

    def __bool__(self) -> bool:
        return self.total > 0


def pending_edits(
    connection: sqlite3.Connection,
    table: LayerTable,
    *,
    after: int = 0,
    limit: int = 500,
    everything: bool = False,
) -> list[Edit]:
    """Up to ``limit`` edits of ``table`` first touched after ``after``, in that order.

    Empty means there are no more; otherwise go on with ``after=edits[-1].first``. The list is also
    ended by :data:`BATCH_BYTES`. Edits in flight, quarantined or held are left out, unless
    ``everything`` is asked for; then ``state`` tells.
    """
    edits: list[Edit] = []
    size = 0
    for edit in _read(connection, table, after, everything):
        edits.append(edit)
        size += _size(edit.row) + _size(edit.base)
        if len(edits) >= limit or size >= BATCH_BYTES:
            break
    return edits


def iterate_pending(
    connection: sqlite3.Connection, table: LayerTable, *, everything: bool = False
) -> Iterator[Edit]:
    """All edits as :func:`pending_edits` gives them, read in batches: writing between two of them
    is allowed, and an edit made meanwhile may or may not be seen."""
    after = 0
    while edits := pending_edits(connection, table, after=after, everything=everything):
        yield from edits
        after = edits[-1].first


def count_pending(
    connection: sqlite3.Connection, table: LayerTable, *, everything: bool = False
) -> EditCounts:
    """The exact numbers, by comparing every touched row."""
    counts = dict.fromkeys(EditOperation, 0)
    for edit in _read(connection, table, 0, everything):
        counts[edit.operation] += 1
    return EditCounts(
        adds=counts[EditOperation.ADD],
        updates=counts[EditOperation.UPDATE],
        deletes=counts[EditOperation.DELETE],
    )


def has_pending(
    connection: sqlite3.Connection,
    table: LayerTable,
    *,
    everything: bool = False,
    since: int = 0,
) -> bool:
    """True if there is at least one edit, of a row touched behind the number ``since``."""
    touched = connection.execute(
        "SELECT EXISTS(SELECT 1 FROM fieldsync_change WHERE layer=? AND seq>?)",
        (table.number, since),
    ).fetchone()[0]
    edits = _read(connection, table, 0, everything)
    return bool(touched) and any(edit.last > since for edit in edits)


def sequence(connection: sqlite3.Connection) -> int:
    """The greatest sequence number that was given to a touch."""
    return int(connection.execute("SELECT seq FROM fieldsync_state WHERE id=1").fetchone()[0])


def edit_of(connection: sqlite3.Connection, table: LayerTable, global_id: str) -> Edit | None:
    """The net edit of one row, whatever its state; None if there is nothing to send."""
    logged = LoggedTable(connection, table)
    entry = logged.entry(global_id)
    if entry is None:
        return None
    stored = logged.stored(global_id)
    row = None if stored is None else stored.row
    state = connection.execute(
        f"SELECT {_state(connection)} FROM fieldsync_change c WHERE c.id=?", (entry.id,)
    ).fetchone()[0]
    key = logged.base_key(entry) if stored is None else stored.key
    return _edit(table, entry, key, row, logged.base(entry, row), EditState(state))


def is_unsent(connection: sqlite3.Connection, number: int, global_id: str) -> bool:
    """Whether that row of the table ``number`` was added here and the service does not have it."""
    added = connection.execute(
        "SELECT 1 FROM fieldsync_change WHERE layer=? AND gid=? AND had_base=0", (number, global_id)
    )
    # Its entry may outlive it, where it is on its way or in a file.
    return added.fetchone() is not None and _is_here(connection, number, global_id)


def awaited_whole(connection: sqlite3.Connection, edit: Edit) -> Whole | None:
    """The row with which this one was deleted, if the delete of that row is not settled: until it
    is, this one's is not sent."""
    if edit.operation is not EditOperation.DELETE:
        return None
    whole = whole_of(connection, edit.table, edit.global_id)
    return None if whole is None or _is_here(connection, *whole) else whole


def _is_here(connection: sqlite3.Connection, number: int, global_id: str) -> bool:
    name, column = connection.execute(
        "SELECT name,json_extract(definition,'$.global_id') FROM fieldsync_table WHERE number=?",
        (number,),
    ).fetchone()
    row = connection.execute(f"SELECT 1 FROM {quote(name)} WHERE {quote(column)}=?", (global_id,))
    return row.fetchone() is not None


def drop_settled(connection: sqlite3.Connection, table: LayerTable, *, now: str) -> int:
    """Forget entries with nothing to send; returns how many. Rows in a batch keep theirs.

    Conflicts and refused edits of rows without an entry need nobody's attention any more, nor do
    those of a row that was added and deleted here: its entry only waits for a file, or a late call.
    """
    logged = LoggedTable(connection, table)
    dropped, after = 0, 0
    while gids := connection.execute(
        "SELECT id,gid FROM fieldsync_change WHERE +layer=? AND id>? ORDER BY id LIMIT 500",
        (table.number, after),
    ).fetchall():
        dropped += sum(logged.settle(gid) for _, gid in gids)
        after = gids[-1][0]
    is_open = (
        "c.had_base OR EXISTS(SELECT 1 FROM fieldsync_sent z WHERE z.layer=c.layer AND z.gid=c.gid)"
        f" OR EXISTS(SELECT 1 FROM {quote(table.name)} t WHERE t.{quote(table.global_id)}=c.gid)"
    )
    for store, kind in (("conflict", _DECIDABLE), ("quarantine", _OUTBOUND)):
        connection.execute(
            f"UPDATE fieldsync_{store} SET resolved_at=?,resolution='settled'"
            f" WHERE resolved_at IS NULL AND layer=? AND {kind} AND NOT EXISTS"
            f"(SELECT 1 FROM fieldsync_change c WHERE c.layer=fieldsync_{store}.layer"
            f" AND c.gid=fieldsync_{store}.gid AND ({is_open}))",
            (now, table.number),
        )
    return dropped


def has_moot(connection: sqlite3.Connection, table: LayerTable) -> bool:
    """Whether a conflict or a refused edit is open of a row that has no edit any more: it was
    taken back here, say, and :func:`drop_settled` has not been called since."""
    return any(
        edit_of(connection, table, gid) is None
        for store, kind in (("conflict", _DECIDABLE), ("quarantine", _OUTBOUND))
        for (gid,) in connection.execute(
            f"SELECT gid FROM fieldsync_{store} WHERE resolved_at IS NULL AND layer=? AND {kind}",
            (table.number,),
        ).fetchall()
    )


_OUTBOUND = "direction='outbound'"
_DECIDABLE = "kind NOT IN('deleted_there','field_closed')"

# A quarantined edit is pending again as soon as the row is touched again (its seq grows); a row
# held with its parent is, as soon as the parent is.
_STATE = """CASE
 WHEN EXISTS(SELECT 1 FROM fieldsync_sent z WHERE z.layer=c.layer AND z.gid=c.gid)
  THEN 'in_flight'
 WHEN EXISTS(SELECT 1 FROM fieldsync_conflict k WHERE k.layer=c.layer AND k.gid=c.gid
  AND k.held AND k.resolved_at IS NULL) THEN 'held'
 ELSE coalesce((SELECT CASE WHEN q.held_gid IS NULL
   THEN iif(q.seq>=c.seq,'quarantined','pending')
   ELSE iif(EXISTS(SELECT 1 FROM fieldsync_quarantine p JOIN fieldsync_change e
     ON e.layer=p.layer AND e.gid=p.gid WHERE p.layer=q.held_layer AND p.gid=q.held_gid
     AND p.direction='outbound' AND p.resolved_at IS NULL AND p.seq>=e.seq),'held','pending')
   END FROM fieldsync_quarantine q WHERE q.layer=c.layer AND q.gid=c.gid
  AND q.direction='outbound' AND q.resolved_at IS NULL),'pending')
 END"""


# The entry f is of a delete that waits for a person.
_WAITS = """(EXISTS(SELECT 1 FROM fieldsync_conflict k WHERE k.layer=f.layer AND k.gid=f.gid
    AND k.held AND k.resolved_at IS NULL AND k.kind='deleted_here')
   OR EXISTS(SELECT 1 FROM fieldsync_quarantine q WHERE q.layer=f.layer AND q.gid=f.gid
    AND q.direction='outbound' AND q.resolved_at IS NULL AND q.held_gid IS NULL
    AND q.operation='delete' AND q.seq>=f.seq))"""


def _state(connection: sqlite3.Connection) -> str:
    """SQL for the state of the entry ``c``. The delete of a row that went with another one waits
    with that one's, which may be brought back."""
    waits = whole_condition(connection, _WAITS)
    return f"CASE WHEN {_STATE}='pending' AND {waits} THEN 'held' ELSE {_STATE} END"


def _read(
    connection: sqlite3.Connection, table: LayerTable, after: int, everything: bool
) -> Iterator[Edit]:
    names = table.row_names
    kept = "".join(f",b.{quote(name)}" for name in value_names(table))
    row = "".join(f",t.{quote(name)}" for name in names)
    cursor = connection.execute(
        f"SELECT c.id,c.gid,c.had_base,c.seq,c.data,{_state(connection)},b.key,b.lazy"
        f",t.{quote(table.key)}{row}{kept} FROM fieldsync_change c"
        f" LEFT JOIN {quote(table.base_table)} b ON b.id=c.id"
        f" LEFT JOIN {quote(table.name)} t ON t.{quote(table.global_id)}=c.gid"
        # The plus keeps the planner on the primary key, which is the order that is wanted.
        " WHERE +c.layer=? AND c.id>? ORDER BY c.id",
        (table.number, after),
    )
    width = len(names)
    for id_, gid, had_base, seq, data, state, base_key, lazy, key, *cells in cursor:
        if state != "pending" and not everything:
            continue
        present = None if key is None else tuple(cells[:width])
        base: Row | None = None
        if had_base:
            base = (gid, *cells[width:])
            if lazy and present is not None:
                base = (gid, present[1], *base[2:])
        entry = Entry(id=id_, gid=gid, had_base=bool(had_base), seq=seq, data=data)
        edit = _edit(
            table,
            entry,
            base_key if key is None else key,
            present,
            base,
            EditState(state),
        )
        if edit is not None:
            yield edit


def _edit(
    table: LayerTable,
    entry: Entry,
    key: int | None,
    row: Row | None,
    base: Row | None,
    state: EditState,
) -> Edit | None:
    """The net edit; None if base and row compare as the same."""
    change, data = Difference(), False
    if row is None:
        if base is None:
            return None
        operation = EditOperation.DELETE
    elif base is None:
        operation, data = EditOperation.ADD, bool(table.noted)
        editable = tuple(c.name for c in table.columns if c.is_editable)
        change = Difference(editable, table.geometry is not None and row[1] is not None)
    else:
        operation, data = EditOperation.UPDATE, bool(entry.data)
        change = difference(table, base, row)
        if not change and not data:
            return None
    return Edit(
        table=table,
        global_id=entry.gid,
        operation=operation,
        key=key,
        first=entry.id,
        last=entry.seq,
        row=row,
        base=base,
        columns=change.columns,
        geometry_changed=change.geometry,
        data_changed=data,
        state=state,
    )


def _size(row: Row | None) -> int:
    return 0 if row is None else sum(map(_cell_size, row))


def _cell_size(cell: Cell) -> int:
    return 64 + len(cell) if isinstance(cell, str | bytes) else 40
