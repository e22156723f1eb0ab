"""Taking a map area that was prepared ahead of time: its facts, the update modes, what may fail."""

import json
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from functools import partial

import pytest

from engine.errors import BadParameterError, EditRefusedError, EngineError, MapError
from engine.geodatabase.feature_table import FeatureTable
from engine.geodatabase.geodatabase import Geodatabase
from engine.geodatabase.package_record import get_package
from engine.maps.offline_map import OfflineMap
from engine.maps.offline_map_task import OfflineMapTask
from engine.model import (
    Envelope,
    PreplannedPackagingStatus,
    PreplannedUpdateMode,
    SpatialReference,
    SyncDirection,
    SyncModel,
    normalise_guid,
)
from engine.sync.geodatabase_sync_task import GeodatabaseSyncTask
from engine.sync.parameters import SyncGeodatabaseParameters
from tests.engine.maps.areas import EXTENT, Areas
from tests.engine.maps.syncing import sync_map
from tests.engine.sync.fleet import HYDRANTS, VISITS, gid

NO_UPDATES = PreplannedUpdateMode.NO_UPDATES
Edit = Callable[[], Awaitable[object]]
SYNC = PreplannedUpdateMode.SYNC_WITH_FEATURE_SERVICES
PACKAGES = PreplannedUpdateMode.DOWNLOAD_SCHEDULED_UPDATES
PACKAGES_AND_NEW = PreplannedUpdateMode.DOWNLOAD_SCHEDULED_UPDATES_AND_UPLOAD_NEW_FEATURES
POINT = {"x": 450.0, "y": 450.0}
ROWS = {"water": {"Hydrants": 7, "Visits": 2}, "wells": {"Hydrants": 9, "Pipes": 3}}


# --- the area -------------------------------------------------------------------------------------


async def test_area_tells_what_it_holds(areas: Areas) -> None:
    async with areas.task() as task:
        (listed,) = await task.get_preplanned_map_areas()
        assert listed.title == "Centre"
        assert listed.packaging_status is PreplannedPackagingStatus.COMPLETE
    area = await areas.area()

    assert area.area_of_interest == Envelope.from_json(EXTENT)
    assert [one.item_id for one in area.package_items] == ["pkg-water", "pkg-wells", "tiles"]
    assert area.update_capabilities is not None
    assert area.update_capabilities.supports_scheduled_updates_for_features
    assert area.update_capabilities.supports_sync_with_feature_services
    packages = [areas.data / "portal" / f"pkg-{one}" / "data.json" for one in ("water", "wells")]
    assert area.size_bytes == sum(path.stat().st_size for path in packages)
    assert all(area.supports(mode) for mode in PreplannedUpdateMode)


@pytest.mark.parametrize("mode", PreplannedUpdateMode)
async def test_area_is_taken_in_every_mode(areas: Areas, mode: PreplannedUpdateMode) -> None:
    result = await areas.take(mode)

    assert await areas.rows() == ROWS
    assert result.offline_map.folder == areas.folder
    assert [one.item_id for one in result.tile_packages] == ["tiles"]
    assert set(result.layer_errors) == {"radar"}
    assert areas.left() == ["town"]


async def test_area_remembers_where_it_is_from(areas: Areas) -> None:
    await areas.take(SYNC)

    async with OfflineMap.open(areas.folder) as map_:
        info = map_.info
        assert (info.title, info.taken_how, info.update_mode) == (
            "Centre",
            "mapArea",
            "syncWithFeatureServices",
        )
        assert (info.item_id, info.area_item_id) == ("map1", "area1")
        assert info.portal == areas.item().portal
        assert info.area == Envelope.from_json(EXTENT)
        assert {s.file: s.package_item_id for s in info.services} == {
            "water.gpkg": "pkg-water",
            "wells.gpkg": "pkg-wells",
        }
        assert map_.definition["baseMap"]["title"] == "Streets"  # type: ignore[index]
        assert set(map_.layer_errors) == {"radar"}
        assert [one.id for one in map_.operational_layers] == [
            "water_0",
            "wells_0",
            "wells_1",
            "radar",
            "water_3",
        ]


async def test_area_that_is_given_itself_is_the_only_one(areas: Areas) -> None:
    async with areas.task("area1") as task:
        (area,) = await task.get_preplanned_map_areas()

    assert (area.title, area.portal_item.item_id) == ("Centre", "area1")


