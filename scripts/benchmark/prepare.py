"""What is laid ready for a measure, in a process of its own too: the parent stays small."""

import sqlite3
from collections.abc import Callable
from pathlib import Path

from scripts.benchmark import data
from scripts.benchmark.edits import plain_copy

_EDITS = 100


def write_replica(*, name: str, count: int, target: str) -> Callable[[], None]:
    """A data set as a replica file."""
    return lambda: data.write_replica(data.data_set(name, count), Path(target))


def write_feature_set(*, name: str, count: int, target: str) -> Callable[[], None]:
    """A data set as a query answers it."""
    return lambda: data.write_feature_set(data.data_set(name, count), Path(target))


def change_rows(*, geodatabase: str) -> Callable[[], None]:
    """Make every row differ from the service's, without an edit of a person."""
    from engine.geodatabase.applying import applying
    from native.geometry import register_functions

    def work() -> None:
        connection = sqlite3.connect(geodatabase, isolation_level=None)
        connection.execute("PRAGMA foreign_keys=ON")
        register_functions(connection)
        connection.execute("BEGIN")
        with applying(connection):
            connection.execute("UPDATE trees SET height = height + 1")
        connection.execute("COMMIT")
        connection.close()

    return work


def edit_geodatabase(*, geodatabase: str, count: int) -> Callable[[], None]:
    """Edit a hundred rows all over the table, as a person would; fewer if it has fewer."""
    from native.geometry import register_functions

    rows = _spread(count)
    updates, deletes = rows[: len(rows) * 9 // 10], rows[len(rows) * 9 // 10 :]

    def work() -> None:
        with sqlite3.connect(geodatabase) as connection:
            connection.execute("PRAGMA foreign_keys=ON")
            register_functions(connection)
            connection.executemany("UPDATE trees SET height = 41.5 WHERE fid = ?", updates)
            connection.executemany("DELETE FROM trees WHERE fid = ?", deletes)
        connection.close()

    return work


def make_plain_pair(*, geodatabase: str, base: str, changed: str) -> Callable[[], None]:
    """What geodiff compares: the trees before and after, each in a plain SQLite file."""

    def work() -> None:
        plain_copy(Path(geodatabase), Path(base))
        plain_copy(Path(geodatabase), Path(changed))
        with sqlite3.connect(changed) as connection:
            (count,) = connection.execute("SELECT max(fid) FROM trees").fetchone()
            connection.executemany("UPDATE trees SET height = 41.5 WHERE fid = ?", _spread(count))
        connection.close()

    return work


def _spread(count: int) -> list[tuple[int]]:
    """Keys of a hundred rows, evenly over the table."""
    step = max(1, count // _EDITS)
    return [(number * step + 1,) for number in range(min(_EDITS, count))]
