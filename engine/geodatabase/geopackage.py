"""A GeoPackage 1.3 for the layers of one feature service (OGC 12-128r18).

It is made in two transactions. :func:`create_geopackage` makes everything but the rows. Then
:func:`load` fills the tables, and only after that come the indexes and the triggers of the change
log, which is several times faster than loading through them.
"""

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain, islice

from engine.errors import BadParameterError, NotAGeodatabaseError
from engine.geodatabase import bookkeeping, catalog
from engine.geodatabase.arming import arm
from engine.geodatabase.bulk_insert import insert_many
from engine.geodatabase.catalog import Entry
from engine.geodatabase.columns import create_column_tables, describe_columns
from engine.geodatabase.late_indexes import late_indexes
from engine.geodatabase.layer_table import LayerTable, attachment_table, layer_table
from engine.geodatabase.log_schema import sent_table
from engine.geodatabase.permissions import (
    Permissions,
    attachment_permissions,
    layer_permissions,
)
from engine.geodatabase.relations import create_relations, relations
from engine.geodatabase.replica import Replica, create_replica
from engine.geodatabase.spatial_index import index_rows, note_bounds
from engine.geodatabase.spatial_reference import add_reference, create_reference_table
from engine.geodatabase.sql import quote, quoted
from engine.geodatabase.user_tables import (
    create_attachment_table,
    create_contents_tables,
    create_key_index,
    create_user_table,
    set_extent,
)
from engine.layer_schema import LayerSchema, ServiceSchema
from engine.model import Envelope, SpatialReference

APPLICATION_ID = 0x47504B47
"""``GPKG`` in ASCII (OGC 12-128r18, requirement 2)."""

USER_VERSION = 10300
"""GeoPackage 1.3, which GDAL 3.6 and later read without a warning."""

Row = Sequence[int | float | str | bytes | None]
"""Column values in the order of :attr:`LayerTable.row_names`, then those of ``noted``."""

Fill = Callable[[sqlite3.Connection], None]

_ROWS_PER_CALL = 500
_LOADING_CACHE = -600  # kilobytes; SQLite also sorts in that much memory, or in 1 MB if it is less


def create_geopackage(
    connection: sqlite3.Connection,
    service: ServiceSchema,
    layers: Sequence[LayerSchema],
    replica: Replica,
    *,
    permissions: Mapping[int, Permissions] | None = None,
    spatial_reference: SpatialReference | None = None,
    spatial_index: bool = False,
) -> None:
    """Make the tables for ``layers`` inside the open transaction of an empty database.

    ``permissions`` by layer id restrict what the layers themselves allow; ``spatial_reference`` is
    that of the geometries if it is not the layers' own. ``spatial_index`` asks for an index on
    layers that can be edited too.
    """
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {USER_VERSION}")
    create_reference_table(connection)
    create_contents_tables(connection)
    connection.execute(
        "CREATE TABLE gpkg_extensions (table_name TEXT, column_name TEXT, "
        "extension_name TEXT NOT NULL, definition TEXT NOT NULL, scope TEXT NOT NULL, "
        "CONSTRAINT ge_tce UNIQUE (table_name, column_name, extension_name))"
    )
    create_column_tables(connection)
    bookkeeping.create_bookkeeping(connection)
    create_replica(connection, replica, service, {layer.id: layer for layer in layers})
    pairs: list[tuple[LayerSchema, LayerTable]] = []
    attachments: list[tuple[LayerTable, LayerTable]] = []
    names: list[str] = []
    for layer in layers:
        allowed = (permissions or {}).get(layer.id) or layer_permissions(layer, replica)
        table = _layer_table(layer, names)
        names.append(table.name)
        reference = spatial_reference or layer.spatial_reference
        srs_id = add_reference(connection, reference)
        create_user_table(connection, layer, table, srs_id)
        if layer.extent is not None and reference.same_as(layer.spatial_reference):
            set_extent(connection, table, layer.extent)
        describe_columns(connection, layer, table)
        is_read_only = not (allowed.can_create or allowed.can_update or allowed.can_delete)
        is_indexed = table.geometry is not None and (spatial_index or is_read_only)
        catalog.add_entry(
            connection,
            Entry(table=table, permissions=allowed, srs_id=srs_id, is_indexed=is_indexed),
        )
        pairs.append((layer, table))
        if layer.has_attachments:
            attached = attachment_table(table)
            names.append(attached.name)
            create_attachment_table(connection, layer, attached)
            allowed = attachment_permissions(allowed, replica)
            catalog.add_entry(
                connection,
                Entry(table=attached, permissions=allowed, srs_id=srs_id, is_indexed=False),
            )
            attachments.append((table, attached))
    found = relations(pairs)
    for relation in found:
        create_key_index(connection, relation.origin, relation.origin_key)
        create_key_index(connection, relation.destination, relation.destination_key)
    create_relations(connection, found, attachments)
    if not attachments and all(table.geometry is not None for _, table in pairs):
        _create_information_table(connection, service)


