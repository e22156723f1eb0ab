"""Edits that the service refused, and rows from it that cannot be stored: set aside, never lost.

An outbound edit in quarantine stays in its row and in the log; it is only not sent. Touching the
row again makes it pending again by itself. An inbound row is fetched again by a later sync.
"""

import json
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

from engine.errors import FeatureNotFoundError
from engine.geodatabase.applying import applying
from engine.geodatabase.brought_back import bring_back_parts
from engine.geodatabase.cells import encode_row
from engine.geodatabase.dependents import Dependent, dependents_of
from engine.geodatabase.difference import Row
from engine.geodatabase.fetch_queue import enqueue_if_empty
from engine.geodatabase.layer_table import LayerTable
from engine.geodatabase.logged_table import LoggedTable
from engine.geodatabase.relations import Relation
from engine.geodatabase.sql import quote
from engine.model import EditOperation

HELD_CODE = "held-with-parent"


class Direction(Enum):
    """Which way the row was going."""

    OUTBOUND = "outbound"
    INBOUND = "inbound"


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantined:
    """One row set aside. ``code``, ``reason`` and ``remedy`` are for the person who decides;
    ``seq`` is the log's sequence number of the refused edit (0 inbound). ``is_effective``: the row
    was not touched since, so the edit is really not sent. ``held_layer`` and ``held_global_id``
    name the refused parent this row waits for, if that is the reason."""

    id: int
    direction: Direction
    layer: int
    global_id: str
    operation: EditOperation
    code: str
    reason: str
    remedy: str
    seq: int
    payload: dict[str, object]
    recorded_at: str
    resolved_at: str | None
    resolution: str | None
    is_effective: bool
    held_layer: int | None
    held_global_id: str | None


def put(
    connection: sqlite3.Connection,
    *,
    direction: Direction,
    table: LayerTable,
    global_id: str,
    operation: EditOperation,
    code: str,
    reason: str,
    remedy: str,
    now: str,
    seq: int = 0,
    row: Row | None = None,
    received: object = None,
    parent: tuple[LayerTable, str] | None = None,
) -> int:
    """Set a row aside; returns the record's id. An open record of the row is replaced.

    ``received`` is what came from the service and could not be made a row of.

    ``seq`` is the ``last`` of the edit as it was sent, so that an edit made meanwhile is pending.
    ``row`` is kept for the person to see; outbound the row and its base are added by themselves.
    """
    logged = LoggedTable(connection, table)
    stored, entry = logged.stored(global_id), logged.entry(global_id)
    mine = None if stored is None else stored.row
    base = None if entry is None else logged.base(entry, mine)
    versions = {"row": row if row is not None else mine, "base": base}
    payload = {n: json.loads(encode_row(table, r) or "null") for n, r in versions.items()}
    if received is not None:
        payload["received"] = received
    connection.execute(
        "UPDATE fieldsync_quarantine SET resolved_at=?,resolution='replaced'"
        " WHERE layer=? AND gid=? AND direction=? AND resolved_at IS NULL",
        (now, table.number, global_id, direction.value),
    )
    cursor = connection.execute(
        "INSERT INTO fieldsync_quarantine(direction,layer,gid,operation,code,reason,remedy,seq,"
        "payload,held_layer,held_gid,recorded_at) VALUES(?,?,?,?,?,?,?,?,?,?,?,?)",
        (
            direction.value,
            table.number,
            global_id,
            operation.value,
            code,
            reason,
            remedy,
            seq,
            json.dumps(payload),
            None if parent is None else parent[0].number,
            None if parent is None else parent[1],
            now,
        ),
    )
    return int(cursor.lastrowid or 0)


def hold_dependents(
    connection: sqlite3.Connection,
    parent: LayerTable,
    global_id: str,
    child: LayerTable,
    key_column: str,
    *,
    now: str,
    keys: Iterable[str] = (),
) -> list[str]:
    """Hold the unsent rows of ``child`` that belong to the quarantined row ``global_id``.

    They belong to it if their ``key_column`` is one of ``keys`` (default: ``global_id`` itself);
    for grandchildren give the GlobalIDs that the call for the children returned. They are pending
    again as soon as the parent is, however that comes. Returns the GlobalIDs held now.
    """
    name, gid, key = quote(child.name), quote(child.global_id), quote(key_column)
    held: list[str] = []
    for value in list(keys) or [global_id]:
        found = connection.execute(
            f"SELECT t.{gid},c.seq FROM {name} t JOIN fieldsync_change c"
            f" ON c.layer=? AND c.gid=t.{gid} WHERE t.{key}=? AND c.had_base=0",
            (child.number, value),
        ).fetchall()
        for child_gid, seq in found:
            put(
                connection,
                direction=Direction.OUTBOUND,
                table=child,
                global_id=child_gid,
                operation=EditOperation.ADD,
                code=HELD_CODE,
                reason=f"It belongs to {global_id} of {parent.name}, which the service refused",
                remedy=f"Mend or discard {global_id} of {parent.name}",
                now=now,
                seq=seq,
                parent=(parent, global_id),
            )
            held.append(child_gid)
    return held


