"""The R-tree index of a feature table (OGC 12-128r18, annex F.3, version 1.3).

Its triggers call ``ST_`` functions, which a plain SQLite connection lacks: a writer without them
cannot change the table any more. Editable layers therefore have an index only when asked for.
"""

import sqlite3
from collections.abc import Iterator

from engine.geodatabase.layer_table import LayerTable
from engine.geodatabase.packed_tree import PackedTree
from engine.geodatabase.sql import quote
from native.errors import GeometryError
from native.geometry import envelope
from native.rtree import Bounds

_DEFINITION = "http://www.geopackage.org/spec130/#extension_rtree"


def note_bounds(connection: sqlite3.Connection, table: LayerTable, bounds: bytes) -> None:
    """Keep the bounds of the next rows until the table is indexed: that saves reading them again.

    Four doubles a row, minx, maxx, miny, maxy, in the order of the keys; NaN without a place.
    """
    _tree(connection, table).add(bounds)


def index_rows(
    connection: sqlite3.Connection, table: LayerTable, *, is_indexed: bool
) -> Bounds | None:
    """What holds the rows that are there: minx, maxx, miny, maxy; None without any place.

    With ``is_indexed`` they get an index, which from now on follows their edits. Needs an open
    transaction.
    """
    if table.geometry is None:
        raise ValueError(f"{table.name} has no geometry to index")
    tree = _tree(connection, table)
    # Bounds that were noted stand for the rows 1, 2, 3 …: that must be all that there are.
    noted = tree.count()
    key = quote(table.key)
    there = connection.execute(
        f"SELECT count(*), coalesce(max({key}), 0) FROM {quote(table.name)}"
    ).fetchone()
    if there != (noted, noted):
        tree.forget()
        tree = _tree(connection, table)
        tree.add_keyed(envelopes(connection, table))
    bounds = tree.bounds()
    if is_indexed:
        tree.build(_index_name(table))
        for statement in _trigger_sql(table.geometry, table):
            connection.execute(statement)
        connection.execute(
            "INSERT INTO gpkg_extensions VALUES (?, ?, 'gpkg_rtree_index', ?, 'write-only')",
            (table.name, table.geometry, _DEFINITION),
        )
    tree.forget()
    return bounds


def envelopes(
    connection: sqlite3.Connection, table: LayerTable
) -> Iterator[tuple[int, float, float, float, float]]:
    """The key, minx, maxx, miny and maxy of every row that has a place."""
    shape = quote(str(table.geometry))
    rows = connection.execute(
        f"SELECT {quote(table.key)}, {shape} FROM {quote(table.name)} WHERE {shape} NOTNULL"
    )
    for key, blob in rows:
        try:
            bounds = envelope(blob)
        except (GeometryError, TypeError):  # another program's rubbish has no place
            continue
        if bounds is not None:
            yield (key, *bounds)


def drop_index(connection: sqlite3.Connection, table: LayerTable) -> None:
    """Take the index away, so that any program can write to the table."""
    if table.geometry is None or not has_index(connection, table):
        return
    prefix = _index_name(table)
    triggers = connection.execute(
        "SELECT name FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = ? "
        "AND substr(name, 1, ?) = ?",
        (table.name, len(prefix) + 1, f"{prefix}_"),
    ).fetchall()
    for (name,) in triggers:
        connection.execute(f"DROP TRIGGER {quote(name)}")
    connection.execute(f"DROP TABLE {quote(prefix)}")
    connection.execute(
        "DELETE FROM gpkg_extensions WHERE table_name = ? AND extension_name = 'gpkg_rtree_index'",
        (table.name,),
    )


def has_index(connection: sqlite3.Connection, table: LayerTable) -> bool:
    """True if the table's geometries are indexed."""
    if table.geometry is None:
        return False
    found = connection.execute(
        "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?", (_index_name(table),)
    )
    return found.fetchone() is not None


def _tree(connection: sqlite3.Connection, table: LayerTable) -> PackedTree:
    return PackedTree(connection, f"fieldsync_bounds_{table.number}")


def _index_name(table: LayerTable) -> str:
    return f"rtree_{table.name}_{table.geometry}"


def _trigger_sql(geometry: str, table: LayerTable) -> list[str]:
    prefix, name = _index_name(table), quote(table.name)
    index, key, shape = quote(prefix), quote(table.key), quote(geometry)
    has_shape = f"(NEW.{shape} NOTNULL AND NOT ST_IsEmpty(NEW.{shape}))"
    no_shape = f"(NEW.{shape} ISNULL OR ST_IsEmpty(NEW.{shape}))"
    same, moved = f"OLD.{key} = NEW.{key}", f"OLD.{key} != NEW.{key}"
    put = (
        f"INSERT OR REPLACE INTO {index} VALUES (NEW.{key}, ST_MinX(NEW.{shape}), "
        f"ST_MaxX(NEW.{shape}), ST_MinY(NEW.{shape}), ST_MaxY(NEW.{shape}));"
    )
    drop = f"DELETE FROM {index} WHERE id = OLD.{key};"
    drop_both = f"DELETE FROM {index} WHERE id IN (OLD.{key}, NEW.{key});"
    triggers = (
        ("insert", f"AFTER INSERT ON {name} WHEN {has_shape}", put),
        ("update1", f"AFTER UPDATE OF {shape} ON {name} WHEN {same} AND {has_shape}", put),
        ("update2", f"AFTER UPDATE OF {shape} ON {name} WHEN {same} AND {no_shape}", drop),
        ("update3", f"AFTER UPDATE ON {name} WHEN {moved} AND {has_shape}", f"{drop} {put}"),
        ("update4", f"AFTER UPDATE ON {name} WHEN {moved} AND {no_shape}", drop_both),
        ("delete", f"AFTER DELETE ON {name} WHEN OLD.{shape} NOTNULL", drop),
    )
    return [
        f"CREATE TRIGGER {quote(f'{prefix}_{suffix}')} {event} BEGIN {body} END"
        for suffix, event, body in triggers
    ]
