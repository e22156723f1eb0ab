"""Attachments of which no download tells, so that the lists of their features must be read.

While a row is outside of the map's filter nothing is told of its attachments; not even, when the
row comes inside again, of those that were deleted meanwhile. And a service need not tell a replica
of its own edits, also if somebody else has sent them from a file.
"""

import sqlite3
from collections.abc import Mapping, Sequence

from engine.geodatabase import staging
from engine.geodatabase.carried import carried_and_deleted
from engine.geodatabase.difference import Row
from engine.geodatabase.fetch_queue import Fetch
from engine.geodatabase.half_merged import behind_key
from engine.geodatabase.layer_table import LayerTable
from engine.geodatabase.log_schema import value_names
from engine.geodatabase.sql import quote
from engine.geodatabase.watched import WATCHED, Reason, is_watching, watched
from engine.model import AttachmentSyncDirection
from engine.sync.batches import object_id_column
from engine.sync.context import SyncContext
from engine.sync.incoming import RETURNED, refetch_renamed, stage_fetches
from engine.sync.photo_check import Photo, list_photos, photos_gone, photos_of
from engine.sync.read_back import QUERY_ROWS


async def stage_outside_photos(
    context: SyncContext, tables: Sequence[LayerTable], departed: Mapping[int, Sequence[str]]
) -> None:
    """Stage what is new, changed and deleted of the attachments of rows that were outside before
    this download, or have ``departed`` in it (by table number). The rows must be staged.

    Of a row that left the filter nobody may have told; it is new in the download that brings it
    back.
    """
    if context.replica.attachment_direction is not AttachmentSyncDirection.BIDIRECTIONAL:
        return
    for table in tables:
        photos = context.attachment_table(table.layer_id)
        if table.is_attachment or photos is None:
            continue
        left = departed.get(table.number, ())
        for start in range(0, len(left), QUERY_ROWS):
            await _compare(context, table, photos, left[start : start + QUERY_ROWS])
        for listed in (_outside, _returned):
            after = ""
            while some := await context.database.stage(listed, table, after):
                after = some[-1]
                await _compare(context, table, photos, some)


async def stage_carried_photos(context: SyncContext, table: LayerTable) -> None:
    """Stage the attachments that were added here, exported, deleted, and that the service has now
    because somebody sent the file: so their deletes are sent, and those of others undone."""
    carried = await context.database.stage(_carried, table)
    parents = dict.fromkeys(parent for parent in carried.values() if parent is not None)
    listed = await photos_of(context, table.layer_id, parents)
    found = {gid: listed[gid] for gid in carried if gid in listed}
    await context.database.stage(_stage_found, table, found)


def _stage_found(
    connection: sqlite3.Connection, table: LayerTable, found: Mapping[str, Photo]
) -> None:
    staging.stage_rows(connection, table, [_row(gid, one, None) for gid, one in found.items()])
    stage_fetches(connection, _fetches(table, found))


def _fetches(table: LayerTable, listed: Mapping[str, Photo]) -> list[Fetch]:
    return [
        Fetch(number=table.number, gid=gid, url=one.url, spool_name=None, size_bytes=one.size_bytes)
        for gid, one in listed.items()
    ]


def _carried(connection: sqlite3.Connection, table: LayerTable) -> dict[str, str | None]:
    return {
        gid: parent
        for gid, parent in carried_and_deleted(connection, table)
        if not staging.is_staged(connection, table, gid)
    }


def _outside(connection: sqlite3.Connection, table: LayerTable, after: str) -> list[str]:
    return watched(connection, table, Reason.OUTSIDE, after=after, limit=QUERY_ROWS)


