"""A working geodatabase beside a delta of edits, from which an ordinary sync pushes them.

It has the rows that the delta's edits are about, as the service has them now but with the old
values that the device knew, and the edits made on them. So whatever a sync knows of sending holds
here too: batches, journal, lost answers, refused edits. It stays until all is answered for.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from engine import atomic
from engine.clock import Clock, timestamp
from engine.errors import DeltaMismatchError
from engine.geodatabase import acknowledge, change_log, journal
from engine.geodatabase.carried import note_older
from engine.geodatabase.change_log import Edit
from engine.geodatabase.difference import Row
from engine.geodatabase.geodatabase import Geodatabase
from engine.geodatabase.geopackage import insert_rows
from engine.geodatabase.layer_table import LayerTable
from engine.geodatabase.logged_table import LoggedTable
from engine.geodatabase.replica import Replica, ReplicaLayer
from engine.geodatabase.sql import quote
from engine.geodatabase.triggers import Permissions
from engine.layer_schema import LayerSchema, ServiceSchema
from engine.model import EditOperation, SpatialReference, SyncModel
from engine.service.feature_service import FeatureService
from engine.service.feature_set import query_by_global_ids
from engine.sync.batches import newest_name
from engine.sync.channel_choice import preferred_channel
from engine.sync.delta_file import BlockSection, DeltaFile, Piece
from engine.sync.delta_parents import CARRIED, leave_out_orphans
from engine.sync.delta_parts import (
    GEOMETRY,
    CarriedEdit,
    Cells,
    Role,
    TableParts,
    stored_parts,
    table_cells,
    table_row,
)
from engine.sync.machine import machine_id
from engine.sync.parameters import PushChannel
from engine.sync.read_back import QUERY_ROWS
from engine.sync.rows import table_rows

FILE = "carrier.gpkg"
BATCH_EDITS = 500
PIECES = 64  # of attachments, in one transaction

_ALL = Permissions()


async def build_carrier(
    delta: DeltaFile, service: FeatureService, folder: Path, clock: Clock
) -> None:
    """Make the carrier of ``delta`` in the new folder ``folder``, whole or not at all.

    :exc:`DeltaMismatchError` if the service is not the one that the edits are for.
    """
    schema = await service.load()
    await _check_service(delta, service, schema)
    ids = delta.layer_ids
    layers = await service.layers(ids, schema)
    for layer in layers:
        _check_layer(delta, layer)
    with atomic.new_folder(folder) as partial_folder:
        geodatabase = await Geodatabase.create(
            partial_folder / FILE,
            schema,
            layers,
            _record(delta, service, schema, timestamp(clock.now())),
            permissions=dict.fromkeys(ids, _ALL),
            spatial_reference=_reference(delta),
            clock=clock,
        )
        async with geodatabase:
            await _fill(delta, service, geodatabase)
            await leave_out_orphans(geodatabase, service, schema)


async def mark_as_sent(
    geodatabase: Geodatabase,
    service: FeatureService,
    delta: DeltaFile,
    push_channel: PushChannel,
    now: str,
) -> None:
    """Take every open edit of a carrier for one whose answer was lost, so that a sync finds out
    about it before it sends anything.

    The file may have been sent before, or the device may have synced by itself meanwhile.
    """
    if push_channel is PushChannel.AUTO:
        schema = await service.load()
        push_channel = preferred_channel(schema, [s.schema for s in geodatabase.layers])
    newest = delta.header.about.get("newest")
    for table in (p.table for p in stored_parts(geodatabase.layers)):
        counts = {}
        if isinstance(newest, dict) and isinstance(newest.get(str(table.number)), int):
            counts[newest_name(table)] = newest[str(table.number)]
        while await geodatabase.database.write(_mark_some, table, push_channel.value, counts, now):
            pass


# --- which service, which layers --------------------------------------------------------------


async def _check_service(delta: DeltaFile, service: FeatureService, schema: ServiceSchema) -> None:
    header = delta.header
    item = header.about.get("item_id")
    is_other = bool(item and schema.item_id and item != schema.item_id)
    if not is_other and header.service.casefold() == service.url.casefold():
        return
    if is_other or not await service.has_replica(header.replica):
        raise DeltaMismatchError(
            f"{delta.path} holds edits for {header.service}, not for {service.url}",
            remedy="Give the URL of the service that the map was taken from",
        )


def _check_layer(delta: DeltaFile, layer: LayerSchema) -> None:
    there = {field.name.casefold() for field in layer.fields}
    known = delta.layer(layer.id * 2, Role.ROWS)
    missing = [c.name for c in known.columns if c.name.casefold() not in there] if known else []
    if missing or (known is not None and known.geometry_type != layer.geometry_type):
        what = f"no field {', '.join(missing)}" if missing else "another geometry"
        raise DeltaMismatchError(
            f"the layer {layer.name!r} has {what} now",
            remedy="Sync the device itself, or ask the owner of the service",
        )
    if delta.layer(layer.id * 2 + 1, Role.ROWS) is not None and not layer.has_attachments:
        raise DeltaMismatchError(
            f"the layer {layer.name!r} takes no attachments any more",
            remedy="Ask the owner of the service to enable attachments",
        )


def _reference(delta: DeltaFile) -> SpatialReference | None:
    """The spatial reference of the delta's geometries, None if there is none, or more than one."""
    found = {layer.srs_id for layer in delta.header.layers if layer.geometry_type is not None}
    return SpatialReference.of(found.pop()) if len(found) == 1 else None


