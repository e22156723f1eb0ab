"""What became of the edits of a batch, by the service's answers and by what it has now.

An edit is acknowledged by its own success, or by a read-back that shows it. One that the service
refused goes to quarantine; one that nothing was said about, and that did not arrive, is pending
again. A row that was edited here and is gone there goes to the conflict store.
"""

import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum

from engine import faults
from engine.geodatabase import acknowledge, change_log, conflicts, journal, reconcile
from engine.geodatabase.applying import applying
from engine.geodatabase.change_log import Edit
from engine.geodatabase.difference import Row
from engine.geodatabase.journal import BatchState
from engine.geodatabase.layer_table import LayerTable
from engine.geodatabase.sent import forget_sent, read_sent
from engine.geodatabase.sql import quote
from engine.geodatabase.watched import Reason, watch
from engine.model import EditOperation
from engine.sync.batches import newest_name
from engine.sync.channels import EditAnswer
from engine.sync.context import SyncContext
from engine.sync.parameters import PushChannel
from engine.sync.photo_check import photos_as_sent
from engine.sync.read_back import Found, find, merge_rows, refresh, storable
from engine.sync.renamed_rows import find_renamed
from engine.sync.results import EditError
from engine.sync.set_aside import put_in_quarantine
from native.geometry import is_empty

Key = tuple[int, str]  # (table number, GlobalID as it was sent)


class Outcome(Enum):
    """What became of one edit in this sync; the values are names of counters."""

    APPLIED = "applied"
    CONFLICT = "conflict"
    QUARANTINED = "quarantined"
    PENDING = "pending"


@dataclass(slots=True)
class Settled:
    """The outcome of each edit, and why those were refused that were."""

    outcomes: dict[Key, Outcome] = field(default_factory=dict)
    refusals: list[tuple[Edit, EditError]] = field(default_factory=list)
    held: int = 0


@dataclass(slots=True)
class _Case:
    """One edit of the batch: what was said of it, and whether the service has its row now."""

    edit: Edit
    answer: EditAnswer | None
    global_id: str  # the service's, which may not be the one that was sent
    is_there: bool = False
    is_renamed: bool = False  # it was found under a GlobalID that nobody told
    is_as_sent: bool = False  # of an attachment: its bytes are proven to be ours

    @property
    def is_acknowledged(self) -> bool:
        if self.is_renamed:
            return True
        if self.answer is None or not self.answer.success:
            return False
        # Some services take an update of a row they no longer have, and do nothing.
        return self.is_there or self.edit.operation is not EditOperation.UPDATE

    @property
    def is_refused(self) -> bool:
        """The service said no, and it did not say so because its row is as we want it already."""
        if self.answer is None or self.answer.success:
            return False
        return self.is_there is not (self.edit.operation is EditOperation.ADD)


def key_of(edit: Edit) -> Key:
    """What an edit is known by: its table's number and its GlobalID."""
    return edit.table.number, edit.global_id


def match_answers(edits: Sequence[Edit], answers: Sequence[EditAnswer]) -> dict[Key, EditAnswer]:
    """Which answer belongs to which edit: by GlobalID, else by its place if all are there."""
    sent: dict[tuple[int, bool, EditOperation], list[Edit]] = defaultdict(list)
    for edit in edits:
        sent[(edit.table.layer_id, edit.table.is_attachment, edit.operation)].append(edit)
    groups: dict[tuple[int, bool, EditOperation], list[EditAnswer]] = defaultdict(list)
    for answer in answers:
        groups[(answer.layer_id, answer.is_attachment, answer.operation)].append(answer)
    matched: dict[Key, EditAnswer] = {}
    for group, given in groups.items():
        asked = sent.get(group, [])
        by_gid = {edit.global_id: edit for edit in asked}
        for answer in given:
            named = by_gid.get(answer.global_id or "")
            if named is None and len(given) == len(asked):
                named = asked[answer.position]
            if named is not None:
                matched.setdefault(key_of(named), answer)
    return matched


async def settle(
    context: SyncContext,
    batch_id: int,
    edits: Sequence[Edit],
    answers: Sequence[EditAnswer],
    *,
    may_quarantine: bool = True,
) -> Settled:
    """Settle the batch; ``answers`` may be missing, for some edits or for all.

    Afterwards nothing of the batch is in flight any more. ``may_quarantine`` False leaves refused
    edits pending.
    """
    said = match_answers(edits, answers)
    cases = [_case(edit, said.get(key_of(edit))) for edit in edits]
    found = await _look(context, cases)
    _find_kept_geometries(cases, found)
    await _look_for_renamed(context, batch_id, cases, found)
    settled = await context.write(_settle, context, batch_id, cases, found, may_quarantine)
    await _refresh_related(context, cases)
    await context.write(_finish, batch_id, context.now())
    return settled


