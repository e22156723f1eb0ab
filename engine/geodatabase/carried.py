"""Rows that were added here and left this device before the service was known to have them: in a
delta file, or in a call without an answer.

Somebody may send the file at any time, and a service may carry out the call late, so such a row may
come to the service without any doing of this device, and in the version in which it left. Functions
that write need an open transaction.
"""

import sqlite3
from collections.abc import Iterable

from engine.geodatabase.bookkeeping import has_table, make_table
from engine.geodatabase.layer_table import LayerTable
from engine.geodatabase.sql import quote

_TABLE = "fieldsync_exported"
_RENAMED = "fieldsync_exported_as"
_EDITED = "fieldsync_exported_edit"


def note_carried(
    connection: sqlite3.Connection, table: LayerTable, sequence: int | None = None
) -> None:
    """All rows of ``table`` that were added here and not sent are in a file, or soon will be.

    They are remembered when the service is known to have them, too: if they are deleted, a file
    that is sent after that, perhaps once more, brings them back. ``sequence``: the last edit that
    can be in the file.
    Of several files the first counts: what was changed after that may be on the service in an
    older version. How long they are remembered counts from the last.
    """
    # One that was refused is in no file, unless it was mended since. What waits with its parent may
    # be in one, and is noted in any case.
    unsent = (
        "FROM fieldsync_change c WHERE c.layer=?1 AND c.had_base=0 AND NOT EXISTS"
        "(SELECT 1 FROM fieldsync_quarantine q WHERE q.layer=c.layer AND q.gid=c.gid"
        " AND q.direction='outbound' AND q.resolved_at IS NULL AND q.held_gid IS NULL"
        " AND q.seq>=c.seq)"
    )
    _note_edited(connection, table, sequence)
    if connection.execute(f"SELECT 1 {unsent} LIMIT 1", (table.number,)).fetchone() is None:
        return
    _make(connection)
    parent = (
        f"(SELECT a.REL_GLOBALID FROM {quote(table.name)} a WHERE a.{quote(table.global_id)}=c.gid)"
        if table.is_attachment
        else "NULL"
    )
    connection.execute(
        f"INSERT INTO {_TABLE}(layer,gid,seq,parent)"
        f" SELECT c.layer,c.gid,min(c.seq,coalesce(?2,c.seq)),{parent} {unsent}"
        " ON CONFLICT(layer,gid) DO UPDATE SET noted_at=NULL",
        (table.number, sequence),
    )


def _note_edited(connection: sqlite3.Connection, table: LayerTable, sequence: int | None) -> None:
    """``seq`` is the edit that is in the file; NULL where files have several of one row."""
    edited = "FROM fieldsync_change c WHERE c.layer=?1 AND c.had_base"
    found = connection.execute(f"SELECT 1 {edited} LIMIT 1", (table.number,)).fetchone()
    if table.is_attachment or found is None:
        return
    make_table(
        connection,
        _EDITED,
        "(layer INTEGER NOT NULL, gid TEXT NOT NULL, seq INTEGER, noted_at TEXT,"
        " PRIMARY KEY(layer,gid)) WITHOUT ROWID",
    )
    connection.execute(
        f"INSERT INTO {_EDITED}(layer,gid,seq)"
        f" SELECT c.layer,c.gid,min(c.seq,coalesce(?2,c.seq)) {edited}"
        " ON CONFLICT(layer,gid) DO UPDATE"
        " SET noted_at=NULL,seq=CASE WHEN seq=excluded.seq THEN seq END",
        (table.number, sequence),
    )


def exported_edits(connection: sqlite3.Connection, table: LayerTable) -> list[str]:
    """Rows of which an update or a delete is in a file, and was not sent as it is there."""
    if not has_table(connection, _EDITED):
        return []
    found = connection.execute(
        f"SELECT gid FROM {_EDITED} WHERE layer=? ORDER BY gid", (table.number,)
    )
    return [gid for (gid,) in found]


