"""Attachments whose row has come down and whose data has not: what is still to be fetched.

An entry is written in the transaction that merges the attachment's row or brings it back, and
removed in the one that stores its data, so neither a crash nor a bad link loses a photo.
Functions that write need an open transaction.
"""

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass

from engine.geodatabase.attachments import IS_DATA
from engine.geodatabase.layer_table import LayerTable
from engine.geodatabase.sql import quote

_NAMES = ("number", "gid", "url", "spool_name", "size_bytes", "attempts", "error")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetch:
    """One attachment to fetch, by ``url`` or from the file ``spool_name`` of the spool folder; with
    neither its feature must be asked where it is.

    ``size_bytes`` is what the service said, None if it did not. ``attempts`` have failed so far,
    the last one with ``error``. ``is_changed``: the data may be other than that here in the same
    size; what is in the queue is fetched in any case.
    """

    number: int
    gid: str
    url: str | None
    spool_name: str | None
    size_bytes: int | None
    attempts: int = 0
    error: str | None = None
    is_changed: bool = False


def enqueue(connection: sqlite3.Connection, fetches: Iterable[Fetch]) -> None:
    """Ask for the data of attachments; a newer request replaces an older one."""
    connection.executemany(
        "INSERT OR REPLACE INTO fieldsync_fetch (number, gid, url, spool_name, size_bytes) "
        "VALUES (?, ?, ?, ?, ?)",
        [(f.number, f.gid, f.url, f.spool_name, f.size_bytes) for f in fetches],
    )


def enqueue_if_empty(connection: sqlite3.Connection, table: LayerTable, gid: str) -> None:
    """Ask for the data of an attachment whose row was brought back, if it came without."""
    fetch = if_empty(connection, table, gid)
    if fetch is not None:
        enqueue(connection, [fetch])


def enqueue_anew(connection: sqlite3.Connection, table: LayerTable, gid: str) -> None:
    """Ask for the data of that attachment as the service has it now, whatever its size."""
    enqueue(
        connection,
        [Fetch(number=table.number, gid=gid, url=None, spool_name=None, size_bytes=None)],
    )


def if_empty(connection: sqlite3.Connection, table: LayerTable, gid: str) -> Fetch | None:
    """What to ask for if the row of that attachment is here without data."""
    if not table.noted:
        return None
    found = connection.execute(
        f"SELECT DATA_SIZE FROM {quote(table.name)}"
        f" WHERE {quote(table.global_id)} = ? AND NOT {IS_DATA}",
        (gid,),
    ).fetchone()
    if found is None:
        return None
    return Fetch(number=table.number, gid=gid, url=None, spool_name=None, size_bytes=found[0])


def is_outdated(table: LayerTable) -> str:
    """The condition that the data of an attachment, if nobody has edited it, is older than its
    row: what the row says of it is still to be fetched."""
    size, data = f"{quote(table.name)}.DATA_SIZE", quote(table.noted[0])
    waits = (
        f"SELECT 1 FROM fieldsync_fetch f WHERE f.number={table.number:d}"
        f" AND f.gid={quote(table.name)}.{quote(table.global_id)}"
    )
    return f"({size} IS NOT NULL AND length({data}) IS NOT {size} AND EXISTS({waits}))"


def find(connection: sqlite3.Connection, table: LayerTable, gid: str) -> Fetch | None:
    """The entry of that attachment, None if it is not asked for."""
    row = connection.execute(
        f"SELECT {', '.join(_NAMES)} FROM fieldsync_fetch WHERE number = ? AND gid = ?",
        (table.number, gid),
    ).fetchone()
    return None if row is None else Fetch(**dict(zip(_NAMES, row, strict=True)))


def next_fetches(
    connection: sqlite3.Connection, *, after: tuple[int, str] = (-1, ""), limit: int = 100
) -> list[Fetch]:
    """Up to ``limit`` entries behind ``after`` (number, gid), in that order."""
    rows = connection.execute(
        f"SELECT {', '.join(_NAMES)} FROM fieldsync_fetch "
        "WHERE (number, gid) > (?, ?) ORDER BY number, gid LIMIT ?",
        (*after, limit),
    )
    return [Fetch(**dict(zip(_NAMES, row, strict=True))) for row in rows]


def count(connection: sqlite3.Connection) -> int:
    """How many attachments are still to be fetched."""
    return int(connection.execute("SELECT count(*) FROM fieldsync_fetch").fetchone()[0])


def done(connection: sqlite3.Connection, fetch: Fetch) -> None:
    """Forget an entry: its data is stored, or its attachment is gone."""
    connection.execute(
        "DELETE FROM fieldsync_fetch WHERE number = ? AND gid = ?", (fetch.number, fetch.gid)
    )


def failed(connection: sqlite3.Connection, fetch: Fetch, error: str) -> None:
    """Note a failed attempt; the entry stays."""
    connection.execute(
        "UPDATE fieldsync_fetch SET attempts = attempts + 1, error = ? "
        "WHERE number = ? AND gid = ?",
        (error, fetch.number, fetch.gid),
    )


def forget_missing(connection: sqlite3.Connection, table: LayerTable) -> None:
    """Drop entries whose attachment has been deleted since."""
    connection.execute(
        "DELETE FROM fieldsync_fetch WHERE number = ? AND NOT EXISTS "
        f"(SELECT 1 FROM {quote(table.name)} a "
        f"WHERE a.{quote(table.global_id)} = fieldsync_fetch.gid)",
        (table.number,),
    )
