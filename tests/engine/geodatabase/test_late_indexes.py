"""A table that was filled without its indexes is the same as one that had them all the time."""

import random
import sqlite3
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.geodatabase.catalog import stored_layers
from engine.geodatabase.geopackage import create_geopackage, insert_rows, load
from engine.geodatabase.late_indexes import late_indexes
from engine.geodatabase.layer_table import LayerTable
from engine.geodatabase.replica import Replica
from native.geometry import esri_json_to_gpkg, register_functions
from tests.engine.geodatabase.schemas import field, layer, service

COLUMN = field("note", "esriFieldTypeString")


@pytest.fixture
def factory() -> type[sqlite3.Connection]:
    return sqlite3.Connection


@pytest.fixture
def connection(tmp_path: Path, factory: type[sqlite3.Connection]) -> Iterator[sqlite3.Connection]:
    """A geodatabase of a table without geometry that nothing was loaded into, in a transaction."""
    connection = sqlite3.connect(tmp_path / "x.gpkg", isolation_level=None, factory=factory)
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("BEGIN")
    create_geopackage(connection, service(), [layer(0, "Trees", None, fields=[COLUMN])], Replica())
    connection.execute("CREATE INDEX by_note ON Trees (note)")
    connection.execute("COMMIT")
    connection.execute("BEGIN")
    yield connection
    connection.close()


def table_of(connection: sqlite3.Connection) -> LayerTable:
    (stored,) = stored_layers(connection)
    return stored.features.table


def schema(connection: sqlite3.Connection) -> list[tuple[str, ...]]:
    found = connection.execute(
        "SELECT type, name, tbl_name, sql FROM sqlite_schema WHERE tbl_name = 'Trees' ORDER BY 2"
    )
    return found.fetchall()


def guids(count: int) -> list[str]:
    numbers = [f"{{{number:08X}-0000-4000-8000-000000000000}}" for number in range(count)]
    random.Random(count).shuffle(numbers)
    return numbers


def insert(connection: sqlite3.Connection, keys: list[str], note: str = "x") -> None:
    insert_rows(connection, table_of(connection), [(key, None, note) for key in keys])


def test_a_file_filled_without_indexes_is_as_one_filled_with_them(
    connection: sqlite3.Connection, tmp_path: Path
) -> None:
    before = schema(connection)

    load(connection, lambda c: insert(c, guids(3000)))
    connection.execute("COMMIT")

    assert [row for row in schema(connection) if row[0] != "trigger"] == before
    other = sqlite3.connect(tmp_path / "x.gpkg")
    assert other.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    plan = other.execute("EXPLAIN QUERY PLAN SELECT * FROM Trees WHERE GlobalID = 'x'").fetchall()
    assert "sqlite_autoindex_Trees_1" in plan[0][3]
    with pytest.raises(sqlite3.IntegrityError, match=r"UNIQUE constraint failed: Trees\.GlobalID"):
        other.execute("INSERT INTO Trees (GlobalID) VALUES (?)", (guids(1)[0],))
    other.execute("DELETE FROM Trees WHERE fid % 2")
    other.execute(
        "INSERT INTO Trees (GlobalID, note) VALUES (?, 'y') "
        "ON CONFLICT (GlobalID) DO UPDATE SET note = excluded.note",
        (guids(1)[0],),
    )
    assert other.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    other.close()


def test_inside_there_is_no_index(connection: sqlite3.Connection) -> None:
    with late_indexes(connection, [table_of(connection)]):
        indexes = connection.execute("SELECT name FROM pragma_index_list('Trees')").fetchall()

    assert indexes == []


def test_of_rows_with_one_global_id_the_last_remains(connection: sqlite3.Connection) -> None:
    keys = guids(500)

    def fill(connection: sqlite3.Connection) -> None:
        insert(connection, keys, "first")
        insert(connection, keys[:10], "second")
        insert(connection, keys[:5], "third")

    load(connection, fill)
    connection.execute("COMMIT")

    notes = dict(connection.execute("SELECT GlobalID, note FROM Trees").fetchall())
    assert len(notes) == connection.execute("SELECT count(*) FROM Trees").fetchone()[0] == 500
    assert {notes[key] for key in keys[:5]} == {"third"}
    assert {notes[key] for key in keys[5:10]} == {"second"}
    assert {notes[key] for key in keys[10:]} == {"first"}
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


