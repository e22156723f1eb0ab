"""What became of the edits of a batch, written down: in the change log, the stores, the journal.

One transaction, whether the answers came over a link a moment ago or in a file.
"""

import sqlite3
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from engine import faults
from engine.geodatabase import acknowledge, change_log, conflicts, journal, reconcile
from engine.geodatabase.applying import applying
from engine.geodatabase.carried import note_late
from engine.geodatabase.change_log import Edit, EditState
from engine.geodatabase.conflicts import ConflictKind
from engine.geodatabase.journal import BatchState
from engine.geodatabase.layer_table import LayerTable
from engine.geodatabase.logged_table import LoggedTable
from engine.geodatabase.sent import forget_sent, read_sent
from engine.geodatabase.sql import quote
from engine.geodatabase.watched import Reason, watch
from engine.model import ConflictPolicy, EditOperation
from engine.sync.cascades import watch_loose, watch_related
from engine.sync.case import Case, Key, by_table, key_of
from engine.sync.context import LocalContext
from engine.sync.left_filter import is_filtered
from engine.sync.outgoing import attachment_cells
from engine.sync.read_back import Found, merge_rows, storable
from engine.sync.results import EditError
from engine.sync.set_aside import put_in_quarantine


class Outcome(Enum):
    """What became of one edit in this sync; the values are names of counters, but for one that was
    taken back here while the service refused it: that is an edit no more."""

    APPLIED = "applied"
    CONFLICT = "conflict"
    QUARANTINED = "quarantined"
    PENDING = "pending"
    TAKEN_BACK = "taken back"


@dataclass(slots=True)
class Settled:
    """The outcome of each edit, and why those were refused that were.

    ``went_along``: how many deletes, by table, of rows that the service deleted with one of these.
    ``has_renamed``: the service gave rows GlobalIDs of its own, so that the keys of rows that
    belong to them have become edits. ``outgrown``: adds that were there already, in an older
    version, so that what was changed since is an update.
    """

    outcomes: dict[Key, Outcome] = field(default_factory=dict)
    refusals: list[tuple[Edit, EditError]] = field(default_factory=list)
    held: int = 0
    went_along: Counter[int] = field(default_factory=Counter)
    has_renamed: bool = False
    outgrown: list[Edit] = field(default_factory=list)


def record(
    connection: sqlite3.Connection,
    context: LocalContext,
    batch_id: int,
    cases: Sequence[Case],
    found: Mapping[int, Found],
    may_quarantine: bool,
) -> Settled:
    """All in one transaction: base := what was sent, or what the service has."""
    now = context.now()
    watch_related(connection, context, cases, found)
    (newest,) = connection.execute("SELECT coalesce(max(id),0) FROM fieldsync_conflict").fetchone()
    grouped = by_table(cases)
    went_along: Counter[int] = Counter()
    for table, some in grouped:
        went_along += _acknowledge(connection, context, batch_id, table, some)
        emptied = [c.global_id for c in some if _is_emptied(c, found.get(table.number, {}))]
        watch(connection, table, emptied, Reason.ADDED)
    order = {layer_id: n for n, layer_id in enumerate(context.parents_first())}
    rows = [(table, some) for table, some in grouped if not table.is_attachment]
    # Children first: a new one that arrived is no part of a parent that goes to a store meanwhile.
    for table, some in sorted(rows, key=lambda item: order[item[0].layer_id], reverse=True):
        _settle_rows(connection, context, batch_id, table, some, found[table.number])
    for table, some in grouped:
        there = [c.global_id for c in some if c.is_there]
        if table.is_attachment:
            _settle_photos(connection, context, batch_id, table, some)
        else:
            watch_loose(connection, context, table, there)
    note_late_adds(connection, [c.edit for c in cases if _is_late(c)])
    acknowledge.release(connection, batch_id)
    for table, _ in grouped:
        change_log.drop_settled(connection, table, now=now)
    settled = Settled(
        went_along=went_along,
        has_renamed=any(c.is_acknowledged and c.global_id != c.edit.global_id for c in cases),
    )
    for case in cases:
        outcome = _outcome(connection, case, newest)
        if outcome is Outcome.QUARANTINED and not may_quarantine:
            outcome = Outcome.PENDING
        elif outcome is Outcome.QUARANTINED:
            reason = case.refusal.description or "no reason given"
            settled.held += put_in_quarantine(connection, context, case.edit, case.code, reason)
        if outcome is Outcome.QUARANTINED or (case.is_refused and not may_quarantine):
            settled.refusals.append((case.edit, case.refusal))
        settled.outcomes[key_of(case.edit)] = outcome
        if case.is_doubted and case.is_there and _is_pending_update(connection, case.edit):
            settled.outgrown.append(case.edit)
    journal.move(connection, batch_id, BatchState.ACKNOWLEDGED, now)
    faults.point("edits.acknowledged")
    return settled