def _record(delta: DeltaFile, service: FeatureService, schema: ServiceSchema, now: str) -> Replica:
    header, generations = delta.header, delta.generations
    model = SyncModel(str(header.about.get("sync_model")))
    return Replica(
        replica_id=header.replica,
        name=carrier_name(delta),
        service_url=service.url,
        item_id=schema.item_id,
        sync_model=model,
        server_generation=generations["replica"],
        created_at=now,
        machine_id=machine_id(),
        layers=tuple(
            ReplicaLayer(layer_id=i, generation=generations.get(str(i))) for i in delta.layer_ids
        ),
    )


def carrier_name(delta: DeltaFile) -> str:
    """By which a carrier is known to be that of this very file."""
    return f"{delta.id}-{delta.seal}"


# --- rows and edits -----------------------------------------------------------------------------


async def _fill(delta: DeltaFile, service: FeatureService, geodatabase: Geodatabase) -> None:
    parts = {p.number: p for p in stored_parts(geodatabase.layers)}
    schemas = {s.schema.id: s.schema for s in geodatabase.layers}
    database = geodatabase.database
    await database.write(_make_carried)
    for number, edits in delta.edits_by_table(QUERY_ROWS):
        one, some = parts[number], [e for e in edits if e.operation is not EditOperation.ADD]
        if one.table.is_attachment:
            rows = [table_row(one.table, e.global_id, e.base) for e in some]
            await database.write(_insert, one.table, rows, ())
            continue
        gids = [edit.global_id for edit in some]
        present = await _present(service, schemas[number >> 1], one, gids)
        rows, unreadable = [], []
        for edit in some:
            row = present.get(edit.global_id)
            if row is not None:
                cells = {**table_cells(one.table, row), **_named(one.table, edit.base)}
                rows.append(table_row(one.table, edit.global_id, cells))
            elif edit.global_id in present:
                unreadable.append(edit.global_id)
        await database.write(_insert, one.table, rows, unreadable)
    await geodatabase.load()
    for events in _chunks(delta.edits()):
        await database.write(_edit, parts, events)


async def _present(
    service: FeatureService, schema: LayerSchema, parts: TableParts, gids: Sequence[str]
) -> dict[str, Row | None]:
    """The rows that the service has; None for one that cannot be read."""
    if not gids:
        return {}
    reference = SpatialReference.of(parts.layer.srs_id)
    codec = parts.layer
    rows = await query_by_global_ids(service, schema, codec, gids, reference)
    return {g: None if r is None else table_rows(parts.table, [r])[0] for g, r in rows.items()}


def _chunks(
    events: Iterable[CarriedEdit | Piece | BlockSection],
) -> Iterator[list[CarriedEdit | Piece]]:
    some: list[CarriedEdit | Piece] = []
    pieces = 0
    for event in events:
        if isinstance(event, BlockSection):
            continue
        some.append(event)
        pieces += isinstance(event, Piece)
        if len(some) >= BATCH_EDITS or pieces >= PIECES:
            yield some
            some, pieces = [], 0
    yield some


def _make_carried(connection: sqlite3.Connection) -> None:
    """With the key NULL also rows of the service that nobody can read."""
    connection.execute(
        f"CREATE TABLE {CARRIED}(number INTEGER,gid TEXT,key INTEGER,PRIMARY KEY(number,gid))"
    )


