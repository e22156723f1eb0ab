"""Lets the tables of a layer follow a change of the layer, with their edits kept.

All of it happens in one transaction: columns, change log, triggers with their noted hash, the
catalog, what other programs are told, and the note of what is still to be fetched. A program that
has the file open sees the old table or the new one.
"""

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, replace

from engine import faults
from engine.geodatabase import backfill, bookkeeping, catalog
from engine.geodatabase.applying import applying
from engine.geodatabase.arming import arm
from engine.geodatabase.catalog import Entry, StoredLayer, stored_layers
from engine.geodatabase.change_log import Edit, iterate_pending
from engine.geodatabase.column_type import declare_type
from engine.geodatabase.columns import describe_columns
from engine.geodatabase.conflicts import ConflictKind, record
from engine.geodatabase.layer_change import LayerChange
from engine.geodatabase.layer_table import LayerTable, attachment_table
from engine.geodatabase.log_schema import sent_table
from engine.geodatabase.logged_table import LoggedTable
from engine.geodatabase.permissions import attachment_permissions
from engine.geodatabase.relations import relations, replace_relations
from engine.geodatabase.replica import (
    get_replica,
    set_replica,
    set_resources,
    with_direction,
)
from engine.geodatabase.spatial_index import drop_index
from engine.geodatabase.sql import quote
from engine.geodatabase.staging import clear_staging
from engine.geodatabase.triggers import drop_triggers
from engine.geodatabase.user_tables import (
    create_attachment_table,
    create_key_index,
    drop_key_indexes,
    sql_type,
)
from engine.model import AttachmentSyncDirection, ConflictPolicy, EditOperation, SyncDirection


@dataclass(frozen=True, slots=True, kw_only=True)
class Altered:
    """What a change did beside altering tables: ``conflicts`` are rows whose edits of a field that
    is gone were moved to the conflict store; ``renamed`` are columns that another program had added
    under the name of a new field, with their new names; ``kept`` are columns that something another
    program made still needs, so that they could not be dropped."""

    conflicts: int = 0
    renamed: tuple[tuple[str, str], ...] = ()
    kept: tuple[str, ...] = ()


def alter_layer(
    connection: sqlite3.Connection,
    stored: StoredLayer,
    change: LayerChange,
    *,
    policy: ConflictPolicy,
    now: str,
) -> Altered:
    """Make the tables of ``stored`` those of ``change.now``; needs an open transaction."""
    old, new = stored.features.table, change.table
    conflicts = _store_edits(connection, old, change, policy, now)
    shape_differs = bool(change.added or change.removed)
    drop_triggers(connection, old)
    clear_staging(connection, old)
    replace_relations(connection, (), ())
    if change.removed:
        drop_key_indexes(connection, old)
    _forget_sent_columns(connection, old, (*change.removed, *change.closed))
    kept = [name for name in change.removed if not _drop_column(connection, old, name)]
    renamed = []
    for field in change.added:
        local = _add_column(connection, new, field.name, sql_type(field.type, field.length))
        if local is not None:
            renamed.append((field.name, local))
    for field in change.declared:
        declare_type(connection, new.name, field.name, sql_type(field.type, field.length))
    entry = replace(stored.features, table=new, permissions=change.permissions)
    if change.opens:
        entry = _open(connection, entry)
    catalog.set_entry(connection, entry)
    set_resources(connection, layers={change.now.id: change.now.resource})
    describe_columns(connection, change.now, new)
    _alter_attachments(connection, stored, change)
    arm(connection, entry)
    _relate_anew(connection)
    if shape_differs:
        backfill.add(connection, new, [f.name for f in change.added])
    faults.point("layer.altered")
    return Altered(conflicts=conflicts, renamed=tuple(renamed), kept=tuple(kept))


# --- edits of fields that are gone ---------------------------------------------------------------


def _store_edits(
    connection: sqlite3.Connection,
    table: LayerTable,
    change: LayerChange,
    policy: ConflictPolicy,
    now: str,
) -> int:
    """Record what was edited in fields that take no edits any more; returns how many rows that is.

    A value that a field closed to edits has here is the service's again.
    """
    gone = {*change.removed, *change.closed}
    if not gone:
        return 0
    logged = LoggedTable(connection, table)
    defaults = {name: _default(change, name) for name in gone}
    recorded = 0
    with applying(connection):
        for edit in iterate_pending(connection, table, everything=True):
            names = _edited(logged, edit, gone, defaults)
            if edit.row is None or not names:
                continue
            theirs = None
            if edit.base is not None:
                theirs = logged.with_cells(edit.base, dict.fromkeys(change.removed))
            record(
                connection,
                table,
                edit.global_id,
                kind=ConflictKind.FIELD_CLOSED,
                policy=policy,
                columns=names,
                base=edit.base,
                mine=edit.row,
                theirs=theirs,
                now=now,
            )
            recorded += 1
            base = edit.base
            logged.set_cells(
                edit.global_id,
                {n: None if base is None else logged.cell(base, n) for n in names},
            )
            if base is not None:
                logged.settle(edit.global_id)
    return recorded


def _edited(
    logged: LoggedTable, edit: Edit, gone: set[str], defaults: dict[str, object]
) -> list[str]:
    if edit.row is None:
        return []
    if edit.operation is not EditOperation.ADD:
        return [name for name in edit.columns if name in gone]
    cells = {name: logged.cell(edit.row, name) for name in edit.columns if name in gone}
    return [n for n, cell in cells.items() if cell is not None and cell != defaults[n]]


