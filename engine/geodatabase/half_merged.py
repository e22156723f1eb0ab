"""Rows that came with a merge which was broken off: nobody may ever speak of them again.

A merge in several transactions moves the generation in its last one. If it dies before, the next
download begins at the old generation, and says nothing of a row that was new then and has been
deleted since. What such a merge inserted is known by its primary key: keys only grow.
"""

import json
import sqlite3
from collections.abc import Iterable, Mapping

from engine.geodatabase.layer_table import LayerTable
from engine.geodatabase.remembered import recall, remember
from engine.geodatabase.sql import quote
from engine.geodatabase.staging import delete_table, has_deletes, stage_table

_NAME = "half_merged_behind"


def last_keys(connection: sqlite3.Connection, tables: Iterable[LayerTable]) -> dict[int, int]:
    """Table number → its greatest primary key, before a merge; 0 without rows."""
    found = {}
    for table in tables:
        (found[table.number],) = connection.execute(
            f"SELECT coalesce(max({quote(table.key)}),0) FROM {quote(table.name)}"
        ).fetchone()
    return found


def note_begun(connection: sqlite3.Connection, keys: Mapping[int, int]) -> None:
    """A merge is committed in part that found these :func:`last_keys`; what an earlier one found,
    which was broken off, stays. Needs an open transaction."""
    remember(connection, _NAME, json.dumps({**keys, **_noted(connection)}))


def note_ended(connection: sqlite3.Connection, tables: Iterable[LayerTable]) -> None:
    """These tables were merged to the end. Needs an open transaction."""
    noted = _noted(connection)
    ended = {table.number for table in tables}
    if noted.keys() & ended:
        left = {number: key for number, key in noted.items() if number not in ended}
        remember(connection, _NAME, json.dumps(left))


def behind_key(connection: sqlite3.Connection, table: LayerTable) -> int | None:
    """Behind which primary key the rows are that a broken-off merge may have inserted; None if
    there was none."""
    return _noted(connection).get(table.number)


def untold_rows(connection: sqlite3.Connection, table: LayerTable) -> list[str]:
    """GlobalIDs of the rows that a merge which was broken off may have inserted, and of which what
    is staged now says nothing; without those that the service never had."""
    behind = behind_key(connection, table)
    if behind is None:
        return []
    has_deletes(connection, table)  # it may not be staged at all
    gid = f"t.{quote(table.global_id)}"
    found = connection.execute(
        f"SELECT {gid} FROM main.{quote(table.name)} t WHERE t.{quote(table.key)}>?1"
        f" AND NOT EXISTS(SELECT 1 FROM {stage_table(table)} s WHERE s.gid={gid})"
        f" AND NOT EXISTS(SELECT 1 FROM {delete_table(table)} d WHERE d.gid={gid})"
        " AND NOT EXISTS(SELECT 1 FROM fieldsync_change c"
        f" WHERE c.layer=?2 AND c.gid={gid} AND c.had_base=0)",
        (behind, table.number),
    )
    return [row for (row,) in found]


def _noted(connection: sqlite3.Connection) -> dict[int, int]:
    known = json.loads(recall(connection, _NAME) or "{}")
    return {int(number): int(key) for number, key in known.items()}
