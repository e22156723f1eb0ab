"""What a take and a merge of 100 000 rows cost others: memory, and writers that must wait.

Memory counts above an interpreter that has imported the engine.
"""

import asyncio
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import airportsdata
import pytest
from aiohttp import ClientSession

from tests.feature_service import FeatureServer
from tests.feature_service.store import column
from tests.killing import ROOT
from tests.served_story import free_port
from tests.test_feature_service.client import Client
from tests.test_feature_service.world import field, gid, write_item, write_service

ROWS = 100_000
LIMIT_KB = 8 * 1024
LIMIT_WAIT_S = 1.0

CHILD = """
import asyncio, sys
from pathlib import Path
import engine
from engine.geodatabase.geodatabase import Geodatabase
from engine.model import SyncDirection
from engine.sync.geodatabase_sync_task import GeodatabaseSyncTask
import engine.maps.offline_map_task, engine.maps.offline_map_sync_task, aiohttp
def peak():
    # Not ru_maxrss: that one begins with the parent's, over fork and exec.
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0])
async def take(url, path):
    async with GeodatabaseSyncTask(url) as task:
        parameters = await task.create_default_generate_geodatabase_parameters(None)
        job = task.create_generate_geodatabase_job(parameters, path)
        job.start()
        await job.result()
async def sync(url, path):
    async with GeodatabaseSyncTask(url) as task, await Geodatabase.open(path) as geodatabase:
        parameters = await task.create_default_sync_geodatabase_parameters(geodatabase)
        parameters.geodatabase_sync_direction = SyncDirection.DOWNLOAD
        job = task.create_sync_geodatabase_job(parameters, geodatabase)
        job.start()
        (result,) = await job.result()
        assert result.downloaded.updated > 99_000, result.downloaded
async def area(url, path):
    item = engine.PortalItem(portal=url.partition("/arcgis/")[0] + "/portal", item_id="area1")
    async with engine.OfflineMapTask(item) as task:
        (found,) = await task.get_preplanned_map_areas()
        parameters = await task.create_default_download_preplanned_offline_map_parameters(found)
        job = task.create_download_preplanned_offline_map_job(parameters, path)
        job.start()
        await job.result()
    async with engine.OfflineMap.open(path) as map_:
        assert await map_.layers[0].count() == 100_000
verb, url, path = sys.argv[1:]
before = peak()
asyncio.run({"take": take, "sync": sync, "area": area}[verb](url, Path(path)))
print(peak() - before)
"""

WRITER = """
import sqlite3, sys, time
database = sqlite3.connect(sys.argv[1], timeout=30, isolation_level=None)
longest, count = 0, 0
while count == 0 or sys.stdin.read(1):
    begun = time.monotonic()
    count += 1
    row = count % 500 * 200 + 1
    database.execute("UPDATE Airports SET tz = 'here ' || ? WHERE fid = ?", (count, row))
    longest = max(longest, time.monotonic() - begun)
print(longest, count)
"""
"""Another program: an edit in a transaction of its own for each byte that it is sent."""


def write_airports(data: Path) -> None:
    """All airports there are, as the demo has them, and again until there are enough."""
    fields = [
        field("OBJECTID", "OID", nullable=False, editable=False),
        field("GlobalID", "GlobalID", length=38, nullable=False, editable=False),
        *(field(name, "String", length=100) for name in ("name", "city", "country", "tz")),
        field("elevation", "Double"),
    ]
    document = {
        "capabilities": "Create,Delete,Update,Editing,Query,Sync,ChangeTracking",
        "spatialReference": {"wkid": 4326},
        "layers": [
            {"id": 0, "name": "Airports", "geometryType": "esriGeometryPoint", "fields": fields}
        ],
    }
    airports = list(airportsdata.load("ICAO").values())
    rows = [
        {
            "attributes": {
                "OBJECTID": number,
                "GlobalID": gid(number),
                "name": airport["name"],
                "city": airport["city"],
                "country": airport["country"],
                "tz": airport["tz"],
                "elevation": airport["elevation"],
            },
            "geometry": {"x": airport["lon"], "y": airport["lat"]},
        }
        for number, airport in enumerate(islice(cycle(airports), ROWS), 1)
    ]
    write_service(data / "airports", document, {0: rows})


