"""An acknowledgement back on the device: its edits are settled as after a sync, without a link.

An answer counts only for the edit that was exported: if the row was settled since by a sync of the
device, or begun anew, it says nothing any more and is passed over. Then only the service knows what
the row is like, and no download may tell, as the edit went up through the device's own replica: the
next one reads the row again. Rows that came along are merged only while the device has downloaded
nothing since the export; afterwards it knows better.
"""

import asyncio
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import suppress

from engine import faults
from engine.geodatabase import conflicts, journal
from engine.geodatabase.applying import applying
from engine.geodatabase.carried import forget_edited, renamed_to
from engine.geodatabase.change_log import Edit
from engine.geodatabase.conflicts import ConflictKind
from engine.geodatabase.difference import Cell
from engine.geodatabase.journal import BatchKind, BatchState
from engine.geodatabase.layer_table import LayerTable
from engine.geodatabase.logged_table import Entry, LoggedTable
from engine.geodatabase.replica import Replica, get_replica
from engine.geodatabase.sent import forget_sent, read_sent, record_sent
from engine.geodatabase.watched import Reason, watch
from engine.model import EditOperation, SyncModel
from engine.sync.case import Case, key_of
from engine.sync.channels import EditAnswer
from engine.sync.context import LocalContext
from engine.sync.delta_file import DeltaFile
from engine.sync.delta_parts import GEOMETRY, table_cells, table_row
from engine.sync.delta_verdict import Answer, EditVerdict, read_answers
from engine.sync.read_back import Found, merge_rows
from engine.sync.recording import Outcome, record
from engine.sync.renamed_rows import same_place
from engine.sync.results import EditCounts, FeatureEditResult

SLICE = 200  # answers in one transaction: no other writer waits long


async def import_acknowledgement(context: LocalContext, delta: DeltaFile) -> None:
    """Settle the edits that the acknowledgement speaks of. May be repeated, and be killed anywhere.

    The counts go into the context's result.
    """
    tables = {table.number: table for table in context.tables}
    slices = _slices(delta)
    while (some := await asyncio.to_thread(next, slices, None)) is not None:
        table = tables[some[0].edit.number]
        await context.write(_apply, context, delta, table, some)
        faults.point("acknowledgement.applied")


def is_fresh(record: Replica, delta: DeltaFile, layer_id: int) -> bool:
    """Whether the layer has downloaded nothing since its generation was noted in the delta."""
    if record.sync_model is SyncModel.PER_LAYER:
        return record.layer(layer_id).generation == delta.generations.get(str(layer_id))
    return record.server_generation == delta.generations["replica"]


def _slices(delta: DeltaFile) -> Iterator[list[Answer]]:
    some: list[Answer] = []
    for answer in read_answers(delta):
        if some and (some[0].edit.number != answer.edit.number or len(some) >= SLICE):
            yield some
            some = []
        some.append(answer)
    if some:
        yield some


def _apply(
    connection: sqlite3.Connection,
    context: LocalContext,
    delta: DeltaFile,
    table: LayerTable,
    answers: Sequence[Answer],
) -> None:
    """All in one transaction, so that nothing of it is left open by a power cut."""
    logged = LoggedTable(connection, table)
    fresh = is_fresh(get_replica(connection), delta, table.layer_id)
    result = context.layer_result(table)
    counts = result.attachments_uploaded if table.is_attachment else result.uploaded
    cases: list[Case] = []
    there: Found = {}
    rows, gone = [], []
    for answer in answers:
        entry = _entry(logged, answer)
        forget_edited(connection, table, answer.edit.global_id)
        if entry is None:
            if answer.verdict is EditVerdict.APPLIED:
                result.downloaded.conflicts += _read_again(connection, context, logged, answer)
            continue
        counts.found += 1
        if answer.verdict in (EditVerdict.APPLIED, EditVerdict.REFUSED):
            cases.append(_case(logged, entry, answer))
            if fresh and answer.there is not None:
                row = table_row(table, answer.global_id, answer.there)
                there[answer.global_id] = row
        elif not fresh or (answer.verdict is EditVerdict.CONFLICT and answer.there is None):
            counts.pending += 1
        elif answer.verdict is EditVerdict.GONE:
            gone.append(answer.edit.global_id)
            counts.conflict += 1
        elif answer.there is not None:
            rows.append(table_row(table, answer.edit.global_id, answer.there))
            counts.pending += 1
    if cases:
        _settle(connection, context, table, cases, there)
    if rows or gone:
        merged = merge_rows(connection, context, table, rows, gone)
        result.downloaded.conflicts += merged.conflicts


def _entry(logged: LoggedTable, answer: Answer) -> Entry | None:
    """The log entry that the answer is for; None if it is settled, or another edit by now."""
    edit = answer.edit
    entry = logged.entry(edit.global_id)
    if entry is None or entry.id != edit.first:
        return None
    if entry.had_base is (edit.operation is EditOperation.ADD):
        return None
    if answer.verdict is EditVerdict.APPLIED and edit.operation is EditOperation.UPDATE:
        base = table_cells(logged.table, _base(logged, entry))
        # A base that has moved was moved by a sync, which knows more than this file.
        if any(name in base and base[name] != cell for name, cell in edit.base.items()):
            return None
    return entry


