"""Rows that have left the map's filter without the service having said so.

A service need not tell of such a row as deleted: it may tell of it once, as an update like any
other, and never again. (ArcGIS Pro, "Synchronize with filters and related data": a feature that is
moved out of the replica area is updated there; one that is moved outside of it is not.) And of an
edit that was sent from here it may say nothing at all. So the service is asked which of the rows
that were updated are still inside, until it has once told of one that left as deleted.
"""

import sqlite3
from collections.abc import Sequence

from engine.errors import (
    AuthenticationError,
    PermissionDeniedError,
    ProtocolError,
    ServiceRefusedError,
)
from engine.geodatabase.layer_table import LayerTable
from engine.geodatabase.log_schema import value_names
from engine.geodatabase.remembered import recall, remember
from engine.geodatabase.sql import quote
from engine.geodatabase.staging import stage_table
from engine.layer_schema import LayerSchema
from engine.model import Envelope, QueryOption
from engine.sync.batches import object_id_column
from engine.sync.context import SyncContext
from engine.sync.parameters import GenerateLayerOption
from engine.sync.replica_request import filter_form

ASKED_ROWS = 500  # in one query, which answers with their object ids alone

_TOLD = "leaving-rows"
_DELETED = "deleted"


async def note_told(context: SyncContext) -> None:
    """The service tells of rows that leave the filter as deleted: nothing needs to be asked."""
    if await context.database.read(recall, _TOLD) != _DELETED:
        await context.write(remember, _TOLD, _DELETED)


async def left_untold(context: SyncContext, table: LayerTable) -> list[str]:
    """GlobalIDs of the rows here that are staged as updated and do not fulfil the filter now."""
    layer, column = context.layers[table.layer_id], object_id_column(table)
    form = _filter(context, layer)
    if form is None or column is None or await context.database.read(recall, _TOLD) == _DELETED:
        return []
    left: list[str] = []
    after = ""
    while some := await context.database.stage(_updated, table, column, after):
        inside = await _inside(context, layer, form, [number for number, _ in some])
        if inside is None:
            return left
        left += [gid for number, gid in some if number not in inside]
        after = some[-1][1]
    return left


def _filter(context: SyncContext, layer: LayerSchema) -> dict[str, str] | None:
    """The layer's filter as a query has it; None if there is none."""
    options = context.replica.layer(layer.id).options
    option = GenerateLayerOption.from_json(layer.id, options)
    if option.query_option is not QueryOption.USE_FILTER:
        return None
    form: dict[str, str] = {}
    extent = context.replica.extent
    if option.use_geometry and layer.geometry_type is not None and extent is not None:
        form = filter_form(Envelope.from_json(extent))
        form["spatialRel"] = "esriSpatialRelIntersects"
    if option.where_clause or form:
        form["where"] = option.where_clause or "1=1"
        return form
    return None


async def _inside(
    context: SyncContext, layer: LayerSchema, form: dict[str, str], numbers: Sequence[int]
) -> frozenset[int] | None:
    """Those of the object ids whose rows fulfil the filter; None if the service does not say."""
    ids = ",".join(map(str, numbers))
    # Not as objectIds: beside these a service need not look at the filter.
    where = f"({form['where']}) AND {layer.object_id_field} IN ({ids})"
    asked = {**form, "where": where, "returnIdsOnly": "true"}
    url = f"{context.service.url}/{layer.id}/query"
    try:
        answer = await context.service.session.post(url, asked, repeatable=True)
    except (AuthenticationError, PermissionDeniedError):
        raise
    except (ProtocolError, ServiceRefusedError):
        return None
    if "objectIds" not in answer:
        return None
    found = answer["objectIds"] or []  # null if there are none
    return frozenset(found) if isinstance(found, list) else None


def _updated(
    connection: sqlite3.Connection, table: LayerTable, column: str, after: str
) -> list[tuple[int, str]]:
    """Object ids and GlobalIDs of staged rows that are here, in their order, behind ``after``."""
    kept = quote(value_names(table)[table.row_names.index(column) - 1])
    return connection.execute(
        f"SELECT s.{kept},s.gid FROM {stage_table(table)} s"
        f" WHERE s.gid>? AND typeof(s.{kept})='integer' AND EXISTS(SELECT 1"
        f" FROM main.{quote(table.name)} t WHERE t.{quote(table.global_id)}=s.gid)"
        " ORDER BY s.gid LIMIT ?",
        (after, ASKED_ROWS),
    ).fetchall()
