"""The way down: fetch what changed on the service, decode it, merge it with its generation.

A pull needs no journal: until its last transaction commits, the geodatabase still has the old
generation, and asking again from there gives the same changes and more.
"""

import asyncio
import sqlite3
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from engine import faults
from engine.atomic import require_space
from engine.errors import (
    AuthenticationError,
    PermissionDeniedError,
    ProtocolError,
    ServiceRefusedError,
)
from engine.geodatabase import change_log, fetch_queue, merge, quarantine, replica, staging
from engine.geodatabase.carried import carried_and_deleted, exported_edits
from engine.geodatabase.half_merged import last_keys, note_begun, note_ended, untold_rows
from engine.geodatabase.layer_table import LayerTable
from engine.geodatabase.remembered import recall, remember
from engine.geodatabase.watched import (
    Reason,
    forget,
    forget_inside,
    watch,
    watched,
)
from engine.layer_schema import JsonObject
from engine.model import AttachmentSyncDirection, QueryOption, SyncModel
from engine.service.download import is_coming, using
from engine.service.replica_file import ReplicaHeader, generations, read_header
from engine.sync.cascades import is_related_only, settle_related, stage_related, watch_unheld
from engine.sync.context import SyncContext
from engine.sync.incoming import (
    Staged,
    arrange_staged,
    incomplete_rows,
    refetch_renamed,
    stage_file,
    staged_fetches,
)
from engine.sync.left_filter import LeftRows, left_untold, note_told
from engine.sync.photo_check import photos_gone
from engine.sync.pull_channels import (
    ExtractedChanges,
    PullChannel,
    ReplicaDownload,
    can_extract,
    downloading,
)
from engine.sync.read_back import QUERY_ROWS, Found, find, merge_part, storable
from engine.sync.rebase import rebase
from engine.sync.untold_photos import stage_carried_photos, stage_outside_photos

SLICE_S = 0.5  # how long one transaction of a long merge keeps other writers out
SLICE_GAP_S = 0.12  # SQLite's busy handler looks again every 100 ms at the latest
PART_ROWS = 500
MAX_VAIN_RUNS = 3
"""In so many runs edits wait for a pull that does not come to its end; then they go first."""

_TARGET = "download.json"
_IN_VAIN = "pulls-in-vain"


async def pull(context: SyncContext) -> None:
    """Bring the layers that download to the service's present generation.

    Without a generation to go by it is only the rows with edits here that are fetched. So it is,
    before the edits have gone up, where :data:`MAX_VAIN_RUNS` runs did not come to the end of a
    pull: a job of the service, or its file, may be where nobody can get at it.
    """
    if context.needs_snapshot or context.edits_first:
        await rebase(context)
        return
    in_vain = int(await context.database.read(recall, _IN_VAIN) or 0)
    if await asyncio.to_thread(is_coming, context.folder / _TARGET):
        in_vain = 0
    if in_vain >= MAX_VAIN_RUNS and not context.has_pushed:
        context.narrator.warn("the edits go first, as the changes could not be had several times")
        context.edits_first = True
        await rebase(context)
        return
    await context.write(remember, _IN_VAIN, str(min(in_vain + 1, MAX_VAIN_RUNS)))
    while await _pull_once(context):
        pass  # what an earlier run had fetched is merged; the service may have moved on since
    await context.write(remember, _IN_VAIN, "0")


async def _pull_once(context: SyncContext) -> bool:
    """True if it took up where an earlier run was stopped.

    What is refused or not understood of one channel is asked for through the other, unless it is
    the replica that is gone: that is not cured by going around it.
    """
    try:
        return await _pull_through(context, ReplicaDownload())
    except (ServiceRefusedError, ProtocolError) as error:
        if isinstance(error, AuthenticationError | PermissionDeniedError):
            raise
        record = context.replica
        if not can_extract(record, context.schema, sorted(downloading(context))):
            raise
        if not await context.service.knows_replica(record.replica_id):
            raise
        context.narrator.warn(f"{error.message}; asking for the changes in another way")
        try:
            return await _pull_through(context, ExtractedChanges())
        except (ServiceRefusedError, ProtocolError) as second:
            if isinstance(second, AuthenticationError | PermissionDeniedError):
                raise
            raise error from second