def _acknowledge(
    connection: sqlite3.Connection,
    context: LocalContext,
    batch_id: int,
    table: LayerTable,
    cases: Sequence[Case],
) -> Counter[int]:
    """The edits that the service took, under the ids that it gave to their rows. Returns how many
    deletes of attachments were done with those of their features, by table."""
    good = [c for c in cases if c.is_acknowledged]
    gids = [c.edit.global_id for c in good]
    acknowledge.acknowledge(connection, batch_id, table, gids, now=context.now())
    numbered = {
        c.edit.global_id: c.answer.object_id
        for c in good
        if c.answer is not None and c.answer.object_id is not None
    }
    acknowledge.set_object_ids(connection, table, numbered)
    renamed = {c.edit.global_id: c.global_id for c in good if c.global_id != c.edit.global_id}
    if renamed:
        keys = [
            (d.table, d.key_column) for d in context.dependents(table) if d.parent_column is None
        ]
        acknowledge.rename_global_ids(connection, table, renamed, keys)
    added = [c for c in cases if c.edit.operation is EditOperation.ADD]
    # Also those that somebody has deleted since: no download tells of a row that came and went.
    sent = [c.global_id for c in added if c.is_there or c.is_acknowledged]
    watch(connection, table, sent, Reason.ADDED)
    if is_filtered(context, table):
        edited = [c.global_id for c in good if c.edit.operation is EditOperation.UPDATE]
        watch(connection, table, edited, Reason.EDITED)
    deleted = [c.edit.global_id for c in cases if c.is_deleted]
    photos = None if table.is_attachment else context.attachment_table(table.layer_id)
    if photos is None or not deleted:
        return Counter()
    return Counter({photos.number: _forget_photos(connection, photos, deleted)})


def note_late_adds(connection: sqlite3.Connection, edits: Iterable[Edit]) -> None:
    """The adds of ``edits``, of which the service shows nothing, may come there after all: in the
    version that was sent."""
    late: dict[int, list[tuple[str, int, str | None]]] = {}
    tables: dict[int, LayerTable] = {}
    for edit in edits:
        if edit.operation is EditOperation.ADD:
            table = tables.setdefault(edit.table.number, edit.table)
            parent = str(attachment_cells(edit)["REL_GLOBALID"]) if table.is_attachment else None
            late.setdefault(table.number, []).append((edit.global_id, edit.last, parent))
    for number, rows in late.items():
        note_late(connection, tables[number], rows)


def _is_late(case: Case) -> bool:
    """Whether it is not there although nobody said no."""
    is_silent = case.answer is None and not case.is_passed_over and not case.is_acknowledged
    return is_silent and not case.is_there


def _is_emptied(case: Case, found: Found) -> bool:
    """Whether values are gone from the row that this edit did not touch.

    Another machine may be about to put them back, which has just found out with a file of this
    device that the service clears them; and of what went through our replica no download tells. So
    the next one reads the row again.
    """
    edit, row = case.edit, found.get(case.global_id)
    if edit.operation is not EditOperation.UPDATE or edit.base is None or row is None:
        return False
    cells = zip(edit.table.row_names, edit.base, row, strict=True)
    return any(
        was is not None and now is None and name not in edit.columns for name, was, now in cells
    )


def _forget_photos(
    connection: sqlite3.Connection, photos: LayerTable, parents: Sequence[str]
) -> int:
    """Attachments that are still here when their feature was deleted went with it there, and so did
    those that were deleted here; returns how many these are."""
    logged = LoggedTable(connection, photos)
    of_these = set(parents)
    gone = connection.execute(
        f"SELECT c.gid,b.v_REL_GLOBALID FROM {quote(photos.base_table)} b JOIN fieldsync_change c"
        f" ON c.id=b.id WHERE c.had_base AND NOT EXISTS(SELECT 1 FROM {quote(photos.name)} t"
        f" WHERE t.{quote(photos.global_id)}=c.gid)"
        " AND NOT EXISTS(SELECT 1 FROM fieldsync_sent z WHERE z.layer=c.layer AND z.gid=c.gid)"
    )
    deleted = [gid for gid, parent in gone if parent in of_these]
    for entry in map(logged.entry, deleted):
        if entry is not None:
            logged.drop(entry)
    statement = f"SELECT {quote(photos.global_id)} FROM {quote(photos.name)} WHERE REL_GLOBALID=?"
    gids = [gid for parent in parents for (gid,) in connection.execute(statement, (parent,))]
    with applying(connection):
        for gid in gids:
            entry = logged.entry(gid)
            if entry is not None and (logged.is_in_flight(gid) or logged.is_edited(entry)):
                continue  # that edit is yet to be sent, and to be set aside
            logged.delete(gid)
            if entry is not None:
                logged.drop(entry)
    return len(deleted)


