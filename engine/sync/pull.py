"""The way down: fetch what changed on the service, decode it, merge it with its generation.

A pull needs no journal: until its one transaction commits, the geodatabase still has the old
generation, and asking again from there gives the same changes and more.
"""

import asyncio
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from engine import faults
from engine.errors import ProtocolError
from engine.geodatabase import fetch_queue, merge, quarantine, replica
from engine.geodatabase.layer_table import LayerTable
from engine.layer_schema import JsonObject
from engine.model import AttachmentSyncDirection, EditOperation, SyncDirection, SyncModel
from engine.service.replica_file import ReplicaHeader, generations, scan
from engine.sync.context import SyncContext
from engine.sync.incoming import Staged, stage_features, stage_file, staged_fetches
from engine.sync.replica_request import sync_form

SLICE_S = 0.5  # how long one transaction of a long merge keeps other writers out
SLICE_GAP_S = 0.12  # SQLite's busy handler looks again every 100 ms at the latest
PART_ROWS = 500
QUERY_ROWS = 100  # GlobalIDs in one query: about 4 KB of where clause


async def pull(context: SyncContext) -> None:
    """Bring the geodatabase to the service's present generation."""
    target = context.folder / "download.json"
    context.folder.mkdir(exist_ok=True)
    record = context.replica
    form = sync_form(
        replica_id=record.replica_id,
        schema=context.schema,
        sync_model=record.sync_model,
        generation=record.server_generation,
        layer_generations=_layer_generations(context),
        direction="download",
        with_attachments=record.attachment_direction is AttachmentSyncDirection.BIDIRECTIONAL,
    )
    try:
        envelope = await context.service.download_changes(
            form, target, context.narrator.service_says
        )
        faults.point("download.fetched")
        header = await asyncio.to_thread(scan, target)
        await merge_file(context, target, header, envelope)
    finally:
        target.unlink(missing_ok=True)


async def merge_file(
    context: SyncContext, path: Path, header: ReplicaHeader, envelope: JsonObject
) -> None:
    """Merge a delta or replacement file; the generation moves in the same transaction."""
    members = {**envelope, **header.members}
    server, layers = generations(header.members)
    if server is None and not layers:
        server, layers = generations(envelope)
    no_edits = "noedits" in str(members.get("responseType", "")).casefold()
    if server is None and not layers and not no_edits:
        raise ProtocolError("the service sent changes without saying up to which generation")
    if context.replica.sync_model is SyncModel.PER_LAYER and server is not None and not layers:
        layers = dict.fromkeys(_layer_generations(context), server)
    decoders = {t.number: context.decoder(t) for t in context.tables if not t.is_attachment}
    staged = await context.database.stage(
        stage_file, path, header, context.tables, decoders, context.folder
    )
    faults.point("download.staged")
    work = _MergeWork(staged=staged, server=server, layers=layers)
    while not await context.database.write(_merge_slice, context, work, applying=True):
        faults.point("slice.merged")
        await context.clock.sleep(SLICE_GAP_S)
    faults.point("download.merged")
    for number, merged in work.counts.items():
        _count(context, number, merged)
    for wrong in staged.undecodable:
        context.layer_result(wrong.table).downloaded.undecodable += 1
    if staged.undecodable_count:
        context.narrator.warn(
            f"{staged.undecodable_count} rows of the service cannot be stored; see the quarantine"
        )


async def refresh(
    context: SyncContext,
    table: LayerTable,
    global_ids: Sequence[str],
    *,
    absent_means_deleted: bool,
) -> set[str]:
    """Read rows back from the service and merge them; returns the GlobalIDs it has.

    This fetches what the service itself writes into a row we sent (object id, editor tracking,
    snapped coordinates), and finds out what became of an edit whose answer is unclear.
    """
    present: set[str] = set()
    decoder = context.decoder(table)
    layer = context.layers[table.layer_id]
    for start in range(0, len(global_ids), QUERY_ROWS):
        some = global_ids[start : start + QUERY_ROWS]
        features = await context.service.query_by_global_ids(
            layer, some, context.spatial_reference.wkid
        )
        found = {decoder.identity(feature) for feature in features} - {None}
        present |= {gid for gid in found if gid is not None}
        absent = [gid for gid in some if gid not in found] if absent_means_deleted else []
        await context.database.stage(stage_features, table, decoder, features, absent)
        merged = await context.database.write(_merge_rows, context, table, applying=True)
        context.layer_result(table).downloaded.conflicts += merged.conflicts
    return present


@dataclass(slots=True, kw_only=True)
class _MergeWork:
    """What is to be merged, and how far that has come: table by table, position by position."""

    staged: Staged
    server: int | None
    layers: Mapping[int, int]
    table: int = 0
    position: int = 0
    counts: dict[int, merge.MergeCounts] = field(default_factory=dict)


def _merge_slice(connection: sqlite3.Connection, context: SyncContext, work: _MergeWork) -> bool:
    """Merge on in the open transaction; True when all is done and the generation has moved.

    It stops after :data:`SLICE_S`, so that no other writer waits long. A run that dies between two
    slices asks again from the old generation: merging a row twice changes nothing.
    """
    end = context.clock.monotonic() + SLICE_S
    while work.table < len(context.tables):
        table = context.tables[work.table]
        last = work.staged.positions[table.number]
        while work.position < last:
            part = (work.position + 1, min(work.position + PART_ROWS, last))
            merged = _merge_rows(connection, context, table, part)
            work.counts[table.number] = work.counts.get(table.number, merge.MergeCounts()) + merged
            work.position = part[1]
            if context.clock.monotonic() >= end:
                return False
        if table.is_attachment:
            fetch_queue.enqueue(connection, staged_fetches(connection, table))
            fetch_queue.forget_missing(connection, table)
        work.table, work.position = work.table + 1, 0
    now = context.now()
    for wrong in work.staged.undecodable:
        quarantine.put(
            connection,
            direction=quarantine.Direction.INBOUND,
            table=wrong.table,
            global_id=wrong.global_id,
            operation=EditOperation.UPDATE,
            code="undecodable",
            reason=wrong.reason,
            remedy="Correct the row on the service; it is fetched again when it changes",
            received=wrong.payload,
            now=now,
        )
    replica.set_generations(connection, server=work.server, layers=work.layers)
    replica.set_last_sync(connection, now)
    faults.point("generation.moved")
    return True


def _merge_rows(
    connection: sqlite3.Connection,
    context: SyncContext,
    table: LayerTable,
    part: tuple[int, int] | None = None,
) -> merge.MergeCounts:
    return merge.merge_table(
        connection,
        table,
        context.parameters.conflict_policy,
        now=context.now(),
        dependents=context.dependents(table),
        part=part,
    )


def _layer_generations(context: SyncContext) -> dict[int, int]:
    """The generation of each layer that takes part, for the sync model per layer."""
    directions = {o.layer_id: o.sync_direction for o in context.parameters.layer_options}
    return {
        layer.layer_id: layer.generation
        for layer in context.replica.layers
        if layer.generation is not None
        and directions.get(layer.layer_id, SyncDirection.BIDIRECTIONAL).downloads
    }


def _count(context: SyncContext, number: int, merged: merge.MergeCounts) -> None:
    table = next(t for t in context.tables if t.number == number)
    result = context.layer_result(table)
    counts = result.attachments_downloaded if table.is_attachment else result.downloaded
    counts.added += merged.added
    counts.updated += merged.updated
    counts.deleted += merged.deleted
    counts.unchanged += merged.unchanged
    counts.conflicts += merged.conflicts
