"""What is left of a map on a real file system when the power goes, at any flush of the disk.

The controls must fail: a card that loses a part of what it said it had kept, and an app that lets
SQLite not wait for the disk.
"""

import asyncio
import random
import shutil
import sqlite3
import subprocess
import sys
from bisect import bisect_right
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from device.review import edits
from engine import EngineError, OfflineMap
from tests.device.conftest import write_world
from tests.device_in_the_loop.image import Image, make_disk
from tests.device_in_the_loop.machine import Drive, Machine, booted
from tests.device_in_the_loop.write_log import WriteLog
from tests.feature_service import FeatureServer, Profile

pytestmark = pytest.mark.asyncio(loop_scope="module")

SEED = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A writer's run, as the disk and the listener saw it."""

    log: WriteLog
    acknowledged_at: list[int]
    """How many writes and flushes were noted when the first, second … commit was relied on; the
    power goes at the last one, at the latest."""


@pytest.fixture(scope="module")
def writes(is_long: bool) -> int:
    return 400 if is_long else 40


@pytest.fixture(scope="module")
def states(is_long: bool) -> int:
    return 200 if is_long else 24


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def runs(
    image: Image, product: Path, writes: int, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[dict[str, Run]]:
    """``synchronous`` → a run of the writer with it, each on a disk of its own."""
    folder = tmp_path_factory.mktemp("power")
    start = folder / "start.img"
    make_disk(await _map(folder), start, size="24M", label="data")
    drives, logs = [], {}
    for name in ("FULL", "OFF"):
        disk, log = folder / f"{name}.img", folder / f"{name}.log"
        shutil.copyfile(start, disk)
        WriteLog.make_room(log)
        drives.append(Drive.logged(disk, log))
        logs[name] = WriteLog(log, start)
    async with booted(image, product, folder / "vm", drives=drives) as machine:
        found = {
            name: await _written(machine, device, name, writes, logs[name])
            for name, device in (("FULL", "/dev/vdc"), ("OFF", "/dev/vdd"))
        }
    yield found


async def _map(folder: Path) -> Path:
    """A folder with the map ``park`` in it, taken on the host."""
    data = folder / "data"
    data.mkdir()
    write_world(folder / "services")
    async with FeatureServer(folder / "services", profile=Profile(supports_async=False)) as server:
        taking = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "device", "take", server.url("park"), data / "park", "--quiet")
        )
        assert await taking.wait() == 0
    return data


async def _written(
    machine: Machine, device: str, synchronous: str, writes: int, log: WriteLog
) -> Run:
    at: list[int] = []
    is_done = asyncio.Event()

    def acknowledged(line: str) -> None:
        at.append(log.read_on())
        if int(line) == writes:
            is_done.set()

    machine.on_acknowledged = acknowledged
    await machine.output(f"mkdir -p /data/{synchronous} && mount {device} /data/{synchronous}")
    geopackage = f"/data/{synchronous}/park/park.gpkg"
    await machine.output(
        "python3 /opt/fieldsync/tests/device_in_the_loop/guest/writer.py "
        f"{geopackage} {writes} {synchronous}",
        timeout_s=600,
    )
    async with asyncio.timeout(60):
        await is_done.wait()
    return Run(log=log, acknowledged_at=at)


async def test_a_map_when_the_power_goes_at_any_flush_has_all_that_was_committed(
    runs: dict[str, Run], states: int, tmp_path: Path
) -> None:
    run = runs["FULL"]

    bad = await _bad_states(run, tmp_path, states)

    print(f"\nsynchronous=FULL: {states} states of {len(run.log.entries)} writes and flushes")
    assert not bad


async def test_the_control_when_a_card_lies_is_noticed(
    runs: dict[str, Run], states: int, tmp_path: Path
) -> None:
    count = max(8, states // 4)

    bad = await _bad_states(runs["FULL"], tmp_path, count, lost=0.1)

    print(f"\na card that loses a tenth of what was flushed: {len(bad)} of {count} states bad")
    assert len(bad) > 1


async def test_the_control_when_nobody_waits_for_the_disk_is_noticed(
    runs: dict[str, Run], states: int, tmp_path: Path
) -> None:
    run = runs["OFF"]

    bad = await _bad_states(run, tmp_path, states)

    print(f"\nsynchronous=OFF: {len(bad)} states bad")
    assert bad


async def _bad_states(run: Run, folder: Path, count: int, *, lost: float = 0.0) -> list[str]:
    """What is wrong with each disk that is not as it must be."""
    bad, seen = [], 0
    for state in run.log.states(
        folder, random.Random(SEED), count, end=run.acknowledged_at[-1], lost=lost
    ):
        relied_on = bisect_right(run.acknowledged_at, state.moment)
        problem, held = await _look(state.image, folder / "found", relied_on)
        if not problem and held < seen:
            problem = f"went back from {seen} to {held}"
        seen = max(seen, held)
        if problem:
            bad.append(f"after {state.moment} writes: {problem}")
    return bad


async def _look(image: Path, folder: Path, relied_on: int) -> tuple[str, int]:
    """What is wrong with the map on that disk, and the last number that is there."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    checked = _system("e2fsck", "-fy", str(image))
    if checked.returncode not in (0, 1):
        return f"e2fsck: {checked.stdout[-200:]}", 0
    _system("debugfs", "-R", f'rdump /park "{folder}"', str(image))
    geopackage = folder / "park" / "park.gpkg"
    if not geopackage.exists():
        return "there is no map", 0
    try:
        with closing(sqlite3.connect(geopackage)) as connection:
            found = connection.execute("PRAGMA integrity_check").fetchone()[0]
            rows = connection.execute("SELECT note FROM Trees").fetchall()
    except sqlite3.Error as error:
        return f"SQLite: {error}", 0
    if found != "ok":
        return f"integrity: {found}", 0
    new = {int(note.split()[1]) for (note,) in rows if note.startswith("new ")}
    changed = {int(note.split()[1]) for (note,) in rows if note.startswith("changed ")}
    last = max(new, default=0)
    if new != set(range(1, last + 1)):
        return f"of {last} rows only {len(new)} are there", last
    if changed != set(range(max(1, last - 11), last + 1)):
        return f"up to {last} these are changed: {sorted(changed)}", last
    if last < relied_on:
        return f"{relied_on} commits were relied on, {last} are there", last
    return await _noted(folder / "park", last), last


async def _noted(folder: Path, last: int) -> str:
    """Whether the map knows each of these edits as one that is to be sent."""
    try:
        async with OfflineMap.open(folder) as map_:
            pending = [edit.operation.value async for _, edit in edits(map_)]
            if map_.errors:
                return str(next(iter(map_.errors.values())))
    except EngineError as error:
        return str(error)
    counts = (pending.count("add"), pending.count("update"))
    return "" if counts == (last, min(last, 12)) else f"adds and updates to send: {counts}"


def _system(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [f"/sbin/{command[0]}", *command[1:]],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
