"""``fieldsync info``: what a map holds, where it came from, what is pending."""

from argparse import Namespace

from device.cli_map import MapFacts, describe
from device.cli_run import run_async
from device.console import Console, Report
from engine import OfflineMap


def run(options: Namespace, _console: Console) -> Report:
    """Describe the map; nothing is changed, and no network is needed."""

    async def read() -> MapFacts:
        async with OfflineMap.open(options.map) as map_:
            return await describe(map_)

    facts = run_async(read, when_stopped="")
    return Report(data=facts.to_json(), lines=list(facts.lines()))
