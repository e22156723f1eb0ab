"""Batches: which edits go up together, and the spool file that is sent.

A batch is bounded in edits and bytes. The values that are sent are kept in the geodatabase in the
transaction that makes the batch (``record_sent``), so that an acknowledgement knows exactly what
the service now has; the spool file is their wire form. Parents come before children, deletes of
children before those of parents, rows before attachments.
"""

import hashlib
import sqlite3
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from engine import atomic
from engine.geodatabase import acknowledge, attachments, change_log, journal
from engine.geodatabase.change_log import Edit
from engine.geodatabase.layer_table import LayerTable
from engine.geodatabase.sql import quote
from engine.layer_schema import FieldType
from engine.model import EditOperation, SpatialReference, normalise_guid
from engine.sync.channels import AttachmentData, Channel, LayerEdits
from engine.sync.rows import RowError, encode_edit

MAX_EDITS = 500
MAX_ATTACHMENT_BYTES = 2 * 1024 * 1024  # several small photos in one call, a larger one alone
CHUNK_BYTES = 64 * 1024


@dataclass(slots=True)
class Cursor:
    """How far a push has come: each edit is tried once in a run, whatever becomes of it."""

    step: int = 0
    after: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One pass over a table's pending edits, taking those operations.

    ``parents``: where its rows belong to others by their GlobalIDs, that table's number and the
    column with the key.
    """

    table: LayerTable
    operations: frozenset[EditOperation]
    parents: tuple[tuple[int, str], ...] = ()


@dataclass(slots=True, kw_only=True)
class Batch:
    """A batch that was prepared. ``refused`` edits have no wire form; they are not part of it."""

    id: int = 0
    edits: list[Edit] = field(default_factory=list)
    refused: list[tuple[Edit, str]] = field(default_factory=list)
    spool: Path | None = None


def steps(
    tables: Sequence[LayerTable],
    parents_first: Sequence[int],
    parents: Mapping[int, tuple[tuple[int, str], ...]],
) -> list[Step]:
    """The order in which the edits of ``tables`` go up, given that of their layers.

    ``parents``: :attr:`Step.parents` by table number.
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
    is_whole: bool = False,
) -> list[Edit]:
    """The edits of the next batch, moving the cursor behind them. Empty: nothing is left.

    One batch holds rows or attachments, never both; but ``is_whole`` takes all there is.
    """
    max_edits = sys.maxsize if is_whole else MAX_EDITS
    edits: list[Edit] = []
    attachment_bytes = 0
    while cursor.step < len(plan):
        step = plan[cursor.step]
        is_mixed = bool(edits) and edits[0].table.is_attachment != step.table.is_attachment
        if is_mixed and not is_whole:
            break
        found = change_log.pending_edits(
            connection, step.table, after=cursor.after, limit=MAX_EDITS
        )
        if not found:
            cursor.step, cursor.after = cursor.step + 1, 0
            continue
        for edit in found:
            parents = set() if is_whole else _unsent_parents(connection, step, edit)
            if any((e.table.number, e.global_id) in parents for e in edits):
                return edits  # first it must be known whether the service takes the parent
            if edit.operation in step.operations and not parents:
                size = 0 if is_whole else _data_bytes(connection, edit)
                if edits and attachment_bytes + size > MAX_ATTACHMENT_BYTES:
                    return edits
                attachment_bytes += size
                edits.append(edit)
            cursor.after = edit.first
            if len(edits) >= max_edits:
                return edits
    return edits


def prepare(
    connection: sqlite3.Connection,
    edits: Sequence[Edit],
    channel: Channel,
    folder: Path,
    spatial_reference: SpatialReference,
    now: str,
    *,
    whole_rows: Mapping[tuple[int, str], Mapping[str, object]],
) -> Batch:
    """Make a batch of ``edits`` in the open transaction: journal, sent values, spool file.

    An edit with a value that has no wire form (an infinity, say) does not hold up the others: it is
    in the batch's ``refused``. ``whole_rows``: what updates carry beside their own columns, by
    table number and GlobalID.
    """
    batch = Batch()
    by_layer: dict[int, LayerEdits] = {}
    for edit in edits:
        layer = by_layer.setdefault(edit.table.layer_id, LayerEdits(layer_id=edit.table.layer_id))
        try:
            rest = whole_rows.get((edit.table.number, edit.global_id), {})
            _add(connection, layer, edit, spatial_reference, rest)
        except RowError as error:
            batch.refused.append((edit, str(error)))
            continue
        batch.edits.append(edit)
    if not batch.edits:
        return batch
    batch.id = journal.add_batch(connection, journal.BatchKind.PUSH, channel.name, now)
    acknowledge.record_sent(connection, batch.id, batch.edits)
    batch.spool = folder / f"batch-{batch.id}.json"
    digest = _write_spool(batch.spool, channel, list(by_layer.values()))
    journal.note(
        connection,
        batch.id,
        now,
        spool_name=batch.spool.name,
        spool_sha256=digest,
        counts={
            "edits": len(batch.edits),
            # What is newer than these on the service came after the batch was made.
            **{
                newest_name(t): newest_object_id(connection, t)
                for t in {e.table.number: e.table for e in batch.edits}.values()
            },
        },
    )
    return batch


