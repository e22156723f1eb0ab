"""The connection keeps its word: transactions whole, whoever cancels, kills or writes beside."""

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path

import pytest

from engine.errors import (
    EditRefusedError,
    GeodatabaseBusyError,
    GeodatabaseError,
    NotAGeodatabaseError,
    StorageFullError,
    TransactionNotStartedError,
    TransactionOpenError,
)
from engine.geodatabase import connection as module
from engine.geodatabase.connection import Database


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    async with await Database.open(tmp_path / "a b%?#.gpkg", create=True) as database:
        await database.use_wal()
        await database.write(_create)
        yield database


def _create(connection: sqlite3.Connection) -> None:
    connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT UNIQUE)")


def _insert(connection: sqlite3.Connection, *values: str) -> int:
    connection.executemany("INSERT INTO t (v) VALUES (?)", [(v,) for v in values])
    return len(values)


def _values(connection: sqlite3.Connection) -> list[str]:
    return [v for (v,) in connection.execute("SELECT v FROM t ORDER BY id")]


def _fail_after_insert(connection: sqlite3.Connection) -> None:
    _insert(connection, "lost")
    raise LookupError("on purpose")


def _foreign(database: Database, timeout_s: float = 0) -> sqlite3.Connection:
    return sqlite3.connect(database.path, isolation_level=None, timeout=timeout_s)


