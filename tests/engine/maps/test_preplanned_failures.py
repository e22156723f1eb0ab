"""Map areas of which something is wrong: packages, links, portals, and what is left then."""

import json
import shutil
from pathlib import Path

import pytest

from engine import atomic, faults
from engine.errors import (
    AuthenticationError,
    BadParameterError,
    EngineError,
    LinkError,
    MapError,
    ProtocolError,
    StorageFullError,
)
from engine.maps.offline_map import OfflineMap
from engine.maps.preplanned_download import DownloadPreplannedOfflineMapJob
from engine.model import PreplannedUpdateMode
from engine.service import download
from engine.service.credential_store import ArcGISCredentialStore
from engine.service.credentials import TokenCredential
from tests.engine.maps.areas import Areas
from tests.engine.maps.syncing import sync_map
from tests.engine.sync.fleet import HYDRANTS, gid
from tests.feature_service import Fault, Profile, Security

NO_UPDATES = PreplannedUpdateMode.NO_UPDATES
SYNC = PreplannedUpdateMode.SYNC_WITH_FEATURE_SERVICES
PACKAGES = PreplannedUpdateMode.DOWNLOAD_SCHEDULED_UPDATES
PACKAGES_AND_NEW = PreplannedUpdateMode.DOWNLOAD_SCHEDULED_UPDATES_AND_UPLOAD_NEW_FEATURES


def file_of(areas: Areas, name: str = "pkg-water") -> Path:
    return areas.data / "portal" / name / "data.json"


# --- bad packages ---------------------------------------------------------------------------------


def cut(areas: Areas) -> None:
    content = file_of(areas).read_bytes()
    file_of(areas).write_bytes(content[: len(content) // 2])


def of_another_service(areas: Areas) -> None:
    shutil.copy(file_of(areas, "pkg-wells"), file_of(areas))


def with_other_fields(areas: Areas) -> None:
    document = json.loads(file_of(areas).read_text())
    for feature in document["layers"][0]["features"]:
        del feature["attributes"]["serial"]
    file_of(areas).write_text(json.dumps(document))


def smaller_than_told(areas: Areas) -> None:
    areas.change_item("pkg-water", size=50_000)


def larger_than_told(areas: Areas) -> None:
    areas.change_item("pkg-water", size=5)


def of_another_server(areas: Areas) -> None:
    areas.change_item("pkg-water", properties={"url": "file:///etc/passwd"})


def with_a_password(areas: Areas) -> None:
    areas.change_item("pkg-water", properties={"url": "https://a:b@example.org/x/FeatureServer"})


def without_properties(areas: Areas) -> None:
    areas.save_item("pkg-water", "SQLite Geodatabase", "Water")


def with_strange_query(areas: Areas) -> None:
    areas.change_item("pkg-water", properties={"layerQueries": {"0": {"queryOption": "most"}}})


def of_layers_that_are_gone(areas: Areas) -> None:
    areas.change_item("pkg-water", properties={"layers": [70, 71]})


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (cut, "cannot be read: .* cut off"),
        (of_another_service, "has no rows of Visits"),
        (with_other_fields, "without their serial"),
        (smaller_than_told, "which has 50000"),
        (larger_than_told, "larger than the 5 bytes"),
        (of_another_server, "is not an http or https URL"),
        (with_a_password, "credentials in it"),
        (without_properties, "of which service"),
        (with_strange_query, "unknown kind 'most'"),
        (of_layers_that_are_gone, "has none of the layers"),
    ],
)
async def test_package_that_cannot_be_taken_leaves_the_others(
    areas: Areas, spoil: object, told: str
) -> None:
    assert callable(spoil)
    spoil(areas)

    result = await areas.take(SYNC)

    assert set(await areas.rows()) == {"wells"}
    errors = {**result.layer_errors, **result.table_errors}
    failed = [error for name, error in errors.items() if name in ("water_0", "pkg-water")]
    assert failed
    with pytest.raises(EngineError, match=told):
        raise failed[0]
    assert failed[0].remedy
    assert areas.left() == ["town"]
    assert len(await areas.replicas()) == 1


async def test_package_that_cannot_be_taken_ends_a_job_that_must_have_all(areas: Areas) -> None:
    cut(areas)

    with pytest.raises(ProtocolError, match="cut off"):
        await areas.take(continue_on_errors=False)

    assert areas.left() == []
    assert await areas.replicas() == []


async def test_area_of_which_nothing_can_be_taken_is_none(areas: Areas) -> None:
    for name in ("pkg-water", "pkg-wells"):
        file_of(areas, name).write_bytes(b"{")

    with pytest.raises(ProtocolError):
        await areas.take()

    assert areas.left() == []


async def test_package_of_another_type_is_told_and_does_no_harm(areas: Areas) -> None:
    areas.save_item("tiles", "Code Sample", "A sample")

    result = await areas.take(continue_on_errors=False)

    assert set(await areas.rows()) == {"water", "wells"}
    assert isinstance(result.layer_errors["tiles"], MapError)
    assert result.tile_packages == ()


