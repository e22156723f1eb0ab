"""Rows that have left the map's filter without the service having said so.

A service need not tell of such a row as deleted: it may tell of it once, as an update like any
other, and never again. (ArcGIS Pro, "Synchronize with filters and related data": a feature that is
moved out of the replica area is updated there; one that is moved outside of it is not.) And of an
edit that was sent from here it may say nothing at all. So the service is asked which of the rows
that were updated are still inside, until it has once told of one that left as deleted.
"""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field

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
from engine.geodatabase.watched import WATCHED, Reason, is_watching
from engine.layer_schema import LayerSchema
from engine.model import Envelope, QueryOption
from engine.sync.batches import object_id_column
from engine.sync.context import LocalContext, SyncContext
from engine.sync.parameters import GenerateLayerOption
from engine.sync.replica_request import filter_form

ASKED_ROWS = 500  # in one query, which answers with their object ids alone

_TOLD = "leaving-rows"
_DELETED = "deleted"


@dataclass(slots=True, kw_only=True)
class LeftRows:
    """GlobalIDs of rows that are here and do not fulfil the filter now: those that are ``staged``
    as updated, and those that were updated from here and of which the download says nothing."""

    staged: list[str] = field(default_factory=list)
    unstaged: list[str] = field(default_factory=list)

    @property
    def gids(self) -> set[str]:
        return {*self.staged, *self.unstaged}


async def note_told(context: SyncContext) -> None:
    """The service tells of rows that leave the filter as deleted: nothing needs to be asked."""
    if await context.database.read(recall, _TOLD) != _DELETED:
        await context.write(remember, _TOLD, _DELETED)


async def left_untold(context: SyncContext, table: LayerTable) -> LeftRows:
    """The rows of ``table`` that have left the filter, as far as the service must be asked."""
    layer, column = context.layers[table.layer_id], object_id_column(table)
    form = _filter(context, layer)
    if form is None or column is None or await context.database.read(recall, _TOLD) == _DELETED:
        return LeftRows()
    left, after = LeftRows(), ""
    limit = max(1, min(ASKED_ROWS, layer.max_record_count))
    while some := await context.database.stage(_updated, table, column, after, limit):
        inside = await _inside(context, layer, form, [number for number, _, _ in some])
        if inside is None:
            return left
        for number, gid, is_staged in some:
            if number not in inside:
                (left.staged if is_staged else left.unstaged).append(gid)
        after = some[-1][1]
    return left


def is_filtered(context: LocalContext, table: LayerTable) -> bool:
    """Whether rows of that table may leave the replica by leaving its filter."""
    layer = context.layers[table.layer_id]
    return not table.is_attachment and _filter(context, layer) is not None


def _filter(context: LocalContext, layer: LayerSchema) -> dict[str, str] | None:
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
    connection: sqlite3.Connection, table: LayerTable, column: str, after: str, limit: int
) -> list[tuple[int, str, int]]:
    """Such rows behind the GlobalID ``after``, in that order: object id, GlobalID, whether it is
    staged."""
    kept = quote(value_names(table)[table.row_names.index(column) - 1])
    name, gid, number = f"main.{quote(table.name)}", quote(table.global_id), quote(column)
    parts = [
        f"SELECT s.{kept},s.gid,1 FROM {stage_table(table)} s"
        f" WHERE s.gid>?1 AND typeof(s.{kept})='integer'"
        f" AND EXISTS(SELECT 1 FROM {name} t WHERE t.{gid}=s.gid)"
    ]
    if is_watching(connection):
        parts.append(
            f"SELECT t.{number},w.gid,0 FROM {WATCHED} w JOIN {name} t ON t.{gid}=w.gid"
            f" WHERE w.number=?2 AND w.reason=?3 AND w.gid>?1 AND typeof(t.{number})='integer'"
            f" AND NOT EXISTS(SELECT 1 FROM {stage_table(table)} s WHERE s.gid=w.gid)"
        )
    return connection.execute(
        f"{' UNION ALL '.join(parts)} ORDER BY 2 LIMIT ?4",
        (after, table.number, Reason.EDITED.value, limit),
    ).fetchall()
