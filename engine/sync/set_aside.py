"""Edits that are set aside, together with what belongs to them."""

import sqlite3
from collections.abc import Sequence

from engine import faults
from engine.geodatabase import quarantine
from engine.geodatabase.change_log import Edit
from engine.geodatabase.layer_table import LayerTable
from engine.model import EditOperation
from engine.sync.context import SyncContext


def code_of(number: int | None) -> str:
    """The code of a refusal in the quarantine."""
    return "refused" if number is None else str(number)


def put_in_quarantine(
    connection: sqlite3.Connection,
    context: SyncContext,
    edit: Edit,
    code: str,
    reason: str,
) -> int:
    """Set the edit aside, and with a refused add what belongs to it; returns how many those are."""
    quarantine.put(
        connection,
        direction=quarantine.Direction.OUTBOUND,
        table=edit.table,
        global_id=edit.global_id,
        operation=edit.operation,
        code=code,
        reason=reason,
        remedy="Correct the row on the device, or discard the edit",
        seq=edit.last,
        now=context.now(),
    )
    faults.point("edit.quarantined")
    if edit.operation is not EditOperation.ADD or edit.table.is_attachment:
        return 0
    return _hold(connection, context, edit.table, [edit.global_id])


def _hold(
    connection: sqlite3.Connection, context: SyncContext, parent: LayerTable, gids: Sequence[str]
) -> int:
    """What belongs to these rows waits with them, and what belongs to that."""
    held = 0
    for dependent in context.dependents(parent):
        if dependent.parent_column is not None:
            continue
        children = [
            child
            for gid in gids
            for child in quarantine.hold_dependents(
                connection, parent, gid, dependent.table, dependent.key_column, now=context.now()
            )
        ]
        held += len(children)
        if children and not dependent.table.is_attachment:
            held += _hold(connection, context, dependent.table, children)
    return held
