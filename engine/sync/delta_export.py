"""A geodatabase's unsent edits as a delta file, attachments with their data.

Nothing is changed in the geodatabase, and no network is needed. The edits are those of one moment:
they are read in one transaction, while other programs go on writing.
"""

import sqlite3
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from engine import atomic, faults
from engine.errors import BadParameterError, GeodatabaseError
from engine.geodatabase import attachments, catalog, change_log
from engine.geodatabase.carried import is_carried_older, note_carried
from engine.geodatabase.change_log import Edit, EditState
from engine.geodatabase.replica import get_replica
from engine.geodatabase.sent import read_sent
from engine.model import EditOperation
from engine.sync.batches import newest_object_id
from engine.sync.delta_parts import (
    GEOMETRY,
    CarriedEdit,
    DeltaContent,
    Role,
    TableParts,
    stored_parts,
    table_cells,
)
from engine.sync.delta_writing import delta_header, write, write_edits
from engine.sync.outgoing import is_moved, lacks_data
from native.delta import DeltaHeader, DeltaWriter

_SENT = (EditState.PENDING, EditState.IN_FLIGHT)
_MAGIC = b"FSD"


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """What went into a delta file; ``seal`` is the hash that the file ends with, ``sequence`` the
    last edit that can be in it."""

    edits: int
    attachments: int
    size_bytes: int
    seal: str
    sequence: int

    def __bool__(self) -> bool:
        return self.edits + self.attachments > 0


def export_edits(
    connection: sqlite3.Connection, path: Path, now: str, left_out: Collection[int] = ()
) -> Exported:
    """Write the edits that a sync would send, and those whose answer was lost, to ``path``.

    ``left_out`` are layers whose edits are not known.

    The file appears whole or not at all; without edits there is none. An older delta is replaced,
    anything else at ``path`` is not: :exc:`BadParameterError`.
    """
    refuse_other_file(path)
    if not get_replica(connection).replica_id:
        raise GeodatabaseError(
            "the geodatabase is not registered with its feature service, which would not know "
            "whose edits these are",
            remedy="Register it anew with `fieldsync register`; its edits are kept",
        )
    layers = catalog.stored_layers(connection)
    parts = [
        part
        for part in stored_parts(layers)
        if part.table.layer_id not in left_out and _has_edits(connection, part)
    ]
    if not parts:
        return Exported(edits=0, attachments=0, size_bytes=0, seal="", sequence=0)
    with atomic.new_file(path) as stream:
        writer = DeltaWriter(_header(connection, parts, now))
        counts = [_write_table(connection, writer, one, stream) for one in parts]
        write(stream, writer.finish())
        size = stream.tell()
    faults.point("delta.exported")
    photos = sum(c for c, p in zip(counts, parts, strict=True) if p.table.is_attachment)
    assert writer.seal is not None
    return Exported(
        edits=sum(counts) - photos,
        attachments=photos,
        size_bytes=size,
        seal=writer.seal.hex(),
        sequence=change_log.sequence(connection),
    )


def note_exported(connection: sqlite3.Connection, sequence: int | None = None) -> None:
    """What was added here and not sent is in a file, or will be in a moment; ``sequence``: the last
    edit that can be in it."""
    for entry in catalog.entries(connection):
        note_carried(connection, entry.table, sequence)


def refuse_other_file(path: Path) -> None:
    """:exc:`BadParameterError` if at ``path`` there is something that is no delta."""
    if path.is_file():
        with open(path, "rb") as stream:
            if stream.read(len(_MAGIC)) == _MAGIC:
                return
    if path.exists():
        raise BadParameterError(f"{path} exists and is no delta file", remedy="Choose another name")
    if not path.parent.is_dir():
        raise BadParameterError(f"there is no folder {path.parent}", remedy="Make it first")


