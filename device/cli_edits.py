"""``fieldsync edits``: what was changed on this device and the service does not have."""

from argparse import Namespace
from collections.abc import Iterable, Sequence

from device.api.answers import EditPage
from device.api.client import ApiClient, ReportedError
from device.api.json_form import Json, as_json
from device.api.json_reading import read
from device.api.status import Failure
from device.cli_run import run_async
from device.cli_socket import daemon_with, pages
from device.console import Console, Report
from device.review import EditFacts, edits
from device.tables import number, table
from engine import EditOperation, EngineError, ExitCode, OfflineMap

HEADINGS = ("layer", "edit", "GlobalID", "changed", "state")


def run(options: Namespace, _console: Console) -> Report:
    """List the edits; nothing is changed, and no network is needed."""
    client = daemon_with(options)
    if client is not None:
        return _of_daemon(client, options)
    return run_async(lambda: _list(options), when_stopped="")


def edits_in(pages: Iterable[Json]) -> tuple[list[EditFacts], list[Failure]]:
    """The edits of one of the daemon's maps, and why those of some layers are not known."""
    found: list[EditFacts] = []
    failures: list[Failure] = []
    for page in pages:
        read_page = read(EditPage, page, is_strict=False)
        found += read_page.edits
        failures = list(read_page.errors)
    return found, failures


def _of_daemon(client: ApiClient, options: Namespace) -> Report:
    found, failures = edits_in(pages(client, "maps", str(options.map), "edits"))
    errors = [ReportedError(failure) for failure in failures]
    return _report(options, found, errors)


async def _list(options: Namespace) -> Report:
    async with OfflineMap.open(options.map) as map_:
        found = [one async for _, one in edits(map_)]
        unknown = [t.error for g in map_.geodatabases for t in g.feature_tables if t.error]
        errors: list[EngineError] = [*unknown, *map_.errors.values()]
    return _report(options, found, errors)


def _report(
    options: Namespace, found: Sequence[EditFacts], errors: Sequence[EngineError]
) -> Report:
    return Report(
        data={"map": str(options.map), "edits": as_json(found)},
        lines=[*edit_lines(found), f"{number(len(found), 'edit')} to send."],
        exit_code=errors[0].exit_code if errors else ExitCode.OK,
        error=errors[0] if errors else None,
    )


def edit_lines(found: Sequence[EditFacts]) -> list[str]:
    """The edits as a table; nothing if there are none."""
    return table(HEADINGS, [_row(one) for one in found]) if found else []


def _row(one: EditFacts) -> tuple[object, ...]:
    changed = [] if one.operation is EditOperation.ADD else list(one.columns)
    if one.geometry_changed and one.operation is EditOperation.UPDATE:
        changed.append("geometry")
    if one.attachment is not None:
        changed.append(f"photo {one.attachment}")
    state = one.state.replace("_", " ")
    return (one.layer, one.operation.value, one.global_id, ", ".join(changed), state)