def newest_name(table: LayerTable) -> str:
    """Under which name a batch keeps the greatest object id of a table."""
    return f"newest-{table.number}"


def newest_object_id(connection: sqlite3.Connection, table: LayerTable) -> int:
    """The greatest object id of the table, 0 without any."""
    column = object_id_column(table)
    if column is None:
        return 0
    found = connection.execute(f"SELECT max({quote(column)}) FROM {quote(table.name)}").fetchone()
    return int(found[0] or 0)


def object_id_column(table: LayerTable) -> str | None:
    """The column with the service's object ids; attachments have none."""
    return next((c.name for c in table.columns if c.type is FieldType.OID), None)


def _write_spool(path: Path, channel: Channel, edits: list[LayerEdits]) -> str:
    path.parent.mkdir(exist_ok=True)
    with atomic.new_file(path) as stream:
        channel.write(stream, edits)
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        while chunk := stream.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def _add(
    connection: sqlite3.Connection,
    layer: LayerEdits,
    edit: Edit,
    spatial_reference: SpatialReference,
    rest: Mapping[str, object],
) -> None:
    is_attachment = edit.table.is_attachment
    if edit.operation is EditOperation.DELETE:
        (layer.attachment_deletes if is_attachment else layer.deletes).append(edit.global_id)
    elif is_attachment:
        data = AttachmentData(
            metadata=_attachment_metadata(edit),
            chunks=partial(_chunks, connection, edit),
        )
        target = (
            layer.attachment_adds
            if edit.operation is EditOperation.ADD
            else layer.attachment_updates
        )
        target.append(data)
    else:
        feature = encode_edit(edit, spatial_reference)
        if rest and edit.operation is EditOperation.UPDATE:
            feature["attributes"] = {**rest, **_attributes(feature)}
        (layer.adds if edit.operation is EditOperation.ADD else layer.updates).append(feature)


def _attributes(feature: Mapping[str, object]) -> Mapping[str, object]:
    attributes = feature["attributes"]
    assert isinstance(attributes, dict)
    return attributes


def _attachment_metadata(edit: Edit) -> dict[str, object]:
    """The members of an attachment object but its data (REST API, "Sync and attachments")."""
    value = attachment_cells(edit)
    parent, name = value["REL_GLOBALID"], value["ATT_NAME"]
    if not isinstance(parent, str) or not isinstance(name, str) or not name:
        raise RowError("an attachment needs REL_GLOBALID and ATT_NAME")
    return {
        "globalId": edit.global_id,
        "parentGlobalId": parent,
        "contentType": value["CONTENT_TYPE"] or "application/octet-stream",
        "name": name,
    }


def attachment_cells(edit: Edit) -> dict[str, object]:
    """The cells of an attachment's row by column name (of its base after a delete)."""
    row = edit.row or edit.base
    assert row is not None
    return dict(zip(edit.table.row_names, row, strict=True))


def _chunks(connection: sqlite3.Connection, edit: Edit) -> Iterator[bytes]:
    assert edit.key is not None
    return attachments.read_chunks(connection, edit.table, edit.key)


def _data_bytes(connection: sqlite3.Connection, edit: Edit) -> int:
    if not edit.table.is_attachment or edit.operation is EditOperation.DELETE:
        return 0
    assert edit.key is not None
    return attachments.data_size(connection, edit.table, edit.key)


def _unsent_parents(connection: sqlite3.Connection, step: Step, edit: Edit) -> set[tuple[int, str]]:
    """The rows that this one belongs to and that the service does not have yet: it must wait."""
    unsent: set[tuple[int, str]] = set()
    if edit.row is None or not step.parents:
        return unsent
    cells = dict(zip(edit.table.row_names, edit.row, strict=True))
    for number, column in step.parents:
        parent = normalise_guid(cells[column])
        found = connection.execute(
            "SELECT 1 FROM fieldsync_change WHERE layer=? AND gid=? AND had_base=0",
            (number, parent),
        ).fetchone()
        if parent is not None and found is not None:
            unsent.add((number, parent))
    return unsent
