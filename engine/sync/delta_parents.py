"""Carried rows whose parent is not on the service any more: they are left for their device.

Added all the same they would belong to nothing, and so to no replica. On the device the next sync
learns that the parent was deleted, and keeps them as part of that conflict. A row that the service
has itself stays: it was added when the file was sent before, and its device must be told.
"""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from engine.geodatabase.catalog import StoredLayer
from engine.geodatabase.geodatabase import Geodatabase
from engine.geodatabase.layer_table import LayerTable
from engine.geodatabase.logged_table import LoggedTable
from engine.geodatabase.sql import quote
from engine.layer_schema import LayerSchema, Relationship, ServiceSchema
from engine.model import SpatialReference, normalise_guid
from engine.service.feature_service import FeatureService
from engine.service.feature_set import query_by_global_ids
from engine.sync.read_back import QUERY_ROWS
from native.layer import Column, ColumnType, Layer

CARRIED = "fieldsync_carried"
"""Of each added row the key it was put in under, because its GlobalID may be renamed. NULL: the
carrier decides nothing about that row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tie:
    """``column`` of ``child`` holds GlobalIDs of the layer ``parent``, whose table here is
    ``parent_table`` if some of its rows were edited too."""

    child: LayerTable
    child_layer: LayerSchema
    column: str
    parent: LayerSchema
    parent_table: LayerTable | None


async def leave_out_orphans(
    geodatabase: Geodatabase, service: FeatureService, schema: ServiceSchema
) -> None:
    """Take out of the carrier all added rows whose parents the service has not, and theirs."""
    stored = list(geodatabase.layers)
    ties = await _ties(stored, service, schema)
    is_changed = True
    while is_changed:
        is_changed = False
        for tie in ties:
            is_changed |= await _leave_out(geodatabase, service, tie)
    for layer in stored:
        if layer.attachments is not None:
            await geodatabase.database.write(_leave_out_photos, layer.attachments.table)


async def _ties(
    stored: Sequence[StoredLayer], service: FeatureService, schema: ServiceSchema
) -> list[_Tie]:
    known = {layer.schema.id: layer for layer in stored}
    ties = []
    for layer in stored:
        columns = {c.name.casefold(): c.name for c in layer.features.table.columns}
        for end in layer.schema.relationships:
            column = columns.get(end.key_field.casefold())
            there = known.get(end.related_table_id)
            is_other = there is None and end.related_table_id not in schema.layer_ids
            if end.is_origin or column is None or is_other or _is_many_to_many(end):
                continue
            parent = (
                await service.layer(end.related_table_id, schema) if there is None else there.schema
            )
            if _is_by_global_id(parent, end.id):
                tie = _Tie(
                    child=layer.features.table,
                    child_layer=layer.schema,
                    column=column,
                    parent=parent,
                    parent_table=None if there is None else there.features.table,
                )
                ties.append(tie)
    return ties


def _is_many_to_many(end: Relationship) -> bool:
    return end.cardinality.casefold().endswith("manytomany")


def _is_by_global_id(parent: LayerSchema, relationship_id: int) -> bool:
    keys = [r.key_field for r in parent.relationships if r.is_origin and r.id == relationship_id]
    return [key.casefold() for key in keys] == [parent.global_id_field.casefold()]


async def _leave_out(geodatabase: Geodatabase, service: FeatureService, tie: _Tie) -> bool:
    """One tie; True if rows were taken out."""
    is_changed, after = False, 0
    while found := await geodatabase.database.read(_added, tie, after):
        after = found[-1][0]
        unsure = {parent for _, _, parent in found if parent is not None}
        there = await _on_service(service, tie.parent, sorted(unsure))
        orphans = [gid for _, gid, parent in found if parent is not None and parent not in there]
        kept = await _on_service(service, tie.child_layer, orphans)
        if orphans := [gid for gid in orphans if gid not in kept]:
            is_changed = True
            await geodatabase.database.write(_take_out, tie.child, orphans)
    return is_changed


async def _on_service(service: FeatureService, layer: LayerSchema, gids: Sequence[str]) -> set[str]:
    if not gids:
        return set()
    reference = layer.spatial_reference or SpatialReference.of(4326)
    codec = Layer(
        id=layer.id,
        columns=(Column(name=layer.global_id_field, type=ColumnType.GUID),),
        key=layer.global_id_field,
        geometry_type=layer.geometry_type,
        has_z=layer.has_z,
        has_m=layer.has_m,
    )
    return set(await query_by_global_ids(service, layer, codec, gids, reference))


def _added(
    connection: sqlite3.Connection, tie: _Tie, after: int
) -> list[tuple[int, str, str | None]]:
    """Some added rows behind the key ``after``: key, GlobalID, and the parent if it is not here."""
    child = tie.child
    found = connection.execute(
        f"SELECT a.key,a.gid,t.{quote(tie.column)} FROM {CARRIED} a JOIN {quote(child.name)} t"
        f" ON t.{quote(child.key)}=a.key WHERE a.number=? AND a.key>? ORDER BY a.key LIMIT ?",
        (child.number, after, QUERY_ROWS),
    ).fetchall()
    return [(key, gid, _missing(connection, tie, value)) for key, gid, value in found]


def _missing(connection: sqlite3.Connection, tie: _Tie, value: object) -> str | None:
    gid = normalise_guid(value)
    table = tie.parent_table
    if gid is None or table is None:
        return gid
    is_here = connection.execute(
        f"SELECT 1 FROM {quote(table.name)} WHERE {quote(table.global_id)}=?", (gid,)
    ).fetchone()
    return None if is_here else gid


def _take_out(connection: sqlite3.Connection, table: LayerTable, gids: Sequence[str]) -> None:
    logged = LoggedTable(connection, table)
    for gid in gids:
        logged.delete(gid)
        connection.execute(
            f"UPDATE {CARRIED} SET key=NULL WHERE number=? AND gid=?", (table.number, gid)
        )


def _leave_out_photos(connection: sqlite3.Connection, table: LayerTable) -> None:
    """Attachments go with the row that they were added to."""
    found = connection.execute(
        f"SELECT a.gid FROM {CARRIED} a JOIN {quote(table.name)} t ON t.{quote(table.key)}=a.key"
        f' JOIN {CARRIED} p ON p.number=? AND p.gid=t."REL_GLOBALID" AND p.key IS NULL'
        " WHERE a.number=?",
        (table.number - 1, table.number),
    ).fetchall()
    _take_out(connection, table, [gid for (gid,) in found])
