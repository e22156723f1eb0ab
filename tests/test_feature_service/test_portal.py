"""The portal: items, and map areas prepared ahead of time."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import ClientSession

from tests.feature_service import DataError, FeatureServer, ManualClock, seeded_mint

from .client import Client, layer_of, names
from .world import HYDRANTS, Json, write_item

_DAY_S = 86_400


def _package(sync_model: str) -> Json:
    return {
        "type": "SQLite Geodatabase",
        "typeKeywords": ["MapAreaPackage", "Replica", "Syncable"],
        "properties": {
            "url": "{origin}/arcgis/rest/services/water/FeatureServer",
            "layers": [0, 3],
            "layerQueries": {"0": {"where": "serial < 8"}},
            "extent": {"xmin": 0, "ymin": 0, "xmax": 5000, "ymax": 5000},
            "syncModel": sync_model,
            "createPkgDeltas": {"maxDeltaAge": 5},
        },
    }


class World:
    """A server with a portal, and clients of both."""

    def __init__(self, server: FeatureServer, session: ClientSession) -> None:
        self.server = server
        self.portal = Client(session, f"{server.portal}/sharing/rest")
        self.water = Client(session, server.url("water"))

    async def package(self) -> Json:
        return dict((await self.portal.get("content/items/package1"))["properties"])

    async def resources(self) -> list[str]:
        listed = await self.portal.get("content/items/package1/resources")
        return [entry["resource"] for entry in listed["resources"]]

    async def rename(self, oid: int, name: str) -> None:
        changed = {"attributes": {"OBJECTID": oid, "name": name}}
        await self.water.post("0/applyEdits", updates=[changed])


@pytest.fixture(params=["perLayer", "perReplica"])
async def world(
    request: pytest.FixtureRequest, data_dir: Path, clock: ManualClock
) -> AsyncIterator[World]:
    web_map = {
        "operationalLayers": [
            {"id": "l0", "url": "{origin}/arcgis/rest/services/water/FeatureServer/0"}
        ],
        "applicationProperties": {"offline": {"editableLayers": {"download": "features"}}},
    }
    item = {"type": "Web Map", "typeKeywords": ["Offline"], "related": {"Map2Area": ["area1"]}}
    write_item(data_dir, "map1", item, web_map)
    area = {"type": "Map Area", "related": {"Area2Package": ["package1"]}}
    write_item(data_dir, "area1", area, {"mapAreas": {"mapAreasScheduledUpdatesEnabled": True}})
    write_item(data_dir, "package1", _package(request.param))
    async with (
        FeatureServer(data_dir, clock=clock, mint=seeded_mint(5)) as server,
        ClientSession() as session,
    ):
        yield World(server, session)


async def test_map_when_followed_then_leads_to_package_and_service(world: World) -> None:
    item = await world.portal.get("content/items/map1")
    data = await world.portal.get("content/items/map1/data")
    areas = await world.portal.get(
        "content/items/map1/relatedItems", relationshipType="Map2Area", direction="forward"
    )
    packages = await world.portal.get(
        "content/items/area1/relatedItems", relationshipType="Area2Package"
    )
    back = await world.portal.get(
        "content/items/area1/relatedItems", relationshipType="Map2Area", direction="reverse"
    )

    assert item["type"] == "Web Map"
    assert data["operationalLayers"][0]["url"] == f"{world.water.url}/0"
    assert data["applicationProperties"]["offline"]["editableLayers"]["download"] == "features"
    assert [one["id"] for one in areas["relatedItems"]] == ["area1"]
    assert [one["id"] for one in packages["relatedItems"]] == ["package1"]
    assert [one["id"] for one in back["relatedItems"]] == ["map1"]
    assert "related" not in item


async def test_package_when_built_then_holds_the_replica(world: World) -> None:
    package = await world.portal.get("content/items/package1/data")

    assert names(layer_of(package, HYDRANTS, "layers")["features"]) == [
        f"H{number}" for number in range(1, 8)
    ]
    assert (await world.package())["replicaID"] == package["replicaID"]
    assert [one["replicaName"] for one in await world.water.get("replicas")] == []


async def test_package_when_refreshed_then_update_file_and_whole_package(world: World) -> None:
    await world.rename(1, "new")

    assert world.server.refresh_map_area("area1") == {"package1": "changed"}
    assert world.server.refresh_map_area("area1") == {"package1": "unchanged"}

    assert await world.resources() == ["d_1001.json"]
    update = await world.portal.get("content/items/package1/resources/d_1001.json")
    assert names(layer_of(update, HYDRANTS)["features"]["updates"]) == ["new"]
    whole = await world.portal.get("content/items/package1/data")
    assert names(layer_of(whole, HYDRANTS, "layers")["features"])[0] == "new"
    assert (await world.package())["lastPurgedGen"] == 1000


async def test_package_when_updates_are_old_then_purged(world: World, clock: ManualClock) -> None:
    for number, days in ((1, 0), (2, 6), (3, 0)):
        clock.advance(days * _DAY_S)
        await world.rename(number, "new")
        world.server.refresh_map_area("area1")

    assert (await world.package())["lastPurgedGen"] == 1001
    assert await world.resources() == ["d_1002.json", "d_1003.json"]


@pytest.mark.parametrize("path", ["content/items/none", "content/items/..", "content/nonsense"])
async def test_item_when_unknown_then_error(world: World, path: str) -> None:
    assert (await world.portal.get(path))["error"]["code"] == 400


async def test_info_when_there_is_a_portal_then_names_it(world: World) -> None:
    info = await Client(world.water.session, f"{world.server.origin}/arcgis/rest").get("info")

    assert info["owningSystemUrl"] == world.server.portal
    assert (await world.portal.get("portals/self"))["isPortal"] is True


@pytest.mark.parametrize(
    ("item", "told"), [("nonsense", "is no item"), ({"properties": {}}, "no service at None")]
)
async def test_portal_when_item_is_bad_then_data_error(
    data_dir: Path, item: object, told: str
) -> None:
    write_item(data_dir, "area1", {"related": {"Area2Package": ["p"]}})
    write_item(data_dir, "p", {"type": "SQLite Geodatabase"})
    (data_dir / "portal" / "p" / "item.json").write_text(json.dumps(item), encoding="utf-8")

    server = FeatureServer(data_dir)
    with pytest.raises(DataError, match=told):
        await server.start()
