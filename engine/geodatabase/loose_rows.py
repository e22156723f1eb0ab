"""Rows that belong to rows which are gone from the service: which they are, and which hang loose.

A table that is in a replica for its relationships alone ("Create replica", ``queryOption`` none)
has just the rows that are related to a row of the replica. When that one is deleted they may be
deleted with it, or be cut loose: then they are not in the replica any more, and a service need not
say so.
"""

import json
import sqlite3
from collections.abc import Collection, Sequence

from engine.geodatabase.carried import carried_condition
from engine.geodatabase.dependents import Dependent
from engine.geodatabase.layer_table import LayerTable
from engine.geodatabase.log_schema import value_names
from engine.geodatabase.relations import Relation
from engine.geodatabase.sql import quote
from engine.geodatabase.staging import count_staged, delete_table, has_deletes, stage_table
from engine.geodatabase.watched import WATCHED, Reason, is_watching, make_watched, watch

_LISTED = "temp.fieldsync_related"


def watch_children(
    connection: sqlite3.Connection,
    parent: LayerTable,
    dependents: Sequence[Dependent],
    gone: Collection[str],
) -> None:
    """Watch the rows related to these of ``parent``, also those that were deleted or moved here.

    To be called before the change log forgets what these were. Needs an open transaction.
    """
    for dependent in dependents:
        if gone and not dependent.table.is_attachment:
            statement = _children(parent, dependent, "SELECT value FROM json_each(?1)")
            found = connection.execute(statement, (json.dumps(list(gone)),))
            watch(connection, dependent.table, [gid for (gid,) in found], Reason.RELATED)


def list_children(
    connection: sqlite3.Connection, parent: LayerTable, dependents: Sequence[Dependent]
) -> bool:
    """List, in a temporary table, the rows related to those of ``parent`` that are staged as
    deleted, but for those that are staged so themselves; False if there are none.

    A new row was sent by nobody yet, unless it is in a file.
    """
    if not has_deletes(connection, parent):
        return False
    _make_list(connection)
    gone = _staged_as_deleted(parent)
    for dependent in dependents:
        child = dependent.table
        if child.is_attachment:
            continue
        carried = carried_condition(connection, child, "c.gid")
        unsent = (
            f"SELECT 1 FROM fieldsync_change c WHERE c.layer={child.number} AND c.gid=x.gid"
            f" AND c.had_base=0 AND NOT {carried}"
        )
        connection.execute(
            f"INSERT OR IGNORE INTO {_LISTED} SELECT {child.number},x.gid"
            f" FROM ({_children(parent, dependent, gone)}) x WHERE NOT EXISTS({unsent})"
        )
        has_deletes(connection, child)
        connection.execute(
            f"DELETE FROM {_LISTED} WHERE number={child.number}"
            f" AND gid IN ({_staged_as_deleted(child)})"
        )
    return _has_listed(connection)


def list_unheld(
    connection: sqlite3.Connection, table: LayerTable, relations: Sequence[Relation]
) -> bool:
    """List the staged rows of ``table`` whose keys lead to no row that is here or staged; False if
    there are none. Rows that are related through another table are not judged."""
    held = [r for r in relations if r.destination.number == table.number]
    if not held or any(r.through is not None for r in held) or not count_staged(connection, table):
        return False
    _make_list(connection)
    kept = dict(zip(table.row_names, ("gid", *value_names(table)), strict=True))
    conditions = []
    for relation in held:
        origin, key = relation.origin, quote(kept[relation.destination_key])
        has_deletes(connection, origin)  # it may not be staged at all
        there = dict(zip(origin.row_names, ("gid", *value_names(origin)), strict=True))
        conditions.append(
            f"(s.{key} IS NULL OR (s.{key} NOT IN (SELECT {quote(relation.origin_key)}"
            f" FROM main.{quote(origin.name)} WHERE {quote(relation.origin_key)} IS NOT NULL)"
            f" AND s.{key} NOT IN (SELECT o FROM (SELECT {quote(there[relation.origin_key])} AS o"
            f" FROM {stage_table(origin)}) WHERE o IS NOT NULL)))"
        )
    connection.execute(
        f"INSERT OR IGNORE INTO {_LISTED} SELECT {table.number},s.gid"
        f" FROM {stage_table(table)} s WHERE {' AND '.join(conditions)}"
    )
    return _has_listed(connection)


