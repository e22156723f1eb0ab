"""Features into rows, one at a time in plain Python: what the native core is held to."""

import json
from collections.abc import Mapping

from engine import values
from engine.geodatabase.difference import Cell, Row
from engine.geodatabase.layer_table import LayerTable
from engine.layer_schema import LayerSchema
from engine.model import normalise_guid
from engine.sync.rows import RowError
from native.errors import NativeError
from native.geometry import esri_json_to_gpkg


class PlainDecoder:
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