def forget_edited(
    connection: sqlite3.Connection, table: LayerTable, global_id: str, last: int | None = None
) -> None:
    """The service has what is in the one file that has an edit of this row; ``last``: as it has the
    row's edits up to that one. What was changed back or given up before that one is not there, and
    may still come from the file."""
    if has_table(connection, _EDITED):
        connection.execute(
            f"DELETE FROM {_EDITED} WHERE layer=? AND gid=? AND seq=coalesce(?,seq)",
            (table.number, global_id, last),
        )


def note_late(
    connection: sqlite3.Connection,
    table: LayerTable,
    rows: Iterable[tuple[str, int, str | None]],
) -> None:
    """A call of which the service shows nothing so far has added these rows: (GlobalID, the last
    edit that was sent, of an attachment its feature)."""
    _make(connection)
    connection.executemany(
        f"INSERT INTO {_TABLE}(layer,gid,seq,parent) VALUES({table.number},?,?,?)"
        " ON CONFLICT(layer,gid) DO UPDATE SET seq=min(seq,excluded.seq),noted_at=NULL",
        rows,
    )


def note_older(connection: sqlite3.Connection, table: LayerTable, global_id: str) -> None:
    """This row may be on the service in an older version than the one that is here."""
    _make(connection)
    connection.execute(
        f"INSERT OR REPLACE INTO {_TABLE}(layer,gid,seq) VALUES(?,?,0)", (table.number, global_id)
    )


def copy_carried(
    connection: sqlite3.Connection, old: sqlite3.Connection, table: LayerTable, before: LayerTable
) -> None:
    """Remember the rows that the file ``old`` remembers of its table ``before``. Which edits of
    them were exported is told by :func:`note_salvaged`."""
    rows = old.execute(
        f"SELECT ?,gid,seq,parent,noted_at FROM {_TABLE} WHERE layer=?",
        (table.number, before.number),
    ).fetchall()
    if rows:
        _make(connection)
        connection.executemany(f"INSERT OR REPLACE INTO {_TABLE} VALUES(?,?,?,?,?)", rows)


def note_salvaged(
    connection: sqlite3.Connection, table: LayerTable, global_id: str, sequence: int
) -> None:
    """The last edit of that remembered row that is in a file is the one of that number now."""
    connection.execute(
        f"UPDATE {_TABLE} SET seq=? WHERE layer=? AND gid=?", (sequence, table.number, global_id)
    )


def note_renamed(connection: sqlite3.Connection, table: LayerTable, old: str, new: str) -> None:
    """The service has given that row another GlobalID; a file has it under the old one."""
    if is_carried(connection, table, old):
        make_table(
            connection,
            _RENAMED,
            "(layer INTEGER NOT NULL, gid TEXT NOT NULL, new TEXT NOT NULL,"
            " PRIMARY KEY(layer,gid)) WITHOUT ROWID",
        )
        connection.execute(
            f"INSERT OR IGNORE INTO {_RENAMED} VALUES(?,?,?)", (table.number, old, new)
        )


def renamed_to(connection: sqlite3.Connection, table: LayerTable, global_id: str) -> str | None:
    """The GlobalID that the service first gave to the row which is in a file as ``global_id``."""
    if not has_table(connection, _RENAMED):
        return None
    found = connection.execute(
        f"SELECT new FROM {_RENAMED} WHERE layer=? AND gid=?", (table.number, global_id)
    ).fetchone()
    return None if found is None else str(found[0])


def is_carried(connection: sqlite3.Connection, table: LayerTable, global_id: str) -> bool:
    """Whether that row may come to the service without any doing of this device."""
    return carried_sequence(connection, table, global_id) is not None


def carried_condition(connection: sqlite3.Connection, table: LayerTable, global_id: str) -> str:
    """:func:`is_carried` as SQL, for the expression ``global_id``."""
    if not has_table(connection, _TABLE):
        return "0"
    return f"EXISTS(SELECT 1 FROM {_TABLE} f WHERE f.layer={table.number} AND f.gid={global_id})"


def is_carried_older(
    connection: sqlite3.Connection, table: LayerTable, global_id: str, sequence: int
) -> bool:
    """Whether the row may come there in another version than it had at the edit ``sequence``."""
    carried = carried_sequence(connection, table, global_id)
    return carried is not None and carried < sequence


