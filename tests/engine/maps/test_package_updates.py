"""A map that is kept current by packages: what is promised, downloaded and applied."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from engine.model import OfflineUpdateAvailability, PreplannedScheduledUpdatesOption
from tests.engine.maps.area import PACKAGES_ONLY, Area, area
from tests.engine.sync.fleet import HYDRANTS, VISITS, assert_same, gid

AVAILABLE, NONE = OfflineUpdateAvailability.AVAILABLE, OfflineUpdateAvailability.NONE


@pytest.fixture(params=["perLayer", "perReplica"])
async def north(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Area]:
    async with area(tmp_path, syncModel=request.param) as running:
        await running.take(PACKAGES_ONLY)
        yield running


async def assert_current(north: Area) -> None:
    assert_same(await north.office.rows(), await north.rows(), "the map")


async def test_check_when_nothing_is_newer_then_none(north: Area) -> None:
    await north.office.change(HYDRANTS, gid(1), name="not refreshed yet")

    info = await north.check()

    assert info.download_availability is NONE
    assert info.upload_availability is NONE
    assert info.scheduled_updates_download_size == 0
    assert info.is_mobile_map_package_reopen_required is False


async def test_sync_when_refreshed_twice_then_downloads_what_was_promised(north: Area) -> None:
    await north.office.change(HYDRANTS, gid(1), name="first")
    north.refresh()
    await north.office.change(HYDRANTS, gid(1), name="second")
    await north.office.edit(HYDRANTS, deletes=[gid(2)])
    new = {"GlobalID": gid(77), "note": "new", "hydrant": gid(8)}
    await north.office.edit(VISITS, adds=[{"attributes": new}])
    north.refresh()
    before = north.package_bytes()

    info = await north.check()
    assert north.package_bytes() == before
    result = await north.sync()

    assert info.download_availability is AVAILABLE
    assert info.scheduled_updates_download_size == north.package_bytes() - before > 0
    assert len(north.updates) == 2
    assert not result.has_errors
    assert not result.is_mobile_map_package_reopen_required
    assert (await north.check()).download_availability is NONE
    await assert_current(north)


async def test_sync_when_updates_are_purged_then_all_of_the_package(north: Area) -> None:
    for number, days in ((1, 0), (2, 6), (3, 6), (4, 6)):
        await north.office.change(HYDRANTS, gid(number), name=f"after {days} days")
        north.refresh(days=days)
    before = north.package_bytes()

    info = await north.check()
    result = await north.sync()

    size = (north.item / "data.json").stat().st_size
    assert info.scheduled_updates_download_size == north.package_bytes() - before == size
    assert not result.has_errors
    await assert_current(north)
    assert (await north.check()).download_availability is NONE


async def test_sync_when_updates_are_larger_than_the_package_then_all_of_it(north: Area) -> None:
    for number in range(20):
        await north.office.change(HYDRANTS, gid(1), name=f"{number}")
        await north.office.edit(HYDRANTS, deletes=[gid(2)] if number == 0 else [])
        north.refresh()
    before = north.package_bytes()
    sizes = sum(path.stat().st_size for path in (north.item / "resources").glob("*"))

    await north.sync()

    size = (north.item / "data.json").stat().st_size
    assert north.package_bytes() - before == size < sizes
    await assert_current(north)


async def test_sync_when_no_updates_are_asked_for_then_none_is_fetched(north: Area) -> None:
    await north.office.change(HYDRANTS, gid(1), name="first")
    north.refresh()
    before = north.package_bytes()

    option = PreplannedScheduledUpdatesOption.NO_UPDATES
    result = await north.sync(preplanned_scheduled_updates_option=option)

    assert not result.has_errors
    assert north.package_bytes() == before
    assert (await north.check()).download_availability is AVAILABLE
