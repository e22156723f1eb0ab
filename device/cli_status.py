"""``fieldsync status``: how the device is, as its daemon tells it."""

from argparse import Namespace
from collections.abc import Iterator

from device.api.json_form import as_json
from device.api.status import Health, LinkStatus, MapStatus, State, Status
from device.cli_socket import daemon
from device.clock_words import clock_words
from device.console import Console, Report
from device.tables import duration, pairs, size, table

MAPS = ("map", "to send", "conflicts", "set aside", "last sync", "state")
LINKS = ("link", "class", "reaches", "up for", "sent", "received")
REACHES = {
    "service": "the service",
    "portal": "a sign-in page",
    "nothing": "nothing",
    "unknown": "not known yet",
}


def run(options: Namespace, _console: Console) -> Report:
    """Ask the daemon."""
    client = daemon(options)
    status, health = client.get(Status, "status"), client.get(Health, "health")
    lines = [*status_lines(status), *_in_trouble(health)]
    return Report(data={"status": as_json(status)}, lines=lines)


def _in_trouble(health: Health) -> Iterator[str]:
    """Parts of the daemon that do not work, or not as they should: a lamp that is missing, say."""
    told = [part for part in health.parts if part.detail or not part.is_alive]
    if told:
        yield ""
    for part in told:
        yield f"{part.name}: {part.detail or 'it does not answer'}"


def status_lines(status: Status) -> Iterator[str]:
    """All of it for a person."""
    yield from pairs(list(_facts(status)))
    if status.maps:
        yield ""
        yield from table(MAPS, [_map(one) for one in status.maps])
    for one in status.maps:
        if one.error is not None:
            yield f"{one.name}: {one.error.message}. {one.error.remedy}".rstrip()
        for hold in one.holds:
            left = hold.next_try_in_s
            when = "" if left is None else f" Again in {duration(left)}."
            yield f"{one.name}: {hold.detail}{when}"
    if status.links:
        yield ""
        yield from table(LINKS, [_link(one) for one in status.links])


def state_line(status: Status) -> str:
    """What it does and why, in one line."""
    state = status.state.value
    if status.state is State.SYNCING and status.progress is not None:
        state = f"{state} {status.progress} %"
    return f"{state}: {status.detail}" if status.detail else state


def _facts(status: Status) -> Iterator[tuple[str, object]]:
    yield "state", state_line(status)
    yield "next run", _next_run(status)
    if (last := status.last_run) is not None:
        how = "ended well" if last.is_success else "failed"
        why = f": {last.failure.message}" if last.failure else ""
        yield "last run", f"{how} {duration(last.ended_ago_s)} ago{why}"
    if status.lamps.explanation:
        yield "lamps", status.lamps.explanation
    yield "clock", clock_words(status.clock)
    for budget in status.budgets:
        if budget.limit_bytes is not None:
            used, limit = size(budget.used_bytes), size(budget.limit_bytes)
            yield f"{budget.link_class.value} today", f"{used} of {limit}"
    if (modem := status.modem) is not None:
        parts = (modem.state, modem.operator, modem.registration)
        signal = None if modem.signal_dbm is None else f"{modem.signal_dbm} dBm"
        yield "modem", ", ".join(part for part in (*parts, signal) if part)
    yield from _conditions(status)
    yield "daemon", f"version {status.version}, up for {duration(status.up_for_s)}"


def _conditions(status: Status) -> Iterator[tuple[str, object]]:
    board = status.conditions
    if board.disk_free_bytes is not None:
        of = "" if board.disk_total_bytes is None else f" of {size(board.disk_total_bytes)}"
        locked = ", read-only" if board.is_disk_read_only else ""
        yield "disk", f"{size(board.disk_free_bytes)} free{of}{locked}"
    power = [
        "the voltage is too low" if board.is_undervoltage else "",
        "" if board.battery_percent is None else f"battery {board.battery_percent:.0f} %",
        "" if board.temperature_c is None else f"{board.temperature_c:.0f} °C",
    ]
    if any(power):
        yield "board", ", ".join(part for part in power if part)


def _next_run(status: Status) -> str:
    why = f": {status.next_run_why}" if status.next_run_why else ""
    if status.state is State.SYNCING:
        return "now"
    if status.next_run_in_s is None:
        return f"when something changes{why}"
    return f"in {duration(status.next_run_in_s)}{why}"


def _map(one: MapStatus) -> tuple[object, ...]:
    state = "syncing" if one.is_syncing else "ok"
    if one.is_update_waiting and not one.is_syncing:
        state = "update waiting"
    elif one.error is not None or one.holds:
        state = "in trouble"
    last = "never" if one.last_sync_at is None else f"{one.last_sync_at:%Y-%m-%d %H:%M}"
    edits = "?" if one.edits is None else one.edits
    return (one.name, edits, one.conflicts, one.quarantined, last, state)


def _link(one: LinkStatus) -> tuple[object, ...]:
    sent, received = (
        None if count is None else size(count) for count in (one.sent_bytes, one.received_bytes)
    )
    used = " (in use)" if one.is_in_use else ""
    return (
        one.interface + used,
        one.link_class.value,
        REACHES[one.reach.value],
        duration(one.up_for_s),
        sent,
        received,
    )