def _read_again(
    connection: sqlite3.Connection, context: LocalContext, logged: LoggedTable, answer: Answer
) -> int:
    """The file has brought an edit there that is none here any more, perhaps because it was taken
    back. What it was taken back to is kept, as the next download may end it; returns how many
    conflicts that were."""
    edit, table = answer.edit, logged.table
    stored = logged.stored(edit.global_id)
    if edit.operation is EditOperation.ADD:
        _delete_double(connection, logged, answer)
        return 0
    watch(connection, table, [edit.global_id], Reason.ADDED)
    if stored is None or table.is_attachment or logged.entry(edit.global_id) is not None:
        return 0
    policy, now = context.parameters.conflict_policy, context.now()
    if edit.operation is EditOperation.DELETE:
        dependents = context.dependents(table)
        conflicts.store_deleted(
            connection, table, edit.global_id, policy=policy, now=now, dependents=dependents
        )
        return 1
    here = table_cells(table, stored.row)
    if any(name in here and here[name] != cell for name, cell in edit.base.items()):
        return 0
    theirs = table_row(table, edit.global_id, {**here, **edit.cells})
    conflicts.record(
        connection,
        table,
        edit.global_id,
        kind=ConflictKind.UPDATED,
        policy=policy,
        columns=[name for name in edit.cells if name != GEOMETRY],
        base=theirs,
        mine=stored.row,
        theirs=theirs,
        now=now,
        resolution="theirs",
    )
    return 1


def _delete_double(connection: sqlite3.Connection, logged: LoggedTable, answer: Answer) -> None:
    """A service that gives rows GlobalIDs of its own has added the row twice, once from a sync of
    this device and once from the file: delete what came of the file, unless it was edited."""
    edit, table, gid = answer.edit, logged.table, answer.global_id
    first = renamed_to(connection, table, edit.global_id)
    if first is None or first == gid or table.is_attachment:
        return
    stored = logged.stored(gid)
    if stored is None and answer.there is not None and logged.entry(gid) is None:
        with applying(connection):
            logged.insert(table_row(table, gid, answer.there))
        stored = logged.stored(gid)
    if stored is None or logged.entry(gid) is not None:
        return
    here = table_cells(table, stored.row)
    known = {column.name for column in table.columns if column.is_editable}
    if any(here[n] != cell for n, cell in edit.cells.items() if n in known):
        return
    if GEOMETRY in edit.cells and not same_place(here[GEOMETRY], edit.cells[GEOMETRY]):
        return
    with suppress(sqlite3.IntegrityError):  # the layer may not allow it
        logged.delete(gid)


def _base(logged: LoggedTable, entry: Entry) -> tuple[Cell, ...]:
    stored = logged.stored(entry.gid)
    base = logged.base(entry, None if stored is None else stored.row)
    return base or (entry.gid, *(None for _ in logged.table.row_names[1:]))


def _case(logged: LoggedTable, entry: Entry, answer: Answer) -> Case:
    """The edit as it was exported, and the answer as a service would have given it."""
    table, edit = logged.table, answer.edit
    is_delete = edit.operation is EditOperation.DELETE
    is_add = edit.operation is EditOperation.ADD
    stored = logged.stored(edit.global_id)
    cells: dict[str, Cell] = {**table_cells(table, _base(logged, entry)), **edit.cells}
    if edit.size_bytes is not None:  # no person's edit, so it is not among the cells
        cells["DATA_SIZE"] = edit.size_bytes
    success = answer.verdict is EditVerdict.APPLIED
    names = [name for name in edit.cells if name != GEOMETRY]
    known = {column.name for column in table.columns if column.is_editable}
    return Case(
        edit=Edit(
            table=table,
            global_id=edit.global_id,
            operation=edit.operation,
            key=logged.base_key(entry) if stored is None else stored.key,
            first=edit.first,
            last=edit.last,
            row=None if is_delete else table_row(table, edit.global_id, cells),
            base=None if is_add else _base(logged, entry),
            columns=tuple(name for name in names if name in known),
            geometry_changed=GEOMETRY in edit.cells,
            data_changed=edit.size_bytes is not None,
        ),
        answer=EditAnswer(
            layer_id=table.layer_id,
            is_attachment=table.is_attachment,
            operation=edit.operation,
            position=0,
            global_id=answer.global_id,
            object_id=answer.object_id,
            success=success,
            code=int(answer.code) if answer.code and answer.code.isdecimal() else None,
            description=answer.description,
        ),
        global_id=answer.global_id if is_add and success else edit.global_id,
        is_there=not (is_delete if success else is_add),
    )


def _settle(
    connection: sqlite3.Connection,
    context: LocalContext,
    table: LayerTable,
    cases: Sequence[Case],
    there: Found,
) -> None:
    now = context.now()
    for case in cases:
        # An older batch whose answer was lost says less of the row than this answer.
        sent = read_sent(connection, table, case.edit.global_id)
        if sent is not None:
            forget_sent(connection, table, sent)
    batch = journal.add_batch(connection, BatchKind.PUSH, "delta", now)
    record_sent(connection, batch, [case.edit for case in cases])
    for state in (BatchState.SENDING, BatchState.FETCHED):
        journal.move(connection, batch, state, now)
    settled = record(connection, context, batch, cases, {table.number: there}, True)
    journal.move(connection, batch, BatchState.MERGED, now)
    journal.remove_finished(connection, keep=100)
    result = context.layer_result(table)
    counts = result.attachments_uploaded if table.is_attachment else result.uploaded
    for case in cases:
        _count(counts, settled.outcomes[key_of(case.edit)])
    for edit, error in settled.refusals:
        result.edit_results.append(
            FeatureEditResult(
                global_id=edit.global_id,
                object_id=None,
                edit_operation=edit.operation,
                error=error,
            )
        )


def _count(counts: EditCounts, outcome: Outcome) -> None:
    if outcome is Outcome.TAKEN_BACK:
        counts.found -= 1
        return
    setattr(counts, outcome.value, getattr(counts, outcome.value) + 1)