def _returned(connection: sqlite3.Connection, table: LayerTable, after: str) -> list[str]:
    """Rows that the download calls new and that were here before it: they had left the filter,
    unless they were added here, or came with a download that was broken off."""
    gid, behind = quote(table.global_id), behind_key(connection, table)
    known = [
        "SELECT 1 FROM fieldsync_change c WHERE c.layer=?1 AND c.gid=r.gid AND c.had_base=0",
        f"SELECT 1 FROM {quote(table.name)} t WHERE t.{gid}=r.gid AND t.{quote(table.key)}>?4",
    ]
    if is_watching(connection):
        known.append(f"SELECT 1 FROM {WATCHED} w WHERE w.number=?1 AND w.gid=r.gid")
    found = connection.execute(
        f"SELECT r.gid FROM {RETURNED} r WHERE r.number=?1 AND r.gid>?2"
        f" AND NOT EXISTS({' UNION ALL '.join(known)}) ORDER BY r.gid LIMIT ?3",
        (table.number, after, QUERY_ROWS, behind),
    )
    return [found_gid for (found_gid,) in found]


async def _compare(
    context: SyncContext, table: LayerTable, photos: LayerTable, parents: Sequence[str]
) -> None:
    features = await context.database.stage(_numbers, table, parents)
    if not features:
        return
    listed = await list_photos(context, table.layer_id, features)
    unlisted = await context.database.stage(_stage_listed, photos, list(features.values()), listed)
    await context.database.stage(refetch_renamed, photos)
    if unlisted:  # which the list of their own feature must confirm
        gone = await photos_gone(context, photos, unlisted)
        await context.database.stage(staging.stage_deletes, photos, gone)


def _numbers(
    connection: sqlite3.Connection, table: LayerTable, parents: Sequence[str]
) -> dict[int, str]:
    """Object id → GlobalID of the staged rows, as the service has them."""
    column = object_id_column(table)
    if column is None:
        return {}
    kept = quote(value_names(table)[table.row_names.index(column) - 1])
    statement = (
        f"SELECT {kept},gid FROM {staging.stage_table(table)}"
        f" WHERE gid=? AND typeof({kept})='integer'"
    )
    there = [gid for gid in parents if staging.has_row(connection, table, gid)]
    return dict(row for gid in there for row in connection.execute(statement, (gid,)))


def _stage_listed(
    connection: sqlite3.Connection,
    table: LayerTable,
    parents: Sequence[str],
    listed: Mapping[str, Photo],
) -> list[str]:
    """Stage what is not here as it is listed, unless the download tells of it; returns those that
    are here, came from the service, and are not listed."""
    columns = ",".join(quote(name) for name in table.row_names)
    gid = quote(table.global_id)
    statement = f"SELECT {columns} FROM {quote(table.name)} WHERE {gid}=?"
    rows: dict[str, Row] = {}
    for global_id, photo in listed.items():
        here = connection.execute(statement, (global_id,)).fetchone()
        row = _row(global_id, photo, here)
        # A row beats a delete: some services may tell that the attachments left with their row.
        is_told = staging.is_staged(connection, table, global_id)
        if (row != here or is_told) and not staging.has_row(connection, table, global_id):
            rows[global_id] = row
    staging.stage_rows(connection, table, rows.values())
    stage_fetches(connection, _fetches(table, {gid: listed[gid] for gid in rows}))
    held = (
        f"SELECT a.{gid} FROM {quote(table.name)} a WHERE a.REL_GLOBALID=?1 AND NOT EXISTS"
        f"(SELECT 1 FROM fieldsync_change c WHERE c.layer=?2 AND c.gid=a.{gid} AND c.had_base=0)"
    )
    return [
        global_id
        for parent in parents
        for (global_id,) in connection.execute(held, (parent, table.number))
        if global_id not in listed and not staging.is_staged(connection, table, global_id)
    ]


def _row(global_id: str, photo: Photo, here: Row | None) -> Row:
    """The attachment's row; what the list leaves out stays as it is here."""
    _, _, kind, name, size = here or (None, None, "application/octet-stream", global_id, None)
    return (
        global_id,
        photo.parent,
        photo.content_type or kind,
        photo.name or name,
        size if photo.size_bytes is None else photo.size_bytes,
    )
