"""A map area prepared ahead of time, kept current by packages: its office, its portal, a device."""

import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import ClientSession

from engine.geodatabase.feature_table import FeatureTable
from engine.maps.map_updates import OfflineMapUpdatesInfo
from engine.maps.offline_map import OfflineMap
from engine.maps.offline_map_sync_task import OfflineMapSyncResult, OfflineMapSyncTask
from engine.maps.offline_map_task import OfflineMapTask
from engine.model import PreplannedUpdateMode, normalise_guid
from engine.service.portal import PortalItem
from tests.engine.maps.syncing import sync_job
from tests.engine.sync.fleet import LAYERS, Fleet, HastyClock, Rows, _rows_of
from tests.feature_service import Faults, FeatureServer, ManualClock, Profile, seeded_mint
from tests.test_feature_service.client import Client
from tests.test_feature_service.world import Json, write_item, write_world

AREA, PACKAGE, MAP = "area1", "package1", "map1"
ITEMS = "/portal/sharing/rest/content/items"
WHOLE = {"xmin": -10000, "ymin": -10000, "xmax": 10000, "ymax": 10000}
PACKAGES_ONLY = PreplannedUpdateMode.DOWNLOAD_SCHEDULED_UPDATES
AND_NEW = PreplannedUpdateMode.DOWNLOAD_SCHEDULED_UPDATES_AND_UPLOAD_NEW_FEATURES


class Area:
    """The service ``water``, a map area of it with one package, and a device that took the area."""

    def __init__(self, server: FeatureServer, session: ClientSession, folder: Path) -> None:
        self.server = server
        self.folder = folder
        self.map = folder / "map"
        self.clock = HastyClock()
        self.office = Fleet(server, Client(session, server.url("water")), folder)
        self.messages: list[str] = []

    def refresh(self, *, days: float = 0) -> str:
        """Refresh the package after so many days."""
        assert isinstance(self.server.clock, ManualClock)
        self.server.clock.advance(days * 86_400)
        return self.server.refresh_map_area(AREA)[PACKAGE]

    @property
    def item(self) -> Path:
        """The folder of the package item."""
        return self.folder / "service" / "portal" / PACKAGE

    @property
    def updates(self) -> list[str]:
        return [path.name for path in sorted((self.item / "resources").glob("*"))]

    def package_bytes(self) -> int:
        """What the server has sent of the package and of update files so far."""
        wanted = (f"{ITEMS}/{PACKAGE}/data", f"{ITEMS}/{PACKAGE}/resources/")
        return sum(n for path, n in self.server.traffic.items() if path.startswith(wanted))

    async def take(self, mode: PreplannedUpdateMode) -> None:
        """Take the area, anew if there is one."""
        shutil.rmtree(self.map, ignore_errors=True)
        await take_area(self, mode)

    async def check(self) -> OfflineMapUpdatesInfo:
        async with OfflineMap.open(self.map) as map_:
            return await OfflineMapSyncTask(map_, clock=self.clock).check_for_updates()

    async def sync(self, **changes: Any) -> OfflineMapSyncResult:
        async with OfflineMap.open(self.map) as map_:
            job = await sync_job(map_, self.clock, **changes)
            job.start()
            try:
                return await job.result()
            finally:
                self.messages = [message.text for message in job.messages]

    @asynccontextmanager
    async def table(self, layer_id: int) -> AsyncIterator[FeatureTable]:
        async with OfflineMap.open(self.map) as map_:
            yield map_.geodatabases[0].table(layer_id)

    async def rows(self) -> Rows:
        """All rows of the map."""
        async with OfflineMap.open(self.map) as map_:
            tables = map_.geodatabases[0].feature_tables
            return {table.layer_id: await _rows_of(table) for table in tables}

    def told(self) -> Rows:
        """All rows of the package as it is on the portal, in the spelling of :meth:`rows`."""
        document = json.loads((self.item / "data.json").read_text())
        return {entry["id"]: dict(map(_row, entry["features"])) for entry in document["layers"]}


def _row(feature: dict[str, Any]) -> tuple[str, Json]:
    attributes = {name.lower(): value for name, value in feature["attributes"].items()}
    return normalise_guid(attributes["globalid"]) or "", attributes


def write_area(folder: Path, **properties: object) -> None:
    """The portal's items: the web map, its area, and the package of the service."""
    layers = [
        {"id": f"l{i}", "url": f"{{origin}}/arcgis/rest/services/water/FeatureServer/{i}"}
        for i in LAYERS
    ]
    write_item(
        folder,
        MAP,
        {
            "type": "Web Map",
            "typeKeywords": ["Offline"],
            "title": "Water",
            "related": {"Map2Area": [AREA]},
        },
        {"operationalLayers": layers[:3], "tables": layers[3:]},
    )
    area = {
        "type": "Map Area",
        "title": "North",
        "properties": {
            "status": "complete",
            "extent": {**WHOLE, "spatialReference": {"wkid": 102100}},
        },
        "related": {"Area2Package": [PACKAGE]},
    }
    write_item(folder, AREA, area, {"mapAreas": {"mapAreasScheduledUpdatesEnabled": True}})
    package = {
        "type": "SQLite Geodatabase",
        "typeKeywords": ["MapAreaPackage", "Replica", "Syncable"],
        "title": "water",
        "properties": {
            "url": "{origin}/arcgis/rest/services/water/FeatureServer",
            "layers": list(LAYERS),
            "extent": WHOLE,
            "syncModel": "perLayer",
            "returnAttachments": True,
            "attachmentsSyncDirection": "bidirectional",
            "createPkgDeltas": {"maxDeltaAge": 5},
            **properties,
        },
    }
    write_item(folder, PACKAGE, package)


@asynccontextmanager
async def area(
    folder: Path,
    profile: Profile | None = None,
    faults: Faults | None = None,
    *,
    port: int = 0,
    **properties: object,
) -> AsyncIterator[Area]:
    """A running service and portal with that package; nothing is taken yet."""
    data = folder / "service"
    if not data.exists():
        write_world(data)
        write_area(data, **properties)
    server = FeatureServer(
        data,
        profile=profile or Profile(),
        clock=ManualClock(),
        mint=None if port else seeded_mint(7),
        faults=faults,
        port=port,
    )
    async with server, ClientSession() as session:
        yield Area(server, session, folder)


async def take_area(area: Area, mode: PreplannedUpdateMode) -> None:
    item = PortalItem(portal=str(area.server.portal), item_id=AREA)
    async with OfflineMapTask(item, clock=area.clock) as task:
        (listed,) = await task.get_preplanned_map_areas()
        parameters = await task.create_default_download_preplanned_offline_map_parameters(
            listed, mode
        )
        job = task.create_download_preplanned_offline_map_job(parameters, area.map)
        job.start()
        await job.result()
