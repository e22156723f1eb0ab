"""From a result file into the staging tables: decode every row, set aside what cannot be decoded.

Synchronous: it runs in one thread hop, outside the geodatabase's write lock.
"""

import base64
import binascii
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from engine.geodatabase import staging
from engine.geodatabase.difference import Row
from engine.geodatabase.fetch_queue import Fetch
from engine.geodatabase.layer_table import LayerTable
from engine.geodatabase.sql import quote
from engine.layer_schema import FieldType
from engine.model import normalise_guid
from engine.service.replica_file import Item, ReplicaHeader, Section, read_rows
from engine.sync.rows import RowDecoder, RowError

BATCH_ROWS = 500
MAX_UNDECODABLE = 1000  # a service that sends only broken rows must not fill the memory

_ROWS = (Section.FEATURES, Section.ADDS, Section.UPDATES)
_ATTACHMENTS = (Section.ATTACHMENTS, Section.ATTACHMENT_ADDS, Section.ATTACHMENT_UPDATES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Undecodable:
    """A row that came down and cannot be stored; ``payload`` is what came, for a person."""

    table: LayerTable
    global_id: str
    reason: str
    payload: object


@dataclass(slots=True)
class Staged:
    """What was found in a file. ``undecodable`` holds the first of the rows that are wrong;
    ``replaced`` are layers whose rows are complete, ``positions`` how many a table has to merge.
    """

    undecodable: list[Undecodable] = field(default_factory=list)
    undecodable_count: int = 0
    replaced: set[int] = field(default_factory=set)
    positions: dict[int, int] = field(default_factory=dict)
    rows: int = 0


RowSink = Callable[[LayerTable, list[Row]], None]


class Stager:
    """Reads a result file for the tables of one geodatabase.

    ``rows`` takes batches of rows, ``fetches`` what is to be fetched of attachments.
    """

    def __init__(
        self,
        tables: Sequence[LayerTable],
        decoders: dict[int, RowDecoder],
        folder: Path,
        rows: RowSink,
        fetches: Callable[[list[Fetch]], None],
    ) -> None:
        self._tables = {(t.layer_id, t.is_attachment): t for t in tables}
        self._decoders = decoders
        self._folder = folder
        self._rows = rows
        self._fetches = fetches
        self._batches: dict[int, list[Row]] = {}
        self._queue: list[Fetch] = []
        self.staged = Staged()

    def read(self, path: Path, header: ReplicaHeader) -> Iterable[tuple[LayerTable, object]]:
        """Feed the sinks with all rows; gives the deletes as (table, id as it came)."""
        self.staged.replaced |= header.replaced
        for item in read_rows(path, header):
            is_attachment = item.section.value.startswith("attachment")
            table = self._tables.get((item.layer_id, is_attachment))
            if table is None:
                continue  # a layer, or attachments, that this geodatabase does not keep
            if item.section in (Section.DELETES, Section.ATTACHMENT_DELETES):
                yield table, item.value
            elif item.section in _ROWS:
                self._add(table, item, self._decoders[table.number].row)
            elif item.section in _ATTACHMENTS:
                self._add(table, item, self._attachment(table, item.section))
        for number, batch in self._batches.items():
            table = next(t for t in self._tables.values() if t.number == number)
            self._rows(table, batch)
        self._fetches(self._queue)

    def _add(self, table: LayerTable, item: Item, decode: Callable[[object], Row]) -> None:
        if item.value is None:
            return
        try:
            row = decode(item.value)
        except RowError as error:
            self.staged.undecodable_count += 1
            if len(self.staged.undecodable) < MAX_UNDECODABLE:
                self.staged.undecodable.append(
                    Undecodable(
                        table=table,
                        global_id=_global_id(table, item.value),
                        reason=str(error),
                        payload=item.value,
                    )
                )
            return
        self.staged.rows += 1
        batch = self._batches.setdefault(table.number, [])
        batch.append(row)
        if len(batch) >= BATCH_ROWS:
            self._rows(table, batch)
            self._batches[table.number] = []

    def _attachment(self, table: LayerTable, section: Section) -> Callable[[object], Row]:
        def row(value: object) -> Row:
            if not isinstance(value, dict):
                raise RowError("an attachment that is no object")
            folded = {str(name).casefold(): v for name, v in value.items()}
            gid = normalise_guid(folded.get("globalid"))
            parent = normalise_guid(folded.get("parentglobalid"))
            if gid is None or parent is None:
                raise RowError("an attachment without globalId or parentGlobalId")
            size = folded.get("size")
            size = size if isinstance(size, int) else None
            # Updated data may have the size of the old, so an update is always fetched.
            expected = None if section is Section.ATTACHMENT_UPDATES else size
            self._queue.append(self._fetch(table, gid, folded, expected))
            if len(self._queue) >= BATCH_ROWS:
                self._fetches(self._queue)
                self._queue = []
            content_type, name = folded.get("contenttype"), folded.get("name")
            return (
                gid,
                parent,
                content_type if isinstance(content_type, str) else "application/octet-stream",
                name if isinstance(name, str) else gid,
                size,
            )

        return row

    def _fetch(
        self, table: LayerTable, gid: str, value: dict[str, object], size: int | None
    ) -> Fetch:
        url, data = value.get("url"), value.get("data")
        spool: str | None = None
        if isinstance(data, str) and data:
            spool = f"attachment-{table.number}-{gid.strip('{}')}"
            try:
                content = base64.b64decode(data, validate=True)
            except binascii.Error as error:
                raise RowError(f"the attachment's data is no base64: {error}") from error
            (self._folder / spool).write_bytes(content)
            size = len(content)
        return Fetch(
            number=table.number,
            gid=gid,
            url=url if isinstance(url, str) and url else None,
            spool_name=spool,
            size_bytes=size,
        )


def stage_file(
    connection: sqlite3.Connection,
    path: Path,
    header: ReplicaHeader,
    tables: Sequence[LayerTable],
    decoders: dict[int, RowDecoder],
    folder: Path,
) -> Staged:
    """Fill the staging tables from a delta or replacement file that :func:`scan` accepted."""
    for table in tables:
        staging.clear_staging(connection, table)
    _create_fetch_stage(connection)

    def rows(table: LayerTable, batch: list[Row]) -> None:
        staging.stage_rows(connection, table, batch)

    def fetches(batch: list[Fetch]) -> None:
        connection.executemany(
            "INSERT OR REPLACE INTO temp.fieldsync_stage_fetch VALUES(?,?,?,?,?)",
            [(f.number, f.gid, f.url, f.spool_name, f.size_bytes) for f in batch],
        )

    stager = Stager(tables, decoders, folder, rows, fetches)
    for table, value in stager.read(path, header):
        gid = _deleted(connection, table, value)
        if gid is not None:
            staging.stage_deletes(connection, table, [gid])
    return stager.staged


def arrange_staged(
    connection: sqlite3.Connection, tables: Sequence[LayerTable], staged: Staged
) -> None:
    """Put all that is staged in the order in which it is merged."""
    for table in tables:
        staged.positions[table.number] = staging.arrange(
            connection, table, complete=table.layer_id in staged.replaced
        )


def staged_fetches(connection: sqlite3.Connection, table: LayerTable) -> list[Fetch]:
    """Attachments whose data must be fetched: those that are not here in that size already."""
    name = quote(table.name)
    (data,) = table.noted
    found = connection.execute(
        "SELECT f.number,f.gid,f.url,f.spool_name,f.size_bytes FROM temp.fieldsync_stage_fetch f"
        f" JOIN {name} a ON a.{quote(table.global_id)}=f.gid WHERE f.number=?"
        f" AND (f.size_bytes IS NULL OR a.{quote(data)} IS NULL"
        f" OR length(a.{quote(data)})<>f.size_bytes)",
        (table.number,),
    )
    names = ("number", "gid", "url", "spool_name", "size_bytes")
    return [Fetch(**dict(zip(names, row, strict=True))) for row in found]


def _create_fetch_stage(connection: sqlite3.Connection) -> None:
    connection.execute(
        "CREATE TEMP TABLE IF NOT EXISTS fieldsync_stage_fetch(number,gid,url,spool_name,"
        "size_bytes,PRIMARY KEY(number,gid)) WITHOUT ROWID"
    )
    connection.execute("DELETE FROM temp.fieldsync_stage_fetch")


def _deleted(connection: sqlite3.Connection, table: LayerTable, value: object) -> str | None:
    """The GlobalID of a deleted row, which services name by GUID or by object id."""
    if isinstance(value, dict):
        value = next((v for k, v in value.items() if k.casefold() in ("globalid", "id")), None)
    gid = normalise_guid(value)
    if gid is not None or not isinstance(value, int) or isinstance(value, bool):
        return gid
    column = next((c.name for c in table.columns if c.type is FieldType.OID), None)
    if column is None:
        return None
    found = connection.execute(
        f"SELECT {quote(table.global_id)} FROM {quote(table.name)} WHERE {quote(column)}=?",
        (value,),
    ).fetchone()
    return None if found is None else str(found[0])


def _global_id(table: LayerTable, value: object) -> str:
    """The identity of a row that could not be decoded; empty if even that is missing."""
    attributes = value.get("attributes", value) if isinstance(value, dict) else {}
    if isinstance(attributes, dict):
        for name, cell in attributes.items():
            if name.casefold() in (table.global_id.casefold(), "globalid"):
                return normalise_guid(cell) or ""
    return ""