class _Gate:
    """Work that waits in its thread until the test opens the gate."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.may_go = threading.Event()

    def insert(self, connection: sqlite3.Connection, value: str) -> None:
        _insert(connection, value)
        self.entered.set()
        assert self.may_go.wait(20)

    async def until_entered(self) -> None:
        assert await asyncio.to_thread(self.entered.wait, 20)


async def test_write_is_kept_and_read_returns_values(database: Database) -> None:
    assert await database.write(_insert, "a", "b") == 2

    assert await database.read(_values) == ["a", "b"]


async def test_write_that_fails_leaves_nothing(database: Database) -> None:
    with pytest.raises(LookupError):
        await database.write(_fail_after_insert)

    assert await database.read(_values) == []
    with _foreign(database) as other:
        other.execute("INSERT INTO t (v) VALUES ('free')")


async def test_settings_are_as_promised(database: Database) -> None:
    def settings(connection: sqlite3.Connection) -> dict[str, object]:
        names = ("foreign_keys", "journal_mode", "synchronous", "temp_store", "cache_size")
        return {n: connection.execute(f"PRAGMA {n}").fetchone()[0] for n in names}

    assert await database.read(settings) == {
        "foreign_keys": 1,
        "journal_mode": "wal",
        "synchronous": 2,
        "temp_store": 1,
        "cache_size": -1500,
    }


async def test_cancelled_write_is_whole_and_leaves_no_transaction(database: Database) -> None:
    gate = _Gate()
    task = asyncio.create_task(database.write(gate.insert, "whole"))
    await gate.until_entered()

    task.cancel()
    task.cancel()
    await asyncio.sleep(0)
    assert not task.done()
    gate.may_go.set()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert await database.read(_values) == ["whole"]
    with _foreign(database) as other:
        other.execute("INSERT INTO t (v) VALUES ('free')")


async def test_cancelled_read_is_interrupted(database: Database) -> None:
    started = threading.Event()

    def start() -> int:
        started.set()
        return 1

    def endless(connection: sqlite3.Connection) -> None:
        connection.create_function("started", 0, start)
        connection.execute(
            "WITH RECURSIVE n(i) AS (SELECT started() UNION ALL SELECT i + 1 FROM n) "
            "SELECT count(*) FROM n"
        ).fetchone()

    task = asyncio.create_task(database.read(endless))
    assert await asyncio.to_thread(started.wait, 20)
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    await database.write(_insert, "free")


async def _cancelled_after(steps: int, work: Callable[[], Coroutine[None, None, None]]) -> bool:
    """Cancel ``work()`` at its ``steps``-th turn of the loop; False if it ended before."""
    task = asyncio.create_task(work())
    for _ in range(steps):
        await asyncio.sleep(0)
    if task.done():
        await task
        return False
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    return True


async def test_cancelling_at_any_turn_leaves_no_open_transaction(database: Database) -> None:
    async def whole_life() -> None:
        await database.write(_insert, os.urandom(8).hex())
        await database.begin()
        try:
            await database.write(_insert, os.urandom(8).hex(), joining=True)
            await database.commit()
        finally:
            if database.is_in_transaction:
                await database.rollback()
        await database.read(_values)

    steps = 0
    other = _foreign(database)
    while await _cancelled_after(steps, whole_life) or steps < 20:
        assert not database.is_in_transaction
        other.execute("BEGIN IMMEDIATE")
        other.execute("ROLLBACK")
        steps += 1
    other.close()

    assert steps >= 20


async def test_transaction_is_seen_by_its_own_work_only_until_committed(
    database: Database,
) -> None:
    await database.begin()
    await database.write(_insert, "mine", joining=True)
    other = _foreign(database)

    assert database.is_in_transaction
    assert await database.read(_values, joining=True) == ["mine"]
    assert _values(other) == []
    await database.commit()

    assert _values(other) == ["mine"]
    other.close()


async def test_failing_step_of_a_transaction_undoes_that_step_only(database: Database) -> None:
    await database.begin()
    await database.write(_insert, "first", joining=True)
    with pytest.raises(LookupError):
        await database.write(_fail_after_insert, joining=True)
    await database.commit()

    assert await database.read(_values) == ["first"]


async def test_rollback_undoes_the_transaction(database: Database) -> None:
    await database.begin()
    await database.write(_insert, "gone", joining=True)
    await database.rollback()

    assert await database.read(_values) == []


async def test_transaction_calls_out_of_order_are_refused(database: Database) -> None:
    with pytest.raises(TransactionNotStartedError):
        await database.commit()
    with pytest.raises(TransactionNotStartedError):
        await database.rollback()
    await database.begin()
    with pytest.raises(TransactionOpenError):
        await database.begin()
    await database.rollback()


async def test_engine_waits_for_the_callers_transaction(database: Database) -> None:
    await database.begin()
    await database.write(_insert, "uncommitted", joining=True)

    reading = asyncio.create_task(database.read(_values))
    writing = asyncio.create_task(database.write(_insert, "engine"))
    await asyncio.sleep(0)
    assert not reading.done()
    await database.rollback()

    assert "uncommitted" not in await reading
    await writing
    assert await database.read(_values) == ["engine"]


async def test_engine_gives_up_on_a_transaction_that_stays_open(tmp_path: Path) -> None:
    path = tmp_path / "t.gpkg"
    async with await Database.open(path, create=True, busy_timeout_s=0.01) as database:
        await database.begin()
        with pytest.raises(GeodatabaseBusyError, match="still open"):
            await database.write(_create)


async def test_closing_rolls_an_open_transaction_back(database: Database) -> None:
    await database.begin()
    await database.write(_insert, "gone", joining=True)
    await database.close()
    await database.close()

    with _foreign(database) as other:
        assert _values(other) == []
    with pytest.raises(GeodatabaseError, match="closed"):
        await database.read(_values)


async def test_another_writer_is_waited_for_and_then_named(tmp_path: Path) -> None:
    path = tmp_path / "t.gpkg"
    async with await Database.open(path, create=True, busy_timeout_s=0.05) as database:
        await database.use_wal()
        await database.write(_create)
        other = _foreign(database)
        other.execute("BEGIN IMMEDIATE")

        with pytest.raises(GeodatabaseBusyError, match="another program is writing"):
            await database.write(_insert, "late")
        with pytest.raises(GeodatabaseBusyError):
            await database.begin()
        assert not database.is_in_transaction
        other.execute("ROLLBACK")
        other.close()

        await database.write(_insert, "late")


async def test_two_connections_take_turns(database: Database) -> None:
    async with await Database.open(database.path) as second:
        await asyncio.gather(
            *(one.write(_insert, f"{n}{i}") for i in range(50) for n, one in
              (("a", database), ("b", second)))
        )  # fmt: skip

        assert len(await second.read(_values)) == 100


async def test_full_disk_is_named_and_leaves_no_transaction(database: Database) -> None:
    def limit(connection: sqlite3.Connection, pages: int) -> None:
        connection.execute(f"PRAGMA max_page_count={pages}")

    await database.read(limit, 5)
    with pytest.raises(StorageFullError):
        await database.write(_insert, *("x" * 4000 + str(i) for i in range(100)))
    await database.begin()
    with pytest.raises(StorageFullError):
        await database.write(_insert, *("x" * 4000 + str(i) for i in range(100)), joining=True)
    if database.is_in_transaction:
        await database.rollback()
    await database.read(limit, 100000)

    assert await database.read(_values) == []


async def test_sentence_of_a_trigger_becomes_a_refused_edit(database: Database) -> None:
    def trigger(connection: sqlite3.Connection) -> None:
        connection.execute(
            "CREATE TRIGGER no BEFORE DELETE ON t BEGIN "
            "SELECT RAISE(ABORT, 'Rows of t cannot be deleted'); END"
        )

    def delete(connection: sqlite3.Connection) -> None:
        connection.execute("DELETE FROM t")

    await database.write(trigger)
    await database.write(_insert, "stays")

    with pytest.raises(EditRefusedError, match=r"^Rows of t cannot be deleted$"):
        await database.write(delete)


@pytest.mark.parametrize("content", [b"", b"not a database at all, just some text" * 40])
async def test_files_that_are_no_database_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.gpkg"
    path.write_bytes(content)

    if content:
        with pytest.raises(NotAGeodatabaseError, match="is no GeoPackage"):
            await Database.open(path)
        assert path.read_bytes() == content
    with pytest.raises(GeodatabaseError, match="already exists"):
        await Database.open(path, create=True)


async def test_missing_file_is_refused_and_not_made(tmp_path: Path) -> None:
    with pytest.raises(NotAGeodatabaseError, match="there is no geodatabase"):
        await Database.open(tmp_path / "none.gpkg")

    assert list(tmp_path.iterdir()) == []


async def test_text_that_is_no_unicode_does_not_hide_its_row(database: Database) -> None:
    def insert(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO t (v) VALUES (CAST(x'66fc72' AS TEXT))")

    await database.write(insert)

    assert await database.read(_values) == ["f\udcfcr"]


async def test_checkpoint_empties_the_log(database: Database) -> None:
    await database.write(_insert, "a")

    assert await database.checkpoint() == []
    assert database.path.with_name(database.path.name + "-wal").stat().st_size == 0


async def test_checkpoint_warns_of_readers_and_of_a_large_log(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WAL_WARNING_BYTES", 1)
    other = _foreign(database)
    other.execute("BEGIN")
    _values(other)
    await database.write(_insert, "a")

    busy, large = await database.checkpoint()
    other.close()

    assert "keeps the write-ahead log" in busy
    assert "the write-ahead log has" in large


_KILLED = """
import asyncio, os, signal, sys
from pathlib import Path
from engine.geodatabase.connection import Database

