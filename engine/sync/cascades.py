"""Rows that belong to rows which are gone from the service: gone with them, or cut loose.

The service may tell of that in no download: our own edits did it, or the rows are not in the
replica any more. So they are watched, from the transaction that settles a delete or from before a
download with deletes is merged, until they have been read back; and those that are cut loose are
outside of the map from then on.
"""

import sqlite3
from collections.abc import Collection, Mapping, Sequence

from engine import faults
from engine.geodatabase import merge, staging
from engine.geodatabase.difference import Row
from engine.geodatabase.layer_table import LayerTable
from engine.geodatabase.loose_rows import (
    list_children,
    list_unheld,
    loose_rows,
    watch_children,
    watch_listed,
)
from engine.geodatabase.watched import Reason, forget, is_watching, watch, watched
from engine.model import EditOperation, QueryOption
from engine.sync.batches import object_id_column
from engine.sync.case import Case, by_table
from engine.sync.context import LocalContext, SyncContext
from engine.sync.read_back import QUERY_ROWS, Found, find, merge_rows, storable


def watch_related(
    connection: sqlite3.Connection,
    context: LocalContext,
    cases: Sequence[Case],
    found: Mapping[int, Found],
) -> None:
    """Watch what belongs to the rows that are gone since these edits were sent. ``found``: those
    that are there, by table number."""
    for table, some in by_table(cases):
        if not table.is_attachment:
            there = found[table.number]
            gone = [
                c.edit.global_id
                for c in some
                if c.is_deleted or _was_gone(c, there.get(c.global_id))
            ]
            watch_children(connection, table, context.dependents(table), gone)


def _was_gone(case: Case, there: Row | None) -> bool:
    """An update came too late; perhaps because of a delete in the same call, further up. Some
    services add the row again then: it has another object id."""
    edit = case.edit
    if edit.operation is not EditOperation.UPDATE:
        return False
    column = object_id_column(edit.table)
    if there is None or edit.base is None or column is None:
        return not case.is_there
    at = edit.table.row_names.index(column)
    return there[at] != edit.base[at]


def watch_loose(
    connection: sqlite3.Connection,
    context: LocalContext,
    table: LayerTable,
    global_ids: Collection[str],
) -> int:
    """Count those of the rows that are related to none as outside of the map; how many are new."""
    if not is_related_only(context, table.layer_id):
        return 0
    loose = loose_rows(connection, table, context.relations, global_ids)
    watch(connection, table, loose, Reason.OUTSIDE)
    return len(loose)


def is_related_only(context: LocalContext, layer_id: int) -> bool:
    """Whether rows of that layer come and go with those they are related to."""
    option = context.replica.layer(layer_id).options.get("queryOption")
    return bool(option == QueryOption.NONE.value)


# --- after an upload -----------------------------------------------------------------------------


async def refresh_related(context: SyncContext) -> None:
    """Read back what is watched, and merge it; below what went with its parent, go on."""
    if not await context.database.read(_is_any_watched, context):
        return
    tables = [context.feature_table(layer_id) for layer_id in context.parents_first()]
    for table in tables:
        while table is not None and (gids := await context.database.read(_next, table)):
            found = await find(context, table, gids)
            merged = await context.apply(_merge, context, table, gids, found)
            context.layer_result(table).downloaded.conflicts += merged.conflicts
            faults.point("related.merged")


def _is_any_watched(connection: sqlite3.Connection, context: SyncContext) -> bool:
    return any(_next(connection, table) for table in context.tables)


def _next(connection: sqlite3.Connection, table: LayerTable, after: str = "") -> list[str]:
    return watched(connection, table, Reason.RELATED, after=after, limit=QUERY_ROWS)


def _merge(
    connection: sqlite3.Connection,
    context: SyncContext,
    table: LayerTable,
    gids: Sequence[str],
    found: Found,
) -> merge.MergeCounts:
    absent = [gid for gid in gids if gid not in found]
    watch_children(connection, table, context.dependents(table), absent)
    merged = merge_rows(connection, context, table, storable(found), absent)
    watch_loose(connection, context, table, found)
    forget(connection, table, Reason.RELATED, gids)
    return merged


# --- in a download -------------------------------------------------------------------------------


async def watch_unheld(context: SyncContext, tables: Sequence[LayerTable]) -> None:
    """Watch the rows of a download that seem to be related to none: some services send a row once
    when it leaves the replica, and then tell no more of it."""
    for table in tables:
        if not table.is_attachment and is_related_only(context, table.layer_id):
            has_listed = await context.database.stage(list_unheld, table, context.relations)
            await _list(context, has_listed)


async def stage_related(context: SyncContext, tables: Sequence[LayerTable]) -> None:
    """Stage the rows of which the download says nothing, and that belong to rows which are gone:
    those that it deletes, and those of before."""
    rows = {t.layer_id: t for t in tables if not t.is_attachment}
    ordered = [rows[layer_id] for layer_id in context.parents_first() if layer_id in rows]
    for table in ordered:
        if is_related_only(context, table.layer_id):
            await _list(
                context, await context.database.stage(list_unheld, table, context.relations)
            )
    has_more = True
    while has_more:
        has_more = False
        for number, table in enumerate(ordered):
            await _stage_untold(context, table)
            dependents = context.dependents(table)
            has_listed = await context.database.stage(list_children, table, dependents)
            if await _list(context, has_listed):
                above = {t.number for t in ordered[: number + 1]}
                has_more |= any(d.table.number in above for d in dependents)


async def _list(context: SyncContext, has_listed: bool) -> bool:
    """Watch what was listed; whether that is anything new."""
    return has_listed and await context.write(watch_listed) > 0


async def _stage_untold(context: SyncContext, table: LayerTable) -> None:
    after = ""
    while gids := await context.database.stage(_next, table, after):
        after = gids[-1]
        untold = await context.database.stage(_untold, table, gids)
        found = await find(context, table, untold)
        await context.database.stage(staging.stage_rows, table, storable(found))
        gone = [gid for gid in untold if gid not in found]
        await context.database.stage(staging.stage_deletes, table, gone)


def _untold(connection: sqlite3.Connection, table: LayerTable, gids: Sequence[str]) -> list[str]:
    return [gid for gid in gids if not staging.is_staged(connection, table, gid)]


def settle_related(connection: sqlite3.Connection, context: LocalContext, table: LayerTable) -> int:
    """After a merge: forget what was watched of ``table``, but for the rows that were cut loose and
    are outside of the map now; returns how many that are."""
    if not is_watching(connection):
        return 0
    loose, after = 0, ""
    while gids := _next(connection, table, after):
        loose += watch_loose(connection, context, table, gids)
        after = gids[-1]
    forget(connection, table, Reason.RELATED)
    return loose
