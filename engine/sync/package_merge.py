"""Packages of map areas, and the update files between two of them, merged into a geodatabase.

The file is the only word on which rows there are: no service is asked about those that it leaves
out or calls deleted, so that all who have the map see the same, and nobody's service has work with
it. Only rows that this device has uploaded, and that no package has told of yet, are its own
matter: they stay until a package has them, or the service says that they are gone.

An update file is merged as a download is. A whole package is merged in one transaction, so that
readers have the old rows or the new ones. What differs is found out before the write lock is taken.
"""

import asyncio
import os
import sqlite3
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path

from engine import faults
from engine.atomic import require_space
from engine.clock import Clock
from engine.errors import ChangeLogBrokenError, ProtocolError, ServiceError
from engine.geodatabase import fetch_queue, merge, replica, staging
from engine.geodatabase.geodatabase import Geodatabase
from engine.geodatabase.layer_table import LayerTable
from engine.geodatabase.package_record import PackageGenerations, sent_up_to
from engine.geodatabase.user_tables import widen_extent
from engine.geodatabase.watched import Reason, forget, watch, watched
from engine.model import AttachmentSyncDirection, Envelope
from engine.service.feature_service import FeatureService
from engine.service.replica_file import ReplicaHeader, generations, read_header
from engine.service.session import Session
from engine.sync.context import LocalContext, SyncContext
from engine.sync.incoming import (
    Staged,
    arrange_staged,
    refetch_renamed,
    stage_file,
    staged_fetches,
)
from engine.sync.job import Narrator
from engine.sync.local_context import local_context
from engine.sync.parameters import SyncGeodatabaseParameters
from engine.sync.photo_check import photos_gone
from engine.sync.pull import PART_ROWS, SLICE_GAP_S, SLICE_S, complete
from engine.sync.read_back import find, merge_part, storable

ABSENT_ROWS = 1000  # looked for at once


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageFile:
    """A package or update file that was read to its end, and the generations it leads to."""

    path: Path
    header: ReplicaHeader
    generations: PackageGenerations


def read_package(path: Path) -> PackageFile:
    """Walk the whole file. :exc:`ProtocolError` if it is not complete, or has no generation."""
    header = read_header(path)
    server, layers = generations(header.members)
    if server is None and not layers:
        raise ProtocolError(f"the package {path.name} does not say of which generation it is")
    found = PackageGenerations(server=server, layers={} if server is not None else layers)
    return PackageFile(path=path, header=header, generations=found)


async def package_context(
    geodatabase: Geodatabase,
    session: Session,
    parameters: SyncGeodatabaseParameters,
    *,
    clock: Clock,
    narrator: Narrator,
) -> SyncContext:
    """What the merge of packages needs; the service is not asked for anything.

    :exc:`ChangeLogBrokenError` if a layer's edits are not known: one generation stands for all.
    """
    for table in geodatabase.feature_tables:
        if table.error is not None:
            raise ChangeLogBrokenError(
                f"{geodatabase.path} takes no update: {table.error.message}"
            ) from table.error
    local = await local_context(geodatabase, parameters, clock, narrator)
    schema = await geodatabase.database.read(replica.get_service)
    return SyncContext(
        **{one.name: getattr(local, one.name) for one in fields(LocalContext)},
        schema=schema,
        service=FeatureService(local.replica.service_url, session),
    )


