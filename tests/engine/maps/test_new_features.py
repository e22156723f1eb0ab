"""New features of a map that is kept current by packages: sent first, never lost, never doubled."""

import shutil
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from engine import faults
from engine.errors import EngineError, UploadRequired
from engine.model import (
    OfflineUpdateAvailability,
    PreplannedScheduledUpdatesOption,
    SyncDirection,
)
from engine.sync.parameters import PushChannel
from tests.engine.maps.area import AND_NEW, PACKAGE, Area, area
from tests.engine.sync.fleet import HYDRANTS, assert_same, gid
from tests.feature_service import Fault

NEW = gid(5001)
HERE = {"x": 5.0, "y": 6.0}


@pytest.fixture
async def north(tmp_path: Path) -> AsyncIterator[Area]:
    async with area(tmp_path) as running:
        await running.take(AND_NEW)
        yield running


async def add(north: Area, global_id: str = NEW, **attributes: object) -> None:
    async with north.table(HYDRANTS) as table:
        await table.add_feature({"GlobalID": global_id, "name": "mine", **attributes}, HERE)


async def is_here(north: Area, global_id: str = NEW) -> int:
    """How many rows there are of that id."""
    async with north.table(HYDRANTS) as table:
        return sum([1 async for f in table.query_features() if f.global_id == global_id])


async def age(north: Area) -> None:
    """Make the update files since the last sync go: the next sync needs the whole package."""
    for number in range(3):
        await north.office.change(HYDRANTS, gid(3), name=f"age {number}")
        north.refresh(days=6)


async def there(north: Area) -> set[str]:
    return set((await north.office.rows())[HYDRANTS])


async def test_new_feature_when_synced_then_sent_and_seen_until_the_package_has_it(
    north: Area,
) -> None:
    await add(north)
    assert (await north.check()).upload_availability is OfflineUpdateAvailability.AVAILABLE

    await north.sync()

    assert NEW in await there(north)
    assert (await north.check()).upload_availability is OfflineUpdateAvailability.NONE
    assert await is_here(north) == 1
    await north.office.change(HYDRANTS, NEW, name="seen by the office")
    assert north.refresh() == "changed"
    await north.sync()
    assert_same(await north.office.rows(), await north.rows(), "the map")
    assert await is_here(north) == 1


async def test_new_feature_when_all_of_the_package_comes_without_it_then_stays(north: Area) -> None:
    await age(north)
    await add(north)

    await north.sync()

    assert any("whole package" in text for text in north.messages), north.messages
    assert NEW in await there(north)
    assert NEW not in north.told()[HYDRANTS]
    assert await is_here(north) == 1
    await north.sync()
    await age(north)
    await north.sync()
    assert_same(await north.office.rows(), await north.rows(), "the map")


@pytest.mark.parametrize("whole", [False, True])
async def test_new_feature_when_the_office_deletes_it_between_packages_then_goes(
    north: Area, whole: bool
) -> None:
    """No update file and no package ever speaks of it."""
    await add(north)
    await north.sync()
    await north.office.edit(HYDRANTS, deletes=[NEW])
    if whole:
        await age(north)
    else:
        await north.office.change(HYDRANTS, gid(8), name="something else")
        north.refresh()

    await north.sync()

    assert await is_here(north) == 0
    assert_same(await north.office.rows(), await north.rows(), "the map")


async def test_new_feature_when_the_package_had_it_and_the_office_deletes_it_then_goes(
    north: Area,
) -> None:
    await add(north)
    await north.sync()
    north.refresh()
    await north.sync()
    await north.office.edit(HYDRANTS, deletes=[NEW])
    await age(north)

    await north.sync()

    assert await is_here(north) == 0


async def test_new_feature_when_service_cannot_be_reached_then_updates_come_and_it_waits(
    north: Area,
) -> None:
    await add(north)
    await north.office.change(HYDRANTS, gid(1), name="office")
    north.refresh()
    north.server.faults.add(Fault(kind="status", status=403, operation="applyEdits", times=0))

    with pytest.raises(EngineError):
        await north.sync()

    rows = await north.rows()
    assert rows[HYDRANTS][gid(1)]["name"] == "office"
    assert rows[HYDRANTS][NEW]["name"] == "mine"


async def test_whole_package_when_new_features_cannot_be_sent_then_upload_required(
    north: Area,
) -> None:
    await add(north)
    await age(north)
    north.server.faults.add(Fault(kind="status", status=403, operation="applyEdits", times=0))
    before = north.package_bytes()

    with pytest.raises(UploadRequired, match=r"all of its package.*because .*HTTP 403"):
        await north.sync()

    assert north.package_bytes() == before
    assert await is_here(north) == 1
    north.server.faults.clear()
    await north.sync()
    assert NEW in await there(north)
    assert await is_here(north) == 1