def _default(change: LayerChange, name: str) -> object:
    field = change.now.field(name)
    return None if field is None else field.default


def _forget_sent_columns(
    connection: sqlite3.Connection, table: LayerTable, names: Sequence[str]
) -> None:
    """Batches in flight are settled by the columns that are left."""
    if not names:
        return
    sent = connection.execute(
        "SELECT id, columns, overtaken FROM fieldsync_sent WHERE layer = ?", (table.number,)
    ).fetchall()
    for id_, *lists in sent:
        left = [json.dumps([n for n in json.loads(text) if n not in names]) for text in lists]
        connection.execute(
            "UPDATE fieldsync_sent SET columns = ?, overtaken = ? WHERE id = ?", (*left, id_)
        )


# --- columns -------------------------------------------------------------------------------------


def _log_tables(table: LayerTable) -> tuple[str, str]:
    return table.base_table, sent_table(table)


def _add_column(
    connection: sqlite3.Connection, table: LayerTable, name: str, kind: str
) -> str | None:
    """Add the column; the new name of one that another program had added under that name."""
    local = _make_room(connection, table, name)
    connection.execute(f"ALTER TABLE {quote(table.name)} ADD COLUMN {quote(name)} {kind}")
    for log in _log_tables(table):
        connection.execute(f"ALTER TABLE {quote(log)} ADD COLUMN {quote(f'v_{name}')}")
    return local


def _make_room(connection: sqlite3.Connection, table: LayerTable, name: str) -> str | None:
    present = connection.execute("SELECT name FROM pragma_table_xinfo(?)", (table.name,)).fetchall()
    taken = {column.casefold(): column for (column,) in present}
    if name.casefold() not in taken:
        return None
    used = taken.keys() | {n.casefold() for n in (table.key, *table.row_names)}
    free = f"{name}_local"
    while free.casefold() in used:
        free += "_"
    there = taken[name.casefold()]
    connection.execute(
        f"ALTER TABLE {quote(table.name)} RENAME COLUMN {quote(there)} TO {quote(free)}"
    )
    connection.execute(
        "UPDATE gpkg_data_columns SET column_name = ?, name = ? "
        "WHERE table_name = ? AND column_name = ?",
        (free, free, table.name, there),
    )
    return free


def _drop_column(connection: sqlite3.Connection, table: LayerTable, name: str) -> bool:
    """Drop the column with its logged values; False if another program's view or trigger needs it.

    Then it stays, no part of the layer any more.
    """
    for log in _log_tables(table):
        connection.execute(f"ALTER TABLE {quote(log)} DROP COLUMN {quote(f'v_{name}')}")
    connection.execute("SAVEPOINT fieldsync_column")
    try:
        connection.execute(f"ALTER TABLE {quote(table.name)} DROP COLUMN {quote(name)}")
    except sqlite3.OperationalError:
        connection.execute("ROLLBACK TO fieldsync_column")
        return False
    finally:
        connection.execute("RELEASE fieldsync_column")
    return True


def _open(connection: sqlite3.Connection, entry: Entry) -> Entry:
    """Let edits of a layer that could only be read be made, by any program, and be sent.

    An index keeps programs without ``ST_`` functions from writing, so it goes, unless other layers
    that take edits have one: then it was asked for.
    """
    layer_id = entry.table.layer_id
    record = with_direction(get_replica(connection), layer_id, SyncDirection.BIDIRECTIONAL)
    set_replica(connection, record)
    others = [e for e in catalog.entries(connection) if e.table.layer_id != layer_id]
    if any(e.is_indexed and record.layer(e.table.layer_id).sync_direction.uploads for e in others):
        return entry
    drop_index(connection, entry.table)
    return replace(entry, is_indexed=False)


# --- what belongs to the layer -------------------------------------------------------------------


def _alter_attachments(
    connection: sqlite3.Connection, stored: StoredLayer, change: LayerChange
) -> None:
    replica = get_replica(connection)
    allowed = attachment_permissions(change.permissions, replica)
    entry = stored.attachments
    if entry is None:
        if (
            not change.gains_attachments
            or replica.attachment_direction is AttachmentSyncDirection.NONE
        ):
            return  # the map was taken without attachments
        table = attachment_table(change.table)
        create_attachment_table(connection, change.now, table)
        entry = Entry(
            table=table, permissions=allowed, srs_id=stored.features.srs_id, is_indexed=False
        )
        catalog.add_entry(connection, entry)
        arm(connection, entry)
        for name in _log_tables(table):
            bookkeeping.declare(connection, name)
    elif entry.permissions != allowed:
        entry = replace(entry, permissions=allowed)
        catalog.set_entry(connection, entry)
        arm(connection, entry)


def _relate_anew(connection: sqlite3.Connection) -> None:
    layers = stored_layers(connection)
    found = relations([(layer.schema, layer.features.table) for layer in layers])
    for relation in found:
        create_key_index(connection, relation.origin, relation.origin_key)
        create_key_index(connection, relation.destination, relation.destination_key)
    attachments = [
        (layer.features.table, layer.attachments.table)
        for layer in layers
        if layer.attachments is not None
    ]
    replace_relations(connection, found, attachments)
