"""Features of the wire ⇄ rows of the geodatabase.

A row is a tuple in the order of ``LayerTable.row_names``: GlobalID, geometry (a GeoPackage blob),
then the columns.
"""

import json
from collections.abc import Mapping

from engine import values
from engine.geodatabase.difference import Cell, Row
from engine.geodatabase.layer_table import LayerTable
from engine.layer_schema import LayerSchema
from engine.model import normalise_guid
from native.errors import NativeError
from native.geometry import esri_json_to_gpkg
from native.layer import FIELD_TYPES, Column, ColumnType, Layer


class RowError(ValueError):
    """A row that cannot be decoded or encoded: the reason, for a person."""


def codec_layer(
    layer: LayerSchema, table: LayerTable, srs_id: int, spatial_reference: str = ""
) -> Layer:
    """``table``'s columns and geometry for the native codecs; geometries get ``srs_id``.

    Its rows are (GlobalID, columns …, geometry). ``spatial_reference`` is what geometries say of
    theirs on their way up.
    """
    columns = [Column(name=table.global_id, type=ColumnType.GUID)]
    columns += [Column(name=c.name, type=FIELD_TYPES[c.type.value]) for c in table.columns]
    return Layer(
        id=layer.id,
        columns=tuple(columns),
        key=table.global_id,
        geometry_type=layer.geometry_type,
        srs_id=srs_id,
        has_z=layer.has_z,
        has_m=layer.has_m,
        spatial_reference=spatial_reference,
    )


def table_rows(table: LayerTable, rows: list[Row]) -> list[Row]:
    """Codec rows in the order of the table's ``row_names``."""
    if table.geometry is None:
        return rows
    return [(row[0], row[-1], *row[1:-1]) for row in rows]


class RowDecoder:
    """Makes rows of one layer from Esri JSON features; geometries get ``srs_id``."""

    def __init__(self, layer: LayerSchema, table: LayerTable, srs_id: int) -> None:
        self._layer = layer
        self._table = table
        self._srs_id = srs_id
        self._names = frozenset((table.global_id, *(c.name for c in table.columns)))

    def row(self, feature: object) -> Row:
        """:exc:`RowError` says which field, or the geometry, cannot be stored, and why."""
        if not isinstance(feature, dict) or not isinstance(feature.get("attributes"), dict):
            raise RowError("a feature without attributes")
        attributes: Mapping[str, object] = feature["attributes"]
        table = self._table
        if not attributes.keys() >= self._names:
            # Services match names in any letter case; most answer in the layer's own spelling.
            folded = {name.casefold(): value for name, value in attributes.items()}
            attributes = {name: folded.get(name.casefold()) for name in self._names}
        global_id = normalise_guid(attributes.get(table.global_id))
        if global_id is None:
            raise RowError(f"{table.global_id}: no GlobalID")
        row: list[Cell] = [global_id]
        if table.geometry is not None:
            row.append(self._geometry(feature.get("geometry")))
        for column in table.columns:
            try:
                row.append(values.from_wire(column.type, attributes.get(column.name)))
            except ValueError as error:
                raise RowError(f"{column.name}: {error}") from error
        return tuple(row)

    def identity(self, feature: object) -> str | None:
        """The feature's GlobalID, or None if it has none."""
        attributes = feature.get("attributes") if isinstance(feature, dict) else None
        for name, value in attributes.items() if isinstance(attributes, dict) else ():
            if name.casefold() == self._table.global_id.casefold():
                return normalise_guid(value)
        return None

    def _geometry(self, geometry: object) -> bytes | None:
        if geometry is None:
            return None
        assert self._layer.geometry_type is not None
        try:
            return esri_json_to_gpkg(
                json.dumps(geometry).encode(),
                self._layer.geometry_type,
                self._srs_id,
                self._layer.has_z,
                self._layer.has_m,
            )
        except NativeError as error:
            raise RowError(f"geometry: {error}") from error