async def _pull_through(context: SyncContext, channel: PullChannel) -> bool:
    target = context.folder / _TARGET
    context.folder.mkdir(exist_ok=True)
    record = await context.database.read(replica.get_replica)
    context.replica = record
    with using(target):
        fetched = await channel.fetch(context, record, target)
        faults.point("download.fetched")
        header = await asyncio.to_thread(read_header, target)
        await merge_file(context, target, header, fetched.envelope)
    context.replica = await context.database.read(replica.get_replica)
    return fetched.is_resumed


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """What a file with all rows is merged with. ``check`` is told how many rows it has of each
    layer, and raises if they cannot be all; ``put`` writes what belongs to the last transaction."""

    check: Callable[[Mapping[int, int]], Awaitable[None]]
    put: Callable[[sqlite3.Connection], None] | None


async def merge_file(
    context: SyncContext,
    path: Path,
    header: ReplicaHeader,
    envelope: JsonObject,
    *,
    whole: Whole | None = None,
) -> None:
    """Merge a delta or replacement file; the generation moves in the last transaction."""
    server, layers = _generations(context, header, envelope)
    require_space(context.database.path, path.stat().st_size)
    tables = [t for t in context.tables if t.layer_id in downloading(context)]
    layers_known = [context.codec_layer(t) for t in tables if not t.is_attachment]
    staged = await context.database.stage(
        stage_file, path, header, tables, layers_known, context.folder
    )
    if whole is not None:
        await whole.check(await context.database.stage(_staged_rows, tables, staged))
    departed, still_outside = await _stage_others(context, tables, staged)
    await context.database.stage(arrange_staged, tables, staged)
    faults.point("download.staged")
    if context.parameters.keep_geodatabase_deltas:
        from engine.sync.delta_keep import keep_download  # a megabyte that few syncs need

        await keep_download(context, tables, server, layers)
    work = _MergeWork(
        tables=tables,
        staged=staged,
        outside=[departed, still_outside],
        server=server,
        layers=layers,
        put=None if whole is None else whole.put,
    )
    while not await context.apply(_merge_slice, context, work):
        faults.point("slice.merged")
        await context.clock.sleep(SLICE_GAP_S)
    faults.point("download.merged")
    for table in tables:
        if table.number in work.counts:
            context.count_downloaded(table, work.counts[table.number])
        left = len(departed.get(table.number, ())) + work.loose.get(table.number, 0)
        context.layer_result(table).downloaded.out_of_area += left
    for wrong in staged.undecodable:
        context.layer_result(wrong.table).downloaded.undecodable += 1
    if staged.undecodable_count:
        context.narrator.warn(
            f"{staged.undecodable_count} rows of the service cannot be stored; see the quarantine"
        )


def _generations(
    context: SyncContext, header: ReplicaHeader, envelope: JsonObject
) -> tuple[int | None, Mapping[int, int]]:
    """(the replica's new generation, those of layers); what is not merged does not move."""
    members = {**envelope, **header.members}
    server, layers = generations(header.members)
    if server is None and not layers:
        server, layers = generations(envelope)
    no_edits = "noedits" in str(members.get("responseType", "")).casefold()
    if server is None and not layers and not no_edits:
        raise ProtocolError("the service sent changes without saying up to which generation")
    merged = downloading(context)
    if context.replica.sync_model is SyncModel.PER_LAYER:
        if server is not None and not layers:
            layers = dict.fromkeys(merged, server)
        return None, {i: number for i, number in layers.items() if i in merged}
    # One number stands for all layers: it waits for the layer whose changes are left out. One that
    # is gone has no changes, and one that has stopped is compared when it is mended.
    present = set(context.schema.layer_ids) - context.stopped_layers()
    is_whole = merged >= present & {layer.layer_id for layer in context.replica.layers}
    if server is None and layers and merged <= layers.keys():
        server = min(layers.values())  # one counter serves all layers of a service
    return (server if is_whole else None), {}


# --- rows that the file does not tell about ------------------------------------------------------


