"""Features of the wire ⇄ rows of the geodatabase.

A row is a tuple in the order of ``LayerTable.row_names``: GlobalID, geometry (a GeoPackage blob),
then the columns.
"""

from engine.geodatabase.difference import Row
from engine.geodatabase.layer_table import LayerTable
from engine.layer_schema import LayerSchema
from native.layer import FIELD_TYPES, Column, ColumnType, Layer


class RowError(ValueError):
    """A row that cannot be encoded: the reason, for a person."""


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
