"""Delta files out of a geodatabase and into it, without any network."""

import asyncio
from pathlib import Path

from engine import faults
from engine.clock import Clock, timestamp
from engine.errors import DeltaMismatchError
from engine.geodatabase.connection import Database
from engine.geodatabase.geodatabase import Geodatabase
from engine.geodatabase.replica import Replica
from engine.model import ConflictPolicy, normalise_guid
from engine.sync.context import LocalContext
from engine.sync.delta_acknowledge import import_acknowledgement
from engine.sync.delta_changes import import_changes
from engine.sync.delta_export import Exported, export_edits, note_exported
from engine.sync.delta_file import DeltaFile
from engine.sync.delta_parts import DeltaContent
from engine.sync.exclusive import exclusive
from engine.sync.job import Narrator
from engine.sync.local_context import local_context
from engine.sync.parameters import SyncGeodatabaseParameters
from engine.sync.results import SyncGeodatabaseResult


async def export_delta(geodatabase: Geodatabase, path: Path, *, clock: Clock) -> Exported:
    """Write the unsent edits to a delta file; see :meth:`GeodatabaseSyncTask.export_delta`."""
    now = timestamp(clock.now())
    broken = [t.layer_id for t in geodatabase.feature_tables if t.error is not None]
    with exclusive(geodatabase):
        # Before there is a file; and what was added while it was written is in it, too.
        await geodatabase.database.write(note_exported)
        # A connection of its own: the program goes on using the other one meanwhile.
        async with await Database.open(geodatabase.path) as database:
            exported = await database.read(export_edits, path, now, broken)
        if exported:
            await geodatabase.database.write(note_exported, exported.sequence)
            faults.point("delta.noted")
        return exported


async def import_delta(
    geodatabase: Geodatabase,
    path: Path,
    *,
    conflict_policy: ConflictPolicy = ConflictPolicy.LAST_SYNCED,
    clock: Clock,
    narrator: Narrator | None = None,
) -> SyncGeodatabaseResult:
    """Apply a delta file; see :meth:`GeodatabaseSyncTask.import_delta`."""
    with exclusive(geodatabase):
        delta = await asyncio.to_thread(DeltaFile.open, path)
        context = await local_context(
            geodatabase,
            SyncGeodatabaseParameters(conflict_policy=conflict_policy),
            clock,
            narrator or _SILENT,
        )
        _check(delta, context)
        match delta.content:
            case DeltaContent.ACKNOWLEDGEMENT:
                await import_acknowledgement(context, delta)
            case DeltaContent.EDITS:
                raise DeltaMismatchError(
                    f"{path} holds edits on their way to the service",
                    remedy="Send it with `fieldsync push`, and import the acknowledgement",
                )
            case DeltaContent.CHANGES:
                await import_changes(context, delta)
        return context.result


def _check(delta: DeltaFile, context: LocalContext) -> None:
    """The delta must be for this geodatabase; :exc:`DeltaMismatchError` says what differs."""
    header, record = delta.header, context.replica
    if _replica(header.replica) != _replica(record.replica_id):
        raise DeltaMismatchError(
            f"{delta.path} is for the replica {header.replica} of {header.service}; "
            f"{context.database.path} is {_named(record)}"
        )
    known = {table.number for table in context.tables}
    if unknown := [n for n in delta.numbers if n not in known]:
        raise DeltaMismatchError(
            f"{delta.path} speaks of layer {unknown[0] >> 1}, which is not in {record.service_url}"
        )


def _replica(text: str) -> str:
    return normalise_guid(text) or text


def _named(record: Replica) -> str:
    if not record.replica_id:
        return "not registered"
    return f"the replica {record.replica_id} of {record.service_url}"


async def _go_on() -> None:
    """Nobody can stop or pause what has no job."""


_SILENT = Narrator(lambda percent: None, lambda text, severity, source: None, _go_on)