@pytest.mark.parametrize(("item", "match"), [("tiles", "Vector Tile Package"), ("none", "no item")])
async def test_item_of_another_type_has_no_areas(areas: Areas, item: str, match: str) -> None:
    async with areas.task(item) as task:
        with pytest.raises(EngineError, match=match):
            await task.get_preplanned_map_areas()


async def test_feature_service_has_no_areas(areas: Areas) -> None:
    async with OfflineMapTask(areas.server.url("water"), clock=areas.clock) as task:
        with pytest.raises(BadParameterError, match="only a web map"):
            await task.get_preplanned_map_areas()


RING = {"rings": [[[0, 0], [0, 900], [500, 500], [0, 0]]], "spatialReference": {"wkid": 102100}}


@pytest.mark.parametrize("is_resource", [False, True])
async def test_area_that_is_a_polygon_tells_its_rectangle(areas: Areas, is_resource: bool) -> None:
    resources = areas.data / "portal" / "area1" / "resources"
    resources.mkdir()
    (resources / "area.json").write_text(json.dumps(RING))
    value = {"resource": "area.json"} if is_resource else RING
    areas.change_item("area1", properties={"area": value, "extent": None})

    area = await areas.area()

    assert area.geometry == RING
    assert area.area_of_interest == Envelope(
        xmin=0, ymin=0, xmax=500, ymax=900, spatial_reference=SpatialReference.of(102100)
    )


@pytest.mark.parametrize("name", ["gone.json", "../item.json", "/etc/passwd"])
async def test_area_whose_resource_is_not_there_or_hostile_still_has_its_extent(
    areas: Areas, name: str
) -> None:
    areas.change_item("area1", properties={"area": {"resource": name}})

    assert (await areas.area()).area_of_interest == Envelope.from_json(EXTENT)


@pytest.mark.parametrize("status", ["processing", "failed", "Strange"])
async def test_area_whose_packages_are_not_ready_cannot_be_taken(areas: Areas, status: str) -> None:
    areas.change_item("area1", properties={"status": status})

    with pytest.raises(MapError, match=status):
        await areas.take()

    assert areas.left() == []


async def test_area_of_an_older_portal_tells_no_status(areas: Areas) -> None:
    areas.save_item("area1", "Map Area", "Old", related={"Area2Package": ["pkg-water"]})
    areas.change_item("map1", related={"Map2Area": ["area1"]})

    await areas.take()

    assert await areas.rows() == {"water": ROWS["water"]}


async def test_area_without_a_web_map_has_a_map_of_its_packages(areas: Areas) -> None:
    job = await areas.job()
    areas.change_item("map1", related={})
    job.start()
    await job.result()

    async with OfflineMap.open(areas.folder) as map_:
        assert (map_.info.item_id, map_.layer_errors) == ("", {})
        titles = sorted(one.title for one in map_.operational_layers)
        assert titles == ["Hydrants", "Hydrants", "Pipes", "Visits"]


# --- the update modes -----------------------------------------------------------------------------


def edits_of_others(table: FeatureTable) -> list[Edit]:
    """Edits of a feature that came with the map, each in a way of its own."""
    return [
        lambda: table.update_feature(gid(2), {"name": "mine"}),
        lambda: table.delete_feature(gid(2)),
        lambda: table.add_attachment(gid(2), "a.jpg", None, b"photo"),
    ]


@pytest.mark.parametrize(
    ("mode", "reason"),
    [(NO_UPDATES, "without updates"), (PACKAGES, "kept current by packages")],
)
async def test_map_that_sends_nothing_takes_no_edits(
    areas: Areas, mode: PreplannedUpdateMode, reason: str
) -> None:
    await areas.take(mode)

    async with OfflineMap.open(areas.folder) as map_:
        for geodatabase in map_.geodatabases:
            table = geodatabase.table(HYDRANTS)
            adding: Edit = partial(table.add_feature, {"name": "new"})
            for edit in (adding, *edits_of_others(table)):
                with pytest.raises(EditRefusedError, match="reading only"):
                    await edit()
            assert not await geodatabase.has_local_edits()
            assert geodatabase.sync_id == ""
        with (
            closing(sqlite3.connect(areas.folder / "water.gpkg")) as other_program,
            pytest.raises(sqlite3.IntegrityError, match=f"because this map .*{reason}"),
        ):
            other_program.execute("UPDATE Visits SET note = 'mine'")
    assert await areas.replicas() == []


