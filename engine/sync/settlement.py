"""What became of the edits of a batch, by the service's answers and by what it has now.

An edit is acknowledged by its own success, or by a read-back that shows it. One that the service
refused goes to quarantine; one that nothing was said about, and that did not arrive, is pending
again. A row that was edited here and is gone there goes to the conflict store.
"""

import sqlite3
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

from engine.geodatabase import journal
from engine.geodatabase.carried import is_carried_older
from engine.geodatabase.change_log import Edit
from engine.geodatabase.deleted_parts import count_parts
from engine.geodatabase.difference import Row
from engine.geodatabase.journal import BatchState
from engine.geodatabase.layer_table import LayerTable
from engine.model import EditOperation
from engine.sync.batches import newest_name, object_id_column
from engine.sync.cascades import refresh_related
from engine.sync.case import Case, Key, by_table, key_of
from engine.sync.channels import EditAnswer
from engine.sync.context import SyncContext
from engine.sync.parameters import PushChannel
from engine.sync.photo_check import photos_as_sent
from engine.sync.read_back import Found, find, find_added
from engine.sync.recording import Outcome, Settled, record
from engine.sync.renamed_rows import find_renamed
from native.geometry import is_empty

Cells = Mapping[str, object]  # column → value of one row


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
    is_answered: bool = False,
) -> Settled:
    """Settle the batch; ``answers`` may be missing, for some edits or for all.

    Afterwards nothing of the batch is in flight any more. ``may_quarantine`` False leaves refused
    edits pending. ``is_answered``: there was an answer, so that it would be in vain to send again
    what did not arrive (there are services that give no results of edits).
    """
    deletes = [e for e in edits if e.operation is EditOperation.DELETE]
    parts = await context.database.read(count_parts, map(key_of, deletes))
    said = match_answers(edits, answers)
    cases = [_case(edit, said.get(key_of(edit)), is_answered) for edit in edits]
    await context.database.read(_doubt, cases)
    batch = await context.database.read(journal.get_batch, batch_id)
    found = await _look(context, cases, batch.counts)
    _find_kept_geometries(cases, found)
    await _look_for_renamed(context, batch, cases, found)
    settled = await context.write(record, context, batch_id, cases, found, may_quarantine)
    await refresh_related(context)
    gone = [w for w in parts if settled.outcomes[w] is Outcome.APPLIED]
    left = await context.database.read(count_parts, gone)
    for whole in gone:
        for number, count in parts[whole].items():
            if not number & 1:  # attachments are counted already
                settled.went_along[number] += count - left[whole].get(number, 0)
    await context.write(_finish, context, batch_id)
    return settled


def _case(edit: Edit, answer: EditAnswer | None, is_answered: bool) -> Case:
    global_id = edit.global_id
    is_new = edit.operation is EditOperation.ADD and answer is not None and answer.success
    if is_new and answer is not None and answer.global_id is not None:
        global_id = answer.global_id
    return Case(edit, answer, global_id, is_passed_over=is_answered and answer is None)


def _doubt(connection: sqlite3.Connection, cases: Sequence[Case]) -> None:
    """A service that has a row already says yes to its add and does nothing. If it may have it from
    a file that was made before the last edit, only the row itself tells."""
    for case in cases:
        edit = case.edit
        if edit.operation is EditOperation.ADD and case.global_id == edit.global_id:
            case.is_doubted = is_carried_older(connection, edit.table, edit.global_id, edit.last)


async def _look(
    context: SyncContext, cases: Sequence[Case], newest: Mapping[str, int]
) -> dict[int, Found]:
    """Read back every row that must be known; tells the cases which rows are there.

    ``newest``: what was known of object ids when the batch was made.
    """
    found: dict[int, Found] = {}
    for table, some in by_table(cases):
        if table.is_attachment:
            asked = [c.edit for c in some if c.is_doubted or not _is_success(c)]
            doubted = {c.edit.global_id for c in some if c.is_doubted}
            present = await photos_as_sent(context, asked, doubted)
            for case in some:
                photo = present.get(case.edit.global_id)
                is_taken = _is_success(case) and not case.is_doubted
                case.is_there = is_taken or photo is not None
                if photo is not None:
                    case.is_as_sent, case.changed = photo.is_as_sent, photo.changed
            continue
        wanted = [
            c for c in some if not (_is_success(c) and c.edit.operation is EditOperation.DELETE)
        ]
        numbers = {c.global_id: n for c in wanted if (n := _object_id(c)) is not None}
        unknown = [
            c.global_id
            for c in wanted
            if c.answer is None and c.edit.operation is EditOperation.ADD
        ]
        added = await find_added(context, table, unknown, newest.get(newest_name(table), 0))
        others = [c.global_id for c in wanted if c.global_id not in set(unknown)]
        found[table.number] = {**added, **await find(context, table, others, numbers=numbers)}
        for case in some:
            case.is_there = case.global_id in found[table.number]
    return found


def _find_kept_geometries(cases: Sequence[Case], found: Mapping[int, Found]) -> None:
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
    context: SyncContext, batch: journal.Batch, cases: Sequence[Case], found: dict[int, Found]
) -> None:
    if batch.channel == PushChannel.APPLY_EDITS.value:
        return  # with useGlobalIds=true it keeps the GlobalIDs of adds, that is documented
    for table, some in by_table(cases):
        silent = {
            c.edit.global_id: c
            for c in some
            if c.answer is None and not c.is_there and c.edit.operation is EditOperation.ADD
        }
        if table.is_attachment or not silent:
            continue
        newest = batch.counts.get(newest_name(table), 0)
        edits = [c.edit for c in silent.values()]
        explained = {c.global_id for c in some if c.edit.global_id not in silent}
        renamed = await find_renamed(context, table, edits, newest, explained=explained)
        for old, row in renamed.items():
            case, new = silent[old], str(row[0])
            case.global_id, case.is_there, case.is_renamed = new, True, True
            found[table.number][new] = row


def _object_id(case: Case) -> int | None:
    """The row's object id, as the service has told it or as it was known before."""
    if case.answer is not None and case.answer.object_id is not None:
        return case.answer.object_id
    column = object_id_column(case.edit.table)
    row = case.edit.base or case.edit.row
    if column is None or row is None:
        return None
    value = row[case.edit.table.row_names.index(column)]
    return value if isinstance(value, int) else None


def _is_success(case: Case) -> bool:
    return case.answer is not None and case.answer.success


def _finish(connection: sqlite3.Connection, context: SyncContext, batch_id: int) -> None:
    journal.move(connection, batch_id, BatchState.MERGED, context.now())
    journal.remove_finished(connection, keep=100)
