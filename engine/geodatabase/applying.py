"""The engine's own writes: those that the change log must not take for a person's edits."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress


@contextmanager
def applying(connection: sqlite3.Connection) -> Iterator[None]:
    """What is written inside the block is not logged, and not refused.

    Needs an open transaction and ``PRAGMA foreign_keys=ON``. The flag is set and cleared inside
    that transaction, so no other process ever sees it, and a rollback or a power cut takes it back.
    If clearing fails, the latch makes the commit fail (deferred foreign key,
    sqlite.org/foreignkeys.html §4.2). Blocks may be nested.
    """
    if not connection.in_transaction:
        raise RuntimeError("the engine's own writes need an open transaction")
    if not connection.execute("PRAGMA foreign_keys").fetchone()[0]:
        raise RuntimeError("without PRAGMA foreign_keys=ON the latch does not hold")
    (outer,) = connection.execute("SELECT applying FROM fieldsync_state WHERE id=1").fetchone()
    if outer is not None:
        yield
        return
    connection.execute("UPDATE fieldsync_state SET applying=1 WHERE id=1")
    try:
        yield
    except BaseException:
        # SQLite may have rolled back by itself (a full disk); then the flag is gone already.
        if connection.in_transaction:
            with suppress(sqlite3.Error):
                _clear(connection)
        raise
    _clear(connection)


def _clear(connection: sqlite3.Connection) -> None:
    connection.execute("UPDATE fieldsync_state SET applying=NULL WHERE id=1")
