"""The declared type of a column changes, and nothing else of the table."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from engine.geodatabase.column_type import declare_type, with_type

CASES = [
    ("CREATE TABLE t(a SMALLINT, b TEXT)", "CREATE TABLE t(a INTEGER, b TEXT)"),
    ("CREATE TABLE t(b TEXT, a)", "CREATE TABLE t(b TEXT, a INTEGER)"),
    (
        'CREATE TABLE "x(a" ("a" TEXT(20) NOT NULL, b)',
        'CREATE TABLE "x(a" ("a" INTEGER NOT NULL, b)',
    ),
    (
        "CREATE TABLE t(b CHECK (b > a), -- a, (\n [a] DECIMAL(5, 2) DEFAULT 1)",
        "CREATE TABLE t(b CHECK (b > a), -- a, (\n [a] INTEGER DEFAULT 1)",
    ),
    ("CREATE TABLE t(b DEFAULT 'a,a', `A` REAL)", "CREATE TABLE t(b DEFAULT 'a,a', `A` INTEGER)"),
]


@pytest.mark.parametrize(("sql", "wanted"), CASES)
def test_type_when_declared_anew_then_the_rest_of_the_statement_stays(
    sql: str, wanted: str
) -> None:
    assert with_type(sql, "a", "INTEGER") == wanted


def test_type_of_a_column_that_is_not_there_is_refused() -> None:
    assert with_type("CREATE TABLE t(ab TEXT)", "a", "INTEGER") is None


def test_type_when_changed_then_other_connections_see_it_and_their_statements_go_on(
    tmp_path: Path,
) -> None:
    path = tmp_path / "a.db"
    with (
        closing(sqlite3.connect(path, isolation_level=None)) as ours,
        closing(sqlite3.connect(path, isolation_level=None)) as theirs,
    ):
        ours.execute("CREATE TABLE t(id INTEGER PRIMARY KEY, a SMALLINT)")
        insert = "INSERT INTO t(a) VALUES(?)"
        theirs.execute(insert, (5,))

        ours.execute("BEGIN IMMEDIATE")
        assert declare_type(ours, "t", "a", "DOUBLE")
        ours.execute("COMMIT")
        theirs.execute(insert, (7,))

        assert theirs.execute("SELECT type FROM pragma_table_info('t')").fetchall() == [
            ("INTEGER",),
            ("DOUBLE",),
        ]
        assert repr(theirs.execute("SELECT a FROM t").fetchall()) == "[(5.0,), (7.0,)]"
        assert ours.execute("PRAGMA integrity_check").fetchone() == ("ok",)
