"""``fieldsync import``: a delta file that came for this map."""

import asyncio
from argparse import Namespace

from device.cli_run import run_async
from device.cli_sync import make_report
from device.console import Console, Report
from engine import (
    ConflictPolicy,
    DeltaFile,
    GeodatabaseSyncTask,
    OfflineMap,
    SyncGeodatabaseResult,
)

WHEN_STOPPED = "Nothing is half-applied that matters; import the file again"


def run(options: Namespace, _console: Console) -> Report:
    """Apply the file to the geodatabase that it is for."""
    return run_async(lambda: _import(options), when_stopped=WHEN_STOPPED)


async def _import(options: Namespace) -> Report:
    delta = await asyncio.to_thread(DeltaFile.open, options.file)
    async with OfflineMap.open(options.map) as map_:
        own = [g for g in map_.geodatabases if g.sync_id == delta.replica_id]
        geodatabase = (own or map_.geodatabases)[0]
        layers = await GeodatabaseSyncTask.import_delta(
            geodatabase,
            options.file,
            conflict_policy=ConflictPolicy(options.conflicts.replace("-", "_")),
        )
        result = SyncGeodatabaseResult(geodatabase_path=geodatabase.path, layer_results=layers)
        broken = dict(map_.errors)
    return make_report(str(options.map), [result], broken)
