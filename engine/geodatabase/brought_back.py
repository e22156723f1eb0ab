"""What was deleted here because a row was, which comes back."""

import sqlite3
from collections.abc import Sequence

from engine.geodatabase.deleted_parts import part_condition
from engine.geodatabase.dependents import Dependent
from engine.geodatabase.difference import Row
from engine.geodatabase.fetch_queue import enqueue_if_empty
from engine.geodatabase.layer_table import LayerTable
from engine.geodatabase.logged_table import LoggedTable
from engine.geodatabase.sql import quote
from engine.geodatabase.watched import Reason, watch


def bring_back_parts(
    connection: sqlite3.Connection, table: LayerTable, row: Row, dependents: Sequence[Dependent]
) -> None:
    """Undo the deletes, as far as they were not sent, of the row's attachments and of the rows that
    are composed into it, and so on. The data of attachments went with them; the next sync fetches
    it. Needs an open transaction, and to be inside ``applying``.
    """
    parent = LoggedTable(connection, table)
    for dependent in dependents:
        if not dependent.is_composite:
            continue
        child = LoggedTable(connection, dependent.table)
        value = parent.cell(row, dependent.parent_column or table.global_id)
        for gid in _deleted(connection, dependent, value):
            entry = child.entry(gid)
            base = None if entry is None else child.base(entry, None)
            if entry is None or base is None or child.is_in_flight(gid):
                continue
            child.insert(base, child.base_key(entry))
            child.drop(entry)
            # It may have been deleted on the service while it was not here.
            watch(connection, dependent.table, [gid], Reason.ADDED)
            enqueue_if_empty(connection, dependent.table, gid)
            bring_back_parts(connection, dependent.table, base, dependent.dependents)


def _deleted(connection: sqlite3.Connection, dependent: Dependent, value: object) -> list[str]:
    """GlobalIDs of the rows that belonged to the row with that key, and were deleted with it."""
    table = dependent.table
    found = connection.execute(
        f"SELECT c.gid FROM {quote(table.base_table)} b JOIN fieldsync_change c ON c.id=b.id"
        f" WHERE b.{quote(f'v_{dependent.key_column}')}=?1 AND c.layer=?2 AND c.had_base"
        f" AND {part_condition(connection)}"
        f" AND NOT EXISTS(SELECT 1 FROM {quote(table.name)} t"
        f" WHERE t.{quote(table.global_id)}=c.gid) ORDER BY c.id",
        (value, table.number),
    )
    return [gid for (gid,) in found]
