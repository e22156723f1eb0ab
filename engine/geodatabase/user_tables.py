"""Tables of features and rows as GeoPackage defines them (OGC 12-128r18, clauses 2.1 and 2.4)."""

import sqlite3
from collections.abc import Iterable

from engine.geodatabase.layer_table import SQL_TYPES, LayerTable
from engine.geodatabase.sql import quote
from engine.layer_schema import GEOMETRY_TYPES, FieldType, LayerSchema
from engine.model import Envelope

_LONGEST_DECLARED = 65535
_TABLES = {
    "gpkg_contents": (
        "(table_name TEXT NOT NULL PRIMARY KEY, data_type TEXT NOT NULL, identifier TEXT UNIQUE, "
        "description TEXT DEFAULT '', last_change DATETIME NOT NULL "
        "DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ','now')), min_x DOUBLE, min_y DOUBLE, "
        "max_x DOUBLE, max_y DOUBLE, srs_id INTEGER, CONSTRAINT fk_gc_r_srs_id "
        "FOREIGN KEY (srs_id) REFERENCES gpkg_spatial_ref_sys(srs_id))"
    ),
    "gpkg_geometry_columns": (
        "(table_name TEXT NOT NULL, column_name TEXT NOT NULL, geometry_type_name TEXT NOT NULL, "
        "srs_id INTEGER NOT NULL, z TINYINT NOT NULL, m TINYINT NOT NULL, "
        "CONSTRAINT pk_geom_cols PRIMARY KEY (table_name, column_name), "
        "CONSTRAINT uk_gc_table_name UNIQUE (table_name), "
        "CONSTRAINT fk_gc_tn FOREIGN KEY (table_name) REFERENCES gpkg_contents(table_name), "
        "CONSTRAINT fk_gc_srs FOREIGN KEY (srs_id) REFERENCES gpkg_spatial_ref_sys(srs_id))"
    ),
}


def create_contents_tables(connection: sqlite3.Connection) -> None:
    """Make the tables that list the contents of a GeoPackage."""
    for name, columns in _TABLES.items():
        connection.execute(f"CREATE TABLE {name} {columns}")


def create_user_table(
    connection: sqlite3.Connection, layer: LayerSchema, table: LayerTable, srs_id: int
) -> None:
    """Make the table for a layer's rows and list it."""
    types = {f.name: sql_type(f.type, f.length) for f in layer.fields if f.type in SQL_TYPES}
    columns = {c.name: types[c.name] for c in table.columns}
    if table.geometry is not None and layer.geometry_type is not None:
        kind = GEOMETRY_TYPES[layer.geometry_type]
        _create(connection, table, {table.geometry: kind, **columns})
        _list(connection, table, "features", layer, srs_id)
        connection.execute(
            "INSERT INTO gpkg_geometry_columns VALUES (?, ?, ?, ?, ?, ?)",
            (table.name, table.geometry, kind, srs_id, int(layer.has_z), int(layer.has_m)),
        )
    else:
        _create(connection, table, columns)
        _list(connection, table, "attributes", layer, None)


def create_attachment_table(
    connection: sqlite3.Connection, layer: LayerSchema, table: LayerTable
) -> None:
    """Make the table for the attachments of a layer's features and list it."""
    columns = {c.name: SQL_TYPES[c.type] for c in table.columns}
    _create(connection, table, columns | dict.fromkeys(table.noted, "BLOB"))
    create_key_index(connection, table, "REL_GLOBALID")
    _list(connection, table, "attributes", layer, None)


def create_key_index(connection: sqlite3.Connection, table: LayerTable, column: str) -> None:
    """Let rows be found by a key that is not their own, as related rows and attachments are."""
    if column == table.global_id:
        return  # unique, so indexed already
    columns = [c.name for c in table.columns]
    name = f"fieldsync_{table.number}_key_{columns.index(column)}"
    connection.execute(
        f"CREATE INDEX IF NOT EXISTS {quote(name)} ON {quote(table.name)} ({quote(column)})"
    )


def drop_key_indexes(connection: sqlite3.Connection, table: LayerTable) -> None:
    """Drop the indexes that :func:`create_key_index` made."""
    found = connection.execute(
        "SELECT name FROM sqlite_schema WHERE type = 'index' AND name GLOB ?",
        (f"fieldsync_{table.number}_key_*",),
    ).fetchall()
    for (name,) in found:
        connection.execute(f"DROP INDEX {quote(name)}")


def set_extent(connection: sqlite3.Connection, table: LayerTable, extent: Envelope) -> None:
    """List ``extent`` as that of ``table``: what other programs show at first."""
    connection.execute(
        "UPDATE gpkg_contents SET min_x = ?, min_y = ?, max_x = ?, max_y = ? WHERE table_name = ?",
        (extent.xmin, extent.ymin, extent.xmax, extent.ymax, table.name),
    )


def widen_extent(connection: sqlite3.Connection, table: LayerTable, extent: Envelope) -> None:
    """Let the listed extent hold ``extent`` too, and note that the table was changed now."""
    connection.execute(
        "UPDATE gpkg_contents SET min_x = min(?1, coalesce(min_x, ?1)), "
        "min_y = min(?2, coalesce(min_y, ?2)), max_x = max(?3, coalesce(max_x, ?3)), "
        "max_y = max(?4, coalesce(max_y, ?4)), "
        "last_change = strftime('%Y-%m-%dT%H:%M:%fZ','now') WHERE table_name = ?5",
        (extent.xmin, extent.ymin, extent.xmax, extent.ymax, table.name),
    )


def _create(connection: sqlite3.Connection, table: LayerTable, columns: dict[str, str]) -> None:
    # The geometry second: GDAL takes that for granted and, when a person alters a field, writes
    # the table's SQL in that order over the one that the rows were stored in. And UNIQUE inline,
    # without a default: an index of its own, or an expression as default, is damaged likewise.
    kinds = {table.global_id: "TEXT UNIQUE", **columns}
    if table.geometry is not None:
        kinds = {table.geometry: kinds[table.geometry], **kinds}
    lines = [f"{quote(table.key)} INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL"]
    lines += [f"{quote(name)} {kind}" for name, kind in kinds.items()]
    connection.execute(f"CREATE TABLE {quote(table.name)} ({', '.join(lines)})")


def _list(
    connection: sqlite3.Connection,
    table: LayerTable,
    data_type: str,
    layer: LayerSchema,
    srs_id: int | None,
) -> None:
    description = layer.resource.get("description")
    title = f"{layer.name} attachments" if table.is_attachment else layer.name
    connection.execute(
        "INSERT INTO gpkg_contents (table_name, data_type, identifier, description, srs_id) "
        "VALUES (?, ?, ?, ?, ?)",
        (
            table.name,
            data_type,
            _free_identifier(connection, title, table),
            description if isinstance(description, str) else "",
            srs_id,
        ),
    )


def _free_identifier(connection: sqlite3.Connection, title: str, table: LayerTable) -> str:
    """Identifiers are unique in the file; table names are, so one that is taken gives way."""
    identifier = title.replace("\0", "")
    used: Iterable[tuple[str]] = connection.execute("SELECT identifier FROM gpkg_contents")
    return table.name if (identifier,) in used else identifier


def sql_type(kind: FieldType, length: int) -> str:
    """The declared type of the column for a field."""
    if kind is FieldType.STRING and 0 < length <= _LONGEST_DECLARED:
        return f"TEXT({length})"
    return SQL_TYPES[kind]
