"""Rows read back from the service by their GlobalIDs, and merged.

That fetches what the service itself writes into a row that was sent (object id, editor tracking,
snapped coordinates), and finds out what became of a row about which nothing was said.
"""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence

from engine.geodatabase import merge, staging
from engine.geodatabase.difference import Row
from engine.geodatabase.layer_table import LayerTable
from engine.geodatabase.sql import quote
from engine.layer_schema import FieldType
from engine.service.feature_set import (
    query_by_global_ids,
    query_by_object_ids,
    query_newer_than,
)
from engine.sync.context import LocalContext, SyncContext
from engine.sync.rows import table_rows

FEW_ROWS = 10  # for which one query by GlobalIDs is the cheapest
QUERY_ROWS = 100  # GlobalIDs in one query: about 4 KB of where clause

Found = dict[str, Row | None]
"""GlobalID → row, as the service has it; None if it cannot be stored: the next download says why.
"""


async def find(
    context: SyncContext,
    table: LayerTable,
    global_ids: Iterable[str],
    *,
    numbers: Mapping[str, int] | None = None,
) -> Found:
    """The rows among ``global_ids`` that the service has now.

    Those whose object ids are known, here or from ``numbers``, are asked for by those first.
    """
    wanted = list(dict.fromkeys(global_ids))
    layer, codec = context.layers[table.layer_id], context.codec_layer(table)
    size = max(1, min(QUERY_ROWS, layer.max_record_count))
    found: Found = {}
    if len(wanted) > FEW_ROWS:
        known = {**await context.database.read(_numbers, table, wanted), **(numbers or {})}
        ids = sorted({known[gid] for gid in wanted if gid in known})
        numbered = await query_by_object_ids(
            context.service, layer, codec, ids, context.spatial_reference
        )
        found = {g: table_rows(table, [numbered[g]])[0] for g in wanted if g in numbered}
        wanted = [gid for gid in wanted if gid not in found]
    for start in range(0, len(wanted), size):
        some = wanted[start : start + size]
        rows = await query_by_global_ids(
            context.service, layer, codec, some, context.spatial_reference
        )
        for gid, row in rows.items():
            found[gid] = None if row is None else table_rows(table, [row])[0]
    return found


def _numbers(
    connection: sqlite3.Connection, table: LayerTable, gids: Sequence[str]
) -> dict[str, int]:
    """GlobalID → object id, of the rows that are here and have one."""
    column = next((c.name for c in table.columns if c.type is FieldType.OID), None)
    if column is None:
        return {}
    statement = (
        f"SELECT {quote(table.global_id)},{quote(column)} FROM {quote(table.name)}"
        f" WHERE {quote(table.global_id)}=? AND typeof({quote(column)})='integer'"
    )
    return dict(row for gid in gids for row in connection.execute(statement, (gid,)))


async def find_added(
    context: SyncContext, table: LayerTable, global_ids: Sequence[str], newest: int
) -> Found:
    """Those of the rows, sent as new when ``newest`` was the largest object id, that are there.

    A call is carried out or it is not, so if none of the newer rows and none of a sample is there,
    the others are not asked for: to add a row once more does no harm.
    """
    if len(global_ids) <= FEW_ROWS:
        return await find(context, table, global_ids)
    layer, codec = context.layers[table.layer_id], context.codec_layer(table)
    rows = await query_newer_than(context.service, layer, codec, newest, context.spatial_reference)
    wanted = set(global_ids)
    found: Found = {row[0]: table_rows(table, [row])[0] for row in rows if row[0] in wanted}
    left = [gid for gid in global_ids if gid not in found]
    if not found and len(left) > FEW_ROWS:
        found = await find(context, table, left[:: len(left) // FEW_ROWS])
        left = [gid for gid in left if gid not in found] if found else []
    return {**found, **await find(context, table, left)}


def storable(found: Found) -> list[Row]:
    """The rows that can be stored."""
    return [row for row in found.values() if row is not None]


async def refresh(
    context: SyncContext,
    table: LayerTable,
    global_id: str,
) -> None:
    """Read a row back and merge it."""
    found = await find(context, table, [global_id])
    merged = await context.apply(merge_rows, context, table, storable(found))
    context.layer_result(table).downloaded.conflicts += merged.conflicts


def merge_rows(
    connection: sqlite3.Connection,
    context: LocalContext,
    table: LayerTable,
    rows: Sequence[Row],
    absent: Sequence[str] = (),
) -> merge.MergeCounts:
    """Merge a few rows in the open transaction."""
    staging.clear_staging(connection, table)
    staging.stage_rows(connection, table, rows)
    staging.stage_deletes(connection, table, absent)
    merged = merge_part(connection, context, table)
    staging.clear_staging(connection, table)
    return merged


def merge_part(
    connection: sqlite3.Connection,
    context: LocalContext,
    table: LayerTable,
    part: tuple[int, int] | None = None,
) -> merge.MergeCounts:
    """Merge what is staged, or those positions of it."""
    return merge.merge_table(
        connection,
        table,
        context.parameters.conflict_policy,
        now=context.now(),
        dependents=context.dependents(table),
        part=part,
    )
