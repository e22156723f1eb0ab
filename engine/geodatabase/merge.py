"""Bringing the service's rows into the file without losing an edit made here.

Rows nobody touched here are moved by set-based SQL; a row that did not change is not written. Each
touched row is merged three ways, column by column: base, mine, theirs. Afterwards its base is the
service's row, so what is still to be sent is again just the difference.
"""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, replace

from engine.geodatabase.applying import applying
from engine.geodatabase.dependents import Dependent
from engine.geodatabase.layer_table import LayerTable
from engine.geodatabase.log_schema import value_names
from engine.geodatabase.merge_row import RowMerge
from engine.geodatabase.quarantine import Direction, put
from engine.geodatabase.sql import quote, quoted
from engine.geodatabase.staging import (
    arrange,
    clear_staging,
    order_table,
    stage_deletes,
    stage_rows,
    stage_table,
)
from engine.model import ConflictPolicy, EditOperation

__all__ = [
    "Dependent",
    "MergeCounts",
    "arrange",
    "clear_staging",
    "leave_out_unchanged",
    "merge_table",
    "stage_deletes",
    "stage_rows",
]

CHUNK = 2000
"""Positions per statement: what SQLite keeps aside for one statement stays in its cache."""


@dataclass(frozen=True, slots=True)
class MergeCounts:
    """What became of the staged rows. Every row counts once, except that ``conflicts`` counts
    conflicts recorded, whatever became of their rows."""

    added: int = 0
    updated: int = 0
    deleted: int = 0
    unchanged: int = 0
    conflicts: int = 0
    quarantined: int = 0

    def __add__(self, other: "MergeCounts") -> "MergeCounts":
        return MergeCounts(
            added=self.added + other.added,
            updated=self.updated + other.updated,
            deleted=self.deleted + other.deleted,
            unchanged=self.unchanged + other.unchanged,
            conflicts=self.conflicts + other.conflicts,
            quarantined=self.quarantined + other.quarantined,
        )


def merge_table(
    connection: sqlite3.Connection,
    table: LayerTable,
    policy: ConflictPolicy,
    *,
    now: str,
    dependents: Sequence[Dependent] = (),
    part: tuple[int, int] | None = None,
) -> MergeCounts:
    """Merge what is staged for ``table``; needs an open write transaction.

    ``dependents`` go with a deleted row. ``part``: only these positions (from, up to and
    including), counted from 1, of what :func:`arrange` put in order before the write lock was
    taken. Parts may be merged in any number of transactions, in order, each of them again if it
    was rolled back. A row that cannot be stored goes to the inbound quarantine.
    """
    if part is None:
        part = (1, arrange(connection, table))
    with applying(connection):
        return _Merge(connection, table, policy, now, dependents).run(*part)


def leave_out_unchanged(connection: sqlite3.Connection, table: LayerTable) -> int:
    """Take out of the order those staged rows that are here as they are and that nobody touched;
    returns how many. So what :func:`merge_table` does under the write lock is in proportion to what
    has changed, not to what was staged. For the time between :func:`arrange` and the merge."""
    order, stage, gid = order_table(table), stage_table(table), quote(table.global_id)
    names, kept = table.row_names[1:], value_names(table)
    different = _differs(
        [f"t.{quote(n)} IS NOT s.{quote(v)}" for n, v in zip(names, kept, strict=True)]
    )
    return connection.execute(
        f"DELETE FROM {order} WHERE position IN(SELECT o.position FROM {order} o"
        f" CROSS JOIN {stage} s CROSS JOIN main.{quote(table.name)} t"
        f" WHERE s.id=o.sid AND t.{gid}=o.gid AND NOT {different}"
        " AND NOT EXISTS(SELECT 1 FROM fieldsync_change c WHERE c.layer=? AND c.gid=o.gid))",
        (table.number,),
    ).rowcount


