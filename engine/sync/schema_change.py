"""Lets the geodatabase follow what changed in the layers of its service since they were read.

In CHECK the tables are altered, layer by layer, each in one transaction; what was edited stays.
The values of new fields are fetched after the edits have gone up, in pages that are noted as they
are stored: a sync that dies in between goes on there.
"""

import sqlite3
from collections.abc import Mapping, Sequence

from engine import faults, values
from engine.errors import EngineError
from engine.geodatabase import alter_table, backfill, catalog, change_log, layer_change
from engine.geodatabase.alter_table import Altered
from engine.geodatabase.backfill import Backfill
from engine.geodatabase.catalog import StoredLayer
from engine.geodatabase.difference import Cell
from engine.geodatabase.geodatabase import Geodatabase
from engine.geodatabase.layer_change import LayerChange
from engine.geodatabase.layer_table import LayerTable
from engine.geodatabase.relations import relations
from engine.geodatabase.replica import get_replica
from engine.geodatabase.sql import quote
from engine.layer_schema import FieldType, LayerSchema
from engine.model import AttachmentSyncDirection, normalise_guid
from engine.service.feature_set import query_fields
from engine.sync.context import SyncContext
from engine.sync.read_back import find

FILL_ROWS = 1000


async def follow_layers(
    context: SyncContext, geodatabase: Geodatabase, layers: Mapping[int, LayerSchema]
) -> dict[int, EngineError]:
    """Alter the tables of ``layers``, which are as the service has them now.

    Returns the layers that cannot follow, with the reason.
    """
    errors: dict[int, EngineError] = {}
    has_altered = False
    for stored in await context.database.read(catalog.stored_layers):
        now = layers.get(stored.schema.id)
        if now is None:
            continue
        try:
            change = layer_change.compare(stored, now, context.replica)
        except EngineError as error:
            errors[stored.schema.id] = error
            continue
        if change is not None:
            altered = await context.write(_alter, context, stored, change)
            _tell(context, stored, change, altered)
            has_altered = True
        if stored.attachments is not None and not now.has_attachments:
            await _leave_attachments(context, stored.attachments.table)
    if has_altered:
        await _look_again(context)
        await geodatabase.refresh()
    return errors


def _alter(
    connection: sqlite3.Connection, context: SyncContext, stored: StoredLayer, change: LayerChange
) -> Altered:
    policy = context.parameters.conflict_policy
    return alter_table.alter_layer(connection, stored, change, policy=policy, now=context.now())


def _tell(context: SyncContext, stored: StoredLayer, change: LayerChange, altered: Altered) -> None:
    name, narrator = stored.features.table.name, context.narrator
    for sentence in change.sentences:
        narrator.info(f"{name}: {sentence}")
    for column, local in altered.renamed:
        narrator.warn(f"{name}: the column {column} that was added here is called {local} now")
    for column in altered.kept:
        narrator.warn(
            f"{name}: the column {column} stays because another program's view or trigger needs "
            "it; it is not synced any more"
        )
    if altered.conflicts:
        narrator.warn(
            f"{name}: {altered.conflicts} edits of fields that take none any more are kept "
            "among the conflicts"
        )
        context.layer_result(stored.features.table).downloaded.conflicts += altered.conflicts
    if (
        change.gains_attachments
        and context.replica.attachment_direction is AttachmentSyncDirection.NONE
    ):
        narrator.warn(f"{name}: the map was taken without attachments, so it gets none")


async def _leave_attachments(context: SyncContext, table: LayerTable) -> None:
    context.tables = [t for t in context.tables if t.number != table.number]
    if await context.database.read(change_log.has_pending, table):
        context.narrator.warn(
            f"{table.name}: the layer takes no attachments any more; those here stay unsent"
        )


async def _look_again(context: SyncContext) -> None:
    """Go on with the tables as they are now; those that were left out stay so."""
    numbers = {t.number for t in context.tables}
    known = {e.table.number for e in await context.database.read(catalog.entries)}
    before = set(context.srs_ids)
    stored = await context.database.read(catalog.stored_layers)
    entries = await context.database.read(catalog.entries)
    layers = {t.layer_id for t in context.tables}
    new = {e.table.number for e in entries if e.table.layer_id in layers} & (known - before)
    context.tables = [e.table for e in entries if e.table.number in numbers | new]
    context.replica = await context.database.read(get_replica)
    context.srs_ids = {e.table.number: e.srs_id for e in entries}
    context.layers = {layer.schema.id: layer.schema for layer in stored}
    context.relations = relations([(layer.schema, layer.features.table) for layer in stored])