def die(connection):
    connection.execute("INSERT INTO t (v) VALUES ('half')")
    os.kill(os.getpid(), signal.SIGKILL)

async def main():
    database = await Database.open(Path(sys.argv[1]))
    await database.write(lambda c: c.execute("INSERT INTO t (v) VALUES ('kept')").lastrowid)
    if sys.argv[2] == "write":
        await database.write(die)
    await database.begin()
    await database.write(die, joining=True)

asyncio.run(main())
"""


@pytest.mark.parametrize("where", ["write", "transaction"])
async def test_process_killed_inside_a_transaction_leaves_what_was_committed(
    database: Database, where: str
) -> None:
    root = Path(__file__).parents[3]
    process = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", _KILLED, str(database.path), where],
        cwd=root,
        check=False,
        timeout=30,
    )

    assert process.returncode == -signal.SIGKILL
    assert await database.read(_values) == ["kept"]
    await database.write(_insert, "free")


async def test_cancelling_the_opening_at_any_turn_leaves_nothing_behind(
    database: Database,
) -> None:
    async def open_and_close() -> None:
        async with await Database.open(database.path) as second:
            await second.read(_values)

    steps = 0
    while await _cancelled_after(steps, open_and_close) or steps < 20:
        steps += 1

    assert steps >= 20


async def test_staging_takes_nobodys_lock(database: Database) -> None:
    def fill(connection: sqlite3.Connection) -> int:
        connection.execute("CREATE TEMP TABLE staged (v)")
        connection.execute("INSERT INTO staged VALUES ('x')")
        return _counted(connection)

    other = _foreign(database)
    other.execute("BEGIN IMMEDIATE")
    other.execute("INSERT INTO t (v) VALUES ('foreign')")

    assert await database.stage(fill) == 0

    other.execute("COMMIT")
    other.close()
    assert await database.stage(_counted) == 1


def _counted(connection: sqlite3.Connection) -> int:
    """Rows of ``t``, while the staged row is there."""
    assert connection.execute("SELECT v FROM staged").fetchall() == [("x",)]
    return len(_values(connection))


async def test_work_that_runs_out_of_an_iterator_ends_with_an_error(database: Database) -> None:
    def next_of_none(connection: sqlite3.Connection) -> int:
        found: list[int] = []
        return next(number for number in found)

    with pytest.raises(RuntimeError):
        await asyncio.wait_for(database.read(next_of_none), 20)