def carried_and_deleted(
    connection: sqlite3.Connection, table: LayerTable
) -> list[tuple[str, str | None]]:
    """The rows that left this device and are not here any more, deleted by anybody: (GlobalID, of
    an attachment that of its feature). A delete that is still to be sent is not among them."""
    if not has_table(connection, _TABLE):
        return []
    gid = quote(table.global_id)
    known = "SELECT 1 FROM fieldsync_change c WHERE c.layer=f.layer AND c.gid=f.gid AND c.had_base"
    if has_table(connection, _RENAMED):  # under this name it is not asked for
        known += f" UNION ALL SELECT 1 FROM {_RENAMED} r WHERE r.layer=f.layer AND r.gid=f.gid"
    return connection.execute(
        f"SELECT f.gid,f.parent FROM {_TABLE} f WHERE f.layer=? AND NOT EXISTS({known})"
        f" AND NOT EXISTS(SELECT 1 FROM {quote(table.name)} t WHERE t.{gid}=f.gid) ORDER BY f.gid",
        (table.number,),
    ).fetchall()


def with_old(
    connection: sqlite3.Connection, tables: Iterable[LayerTable], now: str, before: str
) -> list[LayerTable]:
    """The tables for which :func:`prune_carried` has anything to do."""
    return [
        table
        for table in tables
        if any(
            connection.execute(
                f"SELECT 1 FROM {name} WHERE layer=?1 AND ({_UNSEEN} OR {old}) LIMIT 1",
                (table.number, now, before),
            ).fetchone()
            for name, old in _kept(connection, table)
        )
    ]


def prune_carried(connection: sqlite3.Connection, table: LayerTable, now: str, before: str) -> None:
    """Forget the rows that left before that time, but for those that are still to be sent: neither
    file nor call is awaited any more.

    ``now`` must be right: the time of an export counts from here on, as the clock may have been
    wrong when there was no link.
    """
    for name, old in _kept(connection, table):
        connection.execute(
            f"UPDATE {name} SET noted_at=?2 WHERE layer=?1 AND {_UNSEEN}", (table.number, now)
        )
        connection.execute(
            f"DELETE FROM {name} WHERE layer=?1 AND {old}", (table.number, now, before)
        )
    if has_table(connection, _RENAMED):
        connection.execute(
            f"DELETE FROM {_RENAMED} WHERE NOT EXISTS(SELECT 1 FROM {_TABLE} f"
            f" WHERE f.layer={_RENAMED}.layer AND f.gid={_RENAMED}.gid)"
        )


_UNSEEN = "(noted_at IS NULL OR noted_at>?2)"


def _kept(connection: sqlite3.Connection, table: LayerTable) -> list[tuple[str, str]]:
    """The tables of what left, each with the condition for a row of it that is not awaited."""
    gid = quote(table.global_id)
    unsent = (
        f"SELECT 1 FROM {quote(table.name)} t"
        f" JOIN fieldsync_change c ON c.layer={table.number} AND c.gid=t.{gid} AND c.had_base=0"
        f" WHERE t.{gid}={_TABLE}.gid"
    )
    old = {_TABLE: f"(noted_at<?3 AND NOT EXISTS({unsent}))", _EDITED: "noted_at<?3"}
    return [(name, is_old) for name, is_old in old.items() if has_table(connection, name)]


def carried_sequence(
    connection: sqlite3.Connection, table: LayerTable, global_id: str
) -> int | None:
    """The last edit of that row that is in a file; None if it is in none."""
    if not has_table(connection, _TABLE):
        return None
    found = connection.execute(
        f"SELECT seq FROM {_TABLE} WHERE layer=? AND gid=?", (table.number, global_id)
    ).fetchone()
    return None if found is None else int(found[0])


def _make(connection: sqlite3.Connection) -> None:
    make_table(
        connection,
        _TABLE,
        "(layer INTEGER NOT NULL, gid TEXT NOT NULL, seq INTEGER NOT NULL, parent TEXT,"
        " noted_at TEXT, PRIMARY KEY(layer,gid)) WITHOUT ROWID",
    )
