"""Batches: which edits go up together, and the spool file that is sent.

A batch is bounded in edits and bytes. The values that are sent are kept in the geodatabase in the
transaction that makes the batch (``record_sent``), so that an acknowledgement knows exactly what
the service now has; the spool file is their wire form. Parents come before children, deletes of
children before those of parents, rows before attachments.
"""

import hashlib
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from engine import atomic
from engine.geodatabase import acknowledge, attachments, catalog, change_log, journal
from engine.geodatabase.change_log import Edit
from engine.geodatabase.deleted_parts import has_parts
from engine.geodatabase.layer_table import LayerTable
from engine.geodatabase.sql import quote
from engine.layer_schema import FieldType
from engine.model import EditOperation, normalise_guid
from engine.sync.channels import Channel
from engine.sync.context import SyncContext
from engine.sync.outgoing import (
    Attributes,
    attachment_cells,
    estimated_bytes,
    why_no_attachment,
    write_attachment,
    write_edits,
)
from native.encoder import Form
from native.layer import Layer

MAX_EDITS = 500
CHUNK_BYTES = 64 * 1024
_DATA = ".data"


@dataclass(slots=True)
class Cursor:
    """How far a push has come: each edit is tried once in a run, whatever becomes of it."""

    step: int = 0
    after: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One pass over a table's pending edits, taking those operations.

    ``parents``: where its rows belong to others by their GlobalIDs, that table's number and the
    column with the key. ``is_of_parts``: only if there are rows that were deleted with others, and
    then once more those that were not taken.
    """

    table: LayerTable
    operations: frozenset[EditOperation]
    parents: tuple[tuple[int, str], ...] = ()
    is_of_parts: bool = False


@dataclass(slots=True, kw_only=True)
class Batch:
    """A batch that was prepared. ``refused`` edits have no wire form; they are not part of it.

    ``upload`` is the id of the upload that holds its spool; ``is_resumed``: an earlier run began
    it.
    """

    id: int = 0
    edits: list[Edit] = field(default_factory=list)
    refused: list[tuple[Edit, str]] = field(default_factory=list)
    spool: Path | None = None
    upload: str = ""
    is_resumed: bool = False

    @property
    def is_apart(self) -> bool:
        """The spool holds the data of one attachment and not its edit, which will name the upload
        with that data."""
        return self.spool is not None and self.spool.suffix == _DATA


def steps(
    tables: Sequence[LayerTable],
    parents_first: Sequence[int],
    parents: Mapping[int, tuple[tuple[int, str], ...]],
) -> list[Step]:
    """The order in which the edits of ``tables`` go up, given that of their layers.

    ``parents``: those of :class:`Step` by table number. What was deleted with another row comes
    behind it, if the service has not deleted it with that.
    """
    order = {layer_id: n for n, layer_id in enumerate(parents_first)}
    rows = sorted(
        (t for t in tables if not t.is_attachment), key=lambda t: order.get(t.layer_id, 0)
    )
    photos = [t for t in tables if t.is_attachment]
    upserts = frozenset({EditOperation.ADD, EditOperation.UPDATE})
    deletes = frozenset({EditOperation.DELETE})
    return [
        *(Step(table=t, operations=upserts, parents=parents.get(t.number, ())) for t in rows),
        *(Step(table=t, operations=deletes) for t in reversed(rows)),
        *(Step(table=t, operations=deletes, is_of_parts=True) for t in reversed(rows)),
        *(
            Step(
                table=t,
                operations=upserts | deletes,
                parents=((t.number - 1, "REL_GLOBALID"),),
            )
            for t in photos
        ),
    ]


def next_edits(
    connection: sqlite3.Connection,
    plan: Sequence[Step],
    cursor: Cursor,
    *,
    limit_bytes: int | None,
) -> list[Edit]:
    """The edits of the next batch, moving the cursor behind them. Empty: nothing is left.

    One batch holds rows or attachments, never both, of about ``limit_bytes`` on the wire; but None
    takes all there is.
    """
    is_whole = limit_bytes is None
    together = {step.table.number for step in plan} if is_whole else set()
    edits: list[Edit] = []
    size = 0
    while cursor.step < len(plan):
        step = plan[cursor.step]
        is_mixed = bool(edits) and edits[0].table.is_attachment != step.table.is_attachment
        if is_mixed and not is_whole:
            break
        if step.is_of_parts and (is_whole or not has_parts(connection, step.table)):
            cursor.step, cursor.after = cursor.step + 1, 0
            continue
        found = change_log.pending_edits(
            connection, step.table, after=cursor.after, limit=MAX_EDITS
        )
        if not found:
            cursor.step, cursor.after = cursor.step + 1, 0
            continue
        taken = {(e.table.number, e.global_id): e.operation for e in edits}
        for edit in found:
            whole = change_log.awaited_whole(connection, edit)
            ahead = {whole} if whole else _unsent_parents(connection, step, edit)
            if is_whole:
                # Parents come first in a call; but what it deletes by itself would make it fail.
                may_go = not whole and together.issuperset(number for number, _ in ahead)
                feature = _feature_of_deleted(edit)
                may_go = may_go and taken.get(feature) is not EditOperation.DELETE
            elif ahead.isdisjoint(taken):
                may_go = not ahead
            else:
                return edits  # first it must be known whether the service takes that one
            key = (edit.table.number, edit.global_id)
            if edit.operation in step.operations and may_go and key not in taken:
                size += 0 if is_whole else wire_bytes(connection, edit)
                if edits and limit_bytes is not None and size > limit_bytes:
                    return edits
                edits.append(edit)
                taken[key] = edit.operation
            cursor.after = edit.first
            if len(edits) >= MAX_EDITS and not is_whole:
                return edits
    return edits


def first_of(
    connection: sqlite3.Connection, edits: Sequence[Edit], limit_bytes: int | None
) -> list[Edit]:
    """The first of the edits, of about ``limit_bytes`` on the wire; None: all."""
    size = 0
    for number, edit in enumerate(edits):
        size += wire_bytes(connection, edit)
        if number and limit_bytes is not None and size > limit_bytes:
            return list(edits[:number])
    return list(edits)


def prepare(
    connection: sqlite3.Connection,
    edits: Sequence[Edit],
    channel: Channel,
    folder: Path,
    layers: Mapping[int, Layer],
    now: str,
    *,
    whole_rows: Mapping[tuple[int, str], Attributes],
    apart_above: int | None = None,
) -> Batch:
    """Make a batch of ``edits`` in the open transaction: journal, sent values, spool file.

    An edit with a value that has no wire form (an infinity, say) does not hold up the others: it is
    in the batch's ``refused``. ``layers`` by layer id, for the codec; ``whole_rows``: what updates
    carry beside their own columns, by table number and GlobalID. ``apart_above``: if the batch is
    one attachment with more data than that, the spool holds just the data.
    """
    batch = Batch()
    if not edits:
        return batch
    batch.id = journal.add_batch(connection, journal.BatchKind.PUSH, channel.name, now)
    is_apart = apart_above is not None and _data_bytes(connection, edits[0]) > apart_above
    path = folder / f"batch-{batch.id}{_DATA if is_apart else '.json'}"
    folder.mkdir(exist_ok=True)
    with atomic.new_file(path) as stream:
        if is_apart:
            _write_data(stream, connection, edits[0], batch.refused)
        else:
            batch.refused = write_edits(stream, connection, edits, channel.form, layers, whole_rows)
    refused = {id(edit) for edit, _ in batch.refused}
    batch.edits = [edit for edit in edits if id(edit) not in refused]
    if not batch.edits:
        journal.discard(connection, batch.id)
        path.unlink()
        return batch
    batch.spool = path
    acknowledge.record_sent(connection, batch.id, batch.edits)
    journal.note(
        connection,
        batch.id,
        now,
        spool_name=path.name,
        spool_sha256=file_digest(path),
        counts={
            "edits": len(batch.edits),
            "rows": sum(not e.table.is_attachment for e in batch.edits),
            # What is newer than these on the service came after the batch was made.
            **{
                newest_name(t): newest_object_id(connection, t)
                for t in {e.table.number: e.table for e in batch.edits}.values()
            },
        },
    )
    return batch


def _write_data(
    stream: BinaryIO,
    connection: sqlite3.Connection,
    edit: Edit,
    refused: list[tuple[Edit, str]],
) -> None:
    reason = why_no_attachment(connection, edit)
    if reason:
        refused.append((edit, reason))
        return
    assert edit.key is not None
    for piece in attachments.read_chunks(connection, edit.table, edit.key):
        stream.write(piece)


def write_reference(spool: Path, batch: Batch, form: Form, layers: Mapping[int, Layer]) -> None:
    """Write the edit of a batch whose attachment data was uploaded by itself."""
    with atomic.new_file(spool) as stream:
        write_attachment(stream, batch.edits[0], form, layers, batch.upload)


def remove_spool(spool: Path) -> None:
    """Remove the files of a batch."""
    spool.unlink(missing_ok=True)
    spool.with_suffix(".json").unlink(missing_ok=True)


def begun(connection: sqlite3.Connection, context: SyncContext) -> list[Batch]:
    """The batches whose upload an earlier run began, and that are to be sent in this one: all their
    layers send edits now."""
    tables = [entry.table for entry in catalog.entries(connection)]
    sending = {t.number for t in context.tables if context.direction(t.layer_id).uploads}
    return [
        Batch(
            id=batch.id,
            edits=acknowledge.sent_edits(connection, batch.id, tables),
            spool=context.folder / str(batch.spool_name),
            is_resumed=True,
        )
        for batch in journal.unfinished(connection)
        if batch.state is journal.BatchState.PREPARED
        and sending.issuperset(acknowledge.sent_tables(connection, batch.id))
    ]


def newest_name(table: LayerTable) -> str:
    """Under which name a batch keeps the greatest object id of a table."""
    return f"newest-{table.number}"


def newest_object_id(connection: sqlite3.Connection, table: LayerTable) -> int:
    """The greatest object id of the table, 0 without any."""
    column = object_id_column(table)
    if column is None:
        return 0
    # Another program may have written anything there.
    found = connection.execute(
        f"SELECT max({quote(column)}) FROM {quote(table.name)}"
        f" WHERE typeof({quote(column)})='integer'"
    ).fetchone()
    return int(found[0] or 0)


def object_id_column(table: LayerTable) -> str | None:
    """The column with the service's object ids; attachments have none."""
    return next((c.name for c in table.columns if c.type is FieldType.OID), None)


