"""A day of a field device: a map is taken in the office; then edits without a link, a press of the
button, a call through the modem, a power cut in the middle of the sync, and the morning after."""

import asyncio
import json
import random
from contextlib import AbstractAsyncContextManager
from itertools import pairwise
from pathlib import Path
from time import monotonic

import pytest
from aiohttp import ClientSession

from tests.device.conftest import TREES, write_world
from tests.device_in_the_loop.board import Edge
from tests.device_in_the_loop.image import BUTTON_CODE, LEDS, NO_RESOLVER, Image, make_disk
from tests.device_in_the_loop.machine import Drive, Machine, booted
from tests.device_in_the_loop.tower import NAME, PASSWORD, PIN, USER, Tower, tower
from tests.fakes.modem import DIALECTS, SIM800
from tests.feature_service import Fault, FeatureServer, Profile

pytestmark = pytest.mark.asyncio

LINK, SYNC, ATTENTION = range(3)
SYNC_S = 300.0
ADDED, CHANGED = 12, 3
"""So many trees are planted and changed without a link; each goes up exactly once."""
CONFIG = f"""\
[device]
state = "/data/state"
[[map]]
name = "park"
folder = "/data/park"
[links]
jitter_s = 0
[sync]
after_edit_s = 3600
edits_wait_s = 3600
[links.cellular]
every_minutes = "never"
settle_s = 0
backoff_base_s = 2
[modem]
mode = "direct"
apn = "field"
user = "{USER}"
secrets = "/etc/fieldsync/modem.toml"
idle_s = 8
helper = "{{helper}}"
[lamps]
board = "three"
[button]
device = "/run/button"
key_code = {BUTTON_CODE}
"""
SECRETS = f'pin = "{PIN}"\npassword = "{PASSWORD}"\n'
AS_DAEMON = "setpriv --reuid=fieldsync --regid=fieldsync --groups=fieldsync,input,dialout"
GUEST = "/opt/fieldsync/tests/device_in_the_loop/guest"
EDIT = """\
import sqlite3, sys
first, added, changed = map(int, sys.argv[1:])
with sqlite3.connect("/data/park/park.gpkg") as connection:
    for number in range(first, first + added):
        connection.execute("INSERT INTO Trees (note) VALUES (?)", (f"new {number}",))
    for number in range(1, changed + 1):
        note = f"changed {first} {number}"
        connection.execute("UPDATE Trees SET note = ? WHERE OBJECTID = ?", (note, number))
"""
LOOK = """\
import json, sqlite3
connection = sqlite3.connect("/data/park/park.gpkg")
notes = [note for (note,) in connection.execute("SELECT note FROM Trees ORDER BY note")]
print(json.dumps([connection.execute("PRAGMA integrity_check").fetchone()[0], notes]))
"""
STATUS = """\
from pathlib import Path
from device.api.client import ApiClient
print(ApiClient(Path("/run/fieldsync/api.sock")).json("GET", "status"))
"""


class Diary:
    """When things happened, for whoever watches."""

    def __init__(self) -> None:
        self._began = monotonic()

    def note(self, words: str) -> None:
        print(f"{monotonic() - self._began:6.1f} s  {words}", flush=True)


async def test_a_sync_when_its_power_is_cut_loses_and_doubles_nothing(
    image: Image, product: Path, tmp_path: Path
) -> None:
    async with _service(tmp_path) as service, tower(tmp_path / "tower") as line:

        def boot() -> AbstractAsyncContextManager[Machine]:
            drives = [Drive.raw(tmp_path / "data.img")]
            vm = tmp_path / "vm"
            return booted(image, product, vm, drives=drives, extra=line.options)

        diary = Diary()
        async with boot() as machine:
            await _set_up(machine)
            diary.note("it is up")
            await _take(machine, line, service)
            diary.note("the map was taken in the office")
            await _start(machine)
            await _is_tested(machine)
            diary.note("the daemon rests")
            await _edit(machine, 1)
            await _breathes(machine)
            diary.note("edits are noticed, and shown")
            service.faults.add(Fault(kind="stall-after-commit", operation="applyEdits"))
            await _hold(machine)
            await _is_connected(machine, line)
            diary.note("the daemon had the modem dialled")
            await _called(service, "applyEdits")
            await machine.cut_power()
            diary.note("the power is cut, the edits are on the service, nobody knows")
        assert line.modem.is_online  # it has its own power: nobody has ended the call
        async with boot() as machine:
            await _set_up(machine, helper="child")
            await line.leave_office(machine)
            await _start(machine, is_root=True)
            diary.note("it is up again")
            before = len(service.log)
            await _hold(machine)
            await _called(service, "", after=before)
            await line.pull_out()
            diary.note("in the middle of a sync the modem is pulled out")
            await machine.until("! ip link show ppp7 >/dev/null 2>&1")
            line.put_in(SIM800)
            await line.plug_in()
            diary.note("another one is plugged in")
            await _syncs_to_the_end(machine)
            diary.note("a sync has ended well")
            await _agrees(machine, service, [1])
            diary.note("every edit is there once")
            await _hangs_up(machine, line)
            diary.note("it has hung up, and left nothing behind")
            traffic = f"{line.sent_bytes} bytes sent, {line.received_bytes} received"
            print(f"\n{line.dials} dials, {traffic}")
            assert line.dials == 3


