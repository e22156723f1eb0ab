"""One touched row meets what the service says of it: which side stands, what is recorded.

=====================  ==========================  ==========================================
here                   on the service              afterwards here
=====================  ==========================  ==========================================
changed                changed                     three-way; a conflict where columns clash;
                                                   large data as a whole
added                  the same row exists         mine, pending as an update; base is theirs
deleted                unchanged                   the delete stays pending
deleted                changed                     conflict; the delete stays, or theirs is back
changed                deleted                     mine goes to the conflict store
deleted                deleted                     nothing to send
added, not sent        deleted (our own delete)    the add stays pending
touched, no edit       anything                    theirs
=====================  ==========================  ==========================================
"""

import sqlite3
from collections.abc import Sequence
from dataclasses import replace
from enum import Enum

from engine.geodatabase import staging
from engine.geodatabase.brought_back import bring_back_parts
from engine.geodatabase.carried import is_carried, is_carried_older
from engine.geodatabase.conflict_parts import keep_part
from engine.geodatabase.conflicts import (
    ConflictKind,
    record,
    settle_conflicts,
    store_deleted,
)
from engine.geodatabase.dependents import Dependent
from engine.geodatabase.difference import Row, changed_there, names_of, three_way
from engine.geodatabase.fetch_queue import enqueue_anew
from engine.geodatabase.layer_table import LayerTable
from engine.geodatabase.log_schema import value_names
from engine.geodatabase.logged_table import Entry, LoggedTable
from engine.geodatabase.quarantine import settle_quarantine
from engine.geodatabase.sent import SentEdit, mark_overtaken, read_sent
from engine.geodatabase.sql import quote
from engine.model import ConflictPolicy

_IDENTITY = ("ATT_NAME", "DATA_SIZE")  # by which the data of an attachment is known


class Outcome(Enum):
    """What happened to the row in the table; the values are names of counters."""

    ADDED = "added"
    UPDATED = "updated"
    DELETED = "deleted"
    UNCHANGED = "unchanged"


Result = tuple[Outcome, int]
"""What happened, and how many conflicts were recorded."""