def _settle_rows(
    connection: sqlite3.Connection,
    context: LocalContext,
    batch_id: int,
    table: LayerTable,
    cases: Sequence[Case],
    found: Found,
) -> None:
    """Merge the rows as the service has them now.

    What was refused is no longer in flight, so that a value there that differs from the base is
    somebody's else. Of the rest, what is there decides whether it arrived.
    """
    known = {c.global_id for c in cases if c.is_acknowledged or c.is_refused}
    for case in cases:
        sent = read_sent(connection, table, case.edit.global_id) if case.is_refused else None
        if sent is not None:
            forget_sent(connection, table, sent)
    unclear = storable({gid: row for gid, row in found.items() if gid not in known})
    reconcile.reconcile(
        connection,
        batch_id,
        table,
        unclear,
        context.parameters.conflict_policy,
        now=context.now(),
        dependents=context.dependents(table),
    )
    clear = storable({gid: row for gid, row in found.items() if gid in known})
    merged = merge_rows(connection, context, table, clear)
    context.layer_result(table).downloaded.conflicts += merged.conflicts


def _settle_photos(
    connection: sqlite3.Connection,
    context: LocalContext,
    batch_id: int,
    table: LayerTable,
    cases: Sequence[Case],
) -> None:
    policy = context.parameters.conflict_policy
    for case in cases:
        edit = case.edit
        if case.is_acknowledged or case.is_refused:
            continue
        if edit.operation is EditOperation.UPDATE and not case.is_there:
            conflicts.store_deleted(
                connection,
                table,
                edit.global_id,
                policy=policy,
                now=context.now(),
            )
        elif case.is_doubted and case.is_there and not case.is_as_sent and case.changed:
            merged = merge_rows(connection, context, table, [case.changed])
            context.layer_result(table).downloaded.conflicts += merged.conflicts
        elif not case.is_there if edit.operation is EditOperation.DELETE else case.is_as_sent:
            acknowledge.acknowledge(
                connection, batch_id, table, [edit.global_id], now=context.now()
            )
        elif case.changed is not None and policy is ConflictPolicy.MANUAL:
            # A download would have told it; but a file is sent without one, and perhaps much later.
            conflicts.record(
                connection,
                table,
                edit.global_id,
                kind=ConflictKind.DELETED_HERE if edit.row is None else ConflictKind.UPDATED,
                policy=policy,
                base=edit.base,
                mine=edit.row,
                theirs=case.changed,
                now=context.now(),
            )


def _outcome(connection: sqlite3.Connection, case: Case, newest_conflict: int) -> Outcome:
    if case.is_acknowledged:
        return Outcome.APPLIED
    edit = case.edit
    left = change_log.edit_of(connection, edit.table, edit.global_id)
    if left is None or left.operation is not edit.operation:
        lost = connection.execute(
            "SELECT EXISTS(SELECT 1 FROM fieldsync_conflict WHERE id>? AND layer=? AND gid=?)",
            (newest_conflict, edit.table.number, edit.global_id),
        ).fetchone()[0]
        if lost:
            return Outcome.CONFLICT
        is_taken_back = case.is_refused and _is_changed(connection, edit)
        return Outcome.TAKEN_BACK if is_taken_back else Outcome.APPLIED
    if case.is_refused or (case.is_passed_over and left.last == edit.last):
        return Outcome.QUARANTINED
    return Outcome.PENDING


def _is_pending_update(connection: sqlite3.Connection, edit: Edit) -> bool:
    left = change_log.edit_of(connection, edit.table, edit.global_id)
    if left is None or left.state is not EditState.PENDING:
        return False
    return left.operation is EditOperation.UPDATE


def _is_changed(connection: sqlite3.Connection, edit: Edit) -> bool:
    """Whether the row is not here as it was sent. If it is, and no edit is left, the service has it
    like that from somebody else."""
    logged = LoggedTable(connection, edit.table)
    stored = logged.stored(edit.global_id)
    if stored is None or edit.row is None:
        return (stored is None) is not (edit.row is None)
    since = logged.difference(edit.row, stored.row)
    is_shape = edit.geometry_changed and since.geometry
    return is_shape or not set(edit.columns).isdisjoint(since.columns)