@pytest.mark.parametrize("mode", [NO_UPDATES, PACKAGES])
async def test_geodatabase_that_sends_nothing_is_neither_synced_nor_registered(
    areas: Areas, mode: PreplannedUpdateMode
) -> None:
    await areas.take(mode)

    async with (
        await Geodatabase.open(areas.folder / "water.gpkg") as geodatabase,
        GeodatabaseSyncTask(areas.server.url("water"), clock=areas.clock) as task,
    ):
        job = task.create_sync_geodatabase_job(SyncGeodatabaseParameters(), geodatabase)
        job.start()
        with pytest.raises(BadParameterError, match="not synced with its feature service"):
            await job.result()
        with pytest.raises(BadParameterError, match="not synced with its feature service"):
            await task.register_sync_enabled_geodatabase(geodatabase)


async def test_map_that_is_synced_has_replicas_of_its_own(areas: Areas) -> None:
    await areas.take(SYNC)

    names = await areas.replicas()
    assert len(names) == 2
    assert all(name.startswith("fieldsync-") for name in names)
    async with OfflineMap.open(areas.folder) as map_:
        for geodatabase, package in zip(map_.geodatabases, ("water", "wells"), strict=True):
            item = areas.data / "portal" / f"pkg-{package}" / "item.json"
            theirs = json.loads(item.read_text())["properties"]["replicaID"]
            assert geodatabase.sync_id
            assert normalise_guid(geodatabase.sync_id) != normalise_guid(theirs)
            assert await geodatabase.database.read(get_package) is None


async def test_map_that_is_synced_goes_on_from_its_package(areas: Areas) -> None:
    """Up and down, and of what others did only what is newer than the package."""
    await areas.take(SYNC)
    await areas.rename(3, "theirs")
    async with OfflineMap.open(areas.folder) as map_:
        table = map_.geodatabases[0].table(HYDRANTS)
        await table.update_feature(gid(2), {"name": "mine"})
        new = (await table.add_feature({"name": "new", "serial": 5}, POINT)).global_id
        result = await sync_map(map_, areas.clock)

        assert not result.has_errors
        assert not await map_.geodatabases[0].has_local_edits()
        (hydrants, _) = result.geodatabase_results[0].layer_results
        assert (hydrants.downloaded.updated, hydrants.uploaded.applied) == (1, 2)
        assert (await table.feature(gid(3))).attributes["name"] == "theirs"
    assert await areas.names(gid(2), new) == {"mine", "new"}


async def test_packages_are_refreshed_after_their_copies_were_unregistered(areas: Areas) -> None:
    await areas.take(SYNC)
    async with (
        await Geodatabase.open(areas.folder / "water.gpkg") as geodatabase,
        GeodatabaseSyncTask(areas.server.url("water"), clock=areas.clock) as task,
    ):
        await task.unregister_geodatabase(geodatabase)
    await areas.rename(3, "theirs")

    assert areas.server.refresh_map_area("area1")["pkg-water"] == "changed"


async def test_map_that_only_sends_new_features_takes_no_other_edits(areas: Areas) -> None:
    await areas.take(PACKAGES_AND_NEW)

    async with OfflineMap.open(areas.folder) as map_:
        water, wells = map_.geodatabases
        table = water.table(HYDRANTS)
        for edit in edits_of_others(table):
            with pytest.raises(EditRefusedError, match="adding rows"):
                await edit()
        with pytest.raises(EditRefusedError, match="reading only"):
            await wells.table(HYDRANTS).add_feature({"name": "new"}, POINT)
        assert (bool(water.sync_id), bool(wells.sync_id)) == (True, False)
    assert len(await areas.replicas()) == 1


