"""What the service confirmed becomes the new base; whatever differs from it is still to be sent.

That is the whole rule, and edits made while a batch was on its way survive by it:

==========  =====================  ============================================================
sent        since then             afterwards
==========  =====================  ============================================================
add         nothing                no edit
add         changed                update of the columns changed since
add         deleted                delete
update      nothing                no edit
update      changed                update of the columns that differ from what was sent
update      changed back           update back to the old value
update      deleted                delete
delete      nothing                no edit
delete      inserted again         add
any         newer value came       that value is the base, not the one sent
any         taken to a store       nothing: the row is the store's affair now
==========  =====================  ============================================================
"""

import sqlite3
from collections.abc import Iterable, Mapping

from engine.geodatabase.applying import applying
from engine.geodatabase.carried import forget_edited
from engine.geodatabase.conflicts import settle_conflicts
from engine.geodatabase.difference import Row
from engine.geodatabase.layer_table import LayerTable
from engine.geodatabase.logged_table import Entry, LoggedTable
from engine.geodatabase.quarantine import settle_quarantine
from engine.geodatabase.renaming import rename_global_ids
from engine.geodatabase.sent import (
    SentEdit,
    forget_sent,
    in_flight,
    move_sent,
    read_sent,
    record_sent,
    release,
    sent_edits,
    sent_tables,
)
from engine.layer_schema import FieldType
from engine.model import EditOperation

__all__ = [
    "acknowledge",
    "in_flight",
    "move_sent",
    "record_sent",
    "release",
    "rename_global_ids",
    "sent_edits",
    "sent_tables",
    "set_object_ids",
]


def acknowledge(
    connection: sqlite3.Connection,
    batch_id: int | str,
    table: LayerTable,
    global_ids: Iterable[str],
    *,
    now: str,
) -> int:
    """The service has the batch's edits of these rows; returns how many of them were open.

    Acknowledging one a second time does nothing. Needs an open transaction.
    """
    logged = LoggedTable(connection, table)
    count = 0
    with applying(connection):
        for gid in global_ids:
            sent = read_sent(connection, table, gid)
            if sent is None or not _is_of(connection, batch_id, sent):
                continue
            count += 1
            forget_sent(connection, table, sent)
            forget_edited(connection, table, gid, sent.last)
            entry = logged.entry(gid)
            if entry is None:
                # Entries of rows in flight are kept, unless the row itself was moved to a store, or
                # was brought back because the service's change was to win over the delete that has
                # now arrived after all: then it is to be added again.
                if sent.operation is EditOperation.DELETE and logged.stored(gid) is not None:
                    logged.set_base(gid, None)
                continue
            _confirm(logged, entry, sent)
            if logged.settle(gid):
                settle_conflicts(connection, table, gid, "mine", now)
            settle_quarantine(connection, table, gid, "sent", now)
    return count


def set_object_ids(
    connection: sqlite3.Connection, table: LayerTable, object_ids: Mapping[str, int]
) -> None:
    """Write the object ids that the service gave to these rows, also into their bases.

    Does nothing for a table without object ids (attachments). Needs an open transaction.
    """
    column = next((c.name for c in table.columns if c.type is FieldType.OID), None)
    if column is None:
        return
    logged = LoggedTable(connection, table)
    with applying(connection):
        for gid, object_id in object_ids.items():
            entry = logged.entry(gid)
            stored = logged.stored(gid)
            row = None if stored is None else stored.row
            if entry is not None and (base := logged.base(entry, row)) is not None:
                logged.set_base(gid, logged.with_cells(base, {column: object_id}))
            logged.set_cells(gid, {column: object_id})


def _confirm(logged: LoggedTable, entry: Entry, sent: SentEdit) -> None:
    """Set the base to what the service has after it applied ``sent``."""
    gid = entry.gid
    stored = logged.stored(gid)
    if sent.operation is EditOperation.DELETE:
        logged.set_base(gid, None)
        return
    if sent.values is None:
        raise ValueError(f"the sent row {gid} has no values")
    present = None if stored is None else stored.row
    base = logged.base(entry, present)
    key = sent.key if stored is None else stored.key
    logged.set_base(gid, _confirmed(logged, sent, sent.values, base, present), key=key)
    if sent.data_changed and entry.data <= sent.last:
        logged.set_data(entry, 0)


def _confirmed(
    logged: LoggedTable, sent: SentEdit, values: Row, base: Row | None, present: Row | None
) -> Row:
    """The service's row: the whole row as sent, or its changed columns over the old base."""
    if base is None:
        # The service owns the other columns; what it wrote there may be in the row already.
        if present is None:
            return values
        owned = (c.name for c in logged.table.columns if not c.is_editable)
        return logged.with_cells(values, {name: logged.cell(present, name) for name in owned})
    names = sent.standing(logged.table)
    if sent.data_changed:  # with what the engine itself says of the data: its size
        names += tuple(c.name for c in logged.table.columns if not c.is_editable)
    return logged.with_cells(base, {name: logged.cell(values, name) for name in names})


def _is_of(connection: sqlite3.Connection, batch_id: int | str, sent: SentEdit) -> bool:
    return (
        connection.execute(
            "SELECT 1 FROM fieldsync_sent WHERE id=? AND batch=?", (sent.id, batch_id)
        ).fetchone()
        is not None
    )
