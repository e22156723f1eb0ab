"""The device itself: clock, disk, power, links, modem."""

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

from device.api.status import ClockStatus, Status
from device.clock_words import clock_words
from device.config import Config, ModemMode
from device.doctor.check import Check, ill, unknown, well
from device.model import ClockError, ClockTrust, Reach
from device.modem import managed
from device.modem.managed import ManagedModem, ManagedModemError
from device.modem.status import Registration, SimState
from device.policy import conditions
from device.policy.rules import Rules
from device.tables import size
from engine import Clock

SYNCHRONISED = Path("run/systemd/timesync/synchronized")
"""What systemd-timesyncd touches when a time server has answered (systemd-timesyncd.service(8))."""
CLOCK_REMEDY = (
    "Give the device a network with a time server, or set the clock: "
    "timedatectl set-time 'YYYY-MM-DD HH:MM:SS'. Until then certificates may seem to be invalid"
)


def clock(now: Clock, status: Status | None, root: Path, built: datetime) -> Check:
    """The wall clock; it cannot be earlier than the software."""
    trust = ClockTrust.NTP if (root / SYNCHRONISED).exists() else ClockTrust.NONE
    found = ClockStatus(now=now.now(), trust=trust) if status is None else status.clock
    error, behind = found.error, built - now.now()
    if error is None and behind > timedelta(days=1):
        error = ClockError(
            seconds=-behind.total_seconds(), is_at_least=True, told_by=ClockTrust.NONE
        )
    told = clock_words(replace(found, now=now.now(), error=error))
    if error is not None:
        return ill("clock", told, CLOCK_REMEDY)
    if found.trust is ClockTrust.NONE:
        return unknown("clock", f"{told}; compare it with your watch", CLOCK_REMEDY)
    return well("clock", told)


def disks(folders: Iterable[Path], config: Config) -> Iterator[Check]:
    """Each file system once: whether it takes writes, and has room."""
    seen: set[int] = set()
    for folder in folders:
        place = next((p for p in (folder, *folder.parents) if p.exists()), Path("/"))
        try:
            device, found = os.stat(place).st_dev, os.statvfs(place)
        except OSError as error:
            yield ill("disk", f"{place}: {error.strerror}", "Look at the card or disk: dmesg")
            continue
        if device not in seen:
            seen.add(device)
            yield _disk(place, found, config)


def _disk(place: Path, found: os.statvfs_result, config: Config) -> Check:
    free, whole = found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize
    told = f"{place}: {size(free)} free of {size(whole)}"
    if found.f_flag & os.ST_RDONLY:
        return ill(
            "disk",
            f"{told}, read-only",
            "The system made it read-only, or it is meant to be. If it was not: the card may be "
            "worn out; save the maps, then fsck or replace it",
        )
    limits = config.conditions
    rules = Rules(
        free_disk_bytes=round(limits.min_free_mb * 1e6),
        free_disk_share=limits.min_free_percent / 100,
    )
    if free < rules.least_free_bytes(whole):
        return ill("disk", told, "Make room; below this nothing is fetched, edits still go up")
    if found.f_files and not found.f_favail:
        return ill("disk", f"{told}, but no room for another file", "Remove files that are small")
    return well("disk", told)


def power(config: Config, clock: Clock, root: Path) -> Iterator[Check]:
    """Voltage, heat, battery: what of them the board tells."""
    limits = config.conditions
    found = conditions.read(clock=clock, root=root, battery=limits.battery_file)
    if found.is_undervoltage is not None:
        yield (
            ill(
                "voltage",
                "too low now",
                "Use the supply that came with the board, and a short, thick cable",
            )
            if found.is_undervoltage
            else well("voltage", "as it should be")
        )
    if (heat := found.temperature_c) is not None:
        told = f"{heat:.0f} °C"
        is_hot = heat > limits.max_temperature_c
        yield (
            ill("temperature", told, "Give it shade or air")
            if is_hot
            else well("temperature", told)
        )
    if (charge := found.battery_percent) is not None:
        told = f"{charge:.0f} %{', charging' if found.is_charging else ''}"
        is_low = charge < limits.min_battery_percent and not found.is_charging
        yield ill("battery", told, "Charge it") if is_low else well("battery", told)


def links(status: Status | None, root: Path) -> Check:
    """The ways out of the device."""
    if status is None:
        ways = sorted(_default_routes(root))
        if ways:
            return well("links", ", ".join(ways))
    elif status.links:
        told = ", ".join(f"{one.interface} ({one.link_class.value})" for one in status.links)
        if any(one.reach is Reach.PORTAL for one in status.links):
            return ill(
                "links", told, "A sign-in page is in the way: sign in, or use another network"
            )
        return well("links", told)
    return ill(
        "links",
        "there is no way out",
        "Plug in a cable, join a wireless network, or move to where the modem has signal",
    )


def _default_routes(root: Path) -> set[str]:
    """The interfaces that lead everywhere (proc(5), net/route and net/ipv6_route)."""
    found = set()
    for name, at, anywhere in (("route", 1, "00000000"), ("ipv6_route", 0, "0" * 32)):
        try:
            lines = (root / "proc/net" / name).read_text(encoding="ascii").splitlines()
        except OSError:
            continue
        for line in lines:
            cells = line.split()
            interface = cells[0] if name == "route" else cells[-1]
            if len(cells) > 7 and cells[at] == anywhere and interface != "lo":
                found.add(interface)
    return found


def modem(
    config: Config, status: Status | None, ask: Callable[[], ManagedModem] = managed.ask
) -> Iterator[Check]:
    """The modem and its SIM, if there is to be one. ``ask`` asks ModemManager."""
    if config.modem.mode is ModemMode.NONE:
        return
    if config.modem.mode is ModemMode.MANAGED:
        yield from _managed(ask)
        return
    told = None if status is None else status.modem
    if told is None:
        if config.modem.mode is ModemMode.DIRECT and not config.modem.port.exists():
            yield ill(
                "modem",
                f"{config.modem.port} is not there",
                "Look at its plug and its power; lsusb shows whether it is there at all",
            )
            return
        yield unknown("modem", "only the daemon knows how it is", "Start the daemon")
        return
    parts = (told.state, told.operator, told.registration)
    signal = None if told.signal_dbm is None else f"{told.signal_dbm} dBm"
    yield Check(name="modem", is_ok=None, detail=", ".join(p for p in (*parts, signal) if p))
    if told.sim is not None:
        yield _sim(told.sim)


def _managed(ask: Callable[[], ManagedModem]) -> Iterator[Check]:
    try:
        told = ask()
    except ManagedModemError as error:
        yield ill("modem", error.message, error.remedy)
        return
    signal = "" if told.signal_percent is None else f"signal {told.signal_percent} %"
    parts = (told.model, told.state, told.operator, told.registration.value, signal)
    detail = ", ".join(part for part in parts if part)
    if told.registration is Registration.DENIED or told.state.startswith("failed"):
        remedy = "Ask the provider whether the SIM is active: mmcli --modem=any tells all of it"
        yield ill("modem", detail, remedy)
    else:
        yield Check(name="modem", is_ok=None, detail=detail)
    if told.sim is not SimState.UNKNOWN:
        yield _sim(told.sim.value)


def _sim(word: str) -> Check:
    if word.casefold() in ("ready", "ok"):
        return well("SIM", word)
    return ill("SIM", word, "Put it in the right way round; take its PIN away on a phone")
