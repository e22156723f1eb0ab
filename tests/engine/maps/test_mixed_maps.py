"""Maps of several geodatabases that are kept current in different ways: one job for all of them."""

import json
import shutil
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from engine.errors import EngineError, ServiceBusyError
from engine.maps.offline_map import OfflineMap
from engine.maps.offline_map_sync_task import (
    OfflineMapSyncJob,
    OfflineMapSyncResult,
    OfflineMapSyncTask,
)
from engine.maps.offline_map_task import OfflineMapTask
from engine.maps.package_info import MapService, PackageInfo
from engine.model import (
    OfflineUpdateAvailability,
    PreplannedScheduledUpdatesOption,
    PreplannedUpdateMode,
    SyncDirection,
)
from engine.sync.parameters import OfflineMapSyncParameters
from tests.engine.maps.areas import Areas
from tests.engine.maps.syncing import sync_job
from tests.engine.sync.fleet import HYDRANTS, gid
from tests.feature_service import Fault

NEW = gid(5001)


@pytest.fixture
async def areas(tmp_path: Path) -> AsyncIterator[Areas]:
    """A map of the packages of two services, and of a third geodatabase that syncs."""
    found = Areas(tmp_path / "data", tmp_path / "map")
    found.write()
    async with found.server:
        await found.take(PreplannedUpdateMode.DOWNLOAD_SCHEDULED_UPDATES_AND_UPLOAD_NEW_FEATURES)
        other = tmp_path / "other"
        async with OfflineMapTask(found.server.url("water"), clock=found.clock) as task:
            parameters = await task.create_default_generate_offline_map_parameters(None)
            job = task.create_generate_offline_map_job(parameters, other)
            job.start()
            await job.result()
        shutil.copy(other / "water.gpkg", found.folder / "synced.gpkg")
        info = PackageInfo.read(found.folder)
        synced = MapService(file="synced.gpkg", url=found.server.url("water"))
        replace(info, services=(*info.services, synced)).write(found.folder)
        yield found


async def sync(areas: Areas, **changes: Any) -> OfflineMapSyncResult:
    async with OfflineMap.open(areas.folder) as map_:
        job = await sync_job(map_, areas.clock, **changes)
        job.start()
        progress = [event.progress async for event in job]
        assert progress == sorted(progress)
        return await job.result()


async def edit(areas: Areas) -> None:
    """The office renames a hydrant and refreshes the area; two geodatabases get a new feature."""
    await areas.rename(3, "theirs")
    assert areas.server.refresh_map_area("area1")["pkg-water"] == "changed"
    async with OfflineMap.open(areas.folder) as map_:
        for number, geodatabase in enumerate(map_.geodatabases):
            if geodatabase.path.stem in ("water", "synced"):
                new = {"GlobalID": gid(5001 + number), "name": geodatabase.path.stem}
                await geodatabase.table(HYDRANTS).add_feature(new, {"x": 1, "y": 2})


async def names(areas: Areas) -> dict[str, object]:
    """What the geodatabases call that hydrant."""
    async with OfflineMap.open(areas.folder) as map_:
        return {
            g.path.stem: (await g.table(HYDRANTS).feature(gid(3))).attributes["name"]
            for g in map_.geodatabases
        }


async def test_sync_when_all_is_well_then_each_in_its_own_way(areas: Areas) -> None:
    await edit(areas)

    result = await sync(areas)

    assert not result.has_errors
    assert set(result.layer_results) >= {
        ("water.gpkg", "Hydrants"),
        ("wells.gpkg", "Pipes"),
        ("synced.gpkg", "Hydrants"),
    }
    assert ("water.gpkg", "Visits") in result.table_results
    assert await names(areas) == {"water": "theirs", "wells": "H3", "synced": "theirs"}
    assert await areas.names(gid(5001), gid(5003)) == {"water", "synced"}


@pytest.mark.parametrize("broken", ["portal", "service"])
async def test_sync_when_one_way_is_broken_then_the_others_go_on(areas: Areas, broken: str) -> None:
    await edit(areas)
    if broken == "portal":
        (areas.data / "portal" / "pkg-water" / "item.json").unlink()
    else:
        async with OfflineMap.open(areas.folder) as map_:
            synced = next(g for g in map_.geodatabases if g.path.stem == "synced")
            url = areas.server.url("nowhere")
            statement = "UPDATE fieldsync_replica SET service_url=?"
            await synced.database.write(lambda c: c.execute(statement, (url,)).rowcount)

    result = await sync(areas)

    failed, whole = ("water", "synced") if broken == "portal" else ("synced", "water")
    errors = {Path(r.geodatabase_path).stem: r.error for r in result.geodatabase_results}
    assert errors[failed] is not None
    assert {name for name, error in errors.items() if error is None} == {whole, "wells"}
    assert result.has_errors
    assert result.layer_results[(f"{failed}.gpkg", "Hydrants")].error is errors[failed]
    assert not result.layer_results[(f"{whole}.gpkg", "Hydrants")].has_errors
    assert (await names(areas))[whole] == "theirs"
    # New features go up before packages are asked for.
    assert await areas.names(gid(5001)) == {"water"}