def insert_rows(
    connection: sqlite3.Connection,
    table: LayerTable,
    rows: Iterable[Row],
    bounds: bytes | None = None,
) -> int:
    """Insert rows that come from the service; how many they were.

    ``bounds``, if the rows' are known, spare :func:`load` to read the rows again; see
    :func:`note_bounds`.

    Each row has :attr:`LayerTable.row_names`; its GlobalID may not be null. The rows are taken in
    small portions, so an iterator of any length costs no memory.
    """
    width = len(table.row_names)
    target = f"{quote(table.name)} ({quoted(table.row_names)})"
    count = 0
    iterator = iter(rows)
    while portion := list(islice(iterator, _ROWS_PER_CALL)):
        if any(len(row) != width for row in portion):
            raise ValueError(f"a row of {table.name} has {width} values")
        insert_many(connection, target, width, list(chain.from_iterable(portion)))
        count += len(portion)
    if bounds is not None and table.geometry is not None:
        note_bounds(connection, table, bounds)
    return count


def load(connection: sqlite3.Connection, fill: Fill | None = None) -> None:
    """Fill the tables by ``fill(connection)``, then index them and begin to log their edits.

    Runs inside the open transaction; a geodatabase is loaded once.
    """
    entries = catalog.entries(connection)
    if any(entry.is_loaded for entry in entries):
        raise ValueError("the geodatabase is loaded already")
    if fill is not None:
        with _little_cache(connection), late_indexes(connection, [e.table for e in entries]):
            fill(connection)
    with _little_cache(connection):
        _finish(connection, entries)


def _finish(connection: sqlite3.Connection, entries: Sequence[Entry]) -> None:
    for entry in entries:
        if entry.table.geometry is not None:
            bounds = index_rows(connection, entry.table, is_indexed=entry.is_indexed)
            if bounds is not None:
                xmin, xmax, ymin, ymax = bounds
                extent = Envelope(xmin=xmin, ymin=ymin, xmax=xmax, ymax=ymax)
                set_extent(connection, entry.table, extent)
        arm(connection, entry)
        for name in (entry.table.base_table, sent_table(entry.table)):
            bookkeeping.declare(connection, name)


@contextmanager
def _little_cache(connection: sqlite3.Connection) -> Iterator[None]:
    """A load writes each page once and hardly reads one again: it needs no memory for them."""
    (before,) = connection.execute("PRAGMA main.cache_size").fetchone()
    connection.execute(f"PRAGMA main.cache_size = {_LOADING_CACHE}")
    try:
        yield
    finally:
        connection.execute(f"PRAGMA main.cache_size = {before}")


def require_geopackage(connection: sqlite3.Connection) -> None:
    """:exc:`NotAGeodatabaseError` unless the file says that it is a GeoPackage."""
    (application_id,) = connection.execute("PRAGMA application_id").fetchone()
    if application_id != APPLICATION_ID:
        raise NotAGeodatabaseError("the file is an SQLite database, but no GeoPackage")


def _layer_table(layer: LayerSchema, taken: Sequence[str]) -> LayerTable:
    try:
        return layer_table(layer, taken)
    except ValueError as error:
        raise BadParameterError(
            str(error), remedy="Ask the owner of the service to add GlobalIDs to the layer"
        ) from error


def _create_information_table(connection: sqlite3.Connection, service: ServiceSchema) -> None:
    """With no table of the kind ``attributes`` GDAL would list the engine's own as layers."""
    name = "fieldsync_information"
    connection.execute(
        f"CREATE TABLE {name} (fid INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, name TEXT, "
        "value TEXT)"
    )
    connection.executemany(
        f"INSERT INTO {name} (name, value) VALUES (?, ?)",
        [("service", service.name), ("url", service.url)],
    )
    for event in ("INSERT", "UPDATE", "DELETE"):
        connection.execute(
            f"CREATE TRIGGER {name}_{event.lower()} BEFORE {event} ON {name} BEGIN "
            f"SELECT RAISE(ABORT, 'The table {name} is for reading only'); END"
        )
    connection.execute(
        "INSERT INTO gpkg_contents (table_name, data_type, identifier, description) "
        "VALUES (?1, 'attributes', ?1, 'where this map comes from')",
        (name,),
    )