async def test_new_feature_is_edited_until_it_was_sent(areas: Areas) -> None:
    await areas.take(PACKAGES_AND_NEW)

    async with OfflineMap.open(areas.folder) as map_:
        water = map_.geodatabases[0]
        table, visits = water.table(HYDRANTS), water.table(VISITS)
        new = (await table.add_feature({"name": "new"}, POINT)).global_id
        gone = (await table.add_feature({"name": "gone"}, POINT)).global_id
        await table.update_feature(new, {"name": "newer"})
        await table.delete_feature(gone)
        photo = await table.add_attachment(new, "a.jpg", None, b"photo")
        await table.delete_attachment(photo.global_id)
        await table.add_attachment(new, "a.jpg", None, b"photo")
        await visits.add_feature({"hydrant": gid(2), "note": "a new row of an old feature"})

        async with GeodatabaseSyncTask(areas.server.url("water"), clock=areas.clock) as task:
            job = task.create_sync_geodatabase_job(SyncGeodatabaseParameters(), water)
            job.start()
            with pytest.raises(BadParameterError, match="only sends new features"):
                await job.result()
            up = SyncGeodatabaseParameters(geodatabase_sync_direction=SyncDirection.UPLOAD)
            job = task.create_sync_geodatabase_job(up, water)
            job.start()
            await job.result()

        assert not await water.has_local_edits()
        for edit in (
            lambda: table.update_feature(new, {"name": "newest"}),
            lambda: table.delete_feature(new),
            lambda: table.add_attachment(new, "b.jpg", None, b"photo"),
        ):
            with pytest.raises(EditRefusedError, match="adding rows"):
                await edit()
    assert await areas.names(new) == {"newer"}


async def test_map_of_which_one_service_takes_new_features_is_kept_current(areas: Areas) -> None:
    await areas.take(PACKAGES_AND_NEW)
    await areas.rename(3, "theirs")
    assert areas.server.refresh_map_area("area1")["pkg-water"] == "changed"

    async with OfflineMap.open(areas.folder) as map_:
        table = map_.geodatabases[0].table(HYDRANTS)
        new = (await table.add_feature({"name": "new"}, POINT)).global_id
        result = await sync_map(map_, areas.clock)

        assert not result.has_errors
        assert (await table.feature(gid(3))).attributes["name"] == "theirs"
    assert await areas.names(new) == {"new"}


async def test_map_kept_current_by_packages_records_them(areas: Areas) -> None:
    await areas.rename(3, "theirs")
    assert areas.server.refresh_map_area("area1")["pkg-water"] == "changed"
    await areas.take(PACKAGES)

    async with OfflineMap.open(areas.folder) as map_:
        for geodatabase in map_.geodatabases:
            record = await geodatabase.database.read(get_package)
            assert record is not None
            item_id = f"pkg-{geodatabase.path.stem}"
            folder = areas.data / "portal" / item_id
            told = json.loads((folder / "item.json").read_text())["properties"]
            assert (record.portal, record.area_item_id) == (areas.item().portal, "area1")
            assert record.item_id == item_id
            assert record.size_bytes == (folder / "data.json").stat().st_size
            assert list(record.generations.layers.items()) == [
                (one["id"], one["serverGen"]) for one in told["layerServerGens"]
            ]
            assert geodatabase.sync_model is SyncModel.PER_LAYER


async def test_default_mode_is_the_one_with_the_most_edits(areas: Areas) -> None:
    async def default() -> PreplannedUpdateMode:
        async with areas.task() as task:
            area = await areas.area()
            made = await task.create_default_download_preplanned_offline_map_parameters(area)
            return made.update_mode

    assert await default() is SYNC
    for name in ("pkg-water", "pkg-wells"):
        areas.change_item(name, typeKeywords=[], properties={"replicaID": ""})
    assert await default() is PACKAGES
    for name in ("pkg-water", "pkg-wells"):
        areas.change_item(name, properties={"createPkgDeltas": None})
    assert await default() is NO_UPDATES


async def test_mode_that_the_area_does_not_offer_is_refused(areas: Areas) -> None:
    for name in ("pkg-water", "pkg-wells"):
        areas.change_item(name, properties={"createPkgDeltas": None})

    with pytest.raises(BadParameterError, match="download_scheduled_updates") as refused:
        await areas.job(PACKAGES)

    assert refused.value.remedy == "It offers no_updates, sync_with_feature_services"


async def test_area_that_takes_no_new_features_is_not_taken_for_them(areas: Areas) -> None:
    areas.change_item("area1", related={"Area2Package": ["pkg-wells"]})

    with pytest.raises(BadParameterError, match="takes new features"):
        await areas.take(PACKAGES_AND_NEW)

    assert areas.left() == []
