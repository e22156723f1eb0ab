"""How much memory a take and a merge need above an interpreter that has imported the engine."""

import asyncio
import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import airportsdata
import pytest
from aiohttp import ClientSession

from tests.feature_service import FeatureServer
from tests.feature_service.store import column
from tests.killing import ROOT
from tests.test_feature_service.client import Client
from tests.test_feature_service.world import field, gid, write_service

LIMIT_KB = 30 * 1024

CHILD = """
import asyncio, sys
from pathlib import Path
import engine
from engine.geodatabase.geodatabase import Geodatabase
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
        job = task.create_sync_geodatabase_job(parameters, geodatabase)
        job.start()
        (result,) = await job.result()
        assert result.downloaded.updated > 28000, result.downloaded
verb, url, path = sys.argv[1:]
before = peak()
asyncio.run({"take": take, "sync": sync}[verb](url, Path(path)))
print(peak() - before)
"""


def write_airports(data: Path) -> None:
    """All airports there are, as the demo has them."""
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
        for number, airport in enumerate(airportsdata.load("ICAO").values(), 1)
    ]
    write_service(data / "airports", document, {0: rows})


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
        assert (await client.post("0/query", where="1=1", returnCountOnly=True))["count"] > 28000


@pytest.mark.slow
def test_take_and_merge_of_28000_rows_stay_small(tmp_path: Path) -> None:
    data = tmp_path / "data"
    write_airports(data)
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = int(free.getsockname()[1])

    with serving(data, port) as url:
        take = kilobytes("take", url, tmp_path / "A.gpkg")
    asyncio.run(_touch_all(data))
    with serving(data, port) as url:
        merge = kilobytes("sync", url, tmp_path / "A.gpkg")

    print(f"take {take} KB, merge {merge} KB above the idle interpreter")
    assert take < LIMIT_KB
    assert merge < LIMIT_KB
