"""Conflicts: rows that were edited here and on the service, with all three versions kept.

Nothing that lost is thrown away: base, mine and theirs stay readable, and either side can be taken
until the record is pruned (only resolved ones ever are).
"""

import json
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

from engine.errors import EditRefusedError, FeatureNotFoundError
from engine.geodatabase.applying import applying
from engine.geodatabase.brought_back import bring_back_parts
from engine.geodatabase.cells import as_new, decode_row, encode_row
from engine.geodatabase.conflict_parts import keep_part, restore_parts, store_part, write_part_data
from engine.geodatabase.dependents import Dependent, dependents_of
from engine.geodatabase.difference import Row
from engine.geodatabase.fetch_queue import enqueue_anew, enqueue_if_empty
from engine.geodatabase.layer_table import LayerTable
from engine.geodatabase.logged_table import LoggedTable
from engine.geodatabase.relations import Relation
from engine.geodatabase.sql import quote
from engine.geodatabase.staging import has_row
from engine.model import ConflictPolicy


class ConflictKind(Enum):
    """What the two sides did."""

    UPDATED = "updated"
    """Both changed the same columns, to different values."""
    DELETED_HERE = "deleted_here"
    """Deleted here, changed on the service."""
    DELETED_THERE = "deleted_there"
    """Edited here, deleted on the service: the row lies in the store."""
    FIELD_CLOSED = "field_closed"
    """A field that was edited here was removed from the service, or can only be read now."""


_KEPT_OPEN = (ConflictKind.DELETED_THERE.value, ConflictKind.FIELD_CLOSED.value)
"""Kinds that no sync can decide: they are open until a person has seen them."""


class Side(Enum):
    """Whose version to keep."""

    MINE = "mine"
    THEIRS = "theirs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Conflict:
    """One row's conflict. ``base``, ``mine`` and ``theirs`` are column → value objects fit for
    JSON (a blob is ``{"hex": …}``), None where there was no row. ``is_held``: the edit is not sent
    before it is resolved. ``parts``: rows kept with a feature that was deleted on the service, or
    an attachment's own row with the data that gave way to the service's."""

    id: int
    layer: int
    global_id: str
    kind: ConflictKind
    policy: ConflictPolicy
    columns: tuple[str, ...]
    base: dict[str, object] | None
    mine: dict[str, object] | None
    theirs: dict[str, object] | None
    is_held: bool
    recorded_at: str
    resolved_at: str | None
    resolution: str | None
    parts: int


def record(
    connection: sqlite3.Connection,
    table: LayerTable,
    global_id: str,
    *,
    kind: ConflictKind,
    policy: ConflictPolicy,
    columns: Iterable[str] = (),
    base: Row | None,
    mine: Row | None,
    theirs: Row | None,
    now: str,
    resolution: str | None = None,
) -> int:
    """Keep a conflict; returns its id. A row has one open conflict at most: it is brought up to
    date and keeps its first base. ``resolution`` given: decided at once, in a record of its own."""
    named = list(columns)
    held = policy is ConflictPolicy.MANUAL and kind.value not in _KEPT_OPEN
    resolved_at = None if resolution is None else now
    versions = [encode_row(table, row) for row in (base, mine, theirs)]
    open_one = connection.execute(
        "SELECT id,columns,base FROM fieldsync_conflict"
        " WHERE layer=? AND gid=? AND resolved_at IS NULL AND kind NOT IN(?,?) ORDER BY id",
        (table.number, global_id, *_KEPT_OPEN),
    ).fetchone()
    is_own = kind is ConflictKind.FIELD_CLOSED  # says something else than one about values
    if open_one is not None and resolution is None and not is_own:
        number, earlier, first_base = open_one
        named = list(dict.fromkeys([*json.loads(earlier), *named]))
        versions[0] = first_base if first_base is not None else versions[0]
        connection.execute("DELETE FROM fieldsync_conflict WHERE id=?", (number,))
    else:
        number = None
    cursor = connection.execute(
        "INSERT INTO fieldsync_conflict(id,layer,gid,kind,policy,columns,base,mine,theirs,held,"
        "recorded_at,resolved_at,resolution) VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?)",
        (
            number,
            table.number,
            global_id,
            kind.value,
            policy.value,
            json.dumps(named),
            *versions,
            held,
            now,
            resolved_at,
            resolution,
        ),
    )
    return int(cursor.lastrowid or 0)


