"""``fieldsync watch``: what happens on the device, line by line, until it is stopped."""

import json
from argparse import Namespace
from collections.abc import Iterator

from device.api.json_form import Json
from device.api.json_reading import read
from device.api.status import JobRecord, Status
from device.cli_socket import daemon
from device.cli_status import state_line
from device.console import Console, Report
from device.tables import duration, printable


def run(options: Namespace, console: Console) -> Report:
    """Print events as they come; with ``--json`` each as the daemon sends it."""
    with daemon(options).events("events") as events:
        for event in events:
            lines = [f"{_time(event)}  {printable(line)}" for line in event_lines(event)]
            if not all(map(console.say_now, [json.dumps(event)] if console.is_json else lines)):
                return Report(is_printed=True)  # whoever read has seen enough
    return Report(is_printed=True, lines=["The daemon is stopping."])


def event_lines(event: Json) -> Iterator[str]:
    """What an event says to a person."""
    match event:
        case {"event": "status", "status": status}:
            yield state_line(read(Status, status, is_strict=False))
        case {"event": "job", "job": job}:
            yield job_line(read(JobRecord, job, is_strict=False))
        case {"event": "message", "map": name, "message": {"text": text}}:
            yield f"{name}: {text}"
        case {"event": "button", "gesture": gesture}:
            yield f"button: {str(gesture).replace('_', ' ')} press"
        case {"event": "gap", "lost": lost}:
            yield f"({lost} events were missed)"


def job_line(job: JobRecord) -> str:
    """A job in one line."""
    what = f"{job.id}, {', '.join(job.maps)}: {job.status.name.lower().replace('_', ' ')}"
    if job.status.name == "STARTED":
        return f"{what}, {job.progress} %"
    if job.failure is not None:
        return f"{what}: {job.failure.message}. {job.failure.remedy}".rstrip()
    if job.reason is not None:
        when = "" if job.next_try_in_s is None else f" (next try in {duration(job.next_try_in_s)})"
        return f"{what}: {job.detail}{when}"
    return what


def _time(event: Json) -> str:
    return str(event.get("at", ""))[11:19] or " " * 8
