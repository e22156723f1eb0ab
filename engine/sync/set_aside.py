"""Edits that are set aside, together with what belongs to them."""

import sqlite3
from collections.abc import Sequence

from engine import faults
from engine.geodatabase import quarantine
from engine.geodatabase.change_log import Edit
from engine.geodatabase.layer_table import LayerTable
from engine.model import EditOperation
from engine.sync.context import LocalContext
from engine.sync.edit_codes import remedy_of


def put_in_quarantine(
    connection: sqlite3.Connection,
    context: LocalContext,
    edit: Edit,
    code: int | str | None,
    reason: str,
) -> int:
    """Set the edit aside, and with a refused add what belongs to it; returns how many those are.

    ``code``: the service's number, None if it gave none, or a word of ours.
    """
    quarantine.put(
        connection,
        direction=quarantine.Direction.OUTBOUND,
        table=edit.table,
        global_id=edit.global_id,
        operation=edit.operation,
        code="refused" if code is None else str(code),
        reason=reason,
        remedy=remedy_of(code if isinstance(code, int) else None),
        seq=edit.last,
        now=context.now(),
    )
    faults.point("edit.quarantined")
    if edit.operation is not EditOperation.ADD or edit.table.is_attachment:
        return 0
    return _hold(connection, context, edit.table, [edit.global_id])


def _hold(
    connection: sqlite3.Connection, context: LocalContext, parent: LayerTable, gids: Sequence[str]
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
