"""A damaged geodatabase is taken again, and the edits that can still be read come along."""

import asyncio
import os
import random
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from engine.errors import (
    GeodatabaseBusyError,
    GeodatabaseDamagedError,
    LinkError,
    SchemaChangedError,
)
from engine.geodatabase import broken_file
from engine.geodatabase.conflicts import ConflictKind
from engine.geodatabase.geodatabase import Geodatabase
from engine.maps.offline_map import OfflineMap
from engine.maps.offline_map_task import OfflineMapTask
from engine.maps.package_info import MapService, PackageInfo
from engine.maps.repair import RepairOfflineMapJob, RepairOfflineMapResult
from engine.model import SyncModel
from tests.disk_faults import DiskFault, fail_anywhere
from tests.engine.sync.fleet import HYDRANTS, PIPES, VISITS, Device, Fleet, HastyClock, fleet, gid
from tests.engine.sync.stories import Sync
from tests.feature_service import Fault, Faults
from tests.feature_service.mishap import change_schema
from tests.killing import kill_at_points

PAGE = 4096
NEW, CHILD = gid(5001), gid(5002)


async def taken(world: Fleet) -> Device:
    """A map of the whole service, as a device that is one of the fleet."""
    folder = world.folder / "map"
    async with OfflineMapTask(world.url, clock=HastyClock()) as task:
        parameters = await task.create_default_generate_offline_map_parameters(None)
        job = task.create_generate_offline_map_job(parameters, folder)
        job.start()
        await job.result()
    device = Device(world.url, folder / "water.gpkg", SyncModel.PER_REPLICA)
    world.devices["A"] = device
    return device


async def edited(device: Device) -> None:
    """Edits of every kind."""
    async with device.open() as geodatabase:
        hydrants = geodatabase.table(HYDRANTS)
        (old,) = await hydrants.attachments(gid(1))
        await hydrants.add_feature({"GlobalID": NEW, "name": "new"}, {"x": 5, "y": 6})
        await hydrants.add_attachment(NEW, "new.jpg", None, b"new photo" * 9000)
        await hydrants.update_attachment(old.global_id, "other.jpg", None, b"other")
        await hydrants.update_feature(gid(2), {"name": "mine"})
        await hydrants.update_feature(gid(3), geometry={"x": 1.5, "y": 2.5})
        await hydrants.delete_feature(gid(4))
        visits = geodatabase.table(VISITS)
        await visits.add_feature({"GlobalID": CHILD, "hydrant": NEW, "note": "child"})
        pipes = geodatabase.table(PIPES)
        await pipes.update_feature(gid(2001), {"label": "pipe"})


async def assert_all_sent(world: Fleet, device: Device) -> None:
    await device.sync()
    await world.assert_agreed()
    rows = await world.rows()
    hydrants = rows[HYDRANTS]
    assert hydrants[NEW]["name"] == "new"
    assert hydrants[gid(2)]["name"] == "mine"
    assert hydrants[gid(3)][""] == [1.5, 2.5]
    assert gid(4) not in hydrants
    assert rows[VISITS][CHILD]["hydrant"] == NEW
    assert rows[PIPES][gid(2001)]["label"] == "pipe"
    photos = sorted((name, data) for _, name, _, data in world.attachments().values())
    assert photos == [("new.jpg", b"new photo" * 9000), ("other.jpg", b"other")]


async def repair(device: Device, *, again: bool = False) -> RepairOfflineMapResult:
    job = RepairOfflineMapJob(device.path.parent, again=again, clock=device.clock)
    job.start()
    try:
        return await job.result()
    finally:
        device.messages = [m.text for m in job.messages]


def root_page(path: Path, table: str) -> int:
    with closing(sqlite3.connect(path)) as connection:
        (root,) = connection.execute(
            "SELECT rootpage FROM sqlite_schema WHERE name = ?", (table,)
        ).fetchone()
    return int(root)


def overwrite(path: Path, page: int, content: bytes | None = None) -> None:
    """Damage a page of a file that nobody has open."""
    with open(path, "r+b") as stream:
        stream.seek((page - 1) * PAGE)
        stream.write(content if content is not None else os.urandom(PAGE))


def broken(device: Device) -> list[str]:
    return sorted(p.name for p in device.path.parent.iterdir() if ".broken-" in p.name)


async def test_whole_map_is_left_alone(world: Fleet) -> None:
    a = await taken(world)
    before = a.path.stat().st_ino

    result = await repair(a)

    assert result.geodatabases == []
    assert a.path.stat().st_ino == before
    assert broken(a) == []


