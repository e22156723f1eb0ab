"""``fieldsync unregister``: ends the tie between a map and its services."""

from argparse import Namespace

from device.cli_credentials import credentials
from device.cli_run import run_async
from device.console import Console, Report
from engine import EngineError, ExitCode, GeodatabaseSyncTask, OfflineMap, UploadRequired

WHEN_STOPPED = "Ask `fieldsync info` which geodatabases are still registered"


def run(options: Namespace, _console: Console) -> Report:
    """Unregister every geodatabase of the map; all its files stay."""
    return run_async(lambda: _unregister(options), when_stopped=WHEN_STOPPED)


async def _unregister(options: Namespace) -> Report:
    unregistered, credential = [], credentials(options)
    failed: EngineError | None = None
    async with OfflineMap.open(options.map) as map_:
        registered = [g for g in map_.geodatabases if g.sync_id]
        for geodatabase in registered:
            if not options.give_up_edits and await geodatabase.has_local_edits():
                raise UploadRequired(
                    f"{geodatabase.path} has edits that were not sent",
                    remedy="Sync the map, or give them up with --give-up-edits",
                )
        for geodatabase in registered:
            url = geodatabase.service_url
            try:
                async with GeodatabaseSyncTask(url, credential=credential) as task:
                    await task.unregister_geodatabase(geodatabase)
            except EngineError as error:  # a service that is gone keeps no other from being asked
                failed = failed or error
                continue
            unregistered.append(url)
        failed = failed or next(iter(map_.errors.values()), None)
    lines = [f"Unregistered from {url}." for url in unregistered]
    if not registered:
        lines.append("It was not registered.")
    return Report(
        data={"map": str(options.map), "unregistered": unregistered},
        lines=[*lines, "The folder and its rows stay; remove it when they are no longer needed."],
        exit_code=ExitCode.OK if failed is None else failed.exit_code,
        error=failed,
    )