class _Merge:
    def __init__(
        self,
        connection: sqlite3.Connection,
        table: LayerTable,
        policy: ConflictPolicy,
        now: str,
        dependents: Sequence[Dependent],
    ) -> None:
        self._connection = connection
        self._table = table
        self._now = now
        self._dependents = dependents
        self._rows = RowMerge(connection, table, policy, now, dependents)
        self._name = f"main.{quote(table.name)}"
        self._gid = quote(table.global_id)
        self._order = order_table(table)
        self._counts = MergeCounts()
        names = table.row_names[1:]
        kept = value_names(table)
        self._update = (
            f"UPDATE {self._name} AS t SET "
            + ",".join(f"{quote(n)}=s.{quote(v)}" for n, v in zip(names, kept, strict=True))
            + self._source(f"t.{self._gid}=o.gid AND ")
            + _differs(
                [f"t.{quote(n)} IS NOT s.{quote(v)}" for n, v in zip(names, kept, strict=True)]
            )
        )
        self._insert = (
            f"INSERT INTO {self._name}({quoted(table.row_names)})"
            f" SELECT o.gid{''.join(f',s.{quote(v)}' for v in kept)}"
            + self._source(f"NOT EXISTS(SELECT 1 FROM {self._name} t WHERE t.{self._gid}=o.gid)")
            + " ORDER BY o.position"
        )

    def run(self, first: int, last: int) -> MergeCounts:
        """Merge the positions from ``first`` to ``last``."""
        self._connection.execute(
            "CREATE TABLE IF NOT EXISTS temp.fieldsync_touched(position INTEGER PRIMARY KEY)"
        )
        self._find_edited_parents()
        while first <= last:
            end = min(first + CHUNK - 1, last)
            self._chunk(first, end)
            first = end + 1
        if self._counts.deleted:
            self._delete_orphaned_attachments()
        return self._counts

    def _find_edited_parents(self) -> None:
        """Rows with edited attachments or unsent children are not deleted without a look."""
        execute = self._connection.execute
        execute("CREATE TABLE IF NOT EXISTS temp.fieldsync_parent(gid TEXT PRIMARY KEY)")
        execute("DELETE FROM temp.fieldsync_parent")
        for dependent in self._dependents:
            child = dependent.table
            parent = quote(dependent.parent_column or self._table.global_id)
            execute(
                f"INSERT OR IGNORE INTO temp.fieldsync_parent SELECT t.{self._gid}"
                f" FROM fieldsync_change c CROSS JOIN main.{quote(child.name)} d"
                f" CROSS JOIN {self._name} t WHERE c.layer=? AND (c.had_base=0 OR ?)"
                f" AND d.{quote(child.global_id)}=c.gid"
                f" AND t.{parent}=d.{quote(dependent.key_column)}",
                (child.number, child.is_attachment),
            )

    def _chunk(self, first: int, last: int) -> None:
        touched = self._touched(first, last)
        execute = self._connection.execute
        execute(
            "UPDATE fieldsync_quarantine SET resolved_at=?,resolution='merged'"
            " WHERE resolved_at IS NULL AND direction='inbound' AND layer=? AND gid IN"
            f"(SELECT gid FROM {self._order} WHERE position BETWEEN ? AND ?)",
            (self._now, self._table.number, first, last),
        )
        execute("SAVEPOINT fieldsync_chunk")
        try:
            self._move_untouched(first, last)
        except sqlite3.IntegrityError:
            execute("ROLLBACK TO fieldsync_chunk")
            # Some row breaks a rule of the table: find it, one position at a time.
            for position in range(first, last + 1):
                self._one(position)
        execute("RELEASE fieldsync_chunk")
        for gid, sid in touched:
            self._merge_touched(gid, sid)

    def _touched(self, first: int, last: int) -> list[tuple[str, int | None]]:
        """The positions whose rows need a look each: edited here, or with edited dependents."""
        execute = self._connection.execute
        execute("DELETE FROM temp.fieldsync_touched")
        span = "o.position BETWEEN ? AND ?"
        execute(
            f"INSERT INTO temp.fieldsync_touched SELECT o.position FROM {self._order} o"
            f" WHERE {span} AND EXISTS(SELECT 1 FROM fieldsync_change c"
            " WHERE c.layer=? AND c.gid=o.gid)",
            (first, last, self._table.number),
        )
        if self._dependents:
            execute(
                f"INSERT OR IGNORE INTO temp.fieldsync_touched SELECT o.position FROM {self._order}"
                f" o WHERE {span} AND o.sid IS NULL"
                " AND o.gid IN(SELECT gid FROM temp.fieldsync_parent)",
                (first, last),
            )
        return execute(
            f"SELECT o.gid,o.sid FROM temp.fieldsync_touched u"
            f" CROSS JOIN {self._order} o ON o.position=u.position ORDER BY o.position"
        ).fetchall()

    def _source(self, condition: str) -> str:
        """FROM and WHERE of the untouched staged rows in a span of positions."""
        return (
            f" FROM {self._order} o CROSS JOIN {stage_table(self._table)} s"
            " WHERE o.position BETWEEN ?1 AND ?2 AND s.id=o.sid"
            f" AND o.position NOT IN(SELECT position FROM temp.fieldsync_touched) AND {condition}"
        )

    def _move_untouched(self, first: int, last: int) -> None:
        execute = self._connection.execute
        rows = execute(
            f"SELECT count(*) FROM {self._order} o WHERE o.position BETWEEN ? AND ?"
            " AND o.sid IS NOT NULL"
            " AND o.position NOT IN(SELECT position FROM temp.fieldsync_touched)",
            (first, last),
        ).fetchone()[0]
        updated = execute(self._update, (first, last)).rowcount
        added = execute(self._insert, (first, last)).rowcount
        deleted = execute(
            f"DELETE FROM {self._name} WHERE {self._gid} IN(SELECT o.gid FROM {self._order} o"
            " WHERE o.position BETWEEN ? AND ? AND o.sid IS NULL"
            " AND o.position NOT IN(SELECT position FROM temp.fieldsync_touched))",
            (first, last),
        ).rowcount
        self._count(added=added, updated=updated, deleted=deleted, unchanged=rows - updated - added)

    def _one(self, position: int) -> None:
        execute = self._connection.execute
        execute("SAVEPOINT fieldsync_row")
        try:
            self._move_untouched(position, position)
        except sqlite3.IntegrityError as error:
            execute("ROLLBACK TO fieldsync_row")
            gid, sid = execute(
                f"SELECT gid,sid FROM {self._order} WHERE position=?", (position,)
            ).fetchone()
            self._set_aside(gid, sid, error)
        finally:
            execute("RELEASE fieldsync_row")

    def _merge_touched(self, gid: str, sid: int | None) -> None:
        execute = self._connection.execute
        execute("SAVEPOINT fieldsync_row")
        try:
            if sid is None:
                outcome, conflicts = self._rows.gone(gid)
            else:
                outcome, conflicts = self._rows.incoming(self._rows.staged(sid))
        except sqlite3.IntegrityError as error:
            execute("ROLLBACK TO fieldsync_row")
            self._set_aside(gid, sid, error)
        else:
            self._count(**{outcome.value: 1}, conflicts=conflicts)
        finally:
            execute("RELEASE fieldsync_row")

    def _set_aside(self, gid: str, sid: int | None, error: sqlite3.IntegrityError) -> None:
        put(
            self._connection,
            direction=Direction.INBOUND,
            table=self._table,
            global_id=gid,
            operation=EditOperation.DELETE if sid is None else EditOperation.UPDATE,
            code="not-stored",
            reason=f"{self._table.name} does not take the service's row: {error}",
            remedy="Remove the rule that another program added to the table, then sync again",
            now=self._now,
            row=None if sid is None else self._rows.staged(sid),
        )
        self._count(quarantined=1)

    def _delete_orphaned_attachments(self) -> None:
        """Attachments of rows that went; those with edits went to the store with their row."""
        for dependent in self._dependents:
            if not dependent.table.is_attachment:
                continue
            key = quote(dependent.key_column)
            self._connection.execute(
                f"DELETE FROM main.{quote(dependent.table.name)} WHERE {key} IN(SELECT o.gid"
                f" FROM {self._order} o WHERE o.sid IS NULL AND NOT EXISTS(SELECT 1 FROM"
                f" {self._name} t WHERE t.{self._gid}=o.gid))"
            )

    def _count(self, **numbers: int) -> None:
        self._counts += replace(MergeCounts(), **numbers)


def _differs(conditions: Sequence[str]) -> str:
    """The conditions joined by OR, nested evenly: SQLite's expressions are at most 1000 deep."""
    if not conditions:
        return "0"
    if len(conditions) == 1:
        return conditions[0]
    half = len(conditions) // 2
    return f"({_differs(conditions[:half])} OR {_differs(conditions[half:])})"