async def test_file_whose_header_is_lost_gives_all_its_edits(world: Fleet) -> None:
    a = await taken(world)
    await edited(a)
    content = a.path.read_bytes()
    a.path.write_bytes(b"\0" * 100 + content[100:])
    with pytest.raises(Exception, match="repair"):
        async with a.open():
            pass

    result = await repair(a)

    (one,) = result.geodatabases
    assert not one.salvaged.lost
    assert len(one.salvaged.saved) == 8
    assert one.set_aside is not None
    assert one.set_aside.read_bytes()[100:] == content[100:]
    await assert_all_sent(world, a)
    assert len(await world.client.get("replicas")) == 1


async def test_file_whose_schema_is_no_text_any_more_gives_all_its_edits(world: Fleet) -> None:
    a = await taken(world)
    await edited(a)
    with closing(sqlite3.connect(a.path)) as other, other:
        other.execute("PRAGMA writable_schema = ON")
        other.execute(
            "UPDATE sqlite_schema SET name = CAST(x'818181' AS TEXT), sql = 'CREATE TRIGGER x'"
            " WHERE rowid = (SELECT max(rowid) FROM sqlite_schema WHERE type = 'trigger')"
        )
    with pytest.raises(GeodatabaseDamagedError):
        async with a.open():
            pass

    result = await repair(a)

    (one,) = result.geodatabases
    assert not one.salvaged.lost
    assert len(one.salvaged.saved) == 8
    await assert_all_sent(world, a)


async def test_truncated_file_is_noticed_at_open_and_gives_what_is_left(world: Fleet) -> None:
    a = await taken(world)
    await edited(a)
    size = a.path.stat().st_size
    os.truncate(a.path, size - 3 * PAGE)
    with pytest.raises(GeodatabaseDamagedError) as caught:
        async with a.open():
            pass
    assert "fieldsync repair" in caught.value.remedy

    result = await repair(a)

    (one,) = result.geodatabases
    assert one.salvaged.saved
    await a.sync()
    await world.assert_agreed()


async def test_damage_to_rows_of_a_large_file_is_noticed_by_the_first_sync_of_a_day(
    world: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broken_file, "SMALL_FILE_BYTES", 0)
    a = await taken(world)
    await edited(a)
    overwrite(a.path, root_page(a.path, "Zones"), bytes(PAGE))
    async with a.open():
        pass

    with pytest.raises(GeodatabaseDamagedError, match="damaged") as caught:
        await a.sync()

    assert "fieldsync repair" in caught.value.remedy
    assert NEW not in (await world.rows())[HYDRANTS]
    await repair(a)
    await assert_all_sent(world, a)


async def test_map_with_a_damaged_file_says_so_and_opens_the_others(world: Fleet) -> None:
    a = await taken(world)
    overwrite(a.path, root_page(a.path, "fieldsync_change"))

    with pytest.raises(GeodatabaseDamagedError):
        async with OfflineMap.open(a.path.parent):
            pass


async def test_log_that_is_only_in_the_wal_is_salvaged_with_it(world: Fleet) -> None:
    a = await taken(world)
    script = (
        "import os,sqlite3,sys\n"
        "c=sqlite3.connect(sys.argv[1],isolation_level=None)\n"
        "c.execute(\"UPDATE Pipes SET label='late'\")\n"
        "os._exit(0)\n"  # the log stays
    )
    command = [sys.executable, "-c", script, str(a.path)]
    await asyncio.to_thread(subprocess.run, command, check=True)
    wal = a.path.with_name("water.gpkg-wal")
    assert wal.stat().st_size
    overwrite(a.path, 1, bytes(PAGE))

    result = await repair(a)

    assert [e.global_id for e in result.geodatabases[0].salvaged.saved] == [
        gid(2001),
        gid(2002),
        gid(2003),
    ]
    await a.sync()
    await world.assert_agreed()
    assert (await world.rows())[PIPES][gid(2003)]["label"] == "late"


async def test_row_that_is_lost_is_named_and_never_deleted_on_the_service(world: Fleet) -> None:
    a = await taken(world)
    await edited(a)
    overwrite(a.path, root_page(a.path, "Pipes"))
    overwrite(a.path, root_page(a.path, "Hydrants"))

    result = await repair(a)

    salvaged = result.geodatabases[0].salvaged
    assert {"Pipes", "Hydrants"} <= salvaged.damage.keys()
    assert gid(2001) in {edit.global_id for edit in salvaged.lost}
    assert gid(4) in {edit.global_id for edit in salvaged.lost}
    assert any(gid(2001) in message for message in a.messages)
    await a.sync()
    hydrants = (await world.rows())[HYDRANTS]
    assert gid(4) in hydrants
    assert len(hydrants) == 9


