"""``fieldsync conflicts``: rows that were edited on both sides, and which side to take."""

from argparse import Namespace
from collections.abc import Iterator, Sequence

from device.api.answers import ConflictPage
from device.api.client import ApiClient
from device.api.json_form import as_json
from device.api.json_reading import read
from device.api.requests import ResolveRequest
from device.cli_run import run_async
from device.cli_socket import daemon_with, pages
from device.console import Console, Report
from device.review import ConflictFacts, conflicts, geodatabases_meant, resolve
from device.tables import number, table
from engine import ExitCode, OfflineMap, Side

HEADINGS = ("number", "layer", "GlobalID", "what", "here", "there", "state")
WHAT = {
    "updated": "changed on both sides",
    "deleted_here": "deleted here",
    "deleted_there": "deleted there",
    "field_closed": "field closed there",
}


def run(options: Namespace, _console: Console) -> Report:
    """Take the sides that the options ask for, then list what there is."""
    client = daemon_with(options)
    if client is not None:
        return _of_daemon(client, options)
    return run_async(lambda: _conflicts(options), when_stopped="")


def _of_daemon(client: ApiClient, options: Namespace) -> Report:
    place = ("maps", str(options.map), "conflicts")
    if options.mine or options.theirs:
        wanted = ResolveRequest(mine=options.mine, theirs=options.theirs, geodatabase=options.file)
        client.json("POST", *place, "resolve", body=wanted)
    told = pages(client, *place, resolved=options.all, geodatabase=options.file)
    read_pages = [read(ConflictPage, page, is_strict=False) for page in told]
    return report(options, [one for page in read_pages for one in page.conflicts])


async def _conflicts(options: Namespace) -> Report:
    async with OfflineMap.open(options.map) as map_:
        meant = geodatabases_meant(map_, options.file)
        for side in Side:
            if ids := getattr(options, side.value):
                await resolve(map_, options.file, ids, side)
        found = [one async for one in conflicts(meant, resolved=options.all)]
    return report(options, found)


def report(options: Namespace, found: Sequence[ConflictFacts]) -> Report:
    """What was decided, and what there is."""
    decided = [{"id": i, "side": side.value} for side in Side for i in getattr(options, side.value)]
    is_open = any(one.resolved_at is None for one in found)
    return Report(
        data={"map": str(options.map), "decided": decided, "conflicts": as_json(found)},
        lines=list(_lines(found, len(decided))),
        exit_code=ExitCode.CONFLICTS if is_open else ExitCode.OK,
    )


def _lines(found: Sequence[ConflictFacts], decided: int) -> Iterator[str]:
    if decided:
        yield f"{number(decided, 'conflict')} decided; sync to send what was taken."
    if found:
        yield from table(HEADINGS, [_row(one) for one in found])
    elif not decided:
        yield "There are no conflicts."


def _row(one: ConflictFacts) -> tuple[object, ...]:
    return (
        one.id,
        one.layer,
        one.global_id,
        WHAT[one.kind.value],
        _values(one.mine, one.columns),
        _values(one.theirs, one.columns),
        one.resolution or ("held" if one.is_held else "open"),
    )


def _values(row: dict[str, object] | None, columns: tuple[str, ...]) -> str:
    if row is None:
        return "(deleted)"
    return ", ".join(f"{name}: {_value(row.get(name))}" for name in columns)


def _value(value: object) -> str:
    return "(geometry)" if isinstance(value, dict) else str(value)
