"""A feature as a person sees it, and its way into the columns of a table and back."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import NoReturn

from engine.errors import EditRefusedError
from engine.geodatabase.catalog import StoredLayer
from engine.geodatabase.domains import domain_of, refusal
from engine.geodatabase.spatial_reference import srs_id
from engine.layer_schema import Field, FieldType
from engine.model import SpatialReference, new_guid, normalise_guid
from engine.values import ColumnValue, from_python, from_wire, same_value, to_python, to_wire
from native.errors import GeometryError
from native.geometry import esri_json_to_gpkg, gpkg_to_esri_json

Geometry = Mapping[str, object]
"""An Esri JSON geometry (ArcGIS REST API, "Geometry objects")."""


class Keep(Enum):
    """Stands for a geometry that is left as it is; None would take it away."""

    GEOMETRY = "geometry"


@dataclass(frozen=True, slots=True, kw_only=True)
class Feature:
    """A feature or row of a table.

    ``attributes`` has all stored fields in the layer's order: dates as aware ``datetime``, GUIDs as
    ``{UPPER-CASE}`` text. ``problems`` says what another program stored here that cannot be read
    as its field's type; such an attribute is given as it lies there, such a geometry as None.
    """

    global_id: str
    attributes: Mapping[str, object]
    geometry: Geometry | None = None
    problems: tuple[str, ...] = field(default=(), compare=False)


class FeatureForm:
    """Converts between the features of one layer and the columns of its table, and checks them.

    All checks are those that the service would make, so that an edit is refused here and now and
    not at the next sync.
    """

    def __init__(self, layer: StoredLayer) -> None:
        self._schema = layer.schema
        self._table = layer.features.table
        self._srs_id = layer.features.srs_id
        self._types = {c.name: c.type for c in self._table.columns}
        self._types[self._table.global_id] = FieldType.GLOBAL_ID
        self._names = [f.name for f in self._schema.fields if f.name in self._types]

    def feature(self, row: Sequence[ColumnValue]) -> Feature:
        """The feature in a row with the table's ``row_names``."""
        cells = dict(zip(self._table.row_names, row, strict=True))
        problems: list[str] = []
        attributes: dict[str, object] = {}
        for name in self._names:
            try:
                attributes[name] = to_python(self._types[name], cells[name])
            except ValueError as error:
                attributes[name] = cells[name]
                problems.append(f"{name}: {error}")
        geometry = None
        if self._table.geometry is not None and cells[self._table.geometry] is not None:
            geometry = self._readable(cells[self._table.geometry], problems)
        return Feature(
            global_id=str(cells[self._table.global_id]),
            attributes=attributes,
            geometry=geometry,
            problems=tuple(problems),
        )

    def added(
        self, attributes: Mapping[str, object], geometry: Geometry | None
    ) -> dict[str, ColumnValue]:
        """The columns of a new feature; fields left out get the layer's defaults.

        A GlobalID may be given; otherwise it gets a new one.
        """
        given = self._fields(attributes)
        cells: dict[str, ColumnValue] = {}
        for name in self._names:
            item = self._field(name)
            if name == self._table.global_id:
                cells[name] = self._identity(given.pop(name, (None,))[0])
            elif name in given and item.editable and item.type is not FieldType.OID:
                cells[name] = self._checked(item, given.pop(name)[0])
            elif item.editable and item.type is not FieldType.OID:
                cells[name] = self._default(item)
        for name, (value,) in given.items():
            if value is not None:
                self._refuse(name, value, "it is set by the service")
        self._check_domains(cells, cells)
        if geometry is not None:
            column = self._geometry_column(geometry)
            cells[column] = self._blob(geometry)
        return cells

    def updated(
        self,
        present: Sequence[ColumnValue],
        attributes: Mapping[str, object],
        geometry: Geometry | Keep | None,
    ) -> dict[str, ColumnValue]:
        """The columns to change in the row ``present``.

        What the service sets may be given if it is unchanged, so that a feature that was read can
        be given back.
        """
        row = dict(zip(self._table.row_names, present, strict=True))
        cells: dict[str, ColumnValue] = {}
        for name, (value,) in self._fields(attributes).items():
            item = self._field(name)
            if name == self._table.global_id or item.type is FieldType.OID or not item.editable:
                if not self._is_same(name, value, row[name]):
                    self._refuse(name, value, "it is set by the service")
            elif not self._is_same(name, value, row[name]):
                cells[name] = self._checked(item, value)
        self._check_domains(cells, row | cells)
        if geometry is not Keep.GEOMETRY:
            column = self._geometry_column(geometry)
            cells[column] = None if geometry is None else self._blob(geometry)
        return cells

    def _fields(self, attributes: Mapping[str, object]) -> dict[str, tuple[object]]:
        """The attributes under the layer's own spelling of their names, each boxed."""
        names = {name.casefold(): name for name in self._names}
        found: dict[str, tuple[object]] = {}
        for name, value in attributes.items():
            own = names.get(name.casefold())
            if own is None:
                raise EditRefusedError(
                    f"{self._schema.name} has no field {name!r}; it has {', '.join(self._names)}"
                )
            found[own] = (value,)
        return found

    def _field(self, name: str) -> Field:
        found = self._schema.field(name)
        assert found is not None
        return found

    def _is_same(self, name: str, value: object, cell: ColumnValue) -> bool:
        if value is cell or (type(value) is type(cell) and value == cell):
            return True
        try:
            return same_value(self._types[name], from_python(self._types[name], value), cell)
        except ValueError:
            return False

    def _checked(self, item: Field, value: object) -> ColumnValue:
        try:
            cell = from_python(item.type, value)
        except ValueError as error:
            self._refuse(item.name, value, str(error))
        if cell is None and not item.nullable:
            self._refuse(item.name, value, "it needs a value")
        if item.length and isinstance(cell, str) and len(cell) > item.length:
            self._refuse(
                item.name, value, f"{len(cell)} characters; at most {item.length} are allowed"
            )
        return cell

    def _default(self, item: Field) -> ColumnValue:
        """The layer's default for a field that was left out, if it has one that makes sense."""
        try:
            cell = from_wire(item.type, item.default)
        except ValueError:
            cell = None
        if cell is None and not item.nullable:
            raise EditRefusedError(f"{self._schema.name}: {item.name} needs a value")
        return cell

    def _check_domains(
        self, changed: Mapping[str, ColumnValue], row: Mapping[str, ColumnValue]
    ) -> None:
        wire: dict[str, object] = dict(row)
        for name, cell in changed.items():
            item = self._field(name)
            domain = domain_of(self._schema, item, wire)
            reason = None if domain is None else refusal(domain, to_wire(item.type, cell))
            if reason is not None:
                raise EditRefusedError(f"{self._schema.name}: {name}: {reason}")

    def _identity(self, value: object) -> str:
        guid = new_guid() if value is None else normalise_guid(str(value))
        if guid is None:
            self._refuse(self._table.global_id, value, "it must be a GUID")
        return guid

    def _geometry_column(self, geometry: object) -> str:
        if self._table.geometry is None:
            raise EditRefusedError(f"{self._schema.name} is a table without geometry: {geometry}")
        return self._table.geometry

    def _blob(self, geometry: Geometry) -> bytes | None:
        reference = geometry.get("spatialReference")
        if isinstance(reference, Mapping):
            given = srs_id(SpatialReference.from_json(reference))
            if given != self._srs_id:
                raise EditRefusedError(
                    f"{self._schema.name}: the geometry is in the spatial reference {given}; "
                    f"the layer's is {self._srs_id}"
                )
        schema = self._schema
        assert schema.geometry_type is not None
        try:
            text = json.dumps(geometry, allow_nan=False).encode()
        except (ValueError, TypeError) as error:
            raise EditRefusedError(
                f"{schema.name}: geometry: it holds NaN, infinity or what is no JSON"
            ) from error
        try:
            return esri_json_to_gpkg(
                text, schema.geometry_type, self._srs_id, schema.has_z, schema.has_m
            )
        except GeometryError as error:
            raise EditRefusedError(f"{schema.name}: geometry: {error}") from error

    def _readable(self, blob: ColumnValue, problems: list[str]) -> Geometry | None:
        try:
            if not isinstance(blob, bytes):
                raise ValueError(f"{blob!r:.40} is no geometry")
            geometry = json.loads(gpkg_to_esri_json(blob, self._schema.geometry_type))
        except (GeometryError, ValueError) as error:
            problems.append(f"geometry: {error}")
            return None
        assert isinstance(geometry, dict)
        return geometry

    def _refuse(self, name: str, value: object, reason: str) -> NoReturn:
        shown = repr(value)
        raise EditRefusedError(f"{self._schema.name}: {name} = {shown[:60]}: {reason}")