async def test_edits_without_a_log_are_kept_among_the_conflicts(world: Fleet) -> None:
    a = await taken(world)
    await edited(a)
    overwrite(a.path, root_page(a.path, "fieldsync_change"), bytes(PAGE))

    result = await repair(a)

    assert "fieldsync_change" in result.geodatabases[0].salvaged.damage
    async with a.open() as geodatabase:
        kept = {(c.global_id, c.kind) for c in await geodatabase.conflicts()}
        new = next(c for c in await geodatabase.conflicts() if c.global_id == NEW)
    assert (NEW, ConflictKind.DELETED_THERE) in kept
    assert (CHILD, ConflictKind.DELETED_THERE) in kept
    assert (gid(2), ConflictKind.UPDATED) in kept
    assert (new.mine or {})["name"] == "new"
    await a.sync()
    await world.assert_agreed()


async def test_edit_that_the_office_made_too_is_merged_as_always(world: Fleet) -> None:
    a = await taken(world)
    await edited(a)
    await world.change(HYDRANTS, gid(2), name="office", serial=22)
    await world.edit(HYDRANTS, deletes=[gid(3)])
    overwrite(a.path, 1, bytes(PAGE))

    await repair(a)
    await a.sync()

    await world.assert_agreed()
    row = (await world.rows())[HYDRANTS][gid(2)]
    assert (row["name"], row["serial"]) == ("mine", 22)
    async with a.open() as geodatabase:
        kinds = {(c.global_id, c.kind) for c in await geodatabase.conflicts(resolved=True)}
    assert (gid(2), ConflictKind.UPDATED) in kinds
    assert (gid(3), ConflictKind.DELETED_THERE) in kinds


async def test_file_that_a_program_has_open_stays_where_it_is(world: Fleet) -> None:
    a = await taken(world)
    script = (
        "import sqlite3,sys\n"
        "c=sqlite3.connect(sys.argv[1])\n"
        "c.execute('SELECT count(*) FROM Pipes').fetchone()\n"
        "print('open',flush=True)\n"
        "sys.stdin.readline()\n"
    )
    command = [sys.executable, "-c", script, str(a.path)]
    other = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert other.stdout is not None
    assert await other.stdout.readline() == b"open\n"
    overwrite(a.path, root_page(a.path, "fieldsync_change"))
    with pytest.raises(GeodatabaseBusyError, match="open"):
        await repair(a)
    assert broken(a) == []
    await other.communicate(b"\n")

    await repair(a)

    assert len(broken(a)) >= 1
    await a.sync()
    await world.assert_agreed()
    assert len(await world.client.get("replicas")) == 1


async def test_repair_without_a_link_leaves_the_damaged_file_in_its_place(tmp_path: Path) -> None:
    async with fleet(tmp_path, faults=(faults := Faults([]))) as world:
        a = await taken(world)
        await edited(a)
        overwrite(a.path, 1, bytes(PAGE))
        content = a.path.read_bytes()
        faults.add(Fault(kind="drop-before-commit", operation="createReplica", times=9))
        with pytest.raises(LinkError):
            await repair(a)
        assert a.path.read_bytes() == content
        assert broken(a) == []
        faults.clear()

        await repair(a)

        await assert_all_sent(world, a)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
async def test_random_damage_loses_nothing_in_silence(world: Fleet, seed: int) -> None:
    draw = random.Random(seed)
    a = await taken(world)
    await edited(a)
    async with a.open() as geodatabase:
        touched = {
            e.global_id for t in geodatabase.feature_tables async for e in t.get_local_edits()
        }
    pages = a.path.stat().st_size // PAGE
    for _ in range(draw.randint(1, 3)):
        overwrite(a.path, draw.randint(1, pages), draw.choice([bytes(PAGE), draw.randbytes(PAGE)]))
    before = await world.rows()

    result = await repair(a)

    if result.geodatabases:
        told = {edit.global_id for edit in result.geodatabases[0].salvaged.edits}
        assert touched <= told or result.geodatabases[0].salvaged.damage, touched - told
    await a.sync()
    await world.assert_agreed()
    after = await world.rows()
    for layer_id, rows in before.items():
        assert rows.keys() - after[layer_id].keys() <= {gid(4)}