def list_quarantined(
    connection: sqlite3.Connection,
    *,
    direction: Direction | None = None,
    layer: int | None = None,
    resolved: bool = False,
    after: int = 0,
    limit: int | None = None,
) -> list[Quarantined]:
    """What is set aside by its ids, oldest first; with ``resolved`` also what has been decided.

    ``after`` and ``limit``: only that many, with ids above that one.
    """
    found = connection.execute(
        "SELECT id,direction,layer,gid,operation,code,reason,remedy,seq,payload,recorded_at,"
        "resolved_at,resolution,resolved_at IS NULL AND NOT EXISTS(SELECT 1 FROM fieldsync_change"
        " c WHERE direction='outbound' AND held_gid IS NULL AND c.layer=q.layer AND c.gid=q.gid"
        " AND c.seq>q.seq),held_layer,held_gid FROM fieldsync_quarantine q"
        " WHERE (?1 IS NULL OR direction=?1)"
        " AND (?2 IS NULL OR layer=?2) AND (?3 OR resolved_at IS NULL) AND id>?4"
        " ORDER BY id LIMIT ?5",
        (
            None if direction is None else direction.value,
            layer,
            resolved,
            after,
            -1 if limit is None else limit,
        ),
    )
    return [
        Quarantined(
            id=row[0],
            direction=Direction(row[1]),
            layer=row[2],
            global_id=row[3],
            operation=EditOperation(row[4]),
            code=row[5],
            reason=row[6],
            remedy=row[7],
            seq=row[8],
            payload=json.loads(row[9]),
            recorded_at=row[10],
            resolved_at=row[11],
            resolution=row[12],
            is_effective=bool(row[13]),
            held_layer=row[14],
            held_global_id=row[15],
        )
        for row in found
    ]


def retry(connection: sqlite3.Connection, quarantine_id: int, *, now: str) -> None:
    """Make the edit pending as it is (inbound: fetch the row again); what it held follows it."""
    _open(connection, quarantine_id)
    _close(connection, quarantine_id, "retried", now)


def discard(
    connection: sqlite3.Connection,
    quarantine_id: int,
    tables: Iterable[LayerTable],
    *,
    now: str,
    relations: Sequence[Relation] = (),
) -> list[str]:
    """Give the edit up: the row becomes the service's again, a row added here is deleted.

    Rows held with it are given up too. Only the record keeps what they were. A large column that
    was changed is emptied: the log has no copy, so the next sync fetches it again. Returns the
    GlobalIDs of all rows given up. ``tables`` are all tables of the file, ``relations`` what
    composes their rows. Needs an open transaction, and no batch in flight that holds the row.
    """
    known = {table.number: table for table in tables}
    direction, layer, gid = _open(connection, quarantine_id)
    if direction is Direction.INBOUND:
        _close(connection, quarantine_id, "discarded", now)
        return []
    held = connection.execute(
        "SELECT id,layer,gid FROM fieldsync_quarantine"
        " WHERE held_layer=? AND held_gid=? AND resolved_at IS NULL ORDER BY id",
        (layer, gid),
    ).fetchall()
    given_up = []
    with applying(connection):
        for number, row_layer, row_gid in [*held, (quarantine_id, layer, gid)]:
            table = known[row_layer]
            parts = dependents_of(table, known.values(), relations)
            _undo(LoggedTable(connection, table), row_gid, parts)
            _close(connection, number, "discarded", now)
            given_up.append(row_gid)
    return given_up


def settle_quarantine(
    connection: sqlite3.Connection, table: LayerTable, global_id: str, resolution: str, now: str
) -> None:
    """Close the row's open outbound record, and with it those it holds: the edit went through."""
    connection.execute(
        "UPDATE fieldsync_quarantine SET resolved_at=?1,resolution=?2 WHERE resolved_at IS NULL"
        " AND direction='outbound' AND ((layer=?3 AND gid=?4) OR (held_layer=?3 AND held_gid=?4))",
        (now, resolution, table.number, global_id),
    )


def _open(connection: sqlite3.Connection, quarantine_id: int) -> tuple[Direction, int, str]:
    found = connection.execute(
        "SELECT direction,layer,gid FROM fieldsync_quarantine WHERE id=? AND resolved_at IS NULL",
        (quarantine_id,),
    ).fetchone()
    if found is None:
        raise FeatureNotFoundError(
            f"there is no open quarantine record {quarantine_id}", remedy="List the quarantine"
        )
    return Direction(found[0]), found[1], found[2]


def _close(connection: sqlite3.Connection, number: int, resolution: str, now: str) -> None:
    connection.execute(
        "UPDATE fieldsync_quarantine SET resolved_at=?,resolution=? WHERE id=?",
        (now, resolution, number),
    )


def _undo(logged: LoggedTable, gid: str, parts: Sequence[Dependent]) -> None:
    entry, stored = logged.entry(gid), logged.stored(gid)
    if entry is None:
        return
    base = logged.base(entry, None if stored is None else stored.row)
    if base is None:
        logged.delete(gid)
        logged.give_up(entry)
        return
    if stored is None:
        logged.insert(base, logged.base_key(entry))
        bring_back_parts(logged.connection, logged.table, base, parts)
    else:
        logged.replace_row(stored.row, base)
        if entry.data:
            logged.set_cells(gid, dict.fromkeys(logged.table.noted))
    enqueue_if_empty(logged.connection, logged.table, gid)
    logged.drop(entry)
