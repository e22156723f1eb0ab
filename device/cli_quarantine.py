"""``fieldsync quarantine``: edits that were refused, and rows that could not be stored."""

from argparse import Namespace
from collections.abc import Iterator, Sequence

from device.api.answers import QuarantinePage
from device.api.client import ApiClient
from device.api.json_form import as_json
from device.api.json_reading import read
from device.api.requests import QuarantineRequest
from device.cli_run import run_async
from device.cli_socket import daemon_with, pages
from device.console import Console, Report
from device.review import QuarantineFacts, discard, geodatabases_meant, quarantine, retry
from device.tables import number, table
from engine import ExitCode, OfflineMap

HEADINGS = ("number", "layer", "GlobalID", "edit", "code", "reason", "state")


def run(options: Namespace, _console: Console) -> Report:
    """Decide what the options ask for, then list what there is."""
    client = daemon_with(options)
    if client is not None:
        return _of_daemon(client, options)
    return run_async(lambda: _quarantine(options), when_stopped="")


def _of_daemon(client: ApiClient, options: Namespace) -> Report:
    place = ("maps", str(options.map), "quarantine")
    for verb in ("retry", "discard"):
        if ids := getattr(options, verb):
            wanted = QuarantineRequest(ids=ids, geodatabase=options.file)
            client.json("POST", *place, verb, body=wanted)
    told = pages(client, *place, resolved=options.all, geodatabase=options.file)
    read_pages = [read(QuarantinePage, page, is_strict=False) for page in told]
    return report(options, [one for page in read_pages for one in page.quarantine])


async def _quarantine(options: Namespace) -> Report:
    async with OfflineMap.open(options.map) as map_:
        meant = geodatabases_meant(map_, options.file)
        if options.retry:
            await retry(map_, options.file, options.retry)
        if options.discard:
            await discard(map_, options.file, options.discard)
        found = [one async for one in quarantine(meant, resolved=options.all)]
    return report(options, found)


def report(options: Namespace, found: Sequence[QuarantineFacts]) -> Report:
    """What was decided, and what there is."""
    return Report(
        data={
            "map": str(options.map),
            "retried": list(options.retry),
            "discarded": list(options.discard),
            "quarantine": as_json(found),
        },
        lines=list(_lines(found, len(options.retry), len(options.discard))),
        exit_code=ExitCode.QUARANTINE if any(one.is_effective for one in found) else ExitCode.OK,
    )


def _lines(found: Sequence[QuarantineFacts], retried: int, discarded: int) -> Iterator[str]:
    if retried:
        yield f"{number(retried, 'row')} will be tried again by the next sync."
    if discarded:
        yield f"{number(discarded, 'edit')} given up."
    if found:
        yield from table(HEADINGS, [_row(one) for one in found])
    elif not retried and not discarded:
        yield "Nothing is set aside."


def _row(one: QuarantineFacts) -> tuple[object, ...]:
    what = one.operation.value if one.direction == "outbound" else "from the service"
    return (one.id, one.layer, one.global_id, what, one.code, one.reason, _state(one))


def _state(one: QuarantineFacts) -> str:
    """How it was decided; else whether it is really kept back."""
    if one.resolution is not None:
        return one.resolution
    return "set aside" if one.is_effective else "edited since, will be sent"
