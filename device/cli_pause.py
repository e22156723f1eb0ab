"""``fieldsync pause`` and ``fieldsync resume``: the daemon rests, or goes on."""

from argparse import Namespace

from device.api.json_form import as_json
from device.api.requests import PauseRequest
from device.api.status import Status
from device.cli_socket import daemon
from device.cli_status import state_line
from device.console import Console, Report


def run(options: Namespace, _console: Console) -> Report:
    """Ask the daemon; it tells what it does now."""
    client = daemon(options)
    if options.verb == "pause":
        body = PauseRequest(seconds=options.seconds)
        status = client.post(Status, "pause", body=body)
    else:
        status = client.post(Status, "resume")
    return Report(data={"status": as_json(status)}, lines=[state_line(status)])