async def test_syncs_when_power_is_cut_at_random_lose_and_double_nothing(
    image: Image, product: Path, tmp_path: Path, is_long: bool
) -> None:
    if not is_long:
        return
    draw = random.Random(11)
    async with _service(tmp_path) as service, tower(tmp_path / "tower") as line:
        drives = [Drive.raw(tmp_path / "data.img")]
        batches: list[int] = []
        for cut in range(12):
            async with booted(
                image, product, tmp_path / "vm", drives=drives, extra=line.options
            ) as machine:
                await _set_up(machine)
                if batches:
                    await line.leave_office(machine)
                else:
                    await _take(machine, line, service)
                batches.append(1 + 100 * len(batches))
                await _edit(machine, batches[-1])
                line.bits_per_s = draw.choice((9600, 20_000, 115_200))
                if draw.random() < 0.5:  # else it has its own power, and may be in a call
                    line.put_in(draw.choice(DIALECTS))
                await _start(machine)
                await _hold(machine)
                if draw.random() < 0.8:
                    await _is_connected(machine, line)
                await asyncio.sleep(draw.uniform(0, 20))
                await machine.cut_power()
                print(f"\ncut {cut + 1} at {line.bits_per_s} bit/s: {service.log[-3:]}")
        async with booted(
            image, product, tmp_path / "vm", drives=drives, extra=line.options
        ) as machine:
            await _set_up(machine)
            await line.leave_office(machine)
            await _start(machine)
            await _hold(machine)
            await _syncs_to_the_end(machine)
            await _agrees(machine, service, batches)
            await _hangs_up(machine, line)


def _service(folder: Path) -> FeatureServer:
    """The service ``park``, and a disk with nothing on it yet."""
    write_world(folder / "services")
    (folder / "empty").mkdir()
    make_disk(folder / "empty", folder / "data.img", size="256M", label="data")
    return FeatureServer(folder / "services", profile=Profile(supports_async=False))


async def _set_up(machine: Machine, *, helper: str = "service") -> None:
    """What a boot does: the disk, the clock, the devices' names and owners, the service manager."""
    print(f"\nbooted in {machine.boot_s:.1f} s")
    await machine.output(
        "mount /dev/vdc /data && chown fieldsync:fieldsync /data && "
        "mkdir -p /run/systemd/timesync && touch /run/systemd/timesync/synchronized"
    )
    await machine.output(
        "for one in /sys/class/input/event*; do grep -q fieldsync-button $one/device/name && "
        "ln -s /dev/input/${one##*/} /run/button; done; "
        "chgrp input /run/button && chmod 640 /run/button"
    )
    names = " ".join(f"fieldsync:{name}" for name in LEDS)
    await machine.output(f"sh /opt/fieldsync/device/systemd/lamps-for-fieldsync {names}")
    await machine.put("/etc/fieldsync/config.toml", CONFIG.format(helper=helper))
    await machine.put("/etc/fieldsync/modem.toml", SECRETS)
    await machine.output("chmod 600 /etc/fieldsync/modem.toml")
    await machine.output(f"sh {GUEST}/manager {helper} >/run/manager.log 2>&1 &")


async def _take(machine: Machine, line: Tower, service: FeatureServer) -> None:
    """Take the map in the office, and leave it."""
    url = service.url("park").replace("127.0.0.1", NAME)
    await line.connect_office(machine)
    await machine.output(
        f"{AS_DAEMON} python3 -m device take {url} /data/park --quiet", timeout_s=SYNC_S
    )
    await line.leave_office(machine)
    await machine.output("sync")


async def _start(machine: Machine, *, is_root: bool = False) -> None:
    """The daemon, as its own user, unless the dialler is to be its child."""
    await machine.output(
        f"{'' if is_root else AS_DAEMON} python3 -m device.daemon "
        "--config /etc/fieldsync/config.toml >/run/daemon.log 2>&1 & echo $! >/run/daemon.pid"
    )