def watch_listed(connection: sqlite3.Connection) -> int:
    """Watch the rows that were listed; how many were not watched yet. Needs an open transaction."""
    make_watched(connection)
    added = connection.execute(
        f"INSERT OR IGNORE INTO {WATCHED}(number,reason,gid)"
        f" SELECT number,'{Reason.RELATED.value}',gid FROM {_LISTED}"
    ).rowcount
    connection.execute(f"DELETE FROM {_LISTED}")
    return added


def loose_rows(
    connection: sqlite3.Connection,
    table: LayerTable,
    relations: Sequence[Relation],
    global_ids: Collection[str],
) -> list[str]:
    """Those of the rows that are here, related to no row inside of the map, and not known to be
    outside."""
    held = [r for r in relations if r.destination.number == table.number]
    if not held:
        return []
    is_inside = known = ""
    if is_watching(connection):
        outside = f"SELECT 1 FROM {WATCHED} w WHERE w.reason='{Reason.OUTSIDE.value}' AND"
        known = f" AND NOT EXISTS({outside} w.number={table.number} AND w.gid=g.value)"
    conditions = []
    for relation in held:
        origin = relation.origin
        if known:
            is_inside = (
                f" AND NOT EXISTS({outside} w.number={origin.number}"
                f" AND w.gid=o.{quote(origin.global_id)})"
            )
        conditions.append(
            f"EXISTS(SELECT 1 FROM {quote(origin.name)} o WHERE {relation.condition()}{is_inside})"
        )
    found = connection.execute(
        f"SELECT g.value FROM json_each(?) g CROSS JOIN {quote(table.name)} d"
        f" ON d.{quote(table.global_id)}=g.value"
        f" WHERE NOT ({' OR '.join(conditions)}){known}",
        (json.dumps(list(global_ids)),),
    )
    return [gid for (gid,) in found]


def _children(parent: LayerTable, dependent: Dependent, gone: str) -> str:
    """A statement that gives the GlobalIDs of rows that belong to the ``gone``; also of new rows,
    which the service may have taken just now."""
    child = dependent.table
    keys = gone
    if dependent.parent_column is not None:
        keys = (
            f"SELECT p.{quote(dependent.parent_column)} FROM main.{quote(parent.name)} p"
            f" WHERE p.{quote(parent.global_id)} IN ({gone})"
            f" UNION SELECT {_kept(parent, dependent.parent_column)} FROM fieldsync_change c"
            f" JOIN {quote(parent.base_table)} b ON b.id=c.id"
            f" WHERE c.layer={parent.number} AND c.had_base AND c.gid IN ({gone})"
        )
    gid = quote(child.global_id)
    return (
        f"SELECT t.{gid} AS gid FROM main.{quote(child.name)} t"
        f" WHERE t.{quote(dependent.key_column)} IN ({keys})"
        f" UNION SELECT c.gid FROM fieldsync_change c JOIN {quote(child.base_table)} b ON b.id=c.id"
        f" WHERE c.layer={child.number} AND c.had_base"
        f" AND {_kept(child, dependent.key_column)} IN ({keys})"
    )


def _kept(table: LayerTable, name: str) -> str:
    """Where an entry ``c`` of the change log and its base ``b`` have the value of a column."""
    if name == table.global_id:
        return "c.gid"
    return f"b.{quote(value_names(table)[table.row_names.index(name) - 1])}"


def _staged_as_deleted(table: LayerTable) -> str:
    return (
        f"SELECT x.gid FROM {delete_table(table)} x WHERE NOT EXISTS"
        f"(SELECT 1 FROM {stage_table(table)} s WHERE s.gid=x.gid)"
    )


def _make_list(connection: sqlite3.Connection) -> None:
    connection.execute(
        f"CREATE TABLE IF NOT EXISTS {_LISTED}(number INTEGER,gid TEXT,PRIMARY KEY(number,gid))"
        " WITHOUT ROWID"
    )


def _has_listed(connection: sqlite3.Connection) -> bool:
    return connection.execute(f"SELECT 1 FROM {_LISTED} LIMIT 1").fetchone() is not None
