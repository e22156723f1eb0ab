"""A service that has moved: its map follows it, and follows no other."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from engine.errors import BadParameterError, EngineError, ProtocolError
from engine.maps.offline_map import OfflineMap
from engine.maps.offline_map_task import OfflineMapTask
from engine.maps.relocation import relocate_service
from tests.engine.maps.syncing import sync_map
from tests.engine.sync.fleet import HYDRANTS, HastyClock, gid
from tests.fakes.http_server import HttpServer, Request
from tests.feature_service import FeatureServer, ManualClock
from tests.killing import kill_at_points
from tests.served_story import ServedStory
from tests.test_feature_service.world import write_world

CLOCK = HastyClock()


def write_service(folder: Path, item_id: str) -> None:
    """The example service, as the portal item ``item_id``."""
    write_world(folder)
    document = folder / "water" / "service.json"
    value = json.loads(document.read_text())
    document.write_text(json.dumps({**value, "serviceItemId": item_id}))


@asynccontextmanager
async def served(folder: Path) -> AsyncIterator[FeatureServer]:
    """The service of that folder, at a URL of its own each time."""
    async with FeatureServer(folder, clock=ManualClock()) as server:
        yield server


async def take(url: str, folder: Path) -> None:
    async with OfflineMapTask(url, clock=CLOCK) as task:
        parameters = await task.create_default_generate_offline_map_parameters(None)
        job = task.create_generate_offline_map_job(parameters, folder)
        job.start()
        await job.result()


async def edit(folder: Path) -> None:
    async with OfflineMap.open(folder) as map_:
        table = map_.geodatabases[0].table(HYDRANTS)
        await table.update_feature(gid(1), {"name": "mine"})


async def sync(folder: Path) -> None:
    async with OfflineMap.open(folder) as map_:
        await sync_map(map_, CLOCK)


async def relocate(folder: Path, url: str, **more: Any) -> None:
    async with OfflineMap.open(folder) as map_:
        await relocate_service(map_, url, clock=CLOCK, **more)


def name_at(server: FeatureServer) -> object:
    inside = server.hosted("water")
    row = inside.rows(inside.layer(HYDRANTS)).by_gid(gid(1))
    assert row is not None
    return row.values["name"]


@pytest.mark.parametrize("item_id", ["item-1", ""])
async def test_map_follows_its_service_with_its_edits(tmp_path: Path, item_id: str) -> None:
    service, folder = tmp_path / "service", tmp_path / "map"
    write_service(service, item_id)
    async with served(service) as old:
        await take(old.url("water"), folder)
        old_url = old.url("water")
    await edit(folder)

    async with served(service) as moved:
        with pytest.raises(EngineError):
            await sync(folder)
        await relocate(folder, moved.url("water"))
        await relocate(folder, moved.url("water"))  # it may be repeated
        await sync(folder)

        assert name_at(moved) == "mine"
        texts = [(folder / name).read_text() for name in ("package.info", "map.json")]
        assert all(moved.url("water") in text and old_url not in text for text in texts)


async def test_another_service_is_refused_and_nothing_changes(tmp_path: Path) -> None:
    for number in (1, 2):
        write_service(tmp_path / f"service{number}", f"item-{number}")
    write_service(tmp_path / "unnamed", "")
    folder = tmp_path / "map"
    async with served(tmp_path / "service1") as own:
        await take(own.url("water"), folder)
        before = (folder / "package.info").read_text()
        for other in ("service2", "unnamed"):
            async with served(tmp_path / other) as strange:
                with pytest.raises(BadParameterError, match=r"another service|nothing shows"):
                    await relocate(folder, strange.url("water"))
        await edit(folder)
        await sync(folder)

        assert name_at(own) == "mine"
        assert (folder / "package.info").read_text() == before


async def test_wrong_geodatabase_is_named(tmp_path: Path) -> None:
    write_service(tmp_path / "service", "item-1")
    async with served(tmp_path / "service") as server:
        await take(server.url("water"), tmp_path / "map")

        with pytest.raises(BadParameterError, match="not clear"):
            await relocate(tmp_path / "map", server.url("water"), file="other.gpkg")


class Relocate(ServedStory):
    """A map whose service has moved to another address; an edit waits meanwhile."""

    only = frozenset({"service.relocated", "file.renamed"})

    async def _make(self, folder: Path) -> None:
        write_service(folder / "service", "item-1")
        async with served(folder / "service") as old:
            await take(old.url("water"), folder / "map")
            (folder / "old").write_text(old.url("water"))
        await edit(folder / "map")

    def moved(self, folder: Path) -> FeatureServer:
        return FeatureServer(folder / "service", clock=ManualClock(), port=self.port)

    async def _act(self, folder: Path) -> None:
        async with self.moved(folder) as server:
            await relocate(folder / "map", server.url("water"))

    async def _check(self, folder: Path, finished: bool) -> None:
        old = (folder / "old").read_text()
        for name in ("package.info", "map.json"):
            assert not finished or old not in (folder / "map" / name).read_text()
        if finished:
            async with self.moved(folder) as server:
                await sync(folder / "map")
                assert name_at(server) == "mine"


@pytest.mark.slow
def test_a_relocation_that_dies_anywhere_is_finished_by_the_next(tmp_path: Path) -> None:
    points = kill_at_points(Relocate, tmp_path)

    assert points == ["service.relocated", "file.renamed", "file.renamed"]


async def test_service_that_redirects_names_its_new_url(tmp_path: Path) -> None:
    service, folder = tmp_path / "service", tmp_path / "map"
    write_service(service, "item-1")

    async with HttpServer(b"") as old, served(service) as moved:
        new = moved.url("water").removesuffix("/water/FeatureServer")

        async def redirect(request: Request, writer: asyncio.StreamWriter) -> None:
            target = new.split("//")[1].partition("/")[0]
            head = f"HTTP/1.1 308 Moved\r\nLocation: http://{target}{request.target}\r\n"
            writer.write(f"{head}Content-Length: 0\r\nConnection: close\r\n\r\n".encode())
            await writer.drain()

        old._replies = [redirect]
        await take(moved.url("water"), folder)
        async with OfflineMap.open(folder) as map_:
            url = f"{old.origin}/arcgis/rest/services/water/FeatureServer"
            database = map_.geodatabases[0].database
            await database.write(
                lambda c: c.execute("UPDATE fieldsync_replica SET service_url=?", (url,)).rowcount
            )
        await edit(folder)

        with pytest.raises(ProtocolError, match="redirects a POST") as caught:
            await sync(folder)

        assert moved.url("water") in caught.value.message
        assert "fieldsync relocate" in caught.value.remedy
        await relocate(folder, moved.url("water"))
        await sync(folder)
        assert name_at(moved) == "mine"
