"""Deltas that a sync keeps: what it was to send, and what it downloaded, to be applied again."""

import shutil
import sqlite3
from pathlib import Path

import pytest

from engine.errors import DeltaMismatchError, EngineError
from engine.model import SyncDirection, SyncModel
from engine.sync.delta_file import DeltaFile
from engine.sync.delta_keep import deltas_folder
from engine.sync.delta_parts import DeltaContent
from engine.sync.geodatabase_sync_task import GeodatabaseSyncTask
from engine.sync.parameters import PushChannel
from engine.sync.results import GeodatabaseDeltaInfo
from tests.engine.sync.carrying import push, take_back
from tests.engine.sync.fleet import HYDRANTS, PIPES, Device, Fleet, fleet, gid
from tests.engine.sync.test_recovery import unregister
from tests.engine.sync.test_two_devices import Story
from tests.feature_service import Fault, Profile


async def sync_kept(device: Device, **changes: object) -> GeodatabaseDeltaInfo:
    result = await device.sync(keep_geodatabase_deltas=True, **changes)
    assert result.delta_info is not None
    return result.delta_info


def copy_of(device: Device, name: str) -> Device:
    """The device as it is now: a backup. Nobody has the file open."""
    path = device.path.with_name(f"{name}.gpkg")
    shutil.copy(device.path, path)
    return Device(device.url, path, device.model, clock=device.clock)


async def test_what_was_kept_is_told_and_holds_what_went_either_way(world: Fleet) -> None:
    a = await world.device("A")
    async with a.open() as geodatabase:
        await geodatabase.table(HYDRANTS).update_feature(gid(2), {"name": "mine"})
    await world.change(HYDRANTS, gid(3), name="theirs")

    info = await sync_kept(a)

    assert info.upload_delta_path is not None
    assert info.download_delta_path is not None
    assert DeltaFile.open(info.upload_delta_path).content is DeltaContent.EDITS
    assert DeltaFile.open(info.download_delta_path).content is DeltaContent.CHANGES
    assert DeltaFile.open(info.upload_delta_path).counts() == (1, 0)
    assert (info.geodatabase_path, info.feature_service_url) == (a.path, world.url)


async def test_nothing_to_keep_is_none(world: Fleet) -> None:
    a = await world.device("A")

    nothing = await sync_kept(a)
    async with a.open() as geodatabase:
        await geodatabase.table(HYDRANTS).update_feature(gid(2), {"name": "mine"})
    await world.change(HYDRANTS, gid(3), name="theirs")
    upload = await sync_kept(a, geodatabase_sync_direction=SyncDirection.UPLOAD)

    assert (nothing.upload_delta_path, nothing.download_delta_path) == (None, None)
    assert upload.upload_delta_path is not None
    assert upload.download_delta_path is None
    assert (await a.sync()).delta_info is None


async def test_deltas_of_a_failed_sync_are_kept_and_can_be_pushed(
    world: Fleet, tmp_path: Path
) -> None:
    a = await world.device("A")
    async with a.open() as geodatabase:
        await geodatabase.table(HYDRANTS).update_feature(gid(2), {"name": "mine"})
        world.server.faults.add(Fault(kind="status", status=500, operation="applyEdits", times=0))
        parameters = a.parameters
        parameters.keep_geodatabase_deltas = True
        async with GeodatabaseSyncTask(a.url, clock=a.clock) as task:
            job = task.create_sync_geodatabase_job(parameters, geodatabase)
            job.start()
            with pytest.raises(EngineError):
                await job.result()
    world.server.faults.clear()
    info = job.geodatabase_delta_info
    assert info is not None
    assert info.upload_delta_path is not None

    await push(info.upload_delta_path, tmp_path / "ack.delta")
    await take_back(a, tmp_path / "ack.delta")

    await a.sync()
    await world.assert_agreed()


async def test_sync_that_sends_twice_tells_of_both_files(world: Fleet) -> None:
    a = await world.device("A", channel=PushChannel.SYNCHRONIZE_REPLICA)
    async with a.open() as geodatabase:
        await geodatabase.table(HYDRANTS).update_feature(gid(2), {"name": "mine"})
    await unregister(world, a)

    info = await sync_kept(a)

    told = {info.upload_delta_path, info.download_delta_path, *info.earlier_delta_paths}
    assert told == set(deltas_folder(a.path).iterdir())
    assert len(info.earlier_delta_paths) == 1