def _header(connection: sqlite3.Connection, parts: Sequence[TableParts], now: str) -> DeltaHeader:
    tables = [p.table for p in parts if not p.table.is_attachment]
    record = get_replica(connection)
    about: dict[str, object] = {
        "item_id": record.item_id,
        "exported_at": now,
        # What is newer than these on the service came after this file was made.
        "newest": {str(t.number): newest_object_id(connection, t) for t in tables},
    }
    layers = [
        part.part(role)
        for part in parts
        for role in (Role.BASE, Role.ROWS, Role.DATA)
        if role is not Role.DATA or part.table.is_attachment
    ]
    return delta_header(record, DeltaContent.EDITS, layers, about)


def _has_edits(connection: sqlite3.Connection, parts: TableParts) -> bool:
    return next(_edits(connection, parts), None) is not None


def _edits(connection: sqlite3.Connection, parts: TableParts) -> Iterator[list[Edit]]:
    """The table's edits in small lists."""
    after = 0
    while found := change_log.pending_edits(connection, parts.table, after=after, everything=True):
        after = found[-1].first
        if edits := [e for e in found if e.state in _SENT and not _stays(connection, e)]:
            yield edits


def _stays(connection: sqlite3.Connection, edit: Edit) -> bool:
    """Whether the file goes without it; the service deletes what was deleted with another row
    together with that."""
    return _has_no_form(connection, edit) or change_log.awaited_whole(connection, edit) is not None


def _has_no_form(connection: sqlite3.Connection, edit: Edit) -> bool:
    """Whether it is an attachment whose data is to be sent, and is not here, or that has moved to
    another feature: the next sync sets it aside."""
    if is_moved(connection, edit):
        return True
    return edit.data_changed and edit.row is not None and lacks_data(connection, edit)


def _write_table(
    connection: sqlite3.Connection, writer: DeltaWriter, parts: TableParts, stream: BinaryIO
) -> int:
    count = 0
    for edits in _edits(connection, parts):
        count += len(edits)
        write_edits(stream, writer, [_carried(connection, edit) for edit in edits])
        for edit in edits:
            if edit.data_changed and edit.row is not None:
                write(stream, _data(connection, writer, parts, edit))
    return count


def _carried(connection: sqlite3.Connection, edit: Edit) -> CarriedEdit:
    table = edit.table
    is_update = edit.operation is EditOperation.UPDATE
    changed = [*edit.columns, *([GEOMETRY] if edit.geometry_changed else [])]
    cells = {} if edit.row is None else table_cells(table, edit.row)
    base = {} if edit.base is None else table_cells(table, edit.base)
    # A deleted row must be known whole, to see whether somebody else has changed it since; of an
    # attachment nothing can be asked, and it is small.
    base_names = changed if is_update and not table.is_attachment else list(base)
    size = None
    if edit.data_changed and edit.row is not None and edit.key is not None:
        size = attachments.data_size(connection, table, edit.key)
    return CarriedEdit(
        number=table.number,
        global_id=edit.global_id,
        operation=edit.operation,
        first=edit.first,
        last=edit.last,
        size_bytes=size,
        is_older_there=_is_older_there(connection, edit),
        cells={name: cells[name] for name in changed} if is_update else cells,
        base={name: base[name] for name in base_names if name != table.global_id and base},
    )


def _is_older_there(connection: sqlite3.Connection, edit: Edit) -> bool:
    """Whether it was sent before, or exported, and changed after that."""
    table, gid = edit.table, edit.global_id
    if edit.operation is not EditOperation.ADD:
        return False
    sent = read_sent(connection, table, gid)
    if sent is not None and sent.last < edit.last:
        return True
    return is_carried_older(connection, table, gid, edit.last)


def _data(
    connection: sqlite3.Connection, writer: DeltaWriter, parts: TableParts, edit: Edit
) -> Iterator[bytes]:
    assert edit.key is not None
    part_id = parts.part(Role.DATA).id
    offset = 0
    for chunk in attachments.read_chunks(connection, edit.table, edit.key):
        yield from writer.adds(part_id, [(edit.global_id, offset, chunk)])
        offset += len(chunk)
