"""Added rows that a service took under GlobalIDs of its own, without telling.

Where a call's results are missing, an add that is not found by its GlobalID did not arrive, or it
did under another one; sending it again would double it. Rows that are newer than what was known
when the batch was made, and carry just what was sent, are it.
"""

import json
import sqlite3
from collections.abc import Iterator, Sequence

from engine.geodatabase.change_log import Edit
from engine.geodatabase.difference import Cell, Row
from engine.geodatabase.layer_table import LayerTable
from engine.geodatabase.sql import quote
from engine.layer_schema import FieldType, JsonObject
from engine.model import normalise_guid
from engine.sync.batches import object_id_column
from engine.sync.context import SyncContext
from engine.sync.rows import RowError
from native.geometry import gpkg_to_esri_json

TOLERANCE = 1e-4  # a service's storage grid moves coordinates by less


async def find_renamed(
    context: SyncContext, table: LayerTable, edits: Sequence[Edit], newest: int
) -> dict[str, tuple[str, JsonObject]]:
    """GlobalID as sent → the service's, with the feature; for those of the adds that are found."""
    matched: dict[str, tuple[str, JsonObject]] = {}
    if not edits or object_id_column(table) is None:
        return matched
    decoder = context.decoder(table)
    candidates: list[tuple[Row, JsonObject]] = []
    for feature in await _newer_than(context, table, newest):
        try:
            candidates.append((decoder.row(feature), feature))
        except RowError:
            continue
    gids = [str(row[0]) for row, _ in candidates]
    known = await context.database.read(_known, table, gids)
    candidates = [c for c in candidates if c[0][0] not in known]
    for edit in edits:
        for number, (row, feature) in enumerate(candidates):
            if _carries(edit, row):
                matched[edit.global_id] = (str(row[0]), feature)
                del candidates[number]
                break
    return matched


async def _newer_than(context: SyncContext, table: LayerTable, newest: int) -> list[JsonObject]:
    layer = context.layers[table.layer_id]
    url = f"{context.service.url}/{layer.id}/query"
    found: list[JsonObject] = []
    while True:
        answer = await context.service.session.post(
            url,
            {
                "where": f"{layer.object_id_field} > {newest}",
                "orderByFields": layer.object_id_field,
                "outFields": "*",
                "returnGeometry": "true",
                "returnZ": "true" if layer.has_z else "false",
                "returnM": "true" if layer.has_m else "false",
                "outSR": str(context.spatial_reference.wkid),
            },
            repeatable=True,
        )
        features = answer.get("features")
        page = [f for f in features if isinstance(f, dict)] if isinstance(features, list) else []
        found += page
        if answer.get("exceededTransferLimit") is not True or not page:
            return found
        attributes = page[-1].get("attributes")
        last = attributes.get(layer.object_id_field) if isinstance(attributes, dict) else None
        if not isinstance(last, int) or last <= newest:
            return found
        newest = last


def _known(connection: sqlite3.Connection, table: LayerTable, gids: Sequence[str]) -> set[str]:
    statement = f"SELECT 1 FROM {quote(table.name)} WHERE {quote(table.global_id)}=?"
    return {g for g in gids if connection.execute(statement, (g,)).fetchone() is not None}


def _carries(edit: Edit, row: Row) -> bool:
    """Whether ``row`` has all that was sent: values, and the geometry but for the storage grid.

    GUIDs may point at rows that were renamed together with this one, so they do not count.
    """
    assert edit.row is not None
    table = edit.table
    first = len(row) - len(table.columns)
    for column, sent, there in zip(table.columns, edit.row[first:], row[first:], strict=True):
        is_key = column.type in (FieldType.GUID, FieldType.GLOBAL_ID, FieldType.OID)
        if sent is None or is_key or not column.is_editable or normalise_guid(sent) is not None:
            continue
        if sent != there and not _close(sent, there):
            return False
    return table.geometry is None or _same_place(edit.row[1], row[1])


def _same_place(one: Cell, other: Cell) -> bool:
    if not isinstance(one, bytes) or not isinstance(other, bytes):
        return one is other
    mine, theirs = (list(_numbers(json.loads(gpkg_to_esri_json(blob)))) for blob in (one, other))
    return len(mine) == len(theirs) and all(map(_close, mine, theirs))


def _numbers(value: object) -> Iterator[Cell]:
    if isinstance(value, dict):
        for member in value.values():
            yield from _numbers(member)
    elif isinstance(value, list):
        for member in value:
            yield from _numbers(member)
    elif value is None or isinstance(value, int | float):
        yield value


def _close(one: Cell, other: Cell) -> bool:
    if isinstance(one, int | float) and isinstance(other, int | float):
        return abs(one - other) <= TOLERANCE
    return one == other