async def test_sync_when_only_uploading_then_packages_come_all_the_same(areas: Areas) -> None:
    await edit(areas)

    await sync(areas, sync_direction=SyncDirection.UPLOAD)

    assert await names(areas) == {"water": "theirs", "wells": "H3", "synced": "H3"}
    assert await areas.names(gid(5001), gid(5003)) == {"water", "synced"}


async def test_sync_when_no_updates_are_wanted_then_the_others_sync(areas: Areas) -> None:
    await edit(areas)

    option = PreplannedScheduledUpdatesOption.NO_UPDATES
    await sync(areas, preplanned_scheduled_updates_option=option)

    assert await names(areas) == {"water": "H3", "wells": "H3", "synced": "theirs"}
    assert await areas.names(gid(5001), gid(5003)) == {"water", "synced"}


async def test_check_when_mixed_then_each_geodatabase_in_its_own_way(areas: Areas) -> None:
    await edit(areas)

    async with OfflineMap.open(areas.folder) as map_:
        info = await OfflineMapSyncTask(map_, clock=areas.clock).check_for_updates()

    yes, no = OfflineUpdateAvailability.AVAILABLE, OfflineUpdateAvailability.NONE
    found = {
        g.path.stem: (g.download_availability, g.upload_availability) for g in info.geodatabases
    }
    assert found == {"water": (yes, yes), "wells": (no, no), "synced": (yes, yes)}
    (update,) = (areas.data / "portal" / "pkg-water" / "resources").iterdir()
    assert info.scheduled_updates_download_size == update.stat().st_size
    assert {file for file, _ in info.layers} == {"synced.gpkg"}


async def test_sync_when_some_services_are_chosen_then_no_other_is_asked(areas: Areas) -> None:
    """Also after the job went through its JSON form."""
    await edit(areas)
    wells, before = areas.server.url("wells"), dict(areas.server.traffic)
    made = OfflineMapSyncJob(areas.folder, OfflineMapSyncParameters(), services=[wells])

    job = OfflineMapSyncJob.from_json(json.loads(json.dumps(made.to_json())), clock=areas.clock)
    job.start()
    result = await job.result()

    assert [Path(r.geodatabase_path).stem for r in result.geodatabase_results] == ["wells"]
    assert set(result.layer_results) | set(result.table_results) == {
        key for key in (*result.layer_results, *result.table_results) if key[0] == "wells.gpkg"
    }
    asked = {path for path, size in areas.server.traffic.items() if size != before.get(path)}
    assert not [path for path in asked if "/water/" in path]
    assert (await names(areas))["synced"] == "H3"


async def test_sync_when_all_fails_then_the_job_tells_of_each_geodatabase(areas: Areas) -> None:
    areas.server.faults.add(Fault(kind="status", status=403, times=0))
    job = OfflineMapSyncJob(areas.folder, OfflineMapSyncParameters(), clock=areas.clock)
    job.start()

    with pytest.raises(EngineError):
        await job.result()

    errors = {Path(r.geodatabase_path).stem: r.error for r in job.geodatabase_results}
    assert set(errors) == {"water", "wells", "synced"}
    assert all(errors.values())


@pytest.mark.parametrize(("retry_after_s", "are_asked"), [(None, True), (700, False)])
async def test_sync_when_a_service_asks_for_time_then_others_of_its_host_are_left_alone(
    areas: Areas, retry_after_s: int | None, are_asked: bool
) -> None:
    await edit(areas)
    busy = Fault(kind="status", status=503, service="water", retry_after_s=retry_after_s, times=0)
    areas.server.faults.add(busy)
    job = OfflineMapSyncJob(areas.folder, OfflineMapSyncParameters(), clock=areas.clock)
    job.start()

    with suppress(ServiceBusyError):
        await job.result()

    errors = {Path(r.geodatabase_path).stem: r.error for r in job.geodatabase_results}
    assert set(errors) == {"water", "wells", "synced"}
    assert (errors["wells"] is None) is are_asked
    left = [error for error in errors.values() if "was left alone" in str(error)]
    assert len(left) == (0 if are_asked else 2)
    busy_errors = [error for error in errors.values() if isinstance(error, ServiceBusyError)]
    assert [error.retry_after_s for error in busy_errors] == [retry_after_s] * len(busy_errors)


async def test_sync_when_cancelled_then_the_job_tells_what_it_had_done(areas: Areas) -> None:
    await edit(areas)
    job = OfflineMapSyncJob(areas.folder, OfflineMapSyncParameters(), clock=areas.clock)
    job.start()
    async for _ in job:
        if len(job.geodatabase_results) == 1:
            break
    await job.cancel()

    first, second = job.geodatabase_results
    assert first.error is None
    assert second.error is not None
    assert second.error.code == "cancelled"
