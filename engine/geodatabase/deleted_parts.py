"""Rows that were deleted here because the row went that they belong to: its delete decides.

They wait for that delete, with which the service deletes them as well: were they sent before it and
it is refused, the service would have the whole without its parts. A program that deletes them
itself means just that, and its deletes are sent. Functions that write need an open transaction.
"""

import sqlite3
from collections.abc import Iterable, Sequence

from engine.geodatabase.bookkeeping import has_table, make_table
from engine.geodatabase.layer_table import LayerTable
from engine.geodatabase.relations import Relation
from engine.geodatabase.sql import quote

Whole = tuple[int, str]
"""Table number and GlobalID of the row with whose delete the others went."""

_TABLE = "fieldsync_deleted_part"

# The note is of the delete that was the row's last edit.
_NOTED = f"{_TABLE} d WHERE d.layer=c.layer AND d.gid=c.gid AND d.seq=c.seq"

_MOOT = (
    f"{_TABLE} AS d WHERE NOT EXISTS(SELECT 1 FROM fieldsync_change c"
    " WHERE c.layer=d.layer AND c.gid=d.gid AND c.seq=d.seq)"
)


def note_parts(
    connection: sqlite3.Connection, table: LayerTable, global_ids: Iterable[str], whole: Whole
) -> None:
    """These rows were deleted just now with ``whole``."""
    make_table(
        connection,
        _TABLE,
        "(layer INTEGER NOT NULL, gid TEXT NOT NULL, seq INTEGER NOT NULL,"
        " whole_layer INTEGER, whole_gid TEXT, PRIMARY KEY(layer,gid)) WITHOUT ROWID",
    )
    connection.executemany(
        f"INSERT OR REPLACE INTO {_TABLE}(layer,gid,seq,whole_layer,whole_gid)"
        " SELECT layer,gid,seq,?,? FROM fieldsync_change WHERE layer=? AND gid=? AND had_base",
        [(*whole, table.number, gid) for gid in global_ids],
    )


def part_condition(connection: sqlite3.Connection) -> str:
    """An SQL condition: the entry ``c`` of fieldsync_change is of such a delete."""
    return f"EXISTS(SELECT 1 FROM {_NOTED})" if has_table(connection, _TABLE) else "0"


def whole_condition(connection: sqlite3.Connection, condition: str) -> str:
    """An SQL condition: ``c`` is of such a delete, and ``condition`` is true of the entry ``f`` of
    the whole."""
    if not has_table(connection, _TABLE):
        return "0"
    return (
        "EXISTS(SELECT 1 FROM fieldsync_change f WHERE f.had_base AND (f.layer,f.gid)="
        f"(SELECT d.whole_layer,d.whole_gid FROM {_NOTED}) AND {condition})"
    )


def whole_of(connection: sqlite3.Connection, table: LayerTable, global_id: str) -> Whole | None:
    """The row that this one was deleted with, if that row has an edit."""
    if not has_table(connection, _TABLE):
        return None
    found: Whole | None = connection.execute(
        "SELECT f.layer,f.gid FROM fieldsync_change c JOIN fieldsync_change f ON f.had_base"
        f" AND (f.layer,f.gid)=(SELECT d.whole_layer,d.whole_gid FROM {_NOTED})"
        " WHERE c.layer=? AND c.gid=?",
        (table.number, global_id),
    ).fetchone()
    return found


def has_parts(connection: sqlite3.Connection, table: LayerTable) -> bool:
    """Whether rows of that table may have been deleted with another one."""
    if not has_table(connection, _TABLE):
        return False
    found = connection.execute(f"SELECT 1 FROM {_TABLE} WHERE layer=? LIMIT 1", (table.number,))
    return found.fetchone() is not None


def count_parts(
    connection: sqlite3.Connection, wholes: Iterable[Whole]
) -> dict[Whole, dict[int, int]]:
    """How many deletes that went with these rows are to be sent and not on their way: by table."""
    if not has_table(connection, _TABLE):
        return {}
    return {whole: dict(_count(connection, whole)) for whole in wholes}


def _count(connection: sqlite3.Connection, whole: Whole) -> list[tuple[int, int]]:
    return connection.execute(
        f"SELECT d.layer,count(*) FROM {_TABLE} d JOIN fieldsync_change c"
        " ON c.layer=d.layer AND c.gid=d.gid AND c.seq=d.seq"
        " WHERE d.whole_layer=? AND d.whole_gid=? AND NOT EXISTS"
        "(SELECT 1 FROM fieldsync_sent z WHERE z.layer=c.layer AND z.gid=c.gid)"
        " GROUP BY d.layer",
        whole,
    ).fetchall()


def has_moot_parts(connection: sqlite3.Connection) -> bool:
    """Whether :func:`prune_parts` has anything to do."""
    if not has_table(connection, _TABLE):
        return False
    return connection.execute(f"SELECT 1 FROM {_MOOT} LIMIT 1").fetchone() is not None


def prune_parts(connection: sqlite3.Connection) -> None:
    """Forget the deletes that were sent or undone."""
    connection.execute(f"DELETE FROM {_MOOT}")


# --- files of an older engine --------------------------------------------------------------------


def lacks_wholes(connection: sqlite3.Connection) -> bool:
    """Whether the table was made by an engine that did not note what the rows went with."""
    names = {
        name for (name,) in connection.execute(f"SELECT name FROM pragma_table_info('{_TABLE}')")
    }
    return bool(names) and "whole_gid" not in names


def add_wholes(
    connection: sqlite3.Connection, tables: Iterable[LayerTable], relations: Sequence[Relation]
) -> None:
    """Find out from their keys what the rows went with, unless another program did just now."""
    if not lacks_wholes(connection):
        return
    connection.execute(f"ALTER TABLE {_TABLE} ADD COLUMN whole_layer INTEGER")
    connection.execute(f"ALTER TABLE {_TABLE} ADD COLUMN whole_gid TEXT")
    for table in tables:
        if table.is_attachment:
            _add_whole(connection, table, "REL_GLOBALID", table.number - 1)
    for one in relations:
        if one.is_composite and one.through is None and one.origin_key == one.origin.global_id:
            _add_whole(connection, one.destination, one.destination_key, one.origin.number)


def _add_whole(connection: sqlite3.Connection, table: LayerTable, key: str, number: int) -> None:
    connection.execute(
        f"UPDATE {_TABLE} AS d SET whole_layer=f.layer,whole_gid=f.gid FROM fieldsync_change c"
        f" JOIN {quote(table.base_table)} b ON b.id=c.id"
        f" JOIN fieldsync_change f ON f.layer=?2 AND f.gid=b.{quote(f'v_{key}')}"
        " WHERE c.layer=d.layer AND c.gid=d.gid AND d.layer=?1 AND d.whole_gid IS NULL",
        (table.number, number),
    )
