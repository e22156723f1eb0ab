"""A portal with a web map whose one area was prepared ahead of time, for tests that take it."""

import json
import shutil
from pathlib import Path
from typing import Any

from aiohttp import ClientSession

from engine.maps.offline_map import OfflineMap
from engine.maps.offline_map_task import OfflineMapTask
from engine.maps.preplanned_download import (
    DownloadPreplannedOfflineMapJob,
    DownloadPreplannedOfflineMapResult,
)
from engine.maps.preplanned_map_area import PreplannedMapArea
from engine.model import PreplannedUpdateMode
from engine.service.credential_store import ArcGISCredentialStore
from engine.service.portal import PortalItem
from tests.engine.sync.fleet import HYDRANTS, PIPES, VISITS, HastyClock, changed
from tests.feature_service import FeatureServer, ManualClock, Profile, Security, seeded_mint
from tests.test_feature_service.client import Client
from tests.test_feature_service.world import service_document, write_item, write_world

Json = dict[str, Any]

EXTENT = {"xmin": 0, "ymin": 0, "xmax": 5000, "ymax": 5000, "spatialReference": {"wkid": 102100}}


def map_layer(service: str, number: int, **more: Any) -> Json:
    return {
        "id": f"{service}_{number}",
        "title": f"{service} {number}",
        "layerType": "ArcGISFeatureLayer",
        "url": f"{{origin}}/arcgis/rest/services/{service}/FeatureServer/{number}",
        **more,
    }


WEB_MAP: Json = {
    "operationalLayers": [
        map_layer("water", HYDRANTS),
        map_layer("wells", HYDRANTS),
        map_layer("wells", PIPES),
        {"id": "radar", "layerType": "WMS", "title": "Radar"},
    ],
    "tables": [map_layer("water", VISITS)],
    "baseMap": {
        "title": "Streets",
        "baseMapLayers": [{"id": "base", "url": "https://tiles.example.org/VectorTileServer"}],
    },
}


def package(service: str, layers: list[int], **more: Any) -> Json:
    """The properties of a package item."""
    return {
        "url": f"{{origin}}/arcgis/rest/services/{service}/FeatureServer",
        "layers": layers,
        "layerQueries": {str(HYDRANTS): {"where": "serial < 8"}} if service == "water" else {},
        "extent": EXTENT,
        "syncModel": "perLayer",
        "createPkgDeltas": {"maxDeltaAge": 5},
        "returnAttachments": True,
        "attachmentsSyncDirection": "bidirectional",
        **more,
    }