async def test_update_when_it_fails_as_well_as_the_upload_then_both_reasons_are_told(
    north: Area,
) -> None:
    await add(north)
    north.refresh()
    north.server.faults.add(Fault(kind="status", status=403, operation="applyEdits", times=0))
    shutil.rmtree(north.item)

    with pytest.raises(EngineError) as caught:
        await north.sync()

    told = str(caught.value)
    assert PACKAGE in told
    assert "new features were not sent before, because" in told
    assert "HTTP 403" in told
    assert "Ask the owner of the service" in caught.value.remedy


async def test_update_when_only_it_fails_then_nothing_is_said_of_the_upload(north: Area) -> None:
    north.refresh()
    shutil.rmtree(north.item)

    with pytest.raises(EngineError) as caught:
        await north.sync()

    assert "sent" not in str(caught.value)


async def test_new_feature_when_nobody_can_be_asked_about_it_then_stays(north: Area) -> None:
    await age(north)
    await add(north)
    option = PreplannedScheduledUpdatesOption.NO_UPDATES
    await north.sync(preplanned_scheduled_updates_option=option)
    north.server.faults.add(Fault(kind="status", status=403, operation="query", times=0))

    await north.sync()

    assert any("whole package" in text for text in north.messages), north.messages
    assert await is_here(north) == 1
    north.server.faults.clear()
    await north.office.edit(HYDRANTS, deletes=[NEW])
    await age(north)
    await north.sync()
    assert await is_here(north) == 0


async def test_new_feature_when_sent_twice_then_older_updates_settle_nothing_about_it(
    north: Area,
) -> None:
    """Its answer was lost, somebody deleted it, and so it is sent again: the update files tell of
    its first life."""

    def die(name: str) -> None:
        if name == "edits.acknowledged":
            raise RuntimeError(name)

    await add(north)
    with faults.armed(die), pytest.raises(EngineError, match="unexpected"):
        await north.sync()
    north.refresh()
    await north.office.edit(HYDRANTS, deletes=[NEW])
    north.refresh()

    await north.sync()

    assert len(north.updates) == 2
    assert NEW in await there(north)
    assert await is_here(north) == 1
    north.refresh()
    await north.sync()
    assert_same(await north.office.rows(), await north.rows(), "the map")


async def test_sync_when_only_download_is_asked_for_then_new_features_go_up_all_the_same(
    north: Area,
) -> None:
    """The direction is for geodatabases that sync with their services."""
    await add(north)

    await north.sync(sync_direction=SyncDirection.DOWNLOAD)

    assert NEW in await there(north)


async def test_new_feature_when_a_photo_goes_with_it_then_both_stay(north: Area) -> None:
    async with north.table(HYDRANTS) as table:
        await table.add_feature({"GlobalID": NEW, "name": "mine"}, HERE)
        photo = await table.add_attachment(NEW, "a.jpg", None, b"a photo" * 50)
    await age(north)

    await north.sync()
    await age(north)
    await north.sync()

    async with north.table(HYDRANTS) as table:
        (found,) = await table.attachments(NEW)
        data = b"".join([part async for part in table.attachment_data(found.global_id)])
    assert data == b"a photo" * 50
    assert found.global_id in north.office.attachments()
    assert photo


async def test_new_feature_when_outside_of_the_area_then_stays(tmp_path: Path) -> None:
    """The package will never have it; the service does."""
    async with area(tmp_path, layerQueries={"0": {"where": "serial < 8"}}) as north:
        await north.take(AND_NEW)
        await add(north, serial=100)
        await north.sync()
        await age(north)
        await north.sync()
        await north.sync()
        assert await is_here(north) == 1
        await north.office.edit(HYDRANTS, deletes=[NEW])
        await age(north)
        await north.sync()
        assert await is_here(north) == 0


@pytest.mark.parametrize("trouble", ["copied", "unregistered"])
async def test_new_feature_when_the_replica_is_lost_then_sent_and_updates_go_on(
    north: Area, trouble: str
) -> None:
    """The replica is only for sending: what the package has does not depend on it."""
    await add(north)
    await north.office.change(HYDRANTS, gid(1), name="office")
    north.refresh()
    if trouble == "copied":
        with closing(sqlite3.connect(north.map / "water.gpkg")) as other, other:
            other.execute("UPDATE fieldsync_replica SET machine_id='another'")
    else:
        for replica in await north.office.client.get("replicas"):
            await north.office.client.post("unRegisterReplica", replicaID=replica["replicaID"])
    before = north.package_bytes()
    size = (await north.check()).scheduled_updates_download_size

    result = await north.sync(push_channel=PushChannel.SYNCHRONIZE_REPLICA)

    assert not result.has_errors, [r.error for r in result.geodatabase_results]
    assert NEW in await there(north)
    assert north.package_bytes() - before == size > 0
    assert (await north.rows())[HYDRANTS][gid(1)]["name"] == "office"
    assert len(await north.office.client.get("replicas")) == (2 if trouble == "copied" else 1)
