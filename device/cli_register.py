"""``fieldsync register``: a copied or unregistered map gets replicas of its own."""

from argparse import Namespace

from device.cli_credentials import credentials
from device.cli_run import run_async
from device.console import Console, Report
from engine import ExitCode, GeodatabaseSyncTask, OfflineMap

WHEN_STOPPED = "Register it again; what was half made is taken back by the next sync"


def run(options: Namespace, _console: Console) -> Report:
    """Register every geodatabase of the map."""
    return run_async(lambda: _register(options), when_stopped=WHEN_STOPPED)


async def _register(options: Namespace) -> Report:
    registered, left, credential = [], [], credentials(options)
    async with OfflineMap.open(options.map) as map_:
        for geodatabase in map_.geodatabases:
            url, before = geodatabase.service_url, geodatabase.sync_id
            async with GeodatabaseSyncTask(url, credential=credential) as task:
                await task.register_sync_enabled_geodatabase(geodatabase)
            registered.append(url)
            left += [before] if before else []
        error = next(iter(map_.errors.values()), None)
    return Report(
        data={"map": str(options.map), "registered": registered, "left": left},
        lines=[
            *(f"Registered with {url}." for url in registered),
            *(f"The replica {one} stays, for the map that this is a copy of." for one in left),
            "Now sync it.",
        ],
        exit_code=ExitCode.OK if error is None else error.exit_code,
        error=error,
    )