class RowMerge:
    """Merges rows of one table one by one; needs :func:`applying`."""

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
        self._policy = policy
        self._now = now
        self._dependents = dependents
        self._logged = LoggedTable(connection, table)
        values = "".join(f",{quote(name)}" for name in value_names(table))
        self._staged = f"SELECT gid{values} FROM {staging.stage_table(table)} WHERE id=?"

    def staged(self, sid: int) -> Row:
        """The staged row of that number."""
        row: Row = self._connection.execute(self._staged, (sid,)).fetchone()
        return row

    def incoming(self, theirs: Row) -> Result:
        """The service has this row."""
        gid = str(theirs[0])
        logged = self._logged
        entry = logged.entry(gid)
        if entry is None:
            raise ValueError(f"the row {gid} was not touched")
        stored = logged.stored(gid)
        mine = None if stored is None else stored.row
        base = logged.base(entry, mine)
        sent = read_sent(self._connection, self._table, gid)
        is_ours = base is None and is_carried(self._connection, self._table, gid)
        is_newest = sent is None or entry.data <= sent.last
        if is_ours and entry.data and is_newest and not self._may_be_older(gid, entry.data):
            # Somebody has sent the file, with this data; other data there is newer.
            entry = self._give_way(entry, mine, theirs)
        expected = base
        overtaken: tuple[str, ...] = ()
        if sent is not None and sent.values is not None:
            expected, overtaken = self._expect(base, sent, sent.values, theirs)
            mark_overtaken(self._connection, sent, overtaken)
            if base is None and self._may_be_older(gid, sent.last):
                expected = None
        elif is_ours:
            # Somebody has sent the file; what differs from what is in it was changed after that.
            expected = None if self._may_be_older(gid, entry.seq) else mine
        if mine is None:
            result = self._incoming_deleted(entry, base, expected, theirs)
        elif expected is None:
            result = self._incoming_unknown(entry, mine, theirs, sent)
        else:
            result = self._incoming_present(entry, base, expected, mine, theirs, sent, overtaken)
        if sent is None and logged.settle(gid):
            self._settle_stores(gid, "agreed")
        return result

    def gone(self, gid: str) -> Result:
        """The service said that it has no such row."""
        logged = self._logged
        entry, stored = logged.entry(gid), logged.stored(gid)
        if entry is not None and not entry.had_base:
            sent = read_sent(self._connection, self._table, gid)
            if stored is None or sent is None or sent.first != entry.id:
                # Never sent: the delete may be our own, of an earlier row; or the row was restored
                # from the store, and what was sent was the earlier one.
                return Outcome.UNCHANGED, 0
        elif stored is None:
            if entry is not None:
                self._deleted_on_both_sides(entry)
            return Outcome.UNCHANGED, 0
        elif not self._is_edited(entry) and not self._has_parts(gid):
            logged.delete(gid)
            if entry is not None:
                logged.drop(entry)
            return Outcome.DELETED, 0
        store_deleted(
            self._connection,
            self._table,
            gid,
            policy=self._policy,
            now=self._now,
            dependents=self._dependents,
        )
        settle_quarantine(self._connection, self._table, gid, "conflict", self._now)
        return Outcome.DELETED, 1

    def _expect(
        self, base: Row | None, sent: SentEdit, values: Row, theirs: Row
    ) -> tuple[Row, tuple[str, ...]]:
        """What the service should have, going by what it answers, and the columns in which it has
        something newer. Of a batch on its way nobody knows yet whether it arrived; but where the
        service's value is no longer the base, either ours arrived or somebody else's did. Where
        somebody else's was seen before, the base is that, and ours is of no concern any more."""
        if base is None:
            return values, sent.names(self._table)
        names = sent.standing(self._table)
        arrived = names_of(self._table, self._logged.difference(base, theirs))
        cells = {n: self._logged.cell(values, n) for n in names if n in arrived}
        expected = self._logged.with_cells(base, cells)
        newer = names_of(self._table, changed_there(self._table, expected, theirs))
        return expected, tuple(n for n in cells if n in newer)

    def _may_be_older(self, gid: str, sequence: int) -> bool:
        return is_carried_older(self._connection, self._table, gid, sequence)

    def _incoming_present(
        self,
        entry: Entry,
        base: Row | None,
        expected: Row,
        mine: Row,
        theirs: Row,
        sent: SentEdit | None,
        overtaken: tuple[str, ...],
    ) -> Result:
        # Of our own add that comes back, whatever differs is what the service made of it.
        theirs_win = self._policy is ConflictPolicy.REMOTE_WINS and base is not None
        merged = three_way(self._table, expected, mine, theirs, theirs_win=theirs_win)
        row, clash = merged.row, merged.conflicts
        is_replaced = base is not None and self._is_replaced(entry, base, sent, theirs)
        gives_way = theirs_win and is_replaced
        if gives_way:  # the name goes with the data
            row, clash = theirs, names_of(self._table, changed_there(self._table, mine, theirs))
        recorded = 0
        if (clash or is_replaced) and base is not None:
            conflict = self._record(ConflictKind.UPDATED, base, mine, theirs, columns=clash)
            recorded += 1
            if gives_way:
                keep_part(self._logged, conflict, entry.gid)
                self._logged.set_data(entry, 0)
                if sent is not None:
                    mark_overtaken(self._connection, sent, (*overtaken, *self._table.noted))
        if overtaken and base is not None:
            recorded += self._record_overtaken(base, mine, theirs, row, overtaken)
        changed = self._logged.replace_row(mine, row)
        self._logged.set_base(entry.gid, theirs)
        return (Outcome.UPDATED if changed else Outcome.UNCHANGED), recorded

    def _is_replaced(self, entry: Entry, base: Row, sent: SentEdit | None, theirs: Row) -> bool:
        """Whether large data that was changed here was changed on the service as well. One's own
        edit that comes back is no news: it has the name and the size that it was sent with."""
        if not entry.data or not staging.is_data_changed(self._connection, self._table, entry.gid):
            return False
        known = [base] if sent is None or sent.values is None else [base, sent.values]
        cell = self._logged.cell
        return all(any(cell(r, n) != cell(theirs, n) for n in _IDENTITY) for r in known)

    def _incoming_unknown(
        self, entry: Entry, mine: Row, theirs: Row, sent: SentEdit | None
    ) -> Result:
        """A row that was added here and not sent is on the service: given up while it was on its
        way, or sent by somebody from a file, and changed here since. Nothing says which of the two
        is newer, so the policy decides."""
        row = three_way(self._table, theirs, mine, theirs, theirs_win=False).row
        clash = names_of(self._table, changed_there(self._table, mine, theirs))
        is_replaced = bool(entry.data) and self._is_other_data(mine, theirs)
        if entry.data:
            row = self._with_size_of(row, mine)
        is_conflict = (
            bool(clash) or is_replaced
        ) and self._policy is not ConflictPolicy.LAST_SYNCED
        if is_conflict:
            conflict = self._record(ConflictKind.UPDATED, None, mine, theirs, columns=clash)
            if self._policy is ConflictPolicy.REMOTE_WINS:
                row = theirs
                if is_replaced:
                    keep_part(self._logged, conflict, entry.gid)
                    self._give_way(entry, mine, theirs)
                    if sent is not None:
                        names = (*sent.names(self._table), *self._table.noted)
                        mark_overtaken(self._connection, sent, names)
        changed = self._logged.replace_row(mine, row)
        self._logged.set_base(entry.gid, theirs)
        return (Outcome.UPDATED if changed else Outcome.UNCHANGED), int(is_conflict)

    def _give_way(self, entry: Entry, mine: Row | None, theirs: Row) -> Entry:
        """Large data here is no edit any more; that of the service is fetched if it is another."""
        self._logged.set_data(entry, 0)
        if mine is not None and self._is_other_data(mine, theirs):
            enqueue_anew(self._connection, self._table, entry.gid)
        return replace(entry, data=0)

    def _is_other_data(self, mine: Row, theirs: Row) -> bool:
        cell = self._logged.cell
        return any(cell(mine, name) != cell(theirs, name) for name in _IDENTITY)

    def _with_size_of(self, row: Row, mine: Row) -> Row:
        """``row`` with the size of the data that is here."""
        return self._logged.with_cells(row, {"DATA_SIZE": self._logged.cell(mine, "DATA_SIZE")})

    def _incoming_deleted(
        self, entry: Entry, base: Row | None, expected: Row | None, theirs: Row
    ) -> Result:
        """Deleted here: the row stays away, unless the service's change is to win."""
        logged = self._logged
        is_ours = is_carried(self._connection, self._table, entry.gid)
        if expected is None and not (is_ours or logged.is_in_flight(entry.gid)):
            logged.drop(entry)
            logged.insert(theirs)
            return Outcome.ADDED, 0
        changed = False
        if base is not None and expected is not None:
            changed = bool(changed_there(self._table, expected, theirs))
        if changed:
            self._record(ConflictKind.DELETED_HERE, base, None, theirs)
        if changed and self._policy is ConflictPolicy.REMOTE_WINS:
            logged.insert(theirs, logged.base_key(entry))
            logged.drop(entry)
            bring_back_parts(self._connection, self._table, theirs, self._dependents)
            return Outcome.ADDED, 1
        logged.set_base(entry.gid, theirs)
        return Outcome.UNCHANGED, int(changed)

    def _record_overtaken(
        self, base: Row, mine: Row, theirs: Row, row: Row, overtaken: tuple[str, ...]
    ) -> int:
        """Values that were sent, perhaps never arrived, and now give way to newer ones."""
        given_up = names_of(self._table, self._logged.difference(row, mine))
        lost = [name for name in overtaken if name in given_up]
        if not lost:
            return 0
        record(
            self._connection,
            self._table,
            str(mine[0]),
            kind=ConflictKind.UPDATED,
            policy=self._policy,
            columns=lost,
            base=base,
            mine=mine,
            theirs=theirs,
            now=self._now,
            resolution="theirs",
        )
        return 1

    def _deleted_on_both_sides(self, entry: Entry) -> None:
        if self._logged.is_in_flight(entry.gid):
            self._logged.set_base(entry.gid, None)
        else:
            self._logged.drop(entry)
        self._settle_stores(entry.gid, "agreed")

    def _settle_stores(self, gid: str, resolution: str) -> None:
        settle_conflicts(self._connection, self._table, gid, resolution, self._now)
        settle_quarantine(self._connection, self._table, gid, resolution, self._now)

    def _is_edited(self, entry: Entry | None) -> bool:
        """False also of a row that came back just now with the one that it belongs to."""
        return entry is not None and self._logged.is_edited(entry)

    def _has_parts(self, gid: str) -> bool:
        """Whether edited attachments or unsent children would go with the row."""
        stored = self._logged.stored(gid)
        if stored is None:
            return False
        for dependent in self._dependents:
            child = dependent.table
            value = self._logged.cell(stored.row, dependent.parent_column or self._table.global_id)
            edited = self._connection.execute(
                f"SELECT c.gid FROM {quote(child.name)} d JOIN fieldsync_change c"
                f" ON c.layer=? AND c.gid=d.{quote(child.global_id)}"
                f" WHERE d.{quote(dependent.key_column)}=? AND (c.had_base=0 OR ?)",
                (child.number, value, child.is_attachment),
            )
            if child.is_attachment:
                if edited.fetchone() is not None:
                    return True
            elif any(not staging.has_row(self._connection, child, g) for (g,) in edited.fetchall()):
                return True
        return False

    def _record(
        self,
        kind: ConflictKind,
        base: Row | None,
        mine: Row | None,
        theirs: Row,
        *,
        columns: Sequence[str] = (),
    ) -> int:
        theirs_win = self._policy is ConflictPolicy.REMOTE_WINS
        return record(
            self._connection,
            self._table,
            str(theirs[0]),
            kind=kind,
            policy=self._policy,
            columns=columns,
            base=base,
            mine=mine,
            theirs=theirs,
            now=self._now,
            resolution="theirs" if theirs_win else None,
        )
