"""Rows read back from the service by their GlobalIDs, and merged.

That fetches what the service itself writes into a row that was sent (object id, editor tracking,
snapped coordinates), and finds out what became of a row about which nothing was said.
"""

import sqlite3
from collections.abc import Iterable, Sequence

from engine.geodatabase import merge, staging
from engine.geodatabase.difference import Row
from engine.geodatabase.layer_table import LayerTable
from engine.service.feature_set import query_by_global_ids
from engine.sync.context import LocalContext, SyncContext
from engine.sync.rows import table_rows

QUERY_ROWS = 100  # GlobalIDs in one query: about 4 KB of where clause

Found = dict[str, Row | None]
"""GlobalID → row, as the service has it; None if it cannot be stored: the next download says why.
"""


async def find(context: SyncContext, table: LayerTable, global_ids: Iterable[str]) -> Found:
    """The rows among ``global_ids`` that the service has now."""
    wanted = list(dict.fromkeys(global_ids))
    layer, codec = context.layers[table.layer_id], context.codec_layer(table)
    size = max(1, min(QUERY_ROWS, layer.max_record_count))
    found: Found = {}
    for start in range(0, len(wanted), size):
        some = wanted[start : start + size]
        rows = await query_by_global_ids(
            context.service, layer, codec, some, context.spatial_reference
        )
        for gid, row in rows.items():
            found[gid] = None if row is None else table_rows(table, [row])[0]
    return found


def storable(found: Found) -> list[Row]:
    """The rows that can be stored."""
    return [row for row in found.values() if row is not None]


async def refresh(
    context: SyncContext,
    table: LayerTable,
    global_ids: Sequence[str],
    *,
    absent_means_deleted: bool,
) -> set[str]:
    """Read rows back and merge them; returns the GlobalIDs that the service has."""
    present: set[str] = set()
    for start in range(0, len(global_ids), QUERY_ROWS):
        some = global_ids[start : start + QUERY_ROWS]
        found = await find(context, table, some)
        absent = [gid for gid in some if gid not in found] if absent_means_deleted else []
        merged = await context.apply(merge_rows, context, table, storable(found), absent)
        context.layer_result(table).downloaded.conflicts += merged.conflicts
        present |= found.keys()
    return present


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
