"""Attachments that were deleted here together with their feature, which comes back."""

import sqlite3
from collections.abc import Iterable

from engine.geodatabase.fetch_queue import enqueue_if_empty
from engine.geodatabase.layer_table import LayerTable
from engine.geodatabase.logged_table import LoggedTable
from engine.geodatabase.sql import quote


def attachments_of(tables: Iterable[LayerTable], features: LayerTable) -> LayerTable | None:
    """The table with the attachments of those features, None if they have none."""
    if features.is_attachment:
        return None
    return next((t for t in tables if t.is_attachment and t.layer_id == features.layer_id), None)


def bring_back_attachments(connection: sqlite3.Connection, table: LayerTable, parent: str) -> None:
    """Undo the deletes of the feature's attachments that were not sent; the next sync fetches the
    data, which went with them. Needs an open transaction, and to be inside ``applying``.
    """
    logged = LoggedTable(connection, table)
    deleted = connection.execute(
        f"SELECT c.gid FROM {quote(table.base_table)} b JOIN fieldsync_change c ON c.id=b.id"
        " WHERE b.v_REL_GLOBALID=?1 AND c.layer=?2 AND c.had_base"
        f" AND NOT EXISTS(SELECT 1 FROM {quote(table.name)} a"
        f" WHERE a.{quote(table.global_id)}=c.gid) ORDER BY c.id",
        (parent, table.number),
    ).fetchall()
    for (gid,) in deleted:
        entry = logged.entry(gid)
        base = None if entry is None else logged.base(entry, None)
        if entry is None or base is None or logged.is_in_flight(gid):
            continue
        logged.insert(base, logged.base_key(entry))
        logged.drop(entry)
        enqueue_if_empty(connection, table, gid)