async def merge_package(
    context: SyncContext,
    file: PackageFile,
    *,
    is_whole: bool,
    put: Callable[[sqlite3.Connection], None],
) -> None:
    """Merge the file; ``put`` notes its generations in the last transaction, the only one of a
    whole package.

    Edits that were not sent stay pending, whatever the file says.
    """
    require_space(context.database.path, file.path.stat().st_size)
    await asyncio.to_thread(_clear, context.folder)
    tables = _tables(context, file, is_whole=is_whole)
    layers = [context.codec_layer(table) for table in tables if not table.is_attachment]
    header = file.header
    staged = await context.database.stage(
        stage_file, file.path, header, tables, layers, context.folder
    )
    await context.database.stage(_refetch_waiting)
    sent = await context.database.stage(sent_up_to)
    number = file.generations.number
    has_all = sent is not None and number is not None and number >= sent
    uploaded = {t.number: await _stage_uploaded(context, t, has_all=has_all) for t in tables}
    for table in tables:
        await complete(context, table)
        if is_whole:
            await _stage_absent(context, table, uploaded[table.number])
    await context.database.stage(arrange_staged, tables, staged)
    unchanged = await context.database.stage(_leave_out_unchanged, tables)
    await asyncio.to_thread(_flush, context.folder, await context.database.stage(_spooled))
    faults.point("package.staged")
    work = _Work(
        tables=tables,
        extents=await context.database.stage(_extents, tables),
        staged=staged,
        uploaded=uploaded,
        slice_s=None if is_whole else SLICE_S,
        put=put,
    )
    while not await context.apply(_merge_slice, context, work):
        faults.point("package-slice.merged")
        await context.clock.sleep(SLICE_GAP_S)
    faults.point("package.merged")
    for table in tables:
        counts = work.counts.get(table.number, merge.MergeCounts())
        same = merge.MergeCounts(unchanged=unchanged[table.number])
        context.count_downloaded(table, counts + same)
    for wrong in staged.undecodable:
        context.layer_result(wrong.table).downloaded.undecodable += 1
    if staged.undecodable_count:
        context.narrator.warn(
            f"{staged.undecodable_count} rows of the package cannot be stored; see the quarantine"
        )


def _tables(context: SyncContext, file: PackageFile, *, is_whole: bool) -> list[LayerTable]:
    """The tables that the file speaks of. Of a whole package, which must have all of them, one
    that is missing would be taken for empty."""
    if file.header.replaced and not is_whole:
        raise ProtocolError(f"the update file {file.path.name} is a whole package")
    found = []
    for table in context.tables:
        if table.is_attachment and not _takes_attachments(context):
            continue
        found.append(table)
        if is_whole and table.layer_id not in file.header.replaced:
            name = context.layers[table.layer_id].name
            raise ProtocolError(
                f"the package has no rows of the layer {name} any more",
                remedy="The area was made anew with other layers: take it again into another "
                "folder. Nothing was changed here",
            )
    return found


def _takes_attachments(context: SyncContext) -> bool:
    return context.replica.attachment_direction is AttachmentSyncDirection.BIDIRECTIONAL


async def clear_spooled(context: SyncContext) -> None:
    """Remove the data of attachments that nothing waits for: what was here already."""
    waiting = set(await context.database.read(_waiting))
    await asyncio.to_thread(_clear_spooled, context.folder, waiting)


def _waiting(connection: sqlite3.Connection) -> list[str]:
    found = connection.execute(
        "SELECT spool_name FROM fieldsync_fetch WHERE spool_name IS NOT NULL"
    )
    return [name for (name,) in found]


def _clear_spooled(folder: Path, waiting: Collection[str]) -> None:
    for path in folder.glob("attachment-*"):
        if path.name not in waiting:
            path.unlink(missing_ok=True)


def _clear(folder: Path) -> None:
    """Remove the data of attachments that an earlier run was reading when it was killed."""
    folder.mkdir(exist_ok=True)
    for path in folder.glob("fetch-data-*"):
        path.unlink(missing_ok=True)


# --- rows that this device has uploaded -----------------------------------------------------------


async def _stage_uploaded(context: SyncContext, table: LayerTable, *, has_all: bool) -> list[str]:
    """The rows that were sent and that no package has told of: they stay.

    ``has_all``: the file is as new as all that was sent, so what it tells of such a row is meant
    for it, and not for one that was there before under its GlobalID. Otherwise, and for what it
    does not tell of or calls deleted, the service is asked: a row that was added and deleted
    between two packages is in neither. If it cannot be asked they wait for the next package.
    """
    waiting = await context.database.stage(_waiting_rows, table, has_all)
    if not waiting:
        return []
    try:
        if table.is_attachment:
            gone = set(await photos_gone(context, table, waiting))
        else:
            found = await find(context, table, waiting)
            await context.database.stage(staging.stage_rows, table, storable(found))
            gone = set(waiting) - found.keys()
    except ServiceError as error:
        context.narrator.info(
            f"{table.name}: the rows sent from here are kept as they are: {error}"
        )
        gone = set()
    kept = [gid for gid in waiting if gid not in gone]
    await context.database.stage(staging.stage_deletes, table, gone)
    await context.database.stage(staging.forget_deletes, table, kept)
    return kept


def _waiting_rows(connection: sqlite3.Connection, table: LayerTable, has_all: bool) -> list[str]:
    sent = watched(connection, table, Reason.ADDED)
    return [gid for gid in sent if not (has_all and staging.has_row(connection, table, gid))]