def list_conflicts(
    connection: sqlite3.Connection,
    *,
    layer: int | None = None,
    resolved: bool = False,
    after: int = 0,
    limit: int | None = None,
) -> list[Conflict]:
    """The open conflicts by their ids, oldest first; with ``resolved`` also those already decided.

    ``layer`` is a table's number in the change log. ``after`` and ``limit``: only that many, with
    ids above that one.
    """
    found = connection.execute(
        "SELECT id,layer,gid,kind,policy,columns,base,mine,theirs,held,recorded_at,resolved_at,"
        "resolution,(SELECT count(*) FROM fieldsync_conflict_part p WHERE p.conflict=k.id)"
        " FROM fieldsync_conflict k WHERE (?1 IS NULL OR layer=?1)"
        " AND (?2 OR resolved_at IS NULL) AND id>?3 ORDER BY id LIMIT ?4",
        (layer, resolved, after, -1 if limit is None else limit),
    )
    return [
        Conflict(
            id=row[0],
            layer=row[1],
            global_id=row[2],
            kind=ConflictKind(row[3]),
            policy=ConflictPolicy(row[4]),
            columns=tuple(json.loads(row[5])),
            base=_object(row[6]),
            mine=_object(row[7]),
            theirs=_object(row[8]),
            is_held=bool(row[9]) and row[11] is None,
            recorded_at=row[10],
            resolved_at=row[11],
            resolution=row[12],
            parts=row[13],
        )
        for row in found
    ]


def is_held(connection: sqlite3.Connection, table: LayerTable, global_id: str) -> bool:
    """Whether the row's edit is not to be sent before a person has decided."""
    found = connection.execute(
        "SELECT 1 FROM fieldsync_conflict WHERE layer=? AND gid=? AND held AND resolved_at IS NULL",
        (table.number, global_id),
    )
    return found.fetchone() is not None


def store_deleted(
    connection: sqlite3.Connection,
    table: LayerTable,
    global_id: str,
    *,
    policy: ConflictPolicy,
    now: str,
    dependents: Iterable[Dependent] = (),
) -> int:
    """Move a row that the service deleted, but that was edited here, into the conflict store.

    Its attachments with their bytes and its unsent children go with it; nothing of it is pending
    any more. Returns the conflict's id. Needs an open transaction.
    """
    logged = LoggedTable(connection, table)
    stored = logged.stored(global_id)
    entry = logged.entry(global_id)
    mine = None if stored is None else stored.row
    base = mine if entry is None else logged.base(entry, mine)
    columns: tuple[str, ...] = ()
    if base is not None and mine is not None:
        columns = logged.difference(base, mine).columns
    conflict = record(
        connection,
        table,
        global_id,
        kind=ConflictKind.DELETED_THERE,
        policy=policy,
        columns=columns,
        base=base,
        mine=mine,
        theirs=None,
        now=now,
    )
    with applying(connection):
        if mine is not None:
            for dependent in dependents:
                _store_dependents(connection, conflict, logged, mine, dependent)
        store_part(logged, conflict, global_id)
    return conflict


