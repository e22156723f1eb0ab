"""Delta files that a sync leaves behind when it is asked to: what it set out to send, what came.

They lie in ``<geodatabase>-deltas`` beside the geodatabase. Each sync that keeps any removes the
oldest ones beyond :data:`KEPT_FILES` or :data:`KEPT_BYTES`, but none of its own.
"""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

from engine.geodatabase.layer_table import LayerTable
from engine.sync.context import SyncContext
from engine.sync.delta_changes import Moved, write_changes
from engine.sync.delta_export import export_edits, note_exported
from engine.sync.delta_parts import TableParts
from engine.sync.results import GeodatabaseDeltaInfo

KEPT_FILES = 40
KEPT_BYTES = 200 * 1024 * 1024


def deltas_folder(geodatabase: Path) -> Path:
    """Where the kept deltas of a geodatabase are."""
    return geodatabase.with_name(f"{geodatabase.name}-deltas")


async def keep_upload(context: SyncContext) -> None:
    """Write what this sync is about to send, if there is any."""
    silent = [t.layer_id for t in context.tables if not context.direction(t.layer_id).uploads]
    path = await asyncio.to_thread(_new_path, context, "upload")
    # Should the sync fail, somebody may send the file as any other.
    await context.write(note_exported)
    exported = await context.database.read(export_edits, path, context.now(), silent)
    if exported:
        await context.write(note_exported, exported.sequence)
        info = _info(context)
        _keep_earlier(info, info.upload_delta_path)
        info.upload_delta_path = path
    await asyncio.to_thread(_prune, context)


async def keep_download(
    context: SyncContext,
    tables: Sequence[LayerTable],
    server: int | None,
    layers: Mapping[int, int],
) -> None:
    """Write what is staged for the merge, if there is any. ``server`` and ``layers`` are the
    generations that it leads to."""
    parts = [
        TableParts.of_attachments(table)
        if table.is_attachment
        else TableParts(table, context.codec_layer(table))
        for table in tables
    ]
    path = await asyncio.to_thread(_new_path, context, "download")
    is_written = await context.database.stage(
        write_changes, path, context.replica, parts, Moved(server, layers), context.now()
    )
    if is_written:
        info = _info(context)
        _keep_earlier(info, info.download_delta_path)
        info.download_delta_path = path
    await asyncio.to_thread(_prune, context)


def _info(context: SyncContext) -> GeodatabaseDeltaInfo:
    assert context.result.delta_info is not None, "the sync was asked to keep deltas"
    return context.result.delta_info


def _keep_earlier(info: GeodatabaseDeltaInfo, path: Path | None) -> None:
    if path is not None:
        info.earlier_delta_paths.append(path)


def _new_path(context: SyncContext, kind: str) -> Path:
    """A name that sorts by time and is free."""
    folder = deltas_folder(context.result.geodatabase_path)
    folder.mkdir(exist_ok=True)
    stem = "".join(c for c in context.now() if c.isalnum())
    number = 1
    while (path := folder / f"{stem}-{number}-{kind}.delta").exists():
        number += 1
    return path


def _prune(context: SyncContext) -> None:
    info = _info(context)
    own = {info.upload_delta_path, info.download_delta_path, *info.earlier_delta_paths}
    files = sorted(deltas_folder(info.geodatabase_path).glob("*.delta"), reverse=True)
    size = 0
    for place, path in enumerate(files):
        size += path.stat().st_size
        if path not in own and (place >= KEPT_FILES or size > KEPT_BYTES):
            path.unlink(missing_ok=True)
