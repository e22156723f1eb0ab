"""The SQL functions of R-tree triggers."""

import sqlite3
from collections.abc import Iterator

import pytest

from native.geometry import esri_json_to_gpkg, register_functions


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:")
    register_functions(connection)
    yield connection
    connection.close()


FUNCTIONS = "ST_IsEmpty(:g), ST_MinX(:g), ST_MaxX(:g), ST_MinY(:g), ST_MaxY(:g)"


def ask(connection: sqlite3.Connection, value: object) -> tuple[object, ...]:
    row: tuple[object, ...] = connection.execute(f"SELECT {FUNCTIONS}", {"g": value}).fetchone()
    return row


def blob(text: bytes, kind: str) -> bytes:
    found = esri_json_to_gpkg(text, kind, 4326, False, False)
    assert found is not None
    return found


def test_bounds(connection: sqlite3.Connection) -> None:
    line = blob(b'{"paths":[[[1,2],[3,-4]]]}', "esriGeometryPolyline")
    point = blob(b'{"x":5,"y":6}', "esriGeometryPoint")

    assert ask(connection, line) == (0, 1.0, 3.0, -4.0, 2.0)
    assert ask(connection, point) == (0, 5.0, 5.0, 6.0, 6.0)


def test_empty_geometry_has_no_bounds(connection: sqlite3.Connection) -> None:
    empty = blob(b'{"x":null}', "esriGeometryPoint")

    assert ask(connection, empty) == (1, None, None, None, None)


@pytest.mark.parametrize("value", [None, 5, "text", b"", b"GP", b"no geometry at all"])
def test_what_is_no_geometry_is_null(connection: sqlite3.Connection, value: object) -> None:
    assert ask(connection, value) == (None,) * 5


def test_functions_may_stand_in_an_index_expression(connection: sqlite3.Connection) -> None:
    connection.execute("CREATE TABLE t (g BLOB)")

    connection.execute("CREATE INDEX i ON t (ST_MinX(g))")  # only for deterministic functions