def resolve(
    connection: sqlite3.Connection,
    conflict_id: int,
    tables: Iterable[LayerTable],
    side: Side,
    *,
    now: str,
    relations: Sequence[Relation] = (),
) -> None:
    """Keep one side of a conflict, also of one that was decided already.

    Mine: my values are in the row and pending; a feature deleted on the service is added again with
    its attachments and children. Theirs: the service's values are in the row and nothing of the
    conflict is pending; what was deleted here with a row comes back with it. ``tables`` are all
    tables of the file, ``relations`` what composes their rows. :exc:`FeatureNotFoundError` if there
    is no such conflict. Needs an open transaction.
    """
    found = connection.execute(
        "SELECT layer,gid,kind,columns,mine,theirs,resolution FROM fieldsync_conflict WHERE id=?",
        (conflict_id,),
    ).fetchone()
    if found is None:
        raise FeatureNotFoundError(
            f"there is no conflict {conflict_id}", remedy="List the conflicts; old ones are pruned"
        )
    number, gid, kind, columns, mine, theirs, resolution = found
    known = {table.number: table for table in tables}
    logged = LoggedTable(connection, known[number])
    with applying(connection):
        match ConflictKind(kind), side:
            case ConflictKind.DELETED_THERE, Side.MINE:
                restore_parts(connection, conflict_id, known)
            case ConflictKind.DELETED_THERE, Side.THEIRS:
                # The row is gone here as well; the record keeps it until it is pruned.
                if resolution == Side.MINE.value:
                    parts = dependents_of(logged.table, known.values(), relations)
                    _store_again(logged, conflict_id, gid, parts)
            case ConflictKind.FIELD_CLOSED, Side.MINE:
                _write_open_fields(logged, json.loads(columns), decode_row(logged.table, mine))
            case ConflictKind.FIELD_CLOSED, Side.THEIRS:
                pass  # the column is the service's already
            case ConflictKind.DELETED_HERE, Side.MINE:
                logged.remove(gid)
            case ConflictKind.DELETED_HERE, Side.THEIRS:
                parts = dependents_of(logged.table, known.values(), relations)
                _bring_back(logged, gid, decode_row(logged.table, theirs), parts)
            case _:
                my_row, their_row = decode_row(logged.table, mine), decode_row(logged.table, theirs)
                if my_row is not None and their_row is not None:
                    _write_data(logged, conflict_id, gid, side)
                    _write_columns(
                        logged, conflict_id, json.loads(columns), my_row, their_row, side
                    )
    connection.execute(
        "UPDATE fieldsync_conflict SET resolved_at=?,resolution=? WHERE id=?",
        (now, side.value, conflict_id),
    )


def settle_conflicts(
    connection: sqlite3.Connection, table: LayerTable, global_id: str, resolution: str, now: str
) -> None:
    """Close the row's open conflicts: sending or merging has decided them."""
    connection.execute(
        "UPDATE fieldsync_conflict SET resolved_at=?,resolution=? WHERE layer=? AND gid=?"
        " AND resolved_at IS NULL AND kind NOT IN(?,?)",
        (now, resolution, table.number, global_id, *_KEPT_OPEN),
    )


def _object(text: str | None) -> dict[str, object] | None:
    return None if text is None else json.loads(text)


def _store_dependents(
    connection: sqlite3.Connection,
    conflict: int,
    parent: LoggedTable,
    row: Row,
    dependent: Dependent,
    *,
    is_given_up: bool = False,
) -> None:
    child = LoggedTable(connection, dependent.table)
    value = parent.cell(row, dependent.parent_column or parent.table.global_id)
    gid, key = quote(child.table.global_id), quote(dependent.key_column)
    found = connection.execute(
        f"SELECT {gid} FROM {quote(child.table.name)} WHERE {key}=?", (value,)
    ).fetchall()
    for (child_gid,) in found:
        entry, stored = child.entry(child_gid), child.stored(child_gid)
        # One that arrived, though its answer was lost, comes in the same download.
        is_unsent = (
            entry is not None
            and not entry.had_base
            and not has_row(connection, child.table, child_gid)
        )
        if stored is None or not (child.table.is_attachment or is_unsent):
            continue
        for below in dependent.dependents:
            _store_dependents(
                connection, conflict, child, stored.row, below, is_given_up=is_given_up
            )
        store_part(child, conflict, child_gid, is_given_up=is_given_up)


def _store_again(logged: LoggedTable, conflict: int, gid: str, parts: Sequence[Dependent]) -> None:
    """Take a row that was brought back, and that is not sent yet, to the store once more."""
    stored, entry = logged.stored(gid), logged.entry(gid)
    if stored is None or entry is None or entry.had_base or logged.is_in_flight(gid):
        return
    for part in parts:
        _store_dependents(logged.connection, conflict, logged, stored.row, part, is_given_up=True)
    store_part(logged, conflict, gid, is_given_up=True)