async def test_change_after_a_failed_sync_whose_delta_is_pushed_follows(
    world: Fleet, tmp_path: Path
) -> None:
    a = await world.device("A")
    async with a.open() as geodatabase:
        await geodatabase.table(HYDRANTS).add_feature({"GlobalID": gid(7001), "name": "one"})
    world.server.faults.add(Fault(kind="status", status=500, operation="applyEdits", times=0))
    with pytest.raises(EngineError):
        await a.sync(keep_geodatabase_deltas=True)
    world.server.faults.clear()
    (kept,) = deltas_folder(a.path).iterdir()
    async with a.open() as geodatabase:
        await geodatabase.table(HYDRANTS).update_feature(gid(7001), {"name": "two"})
    await push(kept, tmp_path / "answer.delta")

    for _ in range(2):
        await a.sync(geodatabase_sync_direction=SyncDirection.UPLOAD)

    assert (await world.rows())[HYDRANTS][gid(7001)]["name"] == "two"
    await a.sync()
    await world.assert_agreed()


async def test_old_deltas_are_removed(world: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.sync.delta_keep.KEPT_FILES", 3)
    a = await world.device("A")
    kept = []
    for number in range(5):
        await world.change(HYDRANTS, gid(3), name=f"theirs {number}")
        kept.append((await sync_kept(a)).download_delta_path)

    left = sorted(Path(f"{a.path}-deltas").iterdir())

    assert left == kept[2:]


@pytest.mark.parametrize("model", [SyncModel.PER_REPLICA, SyncModel.PER_LAYER])
@pytest.mark.parametrize("seed", [31, 32])
async def test_kept_downloads_bring_a_backup_to_where_the_device_was(
    tmp_path: Path, seed: int, model: SyncModel
) -> None:
    async with fleet(tmp_path, Profile(sync_models="both")) as world:
        a = await world.device("A", model=model)
        backup = copy_of(a, "backup")
        story, kept = Story(seed), []
        for _ in range(2):
            await story.at_the_office(world, 8)
            kept.append((await sync_kept(a)).download_delta_path)
        world.devices["backup"] = backup

        for path in kept:
            assert path is not None
            await take_back(backup, path)

        assert await backup.rows() == await a.rows()
        assert generations(backup) == generations(a)


async def test_changes_are_merged_with_edits_of_the_backup(world: Fleet) -> None:
    a = await world.device("A")
    backup = copy_of(a, "backup")
    await world.change(HYDRANTS, gid(2), name="theirs")
    await world.edit(HYDRANTS, deletes=[gid(4)])
    path = (await sync_kept(a)).download_delta_path
    assert path is not None
    async with backup.open() as geodatabase:
        await geodatabase.table(HYDRANTS).update_feature(gid(2), {"pressure": 7.5})
        await geodatabase.table(PIPES).update_feature(gid(2001), {"label": "mine"})

    result = await take_back(backup, path)

    row = (await backup.rows())[HYDRANTS][gid(2)]
    assert (row["name"], row["pressure"]) == ("theirs", 7.5)
    assert result.layer(HYDRANTS).downloaded.deleted == 1
    assert sum((await backup.pending()).values()) == 2


async def test_changes_that_are_in_already_do_nothing_and_others_out_of_order_are_refused(
    world: Fleet,
) -> None:
    a = await world.device("A")
    backup = copy_of(a, "backup")
    await world.change(HYDRANTS, gid(2), name="one")
    first = (await sync_kept(a)).download_delta_path
    await world.change(HYDRANTS, gid(2), name="two")
    second = (await sync_kept(a)).download_delta_path
    assert first is not None
    assert second is not None
    rows = await a.rows()

    again = await take_back(a, first)

    assert again.layer(HYDRANTS).downloaded.updated == 0
    assert await a.rows() == rows
    with pytest.raises(DeltaMismatchError, match="begins at generation"):
        await take_back(backup, second)
    await take_back(backup, first)
    await take_back(backup, second)
    assert await backup.rows() == rows


def generations(device: Device) -> list[object]:
    connection = sqlite3.connect(device.path)
    found = connection.execute(
        "SELECT server_generation FROM fieldsync_replica"
        " UNION ALL SELECT generation FROM fieldsync_layer"
    ).fetchall()
    connection.close()
    return found