async def _is_connected(machine: Machine, line: Tower) -> None:
    """The modem was dialled, and what follows from it is so."""
    await line.until(is_online=True)
    await machine.until("ip -4 route show default dev ppp7 | grep 'metric 700'")
    await machine.until("grep -q 10.0.2.14 /etc/resolv.conf")


async def _hangs_up(machine: Machine, line: Tower) -> None:
    """There is nothing left to do: the link ends, and what it was made of goes with it."""
    await line.until(is_online=False)
    await machine.until("! pgrep -f device[.]modem")
    await machine.until("! ip link show ppp7 >/dev/null 2>&1")
    assert await machine.output("cat /etc/resolv.conf") == NO_RESOLVER
    left = "ls /run/fieldsync/dial /run/ppp-fieldsync.pid /run/lock/LCK..ttyUSB*"
    assert (await machine.run(f"{left} 2>/dev/null")).output == ""


async def _is_tested(machine: Machine) -> None:
    """All lamps are lit when the daemon begins; then the device rests."""
    for lamp in (LINK, SYNC, ATTENTION):
        await machine.board.until(lamp, is_lit=True, timeout_s=120)
    await machine.until("grep -q daemon.ready /run/daemon.log")
    await machine.put("/run/status", STATUS)
    await machine.until("grep sync.waiting /run/daemon.log | grep -vq starting")
    assert "waiting" in await machine.output("python3 /run/status")
    memory = await machine.output("grep VmRSS /proc/$(cat /run/daemon.pid)/status")
    print(f"\nthe daemon at rest: {memory.split()[1]} kB resident")


async def _edit(machine: Machine, first: int) -> None:
    await machine.put("/run/edit.py", EDIT)
    await machine.output(f"{AS_DAEMON} python3 /run/edit.py {first} {ADDED} {CHANGED}")


async def _breathes(machine: Machine) -> None:
    """Edits wait: SYNC comes and goes, a second each."""
    await machine.board.until(SYNC, is_lit=True, timeout_s=120)
    assert _changes(await machine.board.watch(6), SYNC) >= 3


async def _hold(machine: Machine) -> None:
    """A long press: let go while SYNC is lit.

    The daemon opens the button a moment after it is ready; of a key that is down before that nobody
    knows since when, so it means nothing.
    """
    is_open = "ls -l /proc/$(cat /run/daemon.pid)/fd | grep -q /dev/input/event"
    await machine.until(is_open, timeout_s=SYNC_S)
    await machine.board.press(3)
    await machine.until("grep -q 'button.pressed gesture=long' /run/daemon.log")


async def _called(service: FeatureServer, operation: str, *, after: int = 0) -> None:
    """Wait until the service has done that; it tells nobody, so it is looked at."""
    end = monotonic() + SYNC_S
    while not any(operation.lower() in called.lower() for called in service.log[after:]):
        assert monotonic() < end, f"nobody called {operation}: {service.log}"
        await asyncio.sleep(0.05)


async def _syncs_to_the_end(machine: Machine) -> None:
    """SYNC is lit for ten seconds: the sync has ended well."""
    try:
        async with asyncio.timeout(SYNC_S):
            while True:
                edges = await machine.board.watch(3)
                if len(edges) == 1 and edges[0].levels[SYNC]:
                    return
    except TimeoutError:
        log = await machine.run("tail -40 /run/daemon.log; tail -20 /run/manager.log")
        raise AssertionError(f"no sync has ended well: {log.output}") from None


async def _agrees(machine: Machine, service: FeatureServer, batches: list[int]) -> None:
    """Every edit is on the service, once; the device has the same, and nothing left to send."""
    expected = [f"new {n}" for first in batches for n in range(first, first + ADDED)]
    expected += [f"changed {batches[-1]} {n}" for n in range(1, CHANGED + 1)]
    expected += [f"tree {n}" for n in range(CHANGED + 1, 13)]
    question = {"where": "1=1", "outFields": "note", "returnGeometry": "false", "f": "json"}
    url = f"{service.url('park')}/{TREES}/query"
    async with ClientSession() as session, session.get(url, params=question) as answer:
        found = await answer.json()
    there = [feature["attributes"]["note"] for feature in found["features"]]

    integrity, here = json.loads(await machine.python(LOOK))
    assert integrity == "ok"
    assert sorted(there) == sorted(expected)
    assert sorted(here) == sorted(expected)
    pending = json.loads(await machine.output("python3 -m device edits /data/park --json"))
    assert pending["edits"] == []


def _changes(edges: list[Edge], lamp: int) -> int:
    levels = [edge.levels[lamp] for edge in edges]
    return sum(before != after for before, after in pairwise(levels))
