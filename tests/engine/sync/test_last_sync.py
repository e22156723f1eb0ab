"""When the last sync was: a sync that finds nothing to do is one, too; one that fails is none."""

from pathlib import Path

import pytest

from engine.errors import EngineError
from engine.maps.offline_map import OfflineMap
from tests.engine.maps.area import PACKAGES_ONLY, area
from tests.engine.sync.fleet import HYDRANTS, Device, Fleet, gid
from tests.feature_service import Fault


async def last_sync_of(device: Device) -> str | None:
    async with device.open() as geodatabase:
        return geodatabase.replica.last_sync_at


async def test_last_sync_when_there_was_nothing_to_do_then_it_is_noted(world: Fleet) -> None:
    device = await world.device("a")
    before = await last_sync_of(device)

    async with device.open() as geodatabase:
        await device.sync_open(geodatabase)
        told = geodatabase.replica.last_sync_at

    assert before is None
    assert told == await last_sync_of(device) is not None


async def test_last_sync_when_there_was_no_update_package_then_it_is_noted(tmp_path: Path) -> None:
    async with area(tmp_path) as north:
        await north.take(PACKAGES_ONLY)
        await north.sync()

        async with OfflineMap.open(north.map) as map_:
            assert map_.geodatabases[0].replica.last_sync_at is not None


async def test_last_sync_when_it_fails_then_it_stays(world: Fleet) -> None:
    device = await world.device("a")
    await device.sync()
    before = await last_sync_of(device)
    await world.change(HYDRANTS, gid(1), name="theirs")
    world.server.faults.add(Fault(kind="status", status=404, times=0))

    with pytest.raises(EngineError):
        await device.sync()

    assert await last_sync_of(device) == before
