"""Taking the web map of a portal: its layers of several services, as its author wants them."""

import json
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession

from engine import atomic
from engine.errors import (
    BadParameterError,
    EditRefusedError,
    EngineError,
    MapError,
    ServiceError,
    ServiceRefusedError,
    StorageFullError,
    SyncNotEnabledError,
)
from engine.maps.offline_map import OfflineMap
from engine.maps.offline_map_parameters import GenerateOfflineMapParameters
from engine.maps.offline_map_sync_task import OfflineMapSyncTask
from engine.maps.offline_map_task import GenerateOfflineMapJob, OfflineMapTask
from engine.model import (
    AttachmentSyncDirection,
    GenerateOfflineMapUpdateMode,
    ReturnLayerAttachmentOption,
    SyncModel,
)
from engine.service.credential_store import ArcGISCredentialStore
from engine.service.credentials import TokenCredential
from engine.service.portal import PortalItem
from tests.engine.maps.areas import rows_in
from tests.engine.maps.syncing import sync_map
from tests.engine.sync.fleet import HYDRANTS, PIPES, VISITS, HastyClock, changed, gid
from tests.feature_service import Fault, FeatureServer, ManualClock, Security
from tests.test_feature_service.client import Client
from tests.test_feature_service.world import service_document, write_item, write_world

Json = dict[str, Any]


def layer(service: str, number: int, where: str = "") -> Json:
    value: Json = {
        "id": f"{service}_{number}",
        "title": f"{service} {number}",
        "layerType": "ArcGISFeatureLayer",
        "url": f"{{origin}}/arcgis/rest/services/{service}/FeatureServer/{number}",
    }
    return value | ({"layerDefinition": {"definitionExpression": where}} if where else {})


WEB_MAP: Json = {
    "operationalLayers": [
        {
            "id": "group",
            "layerType": "GroupLayer",
            "layers": [
                layer("water", HYDRANTS, "serial < 3"),
                layer("water", HYDRANTS, "serial = 8") | {"id": "again"},
            ],
        },
        layer("wells", HYDRANTS),
        layer("wells", PIPES),
    ],
    "tables": [layer("water", VISITS)],
}


class Office:
    """A portal with one web map of an editable service, ``water``, and a read-only one, ``wells``;
    ``plain`` cannot sync."""

    def __init__(self, data: Path, folder: Path, security: Security | None = None) -> None:
        self.data = data
        self.folder = folder
        self.clock = HastyClock()
        self.server = FeatureServer(data, clock=ManualClock(), security=security)
        self.credential: ArcGISCredentialStore | None = None

    def save(self, web_map: Json, *, offline: Json | None = None, kind: str = "Web Map") -> None:
        """Write the map's item."""
        settings = {"applicationProperties": {"offline": offline}} if offline is not None else {}
        write_item(self.data, "map1", {"type": kind, "title": "Town"}, web_map | settings)

    @property
    def item(self) -> PortalItem:
        assert self.server.portal is not None
        return PortalItem(portal=self.server.portal, item_id="map1")

    def task(self) -> OfflineMapTask:
        return OfflineMapTask(self.item, credential=self.credential, clock=self.clock)

    async def take(self, *removed: str, **changes: object) -> list[str]:
        """Take the map; the job's messages."""
        async with self.task() as task:
            parameters = await task.create_default_generate_offline_map_parameters(None)
            changed(parameters, changes)
            overrides = await task.create_generate_offline_map_parameter_overrides(parameters)
            for name in removed:
                overrides.remove_layer(name)
            job = task.create_generate_offline_map_job(parameters, self.folder, overrides)
            job.start()
            await job.result()
            return [message.text for message in job.messages]

    async def rows(self) -> dict[str, dict[str, int]]:
        return await rows_in(self.folder)


def write_services(data: Path) -> None:
    write_world(data)
    for name, capabilities in (("wells", "Query,Sync"), ("plain", "Query")):
        shutil.copytree(data / "water", data / name)
        document = service_document() | {"capabilities": capabilities}
        (data / name / "service.json").write_text(json.dumps(document))


