"""Rows with edits here, read from the service and merged, when it cannot tell what has changed.

So the edits can go up at once and see the conflicts they meet, however long the rest takes.
"""

import sqlite3
from collections.abc import Sequence

from engine import faults
from engine.geodatabase.layer_table import LayerTable
from engine.geodatabase.sql import quote
from engine.sync.context import SyncContext
from engine.sync.read_back import QUERY_ROWS, find, merge_rows, storable


async def rebase(context: SyncContext) -> None:
    """Make the service's present row the base of every edit; one that was deleted there goes to
    the conflict store."""
    for layer_id in context.parents_first():
        table = context.feature_table(layer_id)
        if table is None or not context.direction(layer_id).downloads:
            continue
        after = ""
        while gids := await context.database.read(_concerned, context, table, after):
            found = await find(context, table, gids)
            missing = [gid for gid in gids if gid not in found]
            absent = await context.database.read(_deleted, table, missing)
            merged = await context.apply(merge_rows, context, table, storable(found), absent)
            context.layer_result(table).downloaded.conflicts += merged.conflicts
            faults.point("rows.rebased")
            after = gids[-1]


def _concerned(
    connection: sqlite3.Connection, context: SyncContext, table: LayerTable, after: str
) -> list[str]:
    """The rows that were touched here, and those whose attachments or new children were."""
    parts = ["SELECT gid FROM fieldsync_change WHERE layer=?1 AND gid>?2"]
    name, gid = quote(table.name), quote(table.global_id)
    for dependent in context.dependents(table):
        child = dependent.table
        parent = quote(dependent.parent_column or table.global_id)
        parts.append(
            f"SELECT t.{gid} FROM fieldsync_change c"
            f" CROSS JOIN {quote(child.name)} d ON d.{quote(child.global_id)}=c.gid"
            f" CROSS JOIN {name} t ON t.{parent}=d.{quote(dependent.key_column)}"
            f" WHERE c.layer={child.number} AND (c.had_base=0 OR {int(child.is_attachment)})"
            f" AND t.{gid}>?2"
        )
    statement = f"{' UNION '.join(parts)} ORDER BY 1 LIMIT {QUERY_ROWS}"
    return [found for (found,) in connection.execute(statement, (table.number, after))]


def _deleted(
    connection: sqlite3.Connection, table: LayerTable, missing: Sequence[str]
) -> list[str]:
    """Those that the service had once. An add may never have arrived, and what became of an edit
    in flight is found out by reconciling."""
    statement = (
        "SELECT 1 FROM fieldsync_change WHERE layer=?1 AND gid=?2 AND had_base=0"
        " UNION SELECT 1 FROM fieldsync_sent WHERE layer=?1 AND gid=?2"
    )
    return [
        gid
        for gid in missing
        if connection.execute(statement, (table.number, gid)).fetchone() is None
    ]