async def _stage_others(
    context: SyncContext, tables: list[LayerTable], staged: Staged
) -> tuple[dict[int, list[str]], dict[int, list[str]]]:
    """Stage, beside the file's rows, those that must be asked for one by one.

    A "deleted" row may only have left the map's filter: if the service still has it, it is kept.
    Rows that left earlier, or that could not be stored, are asked for again. Returns the rows that
    left now, and those that are still outside, by table number.
    """
    departed: dict[int, list[str]] = {}
    still_outside: dict[int, list[str]] = {}
    await watch_unheld(context, tables)
    for table in tables:
        await complete(context, table)
        if table.is_attachment:
            await context.database.stage(refetch_renamed, table)
        if table.layer_id in staged.replaced:
            rows = await _stage_absent(context, table)
            departed[table.number], still_outside[table.number] = rows
            continue
        if table.is_attachment:
            added = await context.database.stage(_untold_new, table)
            gone = await photos_gone(context, table, added)
            await context.database.stage(staging.stage_deletes, table, gone)
            await stage_carried_photos(context, table)
            continue
        left = LeftRows()
        if _is_filtered(context, table.layer_id):
            departed[table.number] = await _departed(context, table)
            left = await left_untold(context, table)
            if not left.gids.isdisjoint(departed[table.number]):
                await note_told(context)
        known = set(await context.database.stage(watched, table, Reason.OUTSIDE))
        outside, others = await context.database.stage(_others, table)
        asked = dict.fromkeys([*outside, *others, *left.unstaged])
        found = await find(context, table, asked)
        await context.database.stage(_stage_found, table, found)
        gone = [gid for gid in asked if gid not in found]
        await context.database.stage(staging.stage_deletes, table, gone)
        there = [*left.staged, *(gid for gid in left.unstaged if gid in found)]
        still = [gid for gid in there if gid in known]
        still_outside[table.number] = [*still, *(gid for gid in outside if gid in found)]
        new = [gid for gid in there if gid not in known]
        departed[table.number] = list(dict.fromkeys([*departed.get(table.number, ()), *new]))
    await stage_related(context, tables)
    await stage_outside_photos(context, tables, departed)
    return departed, still_outside


async def _stage_absent(context: SyncContext, table: LayerTable) -> tuple[list[str], list[str]]:
    """What is here and not in a file with all rows is gone only if the service says so itself.

    Stages the rows that it still has, and the deletes of those that it has not. Returns the rows
    that have left the filter, now and earlier.
    """
    outside = set(await context.database.stage(watched, table, Reason.OUTSIDE))
    there: list[str] = []
    after = ""
    while some := await context.database.stage(_absent, table, after):
        after = some[-1]
        if not table.is_attachment:
            found = await find(context, table, some)
            await context.database.stage(_stage_found, table, found)
            gone = [gid for gid in some if gid not in found]
            await context.database.stage(staging.stage_deletes, table, gone)
            there += found
        elif context.replica.attachment_direction is AttachmentSyncDirection.BIDIRECTIONAL:
            gone = await photos_gone(context, table, some)
            await context.database.stage(staging.stage_deletes, table, gone)
    departed = [gid for gid in there if gid not in outside]
    return departed, [gid for gid in there if gid in outside]


def _absent(connection: sqlite3.Connection, table: LayerTable, after: str) -> list[str]:
    return staging.absent(connection, table, after=after, limit=QUERY_ROWS)


def _staged_rows(
    connection: sqlite3.Connection, tables: list[LayerTable], staged: Staged
) -> dict[int, int]:
    """How many rows a file has of each layer, those included that cannot be stored."""
    kept = len(staged.undecodable)
    unknown = staged.undecodable_count - kept  # of some layer or other
    wrong = Counter(u.table.number for u in staged.undecodable)
    return {
        table.layer_id: staging.count_staged(connection, table) + wrong[table.number] + unknown
        for table in tables
        if not table.is_attachment
    }


async def complete(context: SyncContext, table: LayerTable) -> None:
    """Stage rows whole that came without all their columns: what was left out is not null."""
    after = ""
    while some := await context.database.stage(incomplete_rows, table, after, QUERY_ROWS):
        found = await find(context, table, some)
        await context.database.stage(_stage_found, table, found)
        after = some[-1]


async def _departed(context: SyncContext, table: LayerTable) -> list[str]:
    departed: list[str] = []
    after = ""
    while gone := await context.database.stage(_next_deletes, table, after):
        found = await find(context, table, gone)
        await context.database.stage(_stage_found, table, found)
        departed += found
        after = gone[-1]
    return departed


def _is_filtered(context: SyncContext, layer_id: int) -> bool:
    """False if a row of that layer cannot leave the replica but by being deleted."""
    options = context.replica.layer(layer_id).options
    option = options.get("queryOption", QueryOption.USE_FILTER.value)
    if option == QueryOption.ALL.value:
        return False
    if is_related_only(context, layer_id):
        return True
    has_geometry = context.layers[layer_id].geometry_type is not None
    return bool(options.get("where")) or (has_geometry and options.get("useGeometry") is not False)


def _next_deletes(connection: sqlite3.Connection, table: LayerTable, after: str) -> list[str]:
    return staging.staged_deletes(connection, table, after=after, limit=QUERY_ROWS)


def _stage_found(connection: sqlite3.Connection, table: LayerTable, found: Found) -> None:
    staging.stage_rows(connection, table, storable(found))