def _bring_back(
    logged: LoggedTable, gid: str, theirs: Row | None, parts: Sequence[Dependent]
) -> None:
    """Undo a local delete, and those of its parts: the row is what the service has, or had if the
    delete was sent. The data of an attachment went with the delete; the next sync fetches it."""
    entry = logged.entry(gid)
    if logged.stored(gid) is not None:
        return
    if entry is None:
        if theirs is not None:
            if logged.table.noted:
                raise EditRefusedError(
                    f"attachment {gid} was deleted on the service as well, and its data with it",
                    remedy="Attach the file again",
                )
            logged.insert(as_new(logged.table, theirs))
            logged.set_base(gid, None)
        return
    base = logged.base(entry, None)
    if base is not None:
        logged.insert(base, logged.base_key(entry))
        logged.set_data(entry, 0)
        enqueue_if_empty(logged.connection, logged.table, gid)
        logged.settle(gid)
        bring_back_parts(logged.connection, logged.table, base, parts)


def _write_open_fields(logged: LoggedTable, columns: Iterable[str], mine: Row | None) -> None:
    """Write my cells of the fields that take edits again, as a person's edit."""
    named = set(columns)
    names = [c.name for c in logged.table.columns if c.name in named and c.is_editable]
    stored = None if mine is None else logged.stored(str(mine[0]))
    if not names or stored is None or mine is None:
        raise EditRefusedError(
            f"{logged.table.name}: {', '.join(sorted(named))} takes no edits on the service",
            remedy="Read your values in the conflict, then take the service's side to close it",
        )
    cells = {name: logged.cell(mine, name) for name in names}
    logged.edit(stored.row, logged.with_cells(stored.row, cells))
    logged.settle(str(mine[0]))


def _write_columns(
    logged: LoggedTable,
    conflict: int,
    columns: Iterable[str],
    mine: Row,
    theirs: Row,
    side: Side,
) -> None:
    """Write one side's cells, as a person's edit. A cell edited here since is mine as it is now;
    where theirs is taken, the record keeps it."""
    stored = logged.stored(str(mine[0]))
    if stored is None:
        return
    present = stored.row
    newest = {}
    for name in columns:
        cell = logged.cell(present, name)
        newest[name] = logged.cell(mine, name) if cell == logged.cell(theirs, name) else cell
    mine = logged.with_cells(mine, newest)
    logged.connection.execute(
        "UPDATE fieldsync_conflict SET mine=? WHERE id=?",
        (encode_row(logged.table, mine), conflict),
    )
    chosen = mine if side is Side.MINE else theirs
    logged.edit(present, logged.with_cells(present, {n: logged.cell(chosen, n) for n in newest}))
    logged.settle(str(mine[0]))


def _write_data(logged: LoggedTable, conflict: int, gid: str, side: Side) -> None:
    """Take that side's data of an attachment: mine is written back as a person's edit if it gave
    way, theirs is fetched by the next sync. What was edited here since is mine as it is now; where
    theirs is taken, the record keeps it."""
    connection, stored, entry = logged.connection, logged.stored(gid), logged.entry(gid)
    if not logged.table.noted or stored is None:
        return
    is_mine = entry is not None and bool(entry.data)
    if side is Side.MINE and not is_mine:
        _bring_data(logged, conflict, stored.row)
    elif side is Side.THEIRS and is_mine and entry is not None and entry.had_base:
        connection.execute(
            "DELETE FROM fieldsync_conflict_part WHERE conflict=? AND gid=?", (conflict, gid)
        )
        keep_part(logged, conflict, gid)
        logged.set_data(entry, 0)
        base = logged.base(entry, stored.row)
        assert base is not None
        cells = {"DATA_SIZE": logged.cell(base, "DATA_SIZE"), **dict.fromkeys(logged.table.noted)}
        logged.set_cells(gid, cells)
        enqueue_anew(connection, logged.table, gid)
        logged.settle(gid)


def _bring_data(logged: LoggedTable, conflict: int, row: Row) -> None:
    connection, gid = logged.connection, str(row[0])
    part = connection.execute(
        "SELECT id,row,data IS NOT NULL FROM fieldsync_conflict_part WHERE conflict=? AND gid=?",
        (conflict, gid),
    ).fetchone()
    if part is None:
        return
    if not part[2]:
        facts = json.loads(part[1])
        known = f", SHA-256 {facts['sha256']}," if "sha256" in facts else ""
        raise EditRefusedError(
            f"the data of {facts.get('ATT_NAME')}, {facts.get('DATA_SIZE')} bytes{known}"
            " is not kept any more",
            remedy="Attach the file again; the conflict keeps what is known of it",
        )
    logged.edit(row, row)
    write_part_data(logged, part[0], gid)
