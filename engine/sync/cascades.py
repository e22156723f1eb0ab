"""Rows that belong to rows which were deleted on the service: gone with them, or cut loose.

The service may not tell of that in a later download, because it was our own edit that did it. So
these rows are read back, and watched from the transaction that settles the delete until then.
"""

import json
import sqlite3
from collections.abc import Mapping, Sequence

from engine.geodatabase.change_log import Edit
from engine.geodatabase.conflicts import Dependent
from engine.geodatabase.layer_table import LayerTable
from engine.geodatabase.log_schema import value_names
from engine.geodatabase.sql import quote, quoted
from engine.geodatabase.watched import Reason, forget, watch
from engine.model import EditOperation
from engine.sync.case import Case, by_table
from engine.sync.context import LocalContext, SyncContext
from engine.sync.read_back import refresh

Cells = Mapping[str, object]  # column → value of one row


def watch_related(
    connection: sqlite3.Connection, context: LocalContext, cases: Sequence[Case]
) -> None:
    """Watch what belongs to the rows that these edits deleted, and what belongs to that."""
    for table, deleted in _deleted(cases):
        _watch_below(connection, table, context.dependents(table), deleted)


def forget_related(connection: sqlite3.Connection, context: LocalContext) -> None:
    """All that was watched has been read back."""
    for table in context.tables:
        forget(connection, table, Reason.RELATED)


def _watch_below(
    connection: sqlite3.Connection,
    parent: LayerTable,
    dependents: Sequence[Dependent],
    deleted: Sequence[Cells],
) -> None:
    for dependent in dependents:
        if dependent.table.is_attachment:
            continue
        children = _children(connection, parent, dependent, deleted)
        watch(connection, dependent.table, children, Reason.RELATED)
        if children and dependent.dependents:
            below = list(children.values())
            _watch_below(connection, dependent.table, dependent.dependents, below)


async def refresh_related(context: SyncContext, cases: Sequence[Case]) -> None:
    """Read back what belongs to the rows that these edits deleted, and merge it."""
    for table, deleted in _deleted(cases):
        await _refresh_below(context, table, context.dependents(table), deleted)


def _deleted(cases: Sequence[Case]) -> list[tuple[LayerTable, list[Cells]]]:
    """The rows of each table that are gone from the service."""
    found = [
        (table, [_cells(c.edit) for c in some if c.is_deleted or _is_gone(c)])
        for table, some in by_table(cases)
        if not table.is_attachment
    ]
    return [(table, deleted) for table, deleted in found if deleted]


def _is_gone(case: Case) -> bool:
    """An update came too late; perhaps because of a delete in the same call, further up."""
    return case.edit.operation is EditOperation.UPDATE and not case.is_there


async def _refresh_below(
    context: SyncContext,
    parent: LayerTable,
    dependents: Sequence[Dependent],
    deleted: Sequence[Cells],
) -> None:
    """Read back what belongs to the deleted rows; below what went with them, go on."""
    for dependent in dependents:
        child = dependent.table
        if child.is_attachment:
            continue
        children = await context.database.read(_children, parent, dependent, deleted)
        present = await refresh(context, child, list(children), absent_means_deleted=True)
        gone = [cells for gid, cells in children.items() if gid not in present]
        if gone and dependent.dependents:
            await _refresh_below(context, child, dependent.dependents, gone)


def _cells(edit: Edit) -> Cells:
    row = edit.base or edit.row or (edit.global_id,)
    return dict(zip(edit.table.row_names, row, strict=False))


def _children(
    connection: sqlite3.Connection,
    parent: LayerTable,
    dependent: Dependent,
    deleted: Sequence[Cells],
) -> dict[str, Cells]:
    """The rows that belong to the deleted ones, also those that were deleted or moved here."""
    child, key_column = dependent.table, dependent.key_column
    column = dependent.parent_column or parent.global_id
    values = [cells.get(column) for cells in deleted]
    names = child.row_names
    statement = f"SELECT {quoted(names)} FROM {quote(child.name)} WHERE {quote(key_column)}=?"
    found = [row for value in values for row in connection.execute(statement, (value,))]
    was = f"SELECT c.gid,{quoted(value_names(child))} FROM fieldsync_change c"
    key = quote(value_names(child)[names.index(key_column) - 1])
    found += connection.execute(
        f"{was} JOIN {quote(child.base_table)} b ON b.id=c.id WHERE c.layer=? AND c.had_base"
        f" AND b.{key} IN (SELECT value FROM json_each(?))",
        (child.number, json.dumps([v for v in values if v is not None])),
    )
    return {str(row[0]): dict(zip(names, row, strict=True)) for row in found}