@pytest.fixture
async def office(tmp_path: Path) -> AsyncIterator[Office]:
    data = tmp_path / "service"
    write_services(data)
    running = Office(data, tmp_path / "town")
    running.save(WEB_MAP)
    async with running.server:
        yield running


async def test_map_is_taken_with_the_rows_that_its_layers_show(office: Office) -> None:
    await office.take()

    assert await office.rows() == {
        "water": {"Hydrants": 3, "Visits": 3},
        "wells": {"Hydrants": 9, "Pipes": 3},
    }


async def test_map_tells_where_it_is_from_and_keeps_the_web_map(office: Office) -> None:
    await office.take()

    async with OfflineMap.open(office.folder) as map_:
        assert (map_.info.title, map_.info.taken_how) == ("Town", "webMap")
        assert (map_.info.portal, map_.info.item_id) == (office.item.portal, "map1")
        assert map_.definition["operationalLayers"][0]["layers"][1]["id"] == "again"  # type: ignore[index]
        assert map_.layer_errors == map_.table_errors == {}
        assert {g.sync_model for g in map_.geodatabases} == {SyncModel.PER_LAYER}


async def test_layers_of_the_web_map_have_their_tables(office: Office) -> None:
    await office.take()

    async with OfflineMap.open(office.folder) as map_:
        layers = map_.operational_layers
        assert [(one.id, one.definition_expression) for one in layers] == [
            ("water_0", "serial < 3"),
            ("again", "serial = 8"),
            ("wells_0", ""),
            ("wells_1", ""),
            (f"water_{VISITS}", ""),
        ]
        assert all(one.feature_table in map_.layers for one in layers if not one.is_table)
        assert layers[0].feature_table is layers[1].feature_table is not layers[2].feature_table


async def test_map_that_was_taken_syncs(office: Office) -> None:
    await office.take()
    async with OfflineMap.open(office.folder) as map_:
        water = next(g for g in map_.geodatabases if g.path.stem == "water")
        await water.table(HYDRANTS).update_feature(gid(1), {"name": "mine"})
        result = await sync_map(map_, office.clock)

        assert not result.has_errors
        assert not await water.has_local_edits()


@pytest.mark.parametrize(
    ("offline", "photos", "directions", "hydrants"),
    [
        ({}, {"water": 1, "wells": 1}, ("bidirectional", "bidirectional"), 3),
        (
            {"editableLayers": {"sync": "syncFeaturesUploadAttachments"}},
            {"water": 1, "wells": 1},
            ("upload", "bidirectional"),
            3,
        ),
        (
            {"editableLayers": {"download": "features"}},
            {"water": 0, "wells": 1},
            ("upload", "bidirectional"),
            3,
        ),
        (
            {"editableLayers": {"download": "none"}},
            {"water": 0, "wells": 1},
            ("upload", "bidirectional"),
            0,
        ),
        (
            {"readonlyLayers": {"downloadAttachments": False}},
            {"water": 1, "wells": 0},
            ("bidirectional", "none"),
            3,
        ),
    ],
)
async def test_settings_of_the_author_are_followed(
    office: Office,
    offline: Json,
    photos: dict[str, int],
    directions: tuple[str, str],
    hydrants: int,
) -> None:
    office.save(WEB_MAP, offline=offline)

    await office.take()

    async with OfflineMap.open(office.folder) as map_:
        tables = {g.path.stem: g.table(HYDRANTS) for g in map_.geodatabases}
        found = {name: await table.attachment_count() for name, table in tables.items()}
        assert found == photos
        assert tuple(g.replica.attachment_direction.value for g in map_.geodatabases) == directions
        assert await tables["water"].count() == hydrants
        assert await tables["wells"].count() == 9


async def test_table_by_itself_has_its_rows_if_its_author_wants_them(office: Office) -> None:
    alone = {"operationalLayers": [layer("water", PIPES)], "tables": [layer("water", VISITS)]}
    office.save(alone)
    await office.take()
    assert (await office.rows())["water"]["Visits"] == 3

    office.save(alone, offline={"tables": {"includeRows": False}})
    office.folder = office.folder.with_name("other")
    await office.take()
    assert (await office.rows())["water"]["Visits"] == 0


