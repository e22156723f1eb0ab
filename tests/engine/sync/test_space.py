"""A disk without room: it is said before anything is done, and the next run works."""

from pathlib import Path

import pytest

from engine import atomic
from engine.errors import StorageFullError
from engine.model import SyncModel
from tests.engine.sync.fleet import HYDRANTS, Device, Fleet, gid

MEGABYTE = 1_000_000


def test_space_when_a_third_of_what_is_free_comes_then_there_is_room(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(atomic, "_free_bytes", lambda _where: 3 * MEGABYTE)

    atomic.require_space(tmp_path / "not" / "there", MEGABYTE)
    with pytest.raises(StorageFullError, match="needed on the disk"):
        atomic.require_space(tmp_path, MEGABYTE + 1)


def test_space_of_a_folder_that_is_not_there_yet_is_that_of_its_disk(tmp_path: Path) -> None:
    atomic.require_space(tmp_path / "not" / "there", 1)


async def test_take_without_room_asks_for_no_replica(
    world: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = Device(world.url, world.folder / "A.gpkg", SyncModel.PER_REPLICA)
    with monkeypatch.context() as patch:
        patch.setattr(atomic, "_free_bytes", lambda _where: 1000)
        with pytest.raises(StorageFullError):
            await device.take()

    assert await world.client.get("replicas") == []
    assert not device.path.exists()
    await device.take()
    world.devices["A"] = device
    await world.assert_agreed()


async def test_sync_without_room_for_what_comes_sends_nothing(
    world: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    a = await world.device("A")
    async with a.open() as geodatabase:
        await geodatabase.table(HYDRANTS).update_feature(gid(1), {"name": "mine"})
    await world.change(HYDRANTS, gid(2), name="theirs")
    seen: list[int] = []

    def require(where: Path, coming_bytes: int) -> None:
        seen.append(coming_bytes)
        raise StorageFullError(f"no room on {where}")

    with monkeypatch.context() as patch:
        patch.setattr("engine.sync.pull.require_space", require)
        with pytest.raises(StorageFullError):
            await a.sync()

    assert seen[0] > 100
    assert (await world.rows())[HYDRANTS][gid(1)]["name"] == "H1"
    assert (await a.pending())["Hydrants"] == 1
    await a.sync()
    await world.assert_agreed()
