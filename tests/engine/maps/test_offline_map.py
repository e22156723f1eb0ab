"""A map of two services: taken whole or not at all, synced as far as it goes."""

import json
from urllib.parse import urlsplit

import pytest

from engine import faults
from engine.atomic import ProcessLock
from engine.errors import EngineError, LinkError, MapExistsError, SyncInProgress
from engine.maps.offline_map import OfflineMap
from engine.maps.offline_map_sync_task import (
    OfflineMapSyncJob,
    OfflineMapSyncTask,
)
from engine.maps.offline_map_task import GenerateOfflineMapJob, OfflineMapTask
from engine.maps.update_capabilities import OfflineMapUpdateCapabilities
from engine.model import JobStatus, OfflineUpdateAvailability
from engine.sync.context import lock_path
from tests.engine.maps.syncing import sync_job
from tests.engine.maps.town import NAMES, Town
from tests.engine.sync.fleet import HYDRANTS
from tests.fakes.cutting_proxy import cutting_proxy
from tests.feature_service import Fault


async def test_map_of_two_services_syncs_both(town: Town) -> None:
    await town.take()
    await town.edit("mine")

    result = await town.sync()

    assert await town.names() == ["mine", "mine"]
    assert not result.has_errors
    assert ("water.gpkg", "Hydrants") in result.layer_results
    assert ("wells.gpkg", "Visits") in result.table_results


async def test_services_of_one_host_are_synced_over_one_connection(town: Town) -> None:
    async with cutting_proxy(urlsplit(town.urls[0]).port or 0) as (proxy, host):
        town.urls = [urlsplit(url)._replace(netloc=host).geturl() for url in town.urls]
        await town.take()
        await town.edit("mine")
        proxy.cut_after(None)

        await town.sync()

        assert proxy.connections == 1
    assert await town.names() == ["mine", "mine"]


async def test_take_counts_its_traffic(town: Town) -> None:
    await town.take()

    assert town.totals.received_bytes > 0
    assert town.totals.sent_bytes > 0


async def test_one_failing_service_leaves_no_map_and_no_replica(town: Town) -> None:
    town.server.faults.add(
        Fault(kind="status", operation="createReplica", service="wells", status=400)
    )

    with pytest.raises(EngineError):
        await town.take()

    assert not list(town.folder.parent.iterdir())
    assert await town.replicas() == 0
    await town.take()
    assert await town.replicas() == 2


@pytest.mark.parametrize("point", ["geodatabase.generated", "folder.written"])
async def test_error_at_a_step_leaves_no_map_and_no_replica(town: Town, point: str) -> None:
    def fail(name: str) -> None:
        if name == point:
            raise EngineError("the step failed")

    with faults.armed(fail), pytest.raises(EngineError, match="the step failed"):
        await town.take()

    assert not list(town.folder.parent.iterdir())
    assert await town.replicas() == 0


async def test_folder_that_holds_something_is_refused_before_any_traffic(town: Town) -> None:
    town.folder.mkdir(parents=True)
    (town.folder / "notes.txt").write_text("mine")
    calls = len(town.server.log)

    with pytest.raises(MapExistsError):
        await town.take()

    assert "createReplica" not in town.server.log[calls:]
    assert (town.folder / "notes.txt").read_text() == "mine"


async def test_one_failing_service_does_not_keep_the_other_from_syncing(town: Town) -> None:
    await town.take()
    await town.edit("mine")
    town.server.faults.add(Fault(kind="drop-before-commit", service="water", times=0))

    result = await town.sync()

    town.server.faults.clear()
    assert await town.names() == ["H1", "mine"]
    assert result.has_errors
    assert isinstance(result.layer_results["water.gpkg", "Hydrants"].error, LinkError)
    assert result.layer_results["wells.gpkg", "Hydrants"].error is None
    await town.sync()
    assert await town.names() == ["mine", "mine"]


async def test_edits_of_a_sync_that_broke_off_are_counted_as_pending(town: Town) -> None:
    await town.take()
    await town.edit("mine")
    town.server.faults.add(
        Fault(kind="status", operation="applyEdits", service="water", status=403, times=0)
    )

    result = await town.sync()

    counts = result.geodatabase_results[0].layer(HYDRANTS).uploaded
    assert (counts.found, counts.pending) == (1, 1)


async def test_job_fails_if_no_service_can_be_synced(town: Town) -> None:
    await town.take()
    town.server.faults.add(Fault(kind="drop-before-commit", times=0))

    async with OfflineMap.open(town.folder) as map:
        job = await sync_job(map, town.clock)
        job.start()
        with pytest.raises(LinkError):
            await job.result()

    assert job.status is JobStatus.FAILED


async def test_sync_is_refused_while_another_program_syncs(town: Town) -> None:
    await town.take()
    with (
        ProcessLock(lock_path(town.folder / "water.gpkg")) as water,
        ProcessLock(lock_path(town.folder / "wells.gpkg")) as wells,
    ):
        assert water.acquire()
        assert wells.acquire()

        with pytest.raises(SyncInProgress):
            await town.sync()


async def test_local_edits_are_known_before_a_sync(town: Town) -> None:
    await town.take()

    async with OfflineMap.open(town.folder) as map:
        before = await OfflineMapSyncTask(map, clock=town.clock).check_for_updates()
    await town.edit("mine")
    async with OfflineMap.open(town.folder) as map:
        after = await OfflineMapSyncTask(map, clock=town.clock).check_for_updates()

    assert before.upload_availability is OfflineUpdateAvailability.NONE
    assert after.upload_availability is OfflineUpdateAvailability.AVAILABLE