async def test_setting_that_is_not_known_is_told(office: Office) -> None:
    office.save(WEB_MAP, offline={"editableLayers": {"download": "much"}})

    assert any("'much'" in message for message in await office.take())


# --- what cannot be taken -------------------------------------------------------------------------

WMS = {"id": "wms", "layerType": "WMS", "title": "Radar"}
ONLINE = {"connectedOnlineLayers": [{"id": "wells_1"}]}


def with_more(*layers: Json) -> Json:
    return WEB_MAP | {"operationalLayers": [*WEB_MAP["operationalLayers"], *layers]}


async def test_capabilities_tell_each_layer_and_why_not(office: Office) -> None:
    office.save(with_more(layer("plain", PIPES), layer("water", 77), WMS), offline=ONLINE)

    async with office.task() as task:
        found = await task.get_offline_map_capabilities()

    layers = found.layer_capabilities
    assert found.has_errors
    assert {name for name, one in layers.items() if one.supports_offline} == {
        "water_0",
        "again",
        "wells_0",
    }
    assert found.table_capabilities["water_3"].supports_offline
    assert isinstance(layers["plain_1"].error, SyncNotEnabledError)
    assert "no layer 77" in str(layers["water_77"].error)
    assert "WMS" in str(layers["wms"].error)
    assert layers["wells_1"].remains_online
    assert layers["wells_1"].error is None


async def test_map_remembers_what_of_it_was_left_out(office: Office) -> None:
    office.save(with_more(layer("plain", PIPES), WMS), offline=ONLINE)

    messages = await office.take()

    assert (await office.rows())["wells"] == {"Hydrants": 9}
    async with OfflineMap.open(office.folder) as map_:
        assert set(map_.layer_errors) == {"plain_1", "wms"}
        assert map_.layer_errors["plain_1"].code == SyncNotEnabledError.code
        assert map_.layer_errors["plain_1"].remedy
    assert any("not taken: Radar" in message for message in messages)


async def test_layer_that_cannot_be_taken_ends_a_job_that_must_have_all(office: Office) -> None:
    office.save(with_more(layer("plain", PIPES), WMS))

    with pytest.raises(SyncNotEnabledError):
        await office.take(continue_on_errors=False)

    assert not office.folder.exists()


async def test_layers_that_nobody_can_take_end_no_job(office: Office) -> None:
    office.save(with_more(WMS))

    await office.take(continue_on_errors=False)

    assert set(await office.rows()) == {"water", "wells"}


async def test_service_that_fails_leaves_the_others(office: Office) -> None:
    office.server.faults.add(Fault(kind="job-failed", operation="createReplica"))

    await office.take()

    assert set(await office.rows()) == {"wells"}
    async with OfflineMap.open(office.folder) as map_:
        assert set(map_.layer_errors) == {"water_0", "again"}
        assert set(map_.table_errors) == {"water_3"}


async def test_service_that_fails_ends_a_job_that_must_have_all(office: Office) -> None:
    office.server.faults.add(Fault(kind="job-failed", operation="createReplica", skip=1))

    with pytest.raises(ServiceError):
        await office.take(continue_on_errors=False)

    assert not office.folder.exists()
    assert await replicas(office) == 0


async def test_map_of_which_nothing_can_be_taken_is_none(office: Office) -> None:
    office.save({"operationalLayers": [layer("plain", PIPES)]})

    with pytest.raises(SyncNotEnabledError):
        await office.take()

    assert not office.folder.exists()


async def replicas(office: Office) -> int:
    async with ClientSession() as session:
        clients = [Client(session, office.server.url(name)) for name in ("water", "wells")]
        return sum([len(await client.get("replicas")) for client in clients])


# --- overrides ------------------------------------------------------------------------------------


async def test_layer_that_is_removed_is_not_taken(office: Office) -> None:
    await office.take("wells_1", "water_3")

    assert await office.rows() == {"water": {"Hydrants": 3}, "wells": {"Hydrants": 9}}