def _insert(
    connection: sqlite3.Connection,
    table: LayerTable,
    rows: Sequence[Row],
    unreadable: Sequence[str],
) -> None:
    insert_rows(connection, table, rows)
    connection.executemany(
        f"INSERT INTO {CARRIED} VALUES(?,?,NULL)", [(table.number, gid) for gid in unreadable]
    )


def _edit(
    connection: sqlite3.Connection,
    parts: dict[int, TableParts],
    events: Sequence[CarriedEdit | Piece],
) -> None:
    """Make the edits as a person would: the change log notes them."""
    for event in events:
        table = parts[event.number].table
        if isinstance(event, Piece):
            _put_piece(connection, table, event)
            continue
        logged = LoggedTable(connection, table)
        stored = logged.stored(event.global_id)
        if event.operation is EditOperation.ADD:
            if stored is not None:
                raise DeltaMismatchError(f"the row {event.global_id} is in the file twice")
            logged.insert(table_row(table, event.global_id, event.cells))
            _note_key(connection, table, event.global_id)
            if event.is_older_there:
                note_older(connection, table, event.global_id)
        elif stored is None:
            continue  # it is gone on the service; the acknowledgement says so
        elif event.operation is EditOperation.DELETE:
            logged.delete(event.global_id)
        else:
            row = logged.with_cells(stored.row, _columns(table, event.cells))
            logged.replace_row(stored.row, row)
        if event.size_bytes is not None:
            connection.execute(
                f'UPDATE {quote(table.name)} SET "DATA_SIZE"=?1,"DATA"=zeroblob(?1)'
                ' WHERE "GLOBALID"=?2',
                (event.size_bytes, event.global_id),
            )


def _note_key(connection: sqlite3.Connection, table: LayerTable, gid: str) -> None:
    connection.execute(
        f"INSERT INTO {CARRIED} SELECT ?,?,{quote(table.key)} FROM {quote(table.name)}"
        f" WHERE {quote(table.global_id)}=?",
        (table.number, gid, gid),
    )


def _put_piece(connection: sqlite3.Connection, table: LayerTable, piece: Piece) -> None:
    found = connection.execute(
        f'SELECT {quote(table.key)} FROM {quote(table.name)} WHERE "GLOBALID"=?',
        (piece.global_id,),
    ).fetchone()
    if found is None:
        return
    with connection.blobopen(table.name, "DATA", found[0]) as blob:
        if piece.offset + len(piece.data) > len(blob):
            raise DeltaMismatchError(f"the data of attachment {piece.global_id} is too long")
        blob.seek(piece.offset)
        blob.write(piece.data)


def _named(table: LayerTable, cells: Cells) -> Cells:
    """Cells by the names that the columns have in this table."""
    names = {c.name.casefold(): c.name for c in table.columns} | {GEOMETRY: GEOMETRY}
    return {names[n.casefold()]: cell for n, cell in cells.items() if n.casefold() in names}


def _columns(table: LayerTable, cells: Cells) -> Cells:
    """Cells by the names that the table's columns have in the file."""
    geometry = table.geometry or ""
    return {geometry if n == GEOMETRY else n: cell for n, cell in _named(table, cells).items()}


def renamed_to(connection: sqlite3.Connection, table: LayerTable, gid: str) -> str | None:
    """The GlobalID that a row has now that was added as ``gid``; None if it is gone."""
    found = connection.execute(
        f"SELECT t.{quote(table.global_id)} FROM {CARRIED} a JOIN {quote(table.name)} t"
        f" ON t.{quote(table.key)}=a.key WHERE a.number=? AND a.gid=?",
        (table.number, gid),
    ).fetchone()
    return None if found is None else str(found[0])


def is_undecided(connection: sqlite3.Connection, table: LayerTable, gid: str) -> bool:
    """Whether nothing is decided here about that row: nobody can read it as it is on the service,
    or it was added to a parent that is gone."""
    found = connection.execute(
        f"SELECT 1 FROM {CARRIED} WHERE number=? AND gid=? AND key IS NULL", (table.number, gid)
    )
    return found.fetchone() is not None


# --- finding out --------------------------------------------------------------------------------


def _mark_some(
    connection: sqlite3.Connection,
    table: LayerTable,
    channel: str,
    counts: dict[str, int],
    now: str,
) -> bool:
    edits: list[Edit] = change_log.pending_edits(connection, table, limit=BATCH_EDITS)
    if not edits:
        return False
    batch = journal.add_batch(connection, journal.BatchKind.PUSH, channel, now, counts=counts)
    acknowledge.record_sent(connection, batch, edits)
    journal.move(connection, batch, journal.BatchState.SENDING, now)
    return True
