"""A map of two services of one host."""

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import ClientSession

from engine.maps.offline_map import OfflineMap
from engine.maps.offline_map_sync_task import OfflineMapSyncResult
from engine.maps.offline_map_task import OfflineMapTask
from tests.engine.maps.syncing import sync_map
from tests.engine.sync.fleet import HYDRANTS, HastyClock, gid
from tests.feature_service import FeatureServer, ManualClock
from tests.test_feature_service.client import Client
from tests.test_feature_service.world import write_world

NAMES = ("water", "wells")


class Town:
    """Two services, ``water`` and ``wells``, with the same example data."""

    def __init__(self, server: FeatureServer, session: ClientSession, folder: Path) -> None:
        self.server = server
        self.folder = folder
        self.clock = HastyClock()
        self.urls = [server.url(name) for name in NAMES]
        self.clients = [Client(session, url) for url in self.urls]

    async def take(self) -> None:
        async with OfflineMapTask(self.urls, clock=self.clock) as task:
            parameters = await task.create_default_generate_offline_map_parameters(None)
            job = task.create_generate_offline_map_job(parameters, self.folder)
            job.start()
            await job.result()
            self.totals = job.totals

    async def sync(self) -> OfflineMapSyncResult:
        async with OfflineMap.open(self.folder) as map:
            return await sync_map(map, self.clock)

    async def edit(self, name: str) -> None:
        """Change the first hydrant in both geodatabases."""
        async with OfflineMap.open(self.folder) as map:
            for geodatabase in map.geodatabases:
                await geodatabase.table(HYDRANTS).update_feature(gid(1), {"name": name})

    async def names(self) -> list[str]:
        """What the services call that hydrant."""
        found = []
        for client in self.clients:
            answer = await client.post(
                f"{HYDRANTS}/query", where=f"GlobalID='{gid(1)}'", outFields="*"
            )
            found.append(answer["features"][0]["attributes"]["name"])
        return found

    async def replicas(self) -> int:
        return sum([len(await client.get("replicas")) for client in self.clients])


@asynccontextmanager
async def running_town(tmp_path: Path) -> AsyncIterator[Town]:
    data = tmp_path / "service"
    write_world(data)
    shutil.copytree(data / "water", data / "wells")
    server = FeatureServer(data, clock=ManualClock())
    async with server, ClientSession() as session:
        yield Town(server, session, tmp_path / "maps" / "town")