def _others(connection: sqlite3.Connection, table: LayerTable) -> tuple[list[str], list[str]]:
    """Rows outside of the filter; and those that could not be stored, or were sent, since the last
    download. All without the ones that the file speaks of."""
    inbound = quarantine.list_quarantined(
        connection, direction=quarantine.Direction.INBOUND, layer=table.number
    )
    outside = untold(connection, table, Reason.OUTSIDE)
    others = [q.global_id for q in inbound if q.global_id]
    others = [gid for gid in others if not staging.is_staged(connection, table, gid)]
    return outside, list(dict.fromkeys([*others, *_untold_new(connection, table)]))


def _untold_new(connection: sqlite3.Connection, table: LayerTable) -> list[str]:
    """Rows that are here since the last download, by our own edits or by a merge that was broken
    off, and of which this one says nothing: somebody may have deleted them. And those that are
    not here any more, or were taken back here, and that somebody may have sent from a file."""
    carried = () if table.is_attachment else carried_and_deleted(connection, table)
    return [
        *untold(connection, table, Reason.ADDED),
        *untold_rows(connection, table),
        *(gid for gid, _ in carried if not staging.is_staged(connection, table, gid)),
        *_taken_back(connection, table),
    ]


def _taken_back(connection: sqlite3.Connection, table: LayerTable) -> list[str]:
    """Rows with an edit in a file that is none here any more. Whoever sends the file brings it
    there all the same."""
    return [
        gid
        for gid in exported_edits(connection, table)
        if not staging.is_staged(connection, table, gid)
        and change_log.edit_of(connection, table, gid) is None
    ]


def untold(connection: sqlite3.Connection, table: LayerTable, reason: Reason) -> list[str]:
    """Watched rows of which the download says nothing."""
    rows = watched(connection, table, reason)
    return [gid for gid in rows if not staging.is_staged(connection, table, gid)]


# --- the merge -----------------------------------------------------------------------------------


@dataclass(slots=True, kw_only=True)
class _MergeWork:
    """What is to be merged, and how far that has come: table by table, position by position."""

    tables: list[LayerTable]
    staged: Staged
    outside: list[dict[int, list[str]]]
    server: int | None
    layers: Mapping[int, int]
    put: Callable[[sqlite3.Connection], None] | None
    table: int = 0
    position: int = 0
    counts: dict[int, merge.MergeCounts] = field(default_factory=dict)
    loose: dict[int, int] = field(default_factory=dict)
    keys: dict[int, int] | None = None


def _merge_slice(connection: sqlite3.Connection, context: SyncContext, work: _MergeWork) -> bool:
    """Merge on in the open transaction; True when all is done and the generation has moved.

    It stops after :data:`SLICE_S`, so that no other writer waits long. A run that dies between two
    slices asks again from the old generation: merging a row twice changes nothing.
    """
    end = context.clock.monotonic() + SLICE_S
    if work.keys is None:
        work.keys = last_keys(connection, work.tables)
    while work.table < len(work.tables):
        table = work.tables[work.table]
        last = work.staged.positions[table.number]
        while work.position < last:
            part = (work.position + 1, min(work.position + PART_ROWS, last))
            merged = merge_part(connection, context, table, part)
            work.counts[table.number] = work.counts.get(table.number, merge.MergeCounts()) + merged
            work.position = part[1]
            if context.clock.monotonic() >= end:
                note_begun(connection, work.keys)
                return False
        if table.is_attachment:
            fetch_queue.enqueue(connection, staged_fetches(connection, table))
            fetch_queue.forget_missing(connection, table)
        work.table, work.position = work.table + 1, 0
    for table in work.tables:
        # Not before: a run that goes on compares the attachments of those that came inside again.
        if not table.is_attachment:
            forget_inside(connection, table)
            for rows in work.outside:
                watch(connection, table, rows.get(table.number, ()), Reason.OUTSIDE)
        if work.server is not None or table.layer_id in work.layers:
            # From its generation on the service tells of these rows, but of those cut loose.
            forget(connection, table, Reason.ADDED)
            forget(connection, table, Reason.EDITED)
            work.loose[table.number] = settle_related(connection, context, table)
            note_ended(connection, [table])
        elif work.staged.positions[table.number]:
            note_begun(connection, {table.number: work.keys[table.number]})
    now = context.now()
    work.staged.set_aside(connection, now)
    if work.put is not None:
        work.put(connection)
    replica.set_generations(connection, server=work.server, layers=work.layers)
    replica.set_last_sync(connection, now)
    faults.point("generation.moved")
    return True
