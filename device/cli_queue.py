"""``fieldsync queue``: the edits of all the daemon's maps that the services do not have."""

from argparse import Namespace

from device.api.json_form import as_json
from device.cli_edits import edit_lines, edits_in
from device.cli_socket import daemon, map_names, pages
from device.console import Console, Report
from device.tables import number
from engine import ExitCode


def run(options: Namespace, _console: Console) -> Report:
    """Ask the daemon for each map's edits."""
    client = daemon(options)
    maps: list[dict[str, object]] = []
    lines: list[str] = []
    total = 0
    for name in map_names(client):
        found, failures = edits_in(pages(client, "maps", name, "edits"))
        maps.append({"map": name, "edits": as_json(found), "errors": as_json(failures)})
        total += len(found)
        if found or failures:
            lines += [f"{name}:", *edit_lines(found)]
            lines += [f"{one.message}. {one.remedy}" for one in failures]
            lines.append("")
    is_known = not any(one["errors"] for one in maps)
    return Report(
        data={"maps": maps},
        lines=[*lines, f"{number(total, 'edit')} to send."],
        exit_code=ExitCode.OK if is_known else ExitCode.ERROR,
    )
