"""From a result file into a table: decode every row, set aside what cannot be decoded.

Synchronous: it runs in one thread hop, for a delta outside the geodatabase's write lock.
"""

import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from engine.geodatabase import quarantine, staging
from engine.geodatabase.difference import Row
from engine.geodatabase.fetch_queue import Fetch
from engine.geodatabase.layer_table import LayerTable
from engine.geodatabase.sql import quote
from engine.layer_schema import FieldType
from engine.model import EditOperation, normalise_guid
from engine.service.replica_file import ReplicaHeader, bad_value, global_id_in, read_events
from engine.sync.rows import table_rows
from native.decoder import (
    Attachment,
    AttachmentData,
    BadItem,
    Deletes,
    PartialRows,
    Rows,
)
from native.errors import ErrorCode
from native.layer import Layer
from native.operation import Operation

MAX_UNDECODABLE = 1000  # a service that sends only broken rows must not fill the memory
FETCH_BATCH = 500
RETURNED = "fieldsync_stage_returned"
"""The table of rows that the file calls new, and that are here."""

_OPERATIONS = {
    Operation.DATA: EditOperation.ADD,
    Operation.ADDS: EditOperation.ADD,
    Operation.UPDATES: EditOperation.UPDATE,
    Operation.DELETES: EditOperation.DELETE,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Undecodable:
    """A row that came down and cannot be stored; ``payload`` is what came, for a person."""

    table: LayerTable
    global_id: str
    operation: EditOperation
    reason: str
    payload: object


@dataclass(slots=True)
class Staged:
    """What was found in a file. ``undecodable`` holds the first of the rows that are wrong;
    ``replaced`` are layers whose rows are complete, ``positions`` how many a table has to merge.
    """

    undecodable: list[Undecodable] = field(default_factory=list)
    undecodable_count: int = 0
    replaced: frozenset[int] = frozenset()
    positions: dict[int, int] = field(default_factory=dict)
    rows: int = 0

    def set_aside(self, connection: sqlite3.Connection, now: str) -> None:
        """Note the rows that cannot be stored in the inbound quarantine, by which the next
        download fetches them again. Needs an open transaction."""
        for wrong in self.undecodable:
            quarantine.put(
                connection,
                direction=quarantine.Direction.INBOUND,
                table=wrong.table,
                global_id=wrong.global_id,
                operation=wrong.operation,
                code="undecodable",
                reason=wrong.reason,
                remedy="Correct the row on the service; the next download fetches it again",
                received=wrong.payload,
                now=now,
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Sinks:
    """Where the parts of a file go: batches of rows with their bounds if these are known, GlobalIDs
    of rows that came without all their columns, deleted ids as they came, and what is to be fetched
    of attachments. ``added``, if it is given, gets each batch of features that are called new
    before ``rows`` does."""

    rows: Callable[[LayerTable, list[Row], bytes | None], None]
    incomplete: Callable[[LayerTable, list[str]], None]
    deletes: Callable[[LayerTable, list[str | int]], None]
    fetches: Callable[[list[Fetch]], None]
    added: Callable[[LayerTable, list[Row]], None] | None = None


class Stager:
    """Reads a result file for the tables of one geodatabase.

    ``layers`` tell the codec of the feature tables; embedded attachment data goes to ``folder``.
    """

    def __init__(
        self, tables: Sequence[LayerTable], layers: Sequence[Layer], folder: Path, sinks: Sinks
    ) -> None:
        self._tables = {t.layer_id: t for t in tables if not t.is_attachment}
        self._attachments = {t.layer_id: t for t in tables if t.is_attachment}
        self._layers = [layer for layer in layers if layer.id in self._tables]
        self._folder = folder
        self._sinks = sinks
        self._queue: list[Fetch] = []
        self.staged = Staged()

    def read(self, path: Path, header: ReplicaHeader) -> Staged:
        """Feed the sinks with all the file holds for these tables."""
        self.staged.replaced = header.replaced
        for event in read_events(path, self._layers):
            if isinstance(event, Rows):
                self._rows(self._tables[event.layer_id], event)
            elif isinstance(event, PartialRows):
                gids = [row[0] for row, _ in event.rows]
                self._sinks.incomplete(self._tables[event.layer_id], gids)
            elif isinstance(event, Deletes):
                tables = self._attachments if event.of_attachments else self._tables
                if event.layer_id in tables:
                    self._sinks.deletes(tables[event.layer_id], event.ids)
            elif isinstance(event, AttachmentData):
                if event.layer_id in self._attachments:
                    self._keep(event)
            elif isinstance(event, Attachment):
                if event.layer_id in self._attachments:
                    self._attachment(self._attachments[event.layer_id], event)
            elif isinstance(event, BadItem):
                self._bad(event)
        self._sinks.fetches(self._queue)
        self._queue = []
        return self.staged

    def _rows(self, table: LayerTable, event: Rows) -> None:
        rows, operation = event.rows, event.operation
        bounds: bytes | None = event.bounds
        named = [row for row in rows if row[0] is not None]
        for _ in range(len(rows) - len(named)):
            self._wrong(table, "", operation, f"{table.global_id}: no GlobalID", None)
            bounds = None  # they do not fit the rows any more
        self.staged.rows += len(named)
        batch = table_rows(table, named)
        if operation is Operation.ADDS and self._sinks.added is not None:
            self._sinks.added(table, batch)
        self._sinks.rows(table, batch, bounds)

    def _keep(self, event: AttachmentData) -> None:
        self._folder.mkdir(exist_ok=True)
        with open(self._folder / _data_name(event.layer_id, event.number), "ab") as stream:
            stream.write(event.data)

    def _attachment(self, table: LayerTable, event: Attachment) -> None:
        gid, parent = normalise_guid(event.global_id), normalise_guid(event.parent_global_id)
        if event.error is not None or gid is None or parent is None:
            reason = "its data is damaged" if event.error else "no globalId or parentGlobalId"
            payload = {"name": event.name}
            self._wrong(table, gid or "", event.operation, f"attachment: {reason}", payload)
            return
        size = event.data_size if isinstance(event.size, str) else event.size
        is_update = event.operation is Operation.UPDATES
        spool = None
        if event.data_size:
            spool = f"attachment-{table.number}-{gid.strip('{}')}"
            size = event.data_size
            data = self._folder / _data_name(event.layer_id, event.number)
            if is_update:  # older data of that size may lie there
                with open(data, "r+b") as stream:
                    os.fsync(stream.fileno())
            data.replace(self._folder / spool)
        self._queue.append(
            Fetch(
                number=table.number,
                gid=gid,
                url=event.url or None,
                spool_name=spool,
                size_bytes=size,
                is_changed=is_update,
            )
        )
        if len(self._queue) >= FETCH_BATCH:
            self._sinks.fetches(self._queue)
            self._queue = []
        content_type = event.content_type or "application/octet-stream"
        self.staged.rows += 1
        self._sinks.rows(table, [(gid, parent, content_type, event.name or gid, size)], None)

    def _bad(self, event: BadItem) -> None:
        tables = self._attachments if event.of_attachments else self._tables
        table = tables.get(event.layer_id if event.layer_id is not None else -1)
        if table is None or event.code is ErrorCode.LAYER:
            return  # a layer, or attachments, that this geodatabase does not keep
        where = "geometry" if event.column is None else table.row_names[0]
        if event.column is not None and event.column > 0:
            where = table.columns[event.column - 1].name
        reason = f"{where}: {event.code.name.replace('_', ' ').lower()}"
        gid = global_id_in(event, table.global_id)
        self._wrong(table, gid, event.operation, reason, bad_value(event))

    def _wrong(
        self, table: LayerTable, gid: str, operation: Operation, reason: str, payload: object
    ) -> None:
        self.staged.undecodable_count += 1
        if len(self.staged.undecodable) < MAX_UNDECODABLE:
            self.staged.undecodable.append(
                Undecodable(
                    table=table,
                    global_id=gid,
                    operation=_OPERATIONS[operation],
                    reason=reason,
                    payload=payload,
                )
            )


def stage_file(
    connection: sqlite3.Connection,
    path: Path,
    header: ReplicaHeader,
    tables: Sequence[LayerTable],
    layers: Sequence[Layer],
    folder: Path,
) -> Staged:
    """Fill the staging tables from a delta or replacement file that :func:`read_header` took."""
    sinks = _staging_sinks(connection, tables)
    connection.execute("DELETE FROM temp.fieldsync_stage_fetch")
    connection.execute("DELETE FROM temp.fieldsync_stage_incomplete")
    connection.execute(f"DELETE FROM {RETURNED}")
    staged = Stager(tables, layers, folder, sinks).read(path, header)
    return staged


def arrange_staged(
    connection: sqlite3.Connection, tables: Sequence[LayerTable], staged: Staged
) -> None:
    """Put all that is staged in the order in which it is merged."""
    for table in tables:
        # Also of a file with all rows: what it lacks was asked for one by one, and staged.
        staged.positions[table.number] = staging.arrange(connection, table)
    connection.execute("PRAGMA shrink_memory")  # what staging needed, the merge may have


def _staging_sinks(connection: sqlite3.Connection, tables: Sequence[LayerTable]) -> Sinks:
    for table in tables:
        staging.clear_staging(connection, table)
    connection.execute(
        "CREATE TEMP TABLE IF NOT EXISTS fieldsync_stage_fetch(number,gid,url,spool_name,"
        "size_bytes,is_changed,PRIMARY KEY(number,gid)) WITHOUT ROWID"
    )
    connection.execute(
        "CREATE TEMP TABLE IF NOT EXISTS fieldsync_stage_incomplete(number,gid,"
        "PRIMARY KEY(number,gid)) WITHOUT ROWID"
    )
    connection.execute(
        f"CREATE TEMP TABLE IF NOT EXISTS {RETURNED}(number,gid,PRIMARY KEY(number,gid))"
        " WITHOUT ROWID"
    )
    with_photos = {table.layer_id for table in tables if table.is_attachment}

    def rows(table: LayerTable, batch: list[Row], bounds: bytes | None) -> None:
        staging.stage_rows(connection, table, batch)

    def added(table: LayerTable, batch: list[Row]) -> None:
        if table.layer_id not in with_photos:
            return
        name, gid = quote(table.name), quote(table.global_id)
        connection.executemany(
            f"INSERT OR IGNORE INTO {RETURNED} SELECT ?,{gid} FROM {name} WHERE {gid}=?",
            [(table.number, row[0]) for row in batch],
        )

    def incomplete(table: LayerTable, gids: list[str]) -> None:
        connection.executemany(
            "INSERT OR IGNORE INTO temp.fieldsync_stage_incomplete VALUES(?,?)",
            [(table.number, gid) for gid in gids],
        )

    def deletes(table: LayerTable, ids: list[str | int]) -> None:
        staging.stage_deletes(connection, table, _deleted(connection, table, ids))

    def fetches(batch: list[Fetch]) -> None:
        stage_fetches(connection, batch)
        for table in tables:
            changed = [f.gid for f in batch if f.number == table.number and f.is_changed]
            if changed:
                staging.stage_changed_data(connection, table, changed)

    return Sinks(rows=rows, incomplete=incomplete, deletes=deletes, fetches=fetches, added=added)


def stage_fetches(connection: sqlite3.Connection, batch: Sequence[Fetch]) -> None:
    """Lay ready what may have to be fetched of attachments, beside their staged rows."""
    connection.executemany(
        "INSERT OR REPLACE INTO temp.fieldsync_stage_fetch VALUES(?,?,?,?,?,?)",
        [(f.number, f.gid, f.url, f.spool_name, f.size_bytes, f.is_changed) for f in batch],
    )


def incomplete_rows(
    connection: sqlite3.Connection, table: LayerTable, after: str, limit: int
) -> list[str]:
    """GlobalIDs of rows that came without all their columns, and must be read whole."""
    found = connection.execute(
        "SELECT gid FROM temp.fieldsync_stage_incomplete WHERE number=? AND gid>?"
        " ORDER BY gid LIMIT ?",
        (table.number, after, limit),
    )
    return [gid for (gid,) in found]


def refetch_renamed(connection: sqlite3.Connection, table: LayerTable) -> None:
    """Nobody says of attachments in a file with all rows that they were changed, nor of those that
    were added and changed since the last download: one that has another name or type than here
    was."""
    if not staging.count_staged(connection, table):
        return
    stage, name = staging.stage_table(table), quote(table.name)
    connection.execute(
        "UPDATE temp.fieldsync_stage_fetch SET is_changed=1 WHERE number=?1 AND gid IN"
        f"(SELECT s.gid FROM {stage} s JOIN {name} a ON a.{quote(table.global_id)}=s.gid"
        " WHERE (s.v_ATT_NAME IS NOT a.ATT_NAME OR s.v_CONTENT_TYPE IS NOT a.CONTENT_TYPE)"
        " AND NOT EXISTS(SELECT 1 FROM fieldsync_change c WHERE c.layer=?1 AND c.gid=s.gid))",
        (table.number,),
    )


def staged_fetches(connection: sqlite3.Connection, table: LayerTable) -> list[Fetch]:
    """Attachments whose data must be fetched: those that were changed, or are not here in that
    size already."""
    name = quote(table.name)
    (data,) = table.noted
    found = connection.execute(
        "SELECT f.number,f.gid,f.url,f.spool_name,f.size_bytes FROM temp.fieldsync_stage_fetch f"
        f" JOIN {name} a ON a.{quote(table.global_id)}=f.gid WHERE f.number=?"
        f" AND (f.is_changed OR f.size_bytes IS NULL OR a.{quote(data)} IS NULL"
        f" OR length(a.{quote(data)})<>f.size_bytes)",
        (table.number,),
    )
    names = ("number", "gid", "url", "spool_name", "size_bytes")
    return [Fetch(**dict(zip(names, row, strict=True))) for row in found]


def _deleted(
    connection: sqlite3.Connection, table: LayerTable, ids: Sequence[str | int]
) -> Iterator[str]:
    """GlobalIDs of deleted rows, which services name by GUID or by object id."""
    column = next((c.name for c in table.columns if c.type is FieldType.OID), None)
    for value in ids:
        if isinstance(value, str):
            gid = normalise_guid(value)
            if gid is not None:
                yield gid
        elif column is not None:
            # A row that was deleted here is known by what it was.
            found = connection.execute(
                f"SELECT {quote(table.global_id)} FROM {quote(table.name)} WHERE {quote(column)}=?1"
                f" UNION SELECT c.gid FROM {quote(table.base_table)} b JOIN fieldsync_change c"
                f" ON c.id=b.id AND c.layer=?2 AND c.had_base WHERE b.{quote(f'v_{column}')}=?1",
                (value, table.number),
            ).fetchone()
            if found is not None:
                yield str(found[0])


def _data_name(layer_id: int, number: int) -> str:
    return f"fetch-data-{layer_id}-{number}"