async def test_nothing_to_download_only_if_every_service_is_unchanged(town: Town) -> None:
    await town.take()

    async def availability() -> OfflineUpdateAvailability:
        async with OfflineMap.open(town.folder) as map:
            info = await OfflineMapSyncTask(map, clock=town.clock).check_for_updates()
        return info.download_availability

    before = await availability()
    await town.clients[1].post(f"{HYDRANTS}/deleteFeatures", objectIds="2")
    changed = await availability()
    town.server.faults.add(Fault(kind="drop-before-commit", times=0))
    unreachable = await availability()

    assert before is OfflineUpdateAvailability.NONE
    assert changed is OfflineUpdateAvailability.AVAILABLE
    assert unreachable is OfflineUpdateAvailability.INDETERMINATE


# --- jobs that are made again ---------------------------------------------------------------------


async def take_job(town: Town, *, with_overrides: bool = False) -> dict[str, object]:
    """The JSON of a job that takes the map, as text would keep it."""
    async with OfflineMapTask(town.urls, clock=town.clock) as task:
        parameters = await task.create_default_generate_offline_map_parameters(None)
        parameters.title = "Town"
        overrides = await task.create_generate_offline_map_parameter_overrides(parameters)
        del overrides.generate_geodatabase_parameters[town.urls[0]]
        job = task.create_generate_offline_map_job(
            parameters, town.folder, overrides if with_overrides else None
        )
        value: dict[str, object] = json.loads(json.dumps(job.to_json()))
        return value


@pytest.mark.parametrize("with_overrides", [False, True])
async def test_take_made_again_from_its_json_takes_the_same(
    town: Town, with_overrides: bool
) -> None:
    value = await take_job(town, with_overrides=with_overrides)
    job = GenerateOfflineMapJob.from_json(value, clock=town.clock)
    assert job.status is JobStatus.NOT_STARTED
    assert job.to_json() == value

    job.start()
    async with await job.result() as map:
        assert map.info.title == "Town"
        assert len(map.geodatabases) == 2 - with_overrides


async def test_take_made_again_after_it_had_ended_has_nothing_left_to_do(town: Town) -> None:
    value = await take_job(town)
    first = GenerateOfflineMapJob.from_json(value, clock=town.clock)
    first.start()
    await first.result()
    calls = len(town.server.log)

    job = GenerateOfflineMapJob.from_json(value, clock=town.clock)
    job.start()
    map = await job.result()

    assert len(town.server.log) == calls
    async with map:
        assert len(map.geodatabases) == 2


async def test_take_made_again_does_not_take_another_map_for_its_own(town: Town) -> None:
    value = await take_job(town)
    await town.take()

    job = GenerateOfflineMapJob.from_json(value, clock=town.clock)
    job.start()

    with pytest.raises(MapExistsError):
        await job.result()


async def test_sync_made_again_from_its_json_opens_the_map_and_does_the_same(town: Town) -> None:
    await town.take()
    await town.edit("mine")
    async with OfflineMap.open(town.folder) as map:
        first = await sync_job(map, town.clock)
    value = json.loads(json.dumps(first.to_json()))

    job = OfflineMapSyncJob.from_json(value, clock=town.clock)
    assert (job.parameters, job.to_json()) == (first.parameters, first.to_json())
    job.start()
    result = await job.result()

    assert await town.names() == ["mine", "mine"]
    assert ("water.gpkg", "Hydrants") in result.layer_results


async def test_parameters_of_a_map_job_cannot_be_changed(town: Town) -> None:
    job = GenerateOfflineMapJob.from_json(await take_job(town))

    job.parameters.title = "Other"

    assert job.parameters.title == "Town"


# --- loading --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "by_packages", "by_sync"),
    [
        ("syncWithFeatureServices", False, True),
        ("downloadScheduledUpdates", True, False),
        ("downloadScheduledUpdatesAndUploadNewFeatures", True, True),
        ("noUpdates", False, False),
    ],
)
async def test_update_capabilities_are_those_of_the_mode_once_loaded(
    town: Town, mode: str, by_packages: bool, by_sync: bool
) -> None:
    await town.take()
    path = town.folder / "package.info"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"update_mode": mode}))
    calls = len(town.server.log)

    async with OfflineMap.open(town.folder) as map:
        task = OfflineMapSyncTask(map)
        assert task.update_capabilities is None
        await task.load()

        assert task.map is map
        assert task.update_capabilities == OfflineMapUpdateCapabilities(
            supports_scheduled_updates_for_features=by_packages,
            supports_sync_with_feature_services=by_sync,
        )
    assert len(town.server.log) == calls


async def test_kept_deltas_are_told_for_every_geodatabase_also_when_the_sync_fails(
    town: Town,
) -> None:
    await town.take()
    for name in NAMES:
        await town.edit(name)
    town.server.faults.add(Fault(kind="status", status=404, service="wells", times=0))
    async with OfflineMap.open(town.folder) as map:
        some = await sync_job(map, town.clock, keep_geodatabase_deltas=True)
        some.start()
        await some.result()
        town.server.faults.add(Fault(kind="drop-before-commit", times=0))
        none = await sync_job(map, town.clock, keep_geodatabase_deltas=True)
        none.start()
        with pytest.raises(EngineError):
            await none.result()

    water, wells = some.geodatabase_delta_infos
    assert water.upload_delta_path is not None
    assert water.upload_delta_path.is_file()
    assert water.download_delta_path is None
    assert (wells.upload_delta_path, wells.feature_service_url) == (None, town.urls[1])
    paths = [info.geodatabase_path for info in none.geodatabase_delta_infos]
    assert paths == [town.folder / f"{name}.gpkg" for name in NAMES]