def file_digest(path: Path) -> str:
    """The SHA-256 of a file."""
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        while chunk := stream.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def wire_bytes(connection: sqlite3.Connection, edit: Edit) -> int:
    """About how many bytes the edit takes on the wire."""
    size = estimated_bytes(edit)
    return size + _data_bytes(connection, edit) * 4 // 3


def _data_bytes(connection: sqlite3.Connection, edit: Edit) -> int:
    if not edit.table.is_attachment or edit.operation is EditOperation.DELETE:
        return 0
    assert edit.key is not None
    return attachments.data_size(connection, edit.table, edit.key)


def _feature_of_deleted(edit: Edit) -> tuple[int, str]:
    """Of an attachment that was deleted: its feature; otherwise no row's key."""
    if not edit.table.is_attachment or edit.row is not None:
        return -1, ""
    return edit.table.number - 1, str(attachment_cells(edit)["REL_GLOBALID"])


def _unsent_parents(connection: sqlite3.Connection, step: Step, edit: Edit) -> set[tuple[int, str]]:
    """The rows that this one belongs to and that the service does not have yet: it must wait."""
    unsent: set[tuple[int, str]] = set()
    if edit.row is None or not step.parents:
        return unsent
    cells = dict(zip(edit.table.row_names, edit.row, strict=True))
    for number, column in step.parents:
        parent = normalise_guid(cells[column])
        if parent is not None and change_log.is_unsent(connection, number, parent):
            unsent.add((number, parent))
    return unsent
