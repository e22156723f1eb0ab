"""Rows read from pages are those that SQLite reads; damage costs what it hits and nothing else."""

import random
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from engine.geodatabase.page_file import PageFile
from engine.geodatabase.page_tables import Damage, Value, loose_rows, walk

PAGE = 4096


def filled(path: Path, rows: int, *, journal: str = "delete", seed: int = 1) -> None:
    draw = random.Random(seed)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(f"PRAGMA journal_mode={journal}")
        connection.execute("CREATE TABLE t(id INTEGER PRIMARY KEY, a, b, c, d)")
        connection.execute("BEGIN")
        for _ in range(rows):
            connection.execute(
                "INSERT INTO t(a,b,c,d) VALUES(?,?,?,?)",
                (
                    draw.choice([None, 0, 1, -1, 127, -(2**63), 2**63 - 1, 2**40]),
                    draw.choice([0.5, -1e300, 5e-324, None]),
                    "é" * draw.choice([0, 1, 40, 3000, 20_000]),
                    draw.randbytes(draw.choice([0, 10, 5000, 100_000])),
                ),
            )
        connection.execute("COMMIT")
        connection.execute("ALTER TABLE t ADD COLUMN e")


def read_by_sqlite(path: Path) -> dict[int, list[Value]]:
    with closing(sqlite3.connect(path)) as connection:
        return {row[0]: list(row[1:]) for row in connection.execute("SELECT * FROM t")}


def read_by_pages(path: Path) -> tuple[dict[int, list[Value]], Damage]:
    damage = Damage()
    with PageFile(path) as pages:
        root = next(r.value(3) for r in walk(pages, 1, Damage()) if r.value(0) == "table")
        assert isinstance(root, int)
        rows = {}
        for record in walk(pages, root, damage):
            try:
                rows[record.rowid] = record.values(6)[1:]
            except ValueError as error:
                damage.notes.append(str(error))
        return rows, damage


@pytest.mark.parametrize("rows", [0, 1, 60, 600])
def test_rows_of_a_whole_file_are_those_that_sqlite_reads(tmp_path: Path, rows: int) -> None:
    path = tmp_path / "a.db"
    filled(path, rows)

    found, damage = read_by_pages(path)

    assert found == read_by_sqlite(path)
    assert not damage


def test_rows_that_are_only_in_the_log_are_read_and_uncommitted_ones_are_not(
    tmp_path: Path,
) -> None:
    path = tmp_path / "a.db"
    filled(path, 30, journal="wal")
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA cache_size=1")
        connection.execute("UPDATE t SET a='new' WHERE id=7")
        wanted = read_by_sqlite(path)
        connection.execute("BEGIN")
        connection.execute("UPDATE t SET c=c||'!', d=zeroblob(90000)")
        assert read_by_pages(path)[0] == wanted
        connection.execute("ROLLBACK")


def test_torn_log_counts_up_to_its_last_whole_transaction(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    filled(path, 5, journal="wal")
    wal = path.with_name("a.db-wal")
    copy = tmp_path / "b.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("UPDATE t SET a='first'")
        wanted = read_by_sqlite(path)
        size = wal.stat().st_size
        connection.execute("UPDATE t SET a='second'")
        copy.write_bytes(path.read_bytes())
        torn = bytearray(wal.read_bytes())
    torn[size + 200] ^= 1
    copy.with_name("b.db-wal").write_bytes(torn)

    assert read_by_pages(copy)[0] == wanted


@pytest.mark.parametrize("seed", range(10))
def test_damage_costs_only_what_it_hits(tmp_path: Path, seed: int) -> None:
    draw = random.Random(seed)
    path = tmp_path / "a.db"
    filled(path, 200, seed=seed)
    whole = read_by_sqlite(path)
    content = bytearray(path.read_bytes())
    hit = draw.randrange(2, len(content) // PAGE)
    at = hit * PAGE
    if draw.random() < 0.3:
        del content[at:]
    else:
        content[at : at + PAGE] = draw.choice([bytes(PAGE), draw.randbytes(PAGE)])
    path.write_bytes(content)

    found, damage = read_by_pages(path)

    wrong = [key for key, row in found.items() if whole.get(key) != row]
    assert len(wrong) <= 1  # of a long value only the bytes of the page are wrong
    if len(found) < len(whole):
        assert damage


def test_rows_behind_a_lost_inner_page_are_found_loose(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    filled(path, 600)
    whole = read_by_sqlite(path)
    with PageFile(path) as pages:
        root = next(r.value(3) for r in walk(pages, 1, Damage()) if r.value(0) == "table")
    assert isinstance(root, int)
    content = bytearray(path.read_bytes())
    content[(root - 1) * PAGE : root * PAGE] = bytes(PAGE)
    path.write_bytes(content)

    with PageFile(path) as pages:
        damage = Damage()
        assert list(walk(pages, root, damage)) == []
        assert damage
        found = {r.rowid: r.values(6)[1:] for r in loose_rows(pages, {1}) if len(r) >= 5}

    assert found == whole


def test_rows_of_a_table_without_rowids_are_those_that_sqlite_reads(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    draw = random.Random(1)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE t(a INTEGER, b TEXT, c, PRIMARY KEY(a, b)) WITHOUT ROWID")
        connection.executemany(
            "INSERT INTO t VALUES(?,?,?)",
            [
                (n % 7, f"{{{n:08}}}", draw.randbytes(draw.choice([0, 40, 9000])))
                for n in range(3000)
            ],
        )
        expected = connection.execute("SELECT * FROM t").fetchall()

    damage = Damage()
    with PageFile(path) as pages:
        root = next(r.value(3) for r in walk(pages, 1, Damage()) if r.value(0) == "table")
        assert isinstance(root, int)
        found = [tuple(record.values(3)) for record in walk(pages, root, damage)]

    assert sorted(found) == expected
    assert not damage