async def test_layer_that_is_shown_twice_goes_with_the_last_of_its_keys(office: Office) -> None:
    await office.take("water_0")
    assert (await office.rows())["water"]["Hydrants"] == 3

    office.folder = office.folder.with_name("other")
    await office.take("water_0", "again", "water_3")
    assert set(await office.rows()) == {"wells"}


async def test_layer_that_is_not_there_cannot_be_removed(office: Office) -> None:
    with pytest.raises(BadParameterError, match="nothing"):
        await office.take("nothing")


# --- the job --------------------------------------------------------------------------------------


async def test_map_without_updates_is_read_and_never_synced(office: Office) -> None:
    await office.take(update_mode=GenerateOfflineMapUpdateMode.NO_UPDATES)

    async with OfflineMap.open(office.folder) as map_:
        water = next(g for g in map_.geodatabases if g.path.stem == "water")
        assert map_.info.update_mode == "noUpdates"
        assert await water.table(HYDRANTS).count() == 3
        with pytest.raises(EditRefusedError):
            await water.table(HYDRANTS).update_feature(gid(1), {"name": "mine"})
        task = OfflineMapSyncTask(map_, clock=office.clock)
        await task.load()
        assert task.update_capabilities is not None
        assert not task.update_capabilities.supports_sync_with_feature_services
        with pytest.raises(MapError, match="without updates"):
            await sync_map(map_, office.clock)


async def test_service_that_would_keep_its_replica_of_such_a_map_leaves_no_file(
    office: Office,
) -> None:
    refusal = Fault(kind="status", operation="unRegisterReplica", status=403)
    office.server.faults.add(refusal)

    await office.take(update_mode=GenerateOfflineMapUpdateMode.NO_UPDATES)

    assert [path.stem for path in office.folder.glob("*.gpkg")] == ["wells"]
    assert await replicas(office) == 0


async def test_take_without_room_for_all_services_asks_for_no_replica(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    # 3 rows and 12 rows of about 200 bytes, three times: there is room for either, not for both.
    monkeypatch.setattr(atomic, "_free_bytes", lambda _where: 8000)

    with pytest.raises(StorageFullError):
        await office.take()

    assert "createReplica" not in office.server.log
    assert not office.folder.exists()


async def test_job_made_again_from_its_json_takes_the_same(office: Office) -> None:
    async with office.task() as task:
        parameters = GenerateOfflineMapParameters(
            area_of_interest=None,
            return_layer_attachment_option=ReturnLayerAttachmentOption.NONE,
            attachment_sync_direction=AttachmentSyncDirection.UPLOAD,
        )
        overrides = await task.create_generate_offline_map_parameter_overrides(parameters)
        overrides.remove_layer("wells_1")
        first = task.create_generate_offline_map_job(parameters, office.folder, overrides)
    value = json.loads(json.dumps(first.to_json()))

    job = GenerateOfflineMapJob.from_json(value, clock=office.clock)
    assert job.to_json() == value
    job.start()
    await job.result()

    assert (await office.rows())["wells"] == {"Hydrants": 9}


async def test_item_that_is_no_web_map_is_refused(office: Office) -> None:
    office.save({}, kind="Web Scene")

    with pytest.raises(BadParameterError, match="Web Scene"):
        await office.take()


async def test_item_that_is_not_there_is_refused(office: Office) -> None:
    shutil.rmtree(office.data / "portal" / "map1")

    with pytest.raises(ServiceRefusedError, match="no item map1"):
        await office.take()


async def test_one_sign_in_at_the_portal_is_good_for_its_services(tmp_path: Path) -> None:
    data = tmp_path / "service"
    write_services(data)
    security = Security(users={"ann": "pass-word"}, owners=frozenset({"ann"}))
    office = Office(data, tmp_path / "town", security)
    office.save(WEB_MAP)
    async with office.server:
        with pytest.raises(EngineError):
            await office.take()
        office.credential = ArcGISCredentialStore(
            [TokenCredential(office.item.portal, "ann", "pass-word")]
        )

        await office.take()

    assert set(await office.rows()) == {"water", "wells"}