class Areas:
    """``water`` can be edited, ``wells`` only be read; both are in the map area ``area1``, with a
    package of tiles."""

    def __init__(
        self,
        data: Path,
        folder: Path,
        profile: Profile | None = None,
        security: Security | None = None,
        *,
        port: int = 0,
    ) -> None:
        self.data = data
        self.folder = folder
        self.clock = HastyClock()
        self.server_clock = ManualClock()
        self.server = FeatureServer(
            data,
            clock=self.server_clock,
            profile=profile,
            security=security,
            mint=None if port else seeded_mint(5),
            port=port,
        )
        self.credential: ArcGISCredentialStore | None = None
        self.messages: list[str] = []

    def write(self, **area: Any) -> None:
        """Everything that is in the portal; ``area`` are more properties of the map area."""
        write_services(self.data)
        self.save_item("map1", "Web Map", "Town", data=WEB_MAP, related={"Map2Area": ["area1"]})
        self.save_item(
            "area1",
            "Map Area",
            "Centre",
            properties={"status": "complete", "extent": EXTENT, **area},
            related={"Area2Package": ["pkg-water", "pkg-wells", "tiles"]},
        )
        self.save_package("pkg-water", package("water", [HYDRANTS, VISITS]))
        self.save_package("pkg-wells", package("wells", [HYDRANTS, PIPES]))
        self.save_item("tiles", "Vector Tile Package", "Streets", data={"tiles": []})

    def save_package(self, item_id: str, properties: Json) -> None:
        keywords = ["MapAreaPackage", "Replica", "Syncable"]
        self.save_item(
            item_id,
            "SQLite Geodatabase",
            f"The {item_id}",
            properties=properties,
            typeKeywords=keywords,
        )

    def save_item(
        self, item_id: str, kind: str, title: str, data: Json | None = None, **members: Any
    ) -> None:
        write_item(self.data, item_id, {"type": kind, "title": title, **members}, data)

    def change_item(self, item_id: str, **members: Any) -> None:
        """Change what a portal tells of an item, properties by name."""
        path = self.data / "portal" / item_id / "item.json"
        item = json.loads(path.read_text())
        properties = members.pop("properties", {})
        item.setdefault("properties", {}).update(properties)
        path.write_text(json.dumps(item | members))

    def item(self, item_id: str = "map1") -> PortalItem:
        assert self.server.portal is not None
        return PortalItem(portal=self.server.portal, item_id=item_id)

    def task(self, item_id: str = "map1") -> OfflineMapTask:
        return OfflineMapTask(self.item(item_id), credential=self.credential, clock=self.clock)

    async def area(self) -> PreplannedMapArea:
        """The map area, loaded."""
        async with self.task() as task:
            (area,) = await task.get_preplanned_map_areas()
        await area.load()
        return area

    async def job(
        self, mode: PreplannedUpdateMode | None = None, **changes: object
    ) -> DownloadPreplannedOfflineMapJob:
        async with self.task() as task:
            area = await self.area()
            parameters = await task.create_default_download_preplanned_offline_map_parameters(
                area, mode
            )
            changed(parameters, changes)
            return task.create_download_preplanned_offline_map_job(parameters, self.folder)

    async def take(
        self, mode: PreplannedUpdateMode | None = None, **changes: object
    ) -> DownloadPreplannedOfflineMapResult:
        """Take the area; ``messages`` are then the job's."""
        job = await self.job(mode, **changes)
        job.start()
        try:
            return await job.result()
        finally:
            self.messages = [message.text for message in job.messages]

    async def rows(self) -> dict[str, dict[str, int]]:
        return await rows_in(self.folder)

    async def replicas(self) -> list[str]:
        """The names of the replicas that devices have, of all services."""
        async with ClientSession() as session:
            found = []
            for name in ("water", "wells"):
                listed = await Client(session, self.server.url(name)).get("replicas")
                found += [one["replicaName"] for one in listed]
            return found

    async def rename(self, oid: int, name: str) -> None:
        """What somebody in the office does to a hydrant."""
        async with ClientSession() as session:
            changed = {"attributes": {"OBJECTID": oid, "name": name}}
            await Client(session, self.server.url("water")).post("0/applyEdits", updates=[changed])

    async def names(self, *global_ids: str) -> set[str]:
        """What these hydrants are called on the service."""
        listed = ",".join(f"'{one}'" for one in global_ids)
        async with ClientSession() as session:
            found = await Client(session, self.server.url("water")).post(
                "0/query", where=f"GlobalID IN ({listed})", outFields="name"
            )
            return {one["attributes"]["name"] for one in found["features"]}

    def left(self) -> list[str]:
        """What lies beside the map's folder."""
        return sorted(p.name for p in self.folder.parent.iterdir() if p != self.data)


def write_services(data: Path) -> None:
    write_world(data)
    shutil.copytree(data / "water", data / "wells")
    document = service_document() | {"capabilities": "Query,Sync"}
    (data / "wells" / "service.json").write_text(json.dumps(document))


async def rows_in(folder: Path) -> dict[str, dict[str, int]]:
    """Geodatabase of a map → table → how many rows it has."""
    async with OfflineMap.open(folder) as map_:
        return {
            g.path.stem: {t.name: await t.count() for t in g.feature_tables}
            for g in map_.geodatabases
        }