async def test_area_without_features_is_not_taken(areas: Areas) -> None:
    areas.change_item("area1", related={"Area2Package": ["tiles"]})

    with pytest.raises(MapError, match="no package with features"):
        await areas.take()


async def test_hostile_names_stay_names(areas: Areas) -> None:
    for name in ("area1", "pkg-water", "map1"):
        areas.change_item(name, title="../../\x1b[2Jx\n")

    await areas.take()

    assert sorted(path.name for path in areas.folder.iterdir() if path.suffix == ".gpkg") == [
        "water.gpkg",
        "wells.gpkg",
    ]
    assert areas.left() == ["town"]


async def test_package_that_was_refreshed_meanwhile_is_taken_as_it_is_now(areas: Areas) -> None:
    job = await areas.job(PACKAGES)
    await areas.rename(3, "another name")
    assert areas.server.refresh_map_area("area1")["pkg-water"] == "changed"

    job.start()
    await job.result()

    async with OfflineMap.open(areas.folder) as map_:
        feature = await map_.geodatabases[0].table(HYDRANTS).feature(gid(3))
        assert feature.attributes["name"] == "another name"


async def test_no_room_for_the_packages_is_found_out_before_they_are_fetched(
    areas: Areas, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = await areas.job()
    size = (await areas.area()).size_bytes
    monkeypatch.setattr(atomic, "_free_bytes", lambda _where: 3 * size - 1)
    before = dict(areas.server.traffic)

    job.start()
    with pytest.raises(StorageFullError):
        await job.result()

    data = [path for path in areas.server.traffic if path.endswith(("water/data", "wells/data"))]
    assert all(areas.server.traffic[path] == before[path] for path in data)
    assert areas.left() == []


# --- packages that only tell what they are made of ------------------------------------------------


def make_mobile(areas: Areas) -> None:
    """Packages as ArcGIS makes them."""
    for name in ("pkg-water", "pkg-wells"):
        content = b"SQLite format 3\0" + bytes(4096)
        file_of(areas, name).with_suffix(".geodatabase").write_bytes(content)
        file_of(areas, name).unlink()


@pytest.mark.parametrize("mode", [SYNC, NO_UPDATES])
async def test_mobile_geodatabase_is_taken_by_its_definition(
    areas: Areas, mode: PreplannedUpdateMode
) -> None:
    make_mobile(areas)

    await areas.take(mode)

    assert await areas.rows() == {
        "water": {"Hydrants": 7, "Visits": 2},
        "wells": {"Hydrants": 9, "Pipes": 3},
    }
    names = await areas.replicas()
    assert len(names) == (2 if mode is SYNC else 0)
    assert all(name.startswith("fieldsync-") for name in names)
    async with OfflineMap.open(areas.folder) as map_:
        table = map_.geodatabases[0].table(HYDRANTS)
        assert table.permissions.can_update == (mode is SYNC)


@pytest.mark.parametrize("mode", [PACKAGES, PACKAGES_AND_NEW])
async def test_mobile_geodatabase_is_not_kept_current_by_packages(
    areas: Areas, mode: PreplannedUpdateMode
) -> None:
    make_mobile(areas)

    with pytest.raises(BadParameterError, match="does not offer"):
        await areas.job(mode)


async def test_service_that_registers_nothing_is_asked_for_the_rows(areas: Areas) -> None:
    abilities = {"supportsRegisteringExistingData": False}
    areas.server.hosted("water").service.document["syncCapabilities"] = abilities  # type: ignore[index]

    await areas.take(SYNC)

    assert (await areas.rows())["water"] == {"Hydrants": 7, "Visits": 2}
    sent = {path.split("/")[-2]: n for path, n in areas.server.traffic.items() if "/data" in path}
    size = {name: file_of(areas, name).stat().st_size for name in ("pkg-water", "pkg-wells")}
    assert sent["pkg-water"] <= size["pkg-water"]  # looked at, to see what it is
    assert sent["pkg-wells"] > size["pkg-wells"]


async def test_replica_of_a_package_that_is_gone_is_missed_by_no_one(areas: Areas) -> None:
    """The rows are the package's; the first sync fetches all of them once, and loses nothing."""
    areas.server.faults.add(Fault(kind="replica-unregistered", operation="createReplica"))

    await areas.take(SYNC)
    assert any("fetch all rows once" in message for message in areas.messages)
    await areas.rename(3, "theirs")
    async with OfflineMap.open(areas.folder) as map_:
        water = map_.geodatabases[0]
        await water.table(HYDRANTS).update_feature(gid(2), {"name": "mine"})
        assert not (await sync_map(map_, areas.clock)).has_errors
        assert (await water.table(HYDRANTS).feature(gid(3))).attributes["name"] == "theirs"
        assert not await water.has_local_edits()
    assert await areas.names(gid(2), gid(3)) == {"mine", "theirs"}
    assert all(name.startswith("fieldsync-") for name in await areas.replicas())


# --- links, portals, profiles ---------------------------------------------------------------------


async def test_package_over_a_link_that_breaks_is_gone_on_with(areas: Areas) -> None:
    document = json.loads(file_of(areas).read_text())
    feature = document["layers"][0]["features"][0]
    feature["attributes"]["name"] = "x" * 3_000_000
    file_of(areas).write_text(json.dumps(document))
    first = await areas.job(NO_UPDATES, continue_on_errors=True)
    web_map, package = 1, 1  # calls for data that come before
    cut_off = Fault(kind="cut-response", operation="data", at_byte=2_000_000, skip=web_map)
    areas.server.faults.add(cut_off)
    gone = Fault(kind="drop-before-commit", operation="data", times=0, skip=web_map + package)
    areas.server.faults.add(gone)
    first.start()
    with pytest.raises(LinkError):
        await first.result()
    assert areas.left() == [".town.packages"]
    areas.server.faults.clear()
    before = areas.server.traffic.copy()

    job = DownloadPreplannedOfflineMapJob.from_json(first.to_json(), clock=areas.clock)
    job.start()
    await job.result()

    assert set(await areas.rows()) == {"water", "wells"}
    fetched = (areas.server.traffic - before)["/portal/sharing/rest/content/items/pkg-water/data"]
    assert fetched < 2_000_000
    assert areas.left() == ["town"]


async def test_package_refreshed_after_it_was_fetched_is_fetched_again(
    areas: Areas, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "CHUNK_BYTES", 1024)  # as of a package of many chunks
    first = await areas.job(NO_UPDATES)

    def stop(name: str) -> None:
        if name == "part.renamed":
            raise LinkError("the power was lost")

    first.start()
    with faults.armed(stop), pytest.raises(LinkError):
        await first.result()
    document = json.loads(file_of(areas).read_text())
    attributes = document["layers"][0]["features"][0]["attributes"]
    attributes["name"] = "x" * len(attributes["name"])
    file_of(areas).write_text(json.dumps(document, separators=(",", ":")))
    areas.change_item("pkg-water", modified=areas.server_clock.now_ms() + 1)

    job = DownloadPreplannedOfflineMapJob.from_json(first.to_json(), clock=areas.clock)
    job.start()
    await job.result()

    async with OfflineMap.open(areas.folder) as map_:
        feature = await map_.geodatabases[0].table(HYDRANTS).feature(gid(attributes["OBJECTID"]))
    assert feature.attributes["name"] == attributes["name"]


async def test_job_is_made_again_from_its_json(areas: Areas) -> None:
    first = await areas.job(PACKAGES_AND_NEW, continue_on_errors=False)
    value = json.loads(json.dumps(first.to_json()))

    job = DownloadPreplannedOfflineMapJob.from_json(value, clock=areas.clock)
    assert job.to_json() == value
    assert job.parameters.update_mode is PACKAGES_AND_NEW
    job.start()
    await job.result()
    again = DownloadPreplannedOfflineMapJob.from_json(value, clock=areas.clock)
    again.start()
    result = await again.result()

    assert set(result.layer_errors) == {"radar"}
    assert len(await areas.replicas()) == 1


async def test_one_sign_in_at_the_portal_is_good_for_its_services(tmp_path: Path) -> None:
    security = Security(users={"ann": "pass-word"}, owners=frozenset({"bob"}))
    areas = Areas(tmp_path / "service", tmp_path / "town", security=security)
    areas.write()
    async with areas.server:
        with pytest.raises(AuthenticationError):
            await areas.take()
        areas.credential = ArcGISCredentialStore(
            [TokenCredential(areas.item().portal, "ann", "pass-word")]
        )

        await areas.take(SYNC)

    assert set(await areas.rows()) == {"water", "wells"}


@pytest.mark.parametrize("seed", range(4))
async def test_area_is_taken_and_synced_whatever_the_service_is_like(
    tmp_path: Path, seed: int
) -> None:
    profile = Profile.random(seed)
    areas = Areas(tmp_path / "service", tmp_path / "town", profile)
    areas.write()
    model = "perReplica" if profile.sync_models == "perReplica" else "perLayer"
    for name in ("pkg-water", "pkg-wells"):
        areas.change_item(name, properties={"syncModel": model})
    async with areas.server:
        mode = SYNC if seed % 2 else PACKAGES_AND_NEW
        await areas.take(mode)
        await areas.rename(3, "theirs")
        areas.server.refresh_map_area("area1")
        async with OfflineMap.open(areas.folder) as map_:
            table = map_.geodatabases[0].table(HYDRANTS)
            new = (await table.add_feature({"name": "new"}, {"x": 5, "y": 5})).global_id
            result = await sync_map(map_, areas.clock)

            assert not result.has_errors, profile
            assert (await table.feature(gid(3))).attributes["name"] == "theirs", profile
        if not profile.remints_global_ids:
            assert await areas.names(new) == {"new"}, profile