def write_area(data: Path) -> None:
    """A map area of which all of them are in one package."""
    url = "{origin}/arcgis/rest/services/airports/FeatureServer"
    world = {"xmin": -180, "ymin": -90, "xmax": 180, "ymax": 90}
    items: dict[str, dict[str, Any]] = {
        "area1": {"type": "Map Area", "related": {"Area2Package": ["package1"]}},
        "package1": {
            "type": "SQLite Geodatabase",
            "properties": {"url": url, "layers": [0], "extent": world, "syncModel": "perLayer"},
        },
    }
    for item_id, item in items.items():
        write_item(data, item_id, item)


@contextmanager
def serving(data: Path, port: int) -> Iterator[str]:
    """The service in a process of its own, so that its memory does not count."""
    command = [sys.executable, "-m", "tests.feature_service", "--data", str(data)]
    command += ["--port", str(port)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            ready: dict[str, Any] = json.loads(server.stdout.readline())
            yield ready["services"]["airports"]
        finally:
            server.terminate()


def kilobytes(verb: str, url: str, path: Path) -> int:
    """What the child needed at its peak above what it needed before."""
    done = subprocess.run(
        [sys.executable, "-c", CHILD, verb, url, str(path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    return int(done.stdout.split()[-1])


async def _touch_all(data: Path) -> None:
    """Change every row on the service."""
    async with FeatureServer(data) as server, ClientSession() as session:
        hosted = server.hosted("airports")
        with hosted.store.transaction():
            generation = hosted.store.next_generation(hosted.clock.now_ms())
            city = column(hosted.layer(0), "city")
            hosted.store.run(f"UPDATE layer_0 SET gen_from = ?, {city} = 'x' || {city}", generation)
        client = Client(session, server.url("airports"))
        count = await client.post("0/query", where="1=1", returnCountOnly=True)
        assert count["count"] == ROWS


class Writer:
    """Edits a geodatabase every few milliseconds, in another process."""

    def __init__(self, path: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._is_done = threading.Event()
        self._thread = threading.Thread(target=self._drive)
        self._thread.start()

    def _drive(self) -> None:
        assert self._process.stdin is not None
        while not self._is_done.wait(0.005):
            self._process.stdin.write(b".")
            self._process.stdin.flush()

    def end(self) -> tuple[float, int]:
        """The longest time that one edit took, in seconds, and how many there were."""
        self._is_done.set()
        self._thread.join()
        out, _ = self._process.communicate(timeout=60)
        longest, count = out.split()
        return float(longest), int(count)


@pytest.mark.slow
def test_a_merge_of_100000_rows_stays_small_and_lets_others_write(tmp_path: Path) -> None:
    data, path = tmp_path / "data", tmp_path / "A.gpkg"
    write_airports(data)
    write_area(data)
    port = free_port()
    with serving(data, port) as url:
        take = kilobytes("take", url, path)
        area = kilobytes("area", url, tmp_path / "map")
    asyncio.run(_touch_all(data))

    with serving(data, port) as url:
        writer = Writer(path)
        try:
            merge = kilobytes("sync", url, path)
        finally:
            longest_s, edits = writer.end()

    print(f"take {take} KB, area {area} KB, merge {merge} KB above the idle interpreter")
    print(f"the longest of {edits} edits meanwhile took {longest_s:.3f} s")
    assert edits > 100
    assert take < LIMIT_KB
    assert area < LIMIT_KB
    assert merge < LIMIT_KB
    assert longest_s < LIMIT_WAIT_S