async def _stage_absent(context: SyncContext, table: LayerTable, uploaded: Sequence[str]) -> None:
    """Stage the deletes of what a whole package does not have."""
    kept = set(uploaded)
    after = ""
    while some := await context.database.stage(_absent, table, after):
        after = some[-1]
        gone = [gid for gid in some if gid not in kept]
        await context.database.stage(staging.stage_deletes, table, gone)
    if table.is_attachment:
        await context.database.stage(refetch_renamed, table)


def _absent(connection: sqlite3.Connection, table: LayerTable, after: str) -> list[str]:
    return staging.absent(connection, table, after=after, limit=ABSENT_ROWS)


def _leave_out_unchanged(
    connection: sqlite3.Connection, tables: Sequence[LayerTable]
) -> dict[int, int]:
    return {t.number: merge.leave_out_unchanged(connection, t) for t in tables}


def _extents(connection: sqlite3.Connection, tables: Sequence[LayerTable]) -> dict[int, Envelope]:
    found = {t.number: staging.staged_extent(connection, t) for t in tables}
    return {number: extent for number, extent in found.items() if extent is not None}


def has_lost_data(connection: sqlite3.Connection, folder: Path) -> bool:
    """Whether attachments wait for data that came in a file and is not in ``folder`` any more."""
    waiting = connection.execute(
        "SELECT spool_name,size_bytes FROM fieldsync_fetch WHERE spool_name IS NOT NULL"
    )
    return any(not _is_there(folder / name, size) for name, size in waiting)


def _is_there(path: Path, size_bytes: int | None) -> bool:
    return path.exists() and size_bytes in (None, path.stat().st_size)


def _refetch_waiting(connection: sqlite3.Connection) -> None:
    """What still waits of an earlier file is to come from this one, whatever its size says."""
    connection.execute(
        "UPDATE temp.fieldsync_stage_fetch SET is_changed=1"
        " WHERE (number,gid) IN(SELECT number,gid FROM fieldsync_fetch)"
    )


def _spooled(connection: sqlite3.Connection) -> list[str]:
    found = connection.execute(
        "SELECT spool_name FROM temp.fieldsync_stage_fetch WHERE spool_name IS NOT NULL"
    )
    return [name for (name,) in found]


def _flush(folder: Path, names: Sequence[str]) -> None:
    """Before the generation moves, the data that came in the file must outlast the power."""
    for name in names:
        handle = os.open(folder / name, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


# --- the merge ------------------------------------------------------------------------------------


@dataclass(slots=True, kw_only=True)
class _Work:
    """What is to be merged, and how far that has come. ``slice_s``: how long a transaction may
    take; None: all of it in one."""

    tables: list[LayerTable]
    extents: Mapping[int, Envelope]
    staged: Staged
    uploaded: Mapping[int, Sequence[str]]
    slice_s: float | None
    put: Callable[[sqlite3.Connection], None]
    table: int = 0
    position: int = 0
    counts: dict[int, merge.MergeCounts] = field(default_factory=dict)


def _merge_slice(connection: sqlite3.Connection, context: SyncContext, work: _Work) -> bool:
    """Merge on in the open transaction; True when all is done and the generation has moved."""
    start = context.clock.monotonic()
    while work.table < len(work.tables):
        table = work.tables[work.table]
        last = work.staged.positions[table.number]
        while work.position < last:
            part = (work.position + 1, min(work.position + PART_ROWS, last))
            merged = merge_part(connection, context, table, part)
            work.counts[table.number] = work.counts.get(table.number, merge.MergeCounts()) + merged
            work.position = part[1]
            if work.slice_s is not None and context.clock.monotonic() >= start + work.slice_s:
                return False
        if table.is_attachment:
            fetch_queue.enqueue(connection, staged_fetches(connection, table))
            fetch_queue.forget_missing(connection, table)
        if table.number in work.extents:
            widen_extent(connection, table, work.extents[table.number])
        forget(connection, table, Reason.ADDED)
        forget(connection, table, Reason.RELATED)
        watch(connection, table, work.uploaded[table.number], Reason.ADDED)
        work.table, work.position = work.table + 1, 0
    now = context.now()
    work.staged.set_aside(connection, now)
    work.put(connection)
    replica.set_last_sync(connection, now)
    faults.point("package.moved")
    return True
