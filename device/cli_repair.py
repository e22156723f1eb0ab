"""``fieldsync repair``: takes the damaged files of a map again, with their unsent edits."""

from argparse import Namespace
from collections.abc import Iterator
from dataclasses import asdict

from device.cli_credentials import credentials
from device.cli_run import follow, run_async
from device.cli_traffic import traffic
from device.console import Console, Report
from device.ownership import made_for_the_owner
from device.tables import number
from engine import ExitCode, RepairedGeodatabase, RepairOfflineMapJob, RepairOfflineMapResult

WHEN_STOPPED = "Run it again: it goes on where it stopped; the damaged file is kept"


def run(options: Namespace, console: Console) -> Report:
    """Repair the map; files that are whole are left alone."""
    with made_for_the_owner(options.map):
        return run_async(lambda: _repair(options, console), when_stopped=WHEN_STOPPED)


async def _repair(options: Namespace, console: Console) -> Report:
    job = RepairOfflineMapJob(options.map, again=options.again, credential=credentials(options))
    result = await follow(job, f"repairing {options.map.name}", console)
    return Report(
        data={
            "map": str(options.map),
            "has_errors": result.has_errors,
            "geodatabases": [_json(one) for one in result.geodatabases],
            "totals": asdict(result.totals),
        },
        lines=list(_lines(result)),
        exit_code=_exit_code(result),
    )


def _exit_code(result: RepairOfflineMapResult) -> ExitCode:
    if result.has_errors:
        return ExitCode.ERROR
    has_conflicts = any(one.salvaged.conflicts for one in result.geodatabases)
    return ExitCode.CONFLICTS if has_conflicts else ExitCode.OK


def _json(one: RepairedGeodatabase) -> dict[str, object]:
    return {
        "path": str(one.path),
        "reason": one.reason,
        "set_aside": None if one.set_aside is None else str(one.set_aside),
        "saved": [
            {
                "table": edit.table,
                "global_id": edit.global_id,
                "operation": None if edit.operation is None else edit.operation.value,
            }
            for edit in one.salvaged.saved
        ],
        "lost": [
            {"table": edit.table, "global_id": edit.global_id, "problem": edit.problem}
            for edit in one.salvaged.lost
        ],
        "unreadable": one.salvaged.damage,
        "conflicts": one.salvaged.conflicts,
    }


def _lines(result: RepairOfflineMapResult) -> Iterator[str]:
    if not result.geodatabases:
        yield "Every file of the map is whole; nothing was done."
        return
    for one in result.geodatabases:
        yield f"{one.path.name} was taken again: {one.reason}"
        if one.set_aside is not None:
            yield f"The old file is kept as {one.set_aside.name}."
        count = len(one.salvaged.saved)
        them = "it" if count == 1 else "them"
        yield f"{number(count, 'unsent edit')} carried over; sync to send {them}."
        for edit in one.salvaged.lost:
            yield f"  {edit.table} {edit.global_id}: {edit.problem}"
        for name, note in one.salvaged.damage.items():
            yield f"  {name} could not be read whole: {note}"
        if one.salvaged.conflicts:
            yield f"{number(one.salvaged.conflicts, 'conflict')} to be decided by a person."
    yield traffic(result.totals)
