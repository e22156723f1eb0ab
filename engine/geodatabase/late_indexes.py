"""Indexes that are made after the rows: sorted at once, instead of searched for every row.

GlobalIDs come in no order, so an index that grows with the rows is read and written all over: with
a million rows that takes more time than all the rest. Indexes of our own are simply made anew. The
one of a UNIQUE column cannot be left out of a table, nor added to it later, and GDAL damages a
table whose UNIQUE column is indexed otherwise. But in the file it is an index like any other: only
its row in ``sqlite_schema`` differs (sqlite.org/fileformat2.html, 2.6), and that can be rewritten
(sqlite.org/pragma.html, "writable_schema").
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from engine.geodatabase.layer_table import LayerTable
from engine.geodatabase.sql import quote


@contextmanager
def late_indexes(connection: sqlite3.Connection, tables: Sequence[LayerTable]) -> Iterator[None]:
    """Let empty tables be without their indexes inside the block. Needs an open transaction.

    Of rows with the same GlobalID the last remains. An error in the block leaves it to the
    transaction's end to bring the indexes back.
    """
    unique = [found for table in tables if (found := _unique(connection, table)) is not None]
    if not _may_rewrite(connection):
        unique = []
    plain = [index for table in tables for index in _plain(connection, table)]
    for table in unique:
        _rewrite(connection, table, table.bare_sql, table.automatic, table.named)
    for index in [*plain, *(table.named for table in unique)]:
        connection.execute(f"DROP INDEX {quote(index.name)}")
    yield
    for table in unique:
        _index_last(connection, table)
        _rewrite(connection, table, table.sql, table.named, table.automatic)
    for index in plain:
        connection.execute(str(index.sql))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Index:
    name: str
    sql: str | None
    """None for the index of a UNIQUE column."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _UniqueTable:
    """A table's SQL with UNIQUE and without, and its index in the form that goes with each."""

    table: LayerTable
    sql: str
    bare_sql: str
    automatic: _Index
    named: _Index


def _unique(connection: sqlite3.Connection, table: LayerTable) -> _UniqueTable | None:
    """None if the table is not as the engine makes it."""
    column = quote(table.global_id)
    (sql,) = connection.execute(
        "SELECT sql FROM sqlite_schema WHERE type = 'table' AND name = ?", (table.name,)
    ).fetchone()
    bare_sql = sql.replace(f"{column} TEXT UNIQUE", f"{column} TEXT", 1)
    automatic = connection.execute(
        "SELECT name FROM pragma_index_list(?) WHERE origin = 'u'", (table.name,)
    ).fetchall()
    if bare_sql == sql or len(automatic) != 1:
        return None
    name = f"fieldsync_{table.number}_unique"
    named = f"CREATE UNIQUE INDEX {quote(name)} ON {quote(table.name)} ({column})"
    return _UniqueTable(
        table=table,
        sql=sql,
        bare_sql=bare_sql,
        automatic=_Index(name=automatic[0][0], sql=None),
        named=_Index(name=name, sql=named),
    )


def _plain(connection: sqlite3.Connection, table: LayerTable) -> list[_Index]:
    found = connection.execute(
        "SELECT name, sql FROM sqlite_schema"
        " WHERE type = 'index' AND tbl_name = ? COLLATE NOCASE AND sql NOTNULL",
        (table.name,),
    )
    return [_Index(name=name, sql=sql) for name, sql in found]


def _may_rewrite(connection: sqlite3.Connection) -> bool:
    """False where SQLite was built to guard its schema against everybody."""
    connection.execute("PRAGMA writable_schema = ON")
    try:
        connection.execute("UPDATE sqlite_schema SET sql = sql WHERE 0")
    except sqlite3.DatabaseError:
        return False
    finally:
        connection.execute("PRAGMA writable_schema = OFF")
    return True


def _rewrite(
    connection: sqlite3.Connection, unique: _UniqueTable, sql: str, old: _Index, new: _Index
) -> None:
    """Exchange the SQL of a table and the form of its index; the index itself stays as it is."""
    name = unique.table.name
    connection.execute("PRAGMA writable_schema = ON")
    connection.execute(
        "UPDATE sqlite_schema SET sql = ? WHERE type = 'table' AND name = ?", (sql, name)
    )
    connection.execute(
        "UPDATE sqlite_schema SET name = ?, sql = ? WHERE type = 'index' AND name = ?",
        (new.name, new.sql, old.name),
    )
    connection.execute("PRAGMA writable_schema = RESET")  # off, and the schema is read again


def _index_last(connection: sqlite3.Connection, unique: _UniqueTable) -> None:
    try:
        connection.execute(str(unique.named.sql))
    except sqlite3.IntegrityError:
        table = unique.table
        name, key, gid = quote(table.name), quote(table.key), quote(table.global_id)
        connection.execute(
            f"DELETE FROM {name} WHERE {gid} NOTNULL"
            f" AND {key} NOT IN (SELECT max({key}) FROM {name} GROUP BY {gid})"
        )
        connection.execute(str(unique.named.sql))