async def test_edits_that_no_trigger_noted_become_conflicts_and_no_delete(world: Fleet) -> None:
    a = await taken(world)
    await edited(a)
    with closing(sqlite3.connect(a.path)) as connection:
        for name in ("fieldsync_0_au", "fieldsync_0_ad"):
            connection.execute(f"DROP TRIGGER {name}")
        connection.execute("UPDATE Hydrants SET name='unnoted' WHERE GlobalID=?", (gid(7),))
        connection.execute("DELETE FROM Hydrants WHERE GlobalID=?", (gid(8),))
        connection.commit()

    await repair(a)

    async with a.open() as geodatabase:
        (kept,) = [c for c in await geodatabase.conflicts() if c.global_id == gid(7)]
    assert (kept.mine or {})["name"] == "unnoted"
    await a.sync()
    await world.assert_agreed()
    hydrants = (await world.rows())[HYDRANTS]
    assert {gid(4), gid(8)} <= hydrants.keys()
    assert hydrants[gid(2)]["name"] == "mine"


async def test_map_whose_layer_became_another_is_taken_again_with_its_edits(world: Fleet) -> None:
    a = await taken(world)
    await edited(a)
    async with a.open() as geodatabase:
        when = datetime(2024, 5, 1, 12, 30, tzinfo=UTC)
        await geodatabase.table(HYDRANTS).update_feature(gid(5), {"checked": when})
    kind = {"type": "esriFieldTypeDateOnly"}
    change_schema(world.inside, {"layer": HYDRANTS, "field": "checked", "set": kind})
    result = await a.sync()
    stopped = result.layer(HYDRANTS).error
    assert isinstance(stopped, SchemaChangedError)
    assert "repair MAP --again" in stopped.remedy

    await repair(a, again=True)
    await a.sync()

    async with a.open() as geodatabase:
        (refused,) = await geodatabase.quarantine()
        await geodatabase.discard_quarantined(refused.id)
    row = refused.payload["row"]
    assert refused.global_id == gid(5)
    assert isinstance(row, dict)
    assert row["checked"] == "2024-05-01T12:30:00.000Z"
    await assert_all_sent(world, a)


async def test_missing_file_is_taken_again(world: Fleet) -> None:
    a = await taken(world)
    a.path.unlink()

    await repair(a)

    async with await Geodatabase.open(a.path) as geodatabase:
        assert await geodatabase.table(HYDRANTS).count() == 9


class Repair(Sync):
    """The damaged file of a device with edits of every kind is repaired."""

    FILE = "A.gpkg"

    async def _make(self, folder: Path) -> None:
        await super()._make(folder)
        services = (MapService(file=self.FILE, url=self.device(folder).url),)
        PackageInfo(title="A", taken_at="", taken_how="", update_mode="", services=services).write(
            folder
        )
        overwrite(folder / self.FILE, 1, bytes(PAGE))

    async def _act(self, folder: Path) -> None:
        async with self.fleet(folder):
            device = self.device(folder)
            job = RepairOfflineMapJob(folder, clock=device.clock)
            job.start()
            await job.result()

    async def _check(self, folder: Path, finished: bool) -> None:
        names = [p.name for p in folder.iterdir()]
        assert any(name == self.FILE or ".broken-" in name for name in names)
        if finished:
            assert len([n for n in names if ".broken-" in n and n.endswith("Z")]) == 1, names
            assert not [n for n in names if n.startswith(".")], names
            async with self.fleet(folder):
                await self.device(folder).sync()
            await super()._check(folder, finished)
            async with self.fleet(folder) as world:
                assert len(await world.client.get("replicas")) == 1


@pytest.mark.slow
def test_repair_dies_anywhere(tmp_path: Path) -> None:
    points = kill_at_points(Repair, tmp_path)

    assert {"broken.renamed", "broken.retired", "edits.salvaged", "map.repaired"} <= set(points)


@pytest.mark.slow
@pytest.mark.parametrize("fault", [DiskFault.ENOSPC, DiskFault.TORN_KILL])
def test_disk_fails_in_a_repair_then_the_next_run_ends_well(
    tmp_path: Path, fault: DiskFault
) -> None:
    assert fail_anywhere(Repair, tmp_path, fault, samples=3, seed=5)


@pytest.mark.parametrize("again", [False, True])
def test_a_job_made_again_from_its_json_repairs_as_the_first_would(
    tmp_path: Path, again: bool
) -> None:
    job = RepairOfflineMapJob(tmp_path / "map", again=again)
    other = RepairOfflineMapJob.from_json(job.to_json())
    assert (other.folder, other.again) == (job.folder, again)
    assert other.to_json() == job.to_json()
