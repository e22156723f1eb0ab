"""Aliases and domains of columns: the schema extension (OGC 12-128r18, annex F.9)."""

import json
import sqlite3
from collections.abc import Iterable

from engine.geodatabase.layer_table import LayerTable
from engine.layer_schema import Domain, Field, LayerSchema

_DEFINITION = "http://www.geopackage.org/spec130/#extension_schema"
_TABLES = {
    "gpkg_data_columns": (
        "(table_name TEXT NOT NULL, column_name TEXT NOT NULL, name TEXT, title TEXT, "
        "description TEXT, mime_type TEXT, constraint_name TEXT, "
        "CONSTRAINT pk_gdc PRIMARY KEY (table_name, column_name), "
        "CONSTRAINT gdc_tn UNIQUE (table_name, name))"
    ),
    "gpkg_data_column_constraints": (
        "(constraint_name TEXT NOT NULL, constraint_type TEXT NOT NULL, value TEXT, min NUMERIC, "
        "min_is_inclusive BOOLEAN, max NUMERIC, max_is_inclusive BOOLEAN, description TEXT, "
        "CONSTRAINT gdcc_ntv UNIQUE (constraint_name, constraint_type, value))"
    ),
}


def create_column_tables(connection: sqlite3.Connection) -> None:
    """Make the tables of the schema extension and declare it."""
    for name, columns in _TABLES.items():
        connection.execute(f"CREATE TABLE {name} {columns}")
        connection.execute(
            "INSERT INTO gpkg_extensions VALUES (?, NULL, 'gpkg_schema', ?, 'read-write')",
            (name, _DEFINITION),
        )


def describe_columns(connection: sqlite3.Connection, layer: LayerSchema, table: LayerTable) -> None:
    """Give the columns of ``table`` the aliases and domains of the layer's fields, instead of what
    they had. Columns that another program added keep theirs."""
    stored = {table.global_id, *(c.name for c in table.columns)}
    present = {
        name
        for (name,) in connection.execute("SELECT name FROM pragma_table_info(?)", (table.name,))
    }
    names: set[str] = set()
    former: set[str] = set()
    for name, column, constraint in connection.execute(
        "SELECT name, column_name, constraint_name FROM gpkg_data_columns WHERE table_name = ?",
        (table.name,),
    ).fetchall():
        if column in stored or column not in present:
            former.add(constraint)
            connection.execute(
                "DELETE FROM gpkg_data_columns WHERE table_name = ? AND column_name = ?",
                (table.name, column),
            )
        else:
            names.add(name)
    for field in layer.fields:
        column = table.field_column(field.name)
        if column is None:
            continue
        name = field.alias if field.alias not in names else f"{field.alias} ({field.name})"
        names.add(name)
        constraint = None if field.domain is None else _constraint(connection, field.domain)
        connection.execute(
            "INSERT INTO gpkg_data_columns VALUES (?, ?, ?, ?, ?, NULL, ?)",
            (table.name, column, name, field.alias, _description(field), constraint),
        )
    connection.executemany(
        "DELETE FROM gpkg_data_column_constraints WHERE constraint_name = ?1 AND NOT EXISTS "
        "(SELECT 1 FROM gpkg_data_columns WHERE constraint_name = ?1)",
        [(constraint,) for constraint in former],
    )


def _description(field: Field) -> str | None:
    notes = []
    if not field.editable:
        notes.append("set by the service")
    if not field.nullable:
        notes.append("needs a value")
    return ", ".join(notes) or None


def _constraint(connection: sqlite3.Connection, domain: Domain) -> str | None:
    """The name of the constraint for ``domain``; equal domains share one. None if it allows all."""
    rows = list(_rows(domain))
    if not rows:
        return None
    wanted = domain.name or "domain"
    name, number = wanted, 1
    while True:
        found = connection.execute(
            "SELECT constraint_type, value, min, min_is_inclusive, max, max_is_inclusive, "
            "description FROM gpkg_data_column_constraints WHERE constraint_name = ? "
            "ORDER BY rowid",
            (name,),
        ).fetchall()
        if found == rows:
            return name
        if not found:
            break
        number += 1
        name = f"{wanted} {number}"
    connection.executemany(
        "INSERT INTO gpkg_data_column_constraints VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        [(name, *row) for row in rows],
    )
    return name


_ConstraintRow = tuple[
    str, str | None, float | None, int | None, float | None, int | None, str | None
]


def _rows(domain: Domain) -> Iterable[_ConstraintRow]:
    if domain.range is not None:
        low, high = domain.range
        if low < high:
            yield ("range", None, low, 1, high, 1, domain.description)
        else:  # the extension wants min < max; a range of one value is an enumeration
            yield ("enum", code_text(low), None, None, None, None, domain.description)
    texts: set[str] = set()
    for code, name in domain.codes:
        text = code_text(code)
        if text not in texts:
            texts.add(text)
            yield ("enum", text, None, None, None, None, name)


def code_text(code: object) -> str:
    """A domain's code as the text that the extension keeps."""
    if isinstance(code, str):
        return code
    if isinstance(code, float) and code.is_integer():
        code = int(code)
    return json.dumps(code)