def _case(edit: Edit, answer: EditAnswer | None) -> _Case:
    global_id = edit.global_id
    is_new = edit.operation is EditOperation.ADD and answer is not None and answer.success
    if is_new and answer is not None and answer.global_id is not None:
        global_id = answer.global_id
    return _Case(edit, answer, global_id)


async def _look(context: SyncContext, cases: Sequence[_Case]) -> dict[int, Found]:
    """Read back every row that must be known; tells the cases which rows are there."""
    found: dict[int, Found] = {}
    for table, some in _by_table(cases):
        if table.is_attachment:
            present = await photos_as_sent(context, [c.edit for c in some if not _is_success(c)])
            for case in some:
                case.is_there = _is_success(case) or case.edit.global_id in present
                case.is_as_sent = present.get(case.edit.global_id, False)
            continue
        wanted = [
            c.global_id
            for c in some
            if not (_is_success(c) and c.edit.operation is EditOperation.DELETE)
        ]
        found[table.number] = await find(context, table, wanted)
        for case in some:
            case.is_there = case.global_id in found[table.number]
    return found


def _find_kept_geometries(cases: Sequence[_Case], found: Mapping[int, Found]) -> None:
    """A service that says yes to a geometry's removal and keeps the geometry has refused it."""
    for case in cases:
        edit = case.edit
        is_cleared = edit.geometry_changed and edit.row is not None and edit.row[1] is None
        if edit.operation is not EditOperation.UPDATE or not is_cleared or case.answer is None:
            continue
        row = found.get(edit.table.number, {}).get(case.global_id)
        if case.answer.success and row is not None and _has_shape(edit.table, row):
            case.answer = replace(
                case.answer,
                success=False,
                description="the service keeps the geometry that was taken away here",
            )


def _has_shape(table: LayerTable, row: Row) -> bool:
    geometry = None if table.geometry is None else row[1]
    return isinstance(geometry, bytes) and not is_empty(geometry)


async def _look_for_renamed(
    context: SyncContext, batch_id: int, cases: Sequence[_Case], found: dict[int, Found]
) -> None:
    batch = await context.database.read(journal.get_batch, batch_id)
    if batch.channel == PushChannel.APPLY_EDITS.value:
        return  # with useGlobalIds=true it keeps the GlobalIDs of adds, that is documented
    for table, some in _by_table(cases):
        silent = {
            c.edit.global_id: c
            for c in some
            if c.answer is None and not c.is_there and c.edit.operation is EditOperation.ADD
        }
        if table.is_attachment or not silent:
            continue
        newest = batch.counts.get(newest_name(table), 0)
        edits = [c.edit for c in silent.values()]
        renamed = await find_renamed(context, table, edits, newest)
        for old, row in renamed.items():
            case, new = silent[old], str(row[0])
            case.global_id, case.is_there, case.is_renamed = new, True, True
            found[table.number][new] = row


def _is_success(case: _Case) -> bool:
    return case.answer is not None and case.answer.success


def _by_table(cases: Iterable[_Case]) -> list[tuple[LayerTable, list[_Case]]]:
    grouped: dict[int, tuple[LayerTable, list[_Case]]] = {}
    for case in cases:
        grouped.setdefault(case.edit.table.number, (case.edit.table, []))[1].append(case)
    return list(grouped.values())


def _settle(
    connection: sqlite3.Connection,
    context: SyncContext,
    batch_id: int,
    cases: Sequence[_Case],
    found: Mapping[int, Found],
    may_quarantine: bool,
) -> Settled:
    """All in one transaction: base := what was sent, or what the service has."""
    now = context.now()
    (newest,) = connection.execute("SELECT coalesce(max(id),0) FROM fieldsync_conflict").fetchone()
    for table, some in _by_table(cases):
        _acknowledge(connection, context, batch_id, table, some)
        if table.is_attachment:
            _settle_photos(connection, context, batch_id, table, some)
        else:
            _settle_rows(connection, context, batch_id, table, some, found[table.number])
    acknowledge.release(connection, batch_id)
    for table, _ in _by_table(cases):
        change_log.drop_settled(connection, table, now=now)
    settled = Settled()
    for case in cases:
        outcome = _outcome(connection, case, newest)
        if outcome is Outcome.QUARANTINED and not may_quarantine:
            outcome = Outcome.PENDING
        elif outcome is Outcome.QUARANTINED:
            assert case.answer is not None
            reason = case.answer.description or "no reason given"
            settled.held += put_in_quarantine(
                connection, context, case.edit, case.answer.code, reason
            )
        if outcome is Outcome.QUARANTINED or (case.is_refused and not may_quarantine):
            assert case.answer is not None
            error = EditError(code=case.answer.code, description=case.answer.description)
            settled.refusals.append((case.edit, error))
        settled.outcomes[key_of(case.edit)] = outcome
    journal.move(connection, batch_id, BatchState.ACKNOWLEDGED, now)
    faults.point("edits.acknowledged")
    return settled


