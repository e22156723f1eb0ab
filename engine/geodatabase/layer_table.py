"""How a layer, or its attachments, lies in the GeoPackage: names of the table and its columns.

This value is what the change log, the merge and the readers share; they need no more of a layer
than this. It is written to ``fieldsync_table`` when the geodatabase is made, and read from there.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from engine.layer_schema import Field, FieldType, LayerSchema

SQL_TYPES = {
    FieldType.OID: "INTEGER",
    FieldType.GLOBAL_ID: "TEXT",
    FieldType.GUID: "TEXT",
    FieldType.SMALL_INTEGER: "SMALLINT",
    FieldType.INTEGER: "MEDIUMINT",
    FieldType.BIG_INTEGER: "INTEGER",
    FieldType.SINGLE: "FLOAT",
    FieldType.DOUBLE: "DOUBLE",
    FieldType.STRING: "TEXT",
    FieldType.DATE: "DATETIME",
    FieldType.DATE_ONLY: "DATE",
    FieldType.TIME_ONLY: "TEXT",
    FieldType.TIMESTAMP_OFFSET: "TEXT",
}
"""Esri field type → GeoPackage column type (OGC 12-128r18, table 1)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One logged column. ``is_editable`` False: a local change of it is never an edit."""

    name: str
    type: FieldType
    is_editable: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerTable:
    """A synchronised table of the GeoPackage.

    ``number`` names it in the change log: the layer id times 2, plus 1 for its attachments.
    ``columns`` are all columns but ``key`` (the integer primary key), ``global_id`` and
    ``geometry``, in table order. ``noted`` are large columns (attachment data) whose base value is
    never kept: the log only notes that they changed.
    ``is_lazy``: the base keeps the geometry only if it was changed (lines and polygons).
    """

    number: int
    layer_id: int
    name: str
    key: str
    global_id: str
    geometry: str | None
    columns: tuple[Column, ...]
    noted: tuple[str, ...] = ()
    is_lazy: bool = False
    is_attachment: bool = False

    @property
    def base_table(self) -> str:
        """The table with the rows as the service last knew them."""
        return f"fieldsync_base_{self.number}"

    @property
    def row_names(self) -> tuple[str, ...]:
        """Columns of a row in the order rows are passed in: GlobalID, geometry, the others."""
        geometry = () if self.geometry is None else (self.geometry,)
        return (self.global_id, *geometry, *(c.name for c in self.columns))

    def column(self, name: str) -> Column | None:
        """The column of that name, in any letter case."""
        folded = name.casefold()
        return next((c for c in self.columns if c.name.casefold() == folded), None)

    def field_column(self, name: str) -> str | None:
        """The column for the field of that name, the GlobalID's too; None if it has none."""
        if name.casefold() == self.global_id.casefold():
            return self.global_id
        column = self.column(name)
        return None if column is None else column.name


def layer_table(layer: LayerSchema, taken: Sequence[str] = ()) -> LayerTable:
    """The table for ``layer``; ``taken`` are table names in use already (any case)."""
    stored = [f for f in layer.fields if is_stored(f)]
    names = {f.name.casefold() for f in layer.fields}
    geometry = None if layer.geometry_type is None else _free("geom", names)
    global_id = layer.field(layer.global_id_field)
    if global_id is None:
        raise ValueError(f"layer {layer.name!r} has no GlobalID field")
    return LayerTable(
        number=layer.id * 2,
        layer_id=layer.id,
        name=_table_name(layer, taken),
        key=_free("fid", names),
        global_id=global_id.name,
        geometry=geometry,
        columns=tuple(
            Column(
                name=f.name,
                type=f.type,
                is_editable=f.editable and f.type is not FieldType.OID,
            )
            for f in stored
            if f.name != global_id.name
        ),
        is_lazy=layer.geometry_type not in (None, "esriGeometryPoint"),
    )


def attachment_table(table: LayerTable) -> LayerTable:
    """The table for the attachments of ``table``'s features (Esri's ``__ATTACH`` columns)."""
    return LayerTable(
        number=table.number + 1,
        layer_id=table.layer_id,
        name=f"{table.name}__ATTACH",
        key="ATTACHMENTID",
        global_id="GLOBALID",
        geometry=None,
        columns=(
            Column(name="REL_GLOBALID", type=FieldType.GUID),
            Column(name="CONTENT_TYPE", type=FieldType.STRING),
            Column(name="ATT_NAME", type=FieldType.STRING),
            Column(name="DATA_SIZE", type=FieldType.INTEGER, is_editable=False),
        ),
        noted=("DATA",),
        is_attachment=True,
    )


def is_stored(field: Field) -> bool:
    """False for fields whose values have no JSON form (blob, XML, raster): they stay out."""
    return field.type in SQL_TYPES


def _free(name: str, taken: set[str]) -> str:
    free = name
    while free.casefold() in taken:
        free += "_"
    return free


def _table_name(layer: LayerSchema, taken: Sequence[str]) -> str:
    reserved = ("gpkg_", "rtree_", "sqlite_", "fieldsync_")
    name = layer.name.replace("\0", "").strip() or f"layer_{layer.id}"
    if name.casefold().startswith(reserved):
        name = f"layer_{name}"
    used = {t.casefold() for t in taken}
    if name.casefold() in used or f"{name}__attach".casefold() in used:
        name = f"{name}_{layer.id}"
    return name
