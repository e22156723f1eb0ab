"""``fieldsync relocate``: a map follows its feature service to another URL."""

from argparse import Namespace

from device.cli_credentials import credentials
from device.cli_run import run_async
from device.console import Console, Report
from engine import OfflineMap, relocate_service

WHEN_STOPPED = "Say it again: it can be repeated"


def run(options: Namespace, _console: Console) -> Report:
    """Point one geodatabase of the map at the service's new URL."""
    return run_async(lambda: _relocate(options), when_stopped=WHEN_STOPPED)


async def _relocate(options: Namespace) -> Report:
    async with OfflineMap.open(options.map) as map_:
        geodatabase = await relocate_service(
            map_, options.url, file=options.file, credential=credentials(options)
        )
        data: dict[str, object] = {
            "map": str(options.map),
            "file": geodatabase.path.name,
            "service_url": geodatabase.service_url,
        }
    return Report(data=data, lines=[f"{data['file']} now syncs with {data['service_url']}."])