def _acknowledge(
    connection: sqlite3.Connection,
    context: SyncContext,
    batch_id: int,
    table: LayerTable,
    cases: Sequence[_Case],
) -> None:
    """The edits that the service took, under the ids that it gave to their rows."""
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
    added = [c.global_id for c in cases if c.is_there and c.edit.operation is EditOperation.ADD]
    watch(connection, table, added, Reason.ADDED)
    deleted = [c.edit.global_id for c in good if c.edit.operation is EditOperation.DELETE]
    photos = None if table.is_attachment else context.attachment_table(table.layer_id)
    if photos is not None and deleted:
        _forget_photos(connection, photos, deleted)


def _forget_photos(
    connection: sqlite3.Connection, photos: LayerTable, parents: Sequence[str]
) -> None:
    """Attachments that came down after their feature was deleted here went with it there."""
    with applying(connection):
        connection.executemany(
            f"DELETE FROM {quote(photos.name)} WHERE REL_GLOBALID=? AND NOT EXISTS(SELECT 1"
            f" FROM fieldsync_change c WHERE c.layer={photos.number}"
            f" AND c.gid={quote(photos.name)}.{quote(photos.global_id)})",
            [(parent,) for parent in parents],
        )


def _settle_rows(
    connection: sqlite3.Connection,
    context: SyncContext,
    batch_id: int,
    table: LayerTable,
    cases: Sequence[_Case],
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
    context: SyncContext,
    batch_id: int,
    table: LayerTable,
    cases: Sequence[_Case],
) -> None:
    for case in cases:
        edit = case.edit
        if case.is_acknowledged or case.is_refused:
            continue
        if edit.operation is EditOperation.UPDATE and not case.is_there:
            conflicts.store_deleted(
                connection,
                table,
                edit.global_id,
                policy=context.parameters.conflict_policy,
                now=context.now(),
            )
        elif case.is_as_sent or (edit.operation is EditOperation.DELETE and not case.is_there):
            acknowledge.acknowledge(
                connection, batch_id, table, [edit.global_id], now=context.now()
            )


def _outcome(connection: sqlite3.Connection, case: _Case, newest_conflict: int) -> Outcome:
    if case.is_acknowledged:
        return Outcome.APPLIED
    edit = case.edit
    left = change_log.edit_of(connection, edit.table, edit.global_id)
    if left is None or left.operation is not edit.operation:
        lost = connection.execute(
            "SELECT EXISTS(SELECT 1 FROM fieldsync_conflict WHERE id>? AND layer=? AND gid=?)",
            (newest_conflict, edit.table.number, edit.global_id),
        ).fetchone()[0]
        return Outcome.CONFLICT if lost else Outcome.APPLIED
    return Outcome.QUARANTINED if case.is_refused else Outcome.PENDING


async def _refresh_related(context: SyncContext, cases: Sequence[_Case]) -> None:
    """A delete that the service took may have taken related rows along, or cut them loose."""
    for table, some in _by_table(cases):
        deleted = [
            c.edit
            for c in some
            if c.edit.operation is EditOperation.DELETE and (c.is_acknowledged or not c.is_there)
        ]
        if table.is_attachment or not deleted:
            continue
        for dependent in context.dependents(table):
            if dependent.table.is_attachment:
                continue
            column = dependent.parent_column
            values = [e.global_id if column is None else _cell(e, column) for e in deleted]
            children = await context.database.read(
                _related, dependent.table, dependent.key_column, values
            )
            await refresh(context, dependent.table, children, absent_means_deleted=True)


def _cell(edit: Edit, column: str) -> object:
    row = edit.base or edit.row
    return None if row is None else dict(zip(edit.table.row_names, row, strict=True)).get(column)


def _related(
    connection: sqlite3.Connection, child: LayerTable, key_column: str, values: Sequence[object]
) -> list[str]:
    gid, key = quote(child.global_id), quote(key_column)
    statement = f"SELECT {gid} FROM {quote(child.name)} WHERE {key}=?"
    return [str(row[0]) for value in values for row in connection.execute(statement, (value,))]


def _finish(connection: sqlite3.Connection, batch_id: int, now: str) -> None:
    journal.move(connection, batch_id, BatchState.MERGED, now)
    journal.remove_finished(connection, keep=100)
