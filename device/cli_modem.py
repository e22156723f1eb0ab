"""``fieldsync modem probe``: what the modem says of itself, for the person who set it up."""

import asyncio
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path

from device.cli_errors import SystemRefusedError
from device.console import Console, Report
from device.modem import managed
from device.modem.port import Line, PortLost, opened
from device.modem.status import ModemStatus
from device.modem.steps import ModemError, probe
from device.tables import table
from engine import SystemClock

_REMEDY = (
    "Look whether the modem is plugged in, and who has the port: fieldsyncd while it is connected, "
    "ModemManager if modem.mode is managed (then: fieldsync modem probe --managed)"
)
WEAK_DBM, BAD_DBM = -99, -107


def run(options: Namespace, _console: Console) -> Report:
    """Ask the modem, or ModemManager."""
    if options.managed:
        return _managed(managed.ask())
    try:
        found = asyncio.run(_probe(options.port, options.baud))
    except PortLost as error:
        raise SystemRefusedError(str(error), remedy=_REMEDY) from error
    except ModemError as error:
        raise SystemRefusedError(
            f"{options.port}: {error}",
            remedy="Another port of the same modem may be the one that takes commands",
        ) from error
    return Report(
        data={
            "model": found.model,
            "sim": found.sim.value,
            "registration": found.registration.value,
            "operator": found.operator,
            "signal_dbm": found.signal_dbm,
            "clock": None if found.clock is None else found.clock.isoformat(),
        },
        lines=table(("", ""), list(_lines(found))),
    )


def _managed(found: managed.ManagedModem) -> Report:
    network = (found.operator, found.registration.value, found.technology)
    percent = found.signal_percent
    lines = [
        ("modem", found.model or "it does not say what it is"),
        ("state", found.state),
        ("SIM", found.sim.value),
        ("network", ", ".join(part for part in network if part)),
        ("signal", "unknown" if percent is None else f"{percent} %"),
    ]
    return Report(
        data={
            "model": found.model,
            "state": found.state,
            "sim": found.sim.value,
            "registration": found.registration.value,
            "operator": found.operator,
            "technology": found.technology,
            "signal_percent": percent,
        },
        lines=table(("", ""), lines),
    )


async def _probe(path: Path, baud: int) -> ModemStatus:
    with opened(path, baud) as number:
        async with Line(number, number, SystemClock(), name=str(path)) as line:
            return await line.run(probe())


def _lines(found: ModemStatus) -> Iterator[tuple[str, str]]:
    yield "modem", found.model or "it does not say what it is"
    yield "SIM", found.sim.value
    yield "network", ", ".join(t for t in (found.operator, found.registration.value) if t)
    yield "signal", _signal(found.signal_dbm)
    yield "time", "not told" if found.clock is None else f"{found.clock:%Y-%m-%d %H:%M:%S} UTC"


def _signal(dbm: int | None) -> str:
    """In words, too: nobody knows decibels by heart."""
    if dbm is None:
        return "unknown"
    words = "good" if dbm > WEAK_DBM else "weak" if dbm > BAD_DBM else "too weak for data"
    return f"{dbm} dBm, {words}"