# --- the values of new fields --------------------------------------------------------------------


async def fill_new_fields(context: SyncContext) -> None:
    """Fetch the values of new fields for the rows that were here before them."""
    for one in await context.database.read(backfill.backfills):
        table = next((t for t in context.tables if t.number == one.number), None)
        if table is not None and context.direction(table.layer_id).downloads:
            await _fill(context, table, one)


async def _fill(context: SyncContext, table: LayerTable, one: Backfill) -> None:
    fields = ", ".join(one.columns)
    context.narrator.info(f"{table.name}: fetching the values of {fields}")
    after, missing = one.after, 0
    while rows := await context.database.read(_next, table, after):
        after = rows[-1][0]
        missing += await _fill_rows(context, table, one.columns, rows, after)
        faults.point("fields.filled")
    gid = ""
    while gids := await context.database.read(backfill.next_deleted, table, gid, FILL_ROWS):
        gid = gids[-1]
        await _fill_rows(context, table, one.columns, [(0, gid, None) for gid in gids], after)
    await context.write(backfill.done, table)
    if missing:
        context.narrator.warn(f"{table.name}: {missing} rows have values that cannot be stored")


async def _fill_rows(
    context: SyncContext,
    table: LayerTable,
    columns: Sequence[str],
    rows: Sequence[tuple[int, str, int | None]],
    after: int,
) -> int:
    """Fetch and store the values of these rows; how many of them cannot be stored."""
    await context.narrator.breathe()
    cells = await _values(context, table, columns, rows)
    found = {gid: row for gid, row in cells.items() if row is not None}
    await context.write(backfill.fill, table, columns, found, after)
    return len(cells) - len(found)


def _next(
    connection: sqlite3.Connection, table: LayerTable, after: int
) -> list[tuple[int, str, int | None]]:
    """Key, GlobalID and object id of the next rows."""
    rows = backfill.next_rows(connection, table, after, FILL_ROWS)
    column = next((c.name for c in table.columns if c.type is FieldType.OID), None)
    if column is None or not rows:
        return [(key, gid, None) for key, gid in rows]
    found = dict(
        connection.execute(
            f"SELECT {quote(table.key)}, {quote(column)} FROM {quote(table.name)} "
            f"WHERE {quote(table.key)} BETWEEN ? AND ?",
            (rows[0][0], rows[-1][0]),
        ).fetchall()
    )
    return [(key, gid, found.get(key)) for key, gid in rows]


async def _values(
    context: SyncContext,
    table: LayerTable,
    columns: Sequence[str],
    rows: Sequence[tuple[int, str, int | None]],
) -> dict[str, Sequence[Cell] | None]:
    """The cells of those rows by GlobalID, None if they cannot be stored; a row that the service
    has not is left out."""
    layer = context.layers[table.layer_id]
    ids = [object_id for _, _, object_id in rows if isinstance(object_id, int)]
    wanted = {gid for _, gid, _ in rows}
    found: dict[str, Sequence[Cell] | None] = {}
    for attributes in await query_fields(context.service, layer, ids, columns):
        folded = {name.casefold(): value for name, value in attributes.items()}
        gid = normalise_guid(folded.get(table.global_id.casefold()))
        if gid is not None and gid in wanted:
            found[gid] = _cells(table, columns, folded)
    # A service that was restored may have numbered its rows anew; the GlobalID is what counts.
    at = [table.row_names.index(name) for name in columns]
    for gid, row in (await find(context, table, sorted(wanted - found.keys()))).items():
        found[gid] = None if row is None else [row[n] for n in at]
    return found


def _cells(
    table: LayerTable, columns: Sequence[str], attributes: Mapping[str, object]
) -> Sequence[Cell] | None:
    types = {c.name: c.type for c in table.columns}
    try:
        return [values.from_wire(types[n], attributes.get(n.casefold())) for n in columns]
    except ValueError:
        return None