@pytest.mark.parametrize("fails", ["inside", "afterwards"])
def test_a_rolled_back_load_leaves_the_indexes_as_they_were(
    connection: sqlite3.Connection, fails: str
) -> None:
    before, table = schema(connection), table_of(connection)

    def fill() -> None:
        with late_indexes(connection, [table]):
            insert(connection, guids(50))
            if fails == "inside":
                raise LookupError
        raise LookupError

    with pytest.raises(LookupError):
        fill()
    connection.execute("ROLLBACK")

    assert schema(connection) == before
    assert connection.execute("SELECT count(*) FROM Trees").fetchone() == (0,)
    connection.execute("BEGIN")
    load(connection, lambda c: insert(c, guids(50)))
    connection.execute("COMMIT")
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


class Defensive(sqlite3.Connection):
    """Refuses what SQLITE_DBCONFIG_DEFENSIVE makes SQLite refuse."""

    def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
        if sql.startswith("UPDATE sqlite_schema"):
            raise sqlite3.OperationalError("table sqlite_master may not be modified")
        return super().execute(sql, *parameters)


@pytest.mark.parametrize("factory", [Defensive])
def test_where_the_schema_may_not_be_rewritten_the_unique_index_stays(
    connection: sqlite3.Connection,
) -> None:
    before = schema(connection)

    with late_indexes(connection, [table_of(connection)]):
        inside = schema(connection)
        insert(connection, guids(50))

    assert [row[1] for row in inside if row[0] == "index"] == ["sqlite_autoindex_Trees_1"]
    assert schema(connection) == before


def test_a_table_that_another_program_made_keeps_its_index(
    connection: sqlite3.Connection,
) -> None:
    table = table_of(connection)
    connection.execute("DROP TABLE Trees")
    connection.execute(
        "CREATE TABLE Trees (fid INTEGER PRIMARY KEY, GlobalID VARCHAR UNIQUE, note TEXT)"
    )
    before = schema(connection)

    with late_indexes(connection, [table]):
        assert schema(connection) == before

    assert schema(connection) == before


def test_a_row_of_another_width_is_refused(connection: sqlite3.Connection) -> None:
    rows = [("a", None, "x", "too much"), ("b", None)]

    with pytest.raises(ValueError, match="3 values"):
        insert_rows(connection, table_of(connection), rows)


def test_the_spatial_index_forgets_rows_that_came_again(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "x.gpkg", isolation_level=None)
    register_functions(connection)
    connection.execute("BEGIN")
    create_geopackage(connection, service(), [layer(0, "Trees")], Replica(), spatial_index=True)
    table, keys = table_of(connection), guids(60)

    def fill(connection: sqlite3.Connection) -> None:
        for x in (1.0, 2.0):
            blob = esri_json_to_gpkg(b'{"x":%f,"y":5}' % x, "esriGeometryPoint", 4326, False, False)
            rows = [(key, blob, *[None] * len(table.columns)) for key in keys]
            insert_rows(connection, table, rows, struct.pack("<4d", x, x, 5, 5) * len(rows))

    load(connection, fill)
    connection.execute("COMMIT")

    assert connection.execute("SELECT rtreecheck('rtree_Trees_geom')").fetchone() == ("ok",)
    found = connection.execute("SELECT count(*), min(minx), max(maxx) FROM rtree_Trees_geom")
    assert found.fetchone() == (60, 2.0, 2.0)
    assert connection.execute("SELECT count(*) FROM Trees").fetchone() == (60,)
    extent = connection.execute("SELECT min_x, max_x FROM gpkg_contents WHERE min_x NOTNULL")
    assert extent.fetchone() == (2.0, 2.0)
    connection.close()
