"""Many rows without holding them, many devices at once without losing an edit."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest
from aiohttp import ClientSession, ClientTimeout, TCPConnector

from tests.feature_service import FeatureServer, ManualClock, seeded_mint

from .client import Client, layer_of, names
from .world import HYDRANTS, Json, gid, hydrant, service_document, write_service

pytestmark = pytest.mark.slow

_ALLOWED_GROWTH_KB = 4096
"""What ten times the rows may cost more: noise of the allocator, not the 40 MB of the rows."""

_PAGE = 5000
_DEVICES = 50
_ROUNDS = 6


def _write_many(folder: Path, count: int) -> Path:
    document = service_document()
    document["maxRecordCount"] = _PAGE
    service = write_service(folder / "many", document, {})
    with (service / f"{HYDRANTS}.ndjson").open("w", encoding="utf-8") as out:
        for number in range(1, count + 1):
            row = hydrant(number, name=f"hydrant {number % 1000}", pressure=number % 16)
            row["geometry"] = {"x": number % 1000 * 1.0, "y": number // 1000 * 1.0}
            out.write(json.dumps(row) + "\n")
    return folder


@contextmanager
def _serving(folder: Path) -> Iterator[tuple[int, str]]:
    """The service as a process of its own: its number and the url of `many`."""
    command = [sys.executable, "-m", "tests.feature_service", "--data", str(folder)]
    root = Path(__file__).parents[2]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root) as process:
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
        try:
            yield ready["pid"], ready["services"]["many"]
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=30) == 0


def _memory_kb(pid: int, line: str) -> int:
    for text in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        name, _, value = text.partition(":")
        if name == line:
            return int(value.split()[0])
    raise AssertionError(f"no {line} of process {pid}")


@asynccontextmanager
async def _client(url: str) -> AsyncIterator[Client]:
    limits = ClientTimeout(total=120)
    async with ClientSession(timeout=limits, connector=TCPConnector(limit=0)) as session:
        yield Client(session, url)


async def _count_in(client: Client, url: str, **fields: str) -> int:
    """How many features an answer holds, which is not held here either."""
    count, tail = 0, b""
    async with client.session.post(url, data={"f": "json", **fields}) as response:
        assert response.status == 200
        async for chunk in response.content.iter_chunked(1 << 16):
            joined = tail + chunk
            tail = joined[-len(_MARK) + 1 :]
            count += joined.count(_MARK)
    return count


_MARK = b'"attributes"'


async def _growth_kb(folder: Path, count: int) -> int:
    """How far a replica of so many rows, by url and embedded, takes the service above idle."""
    wanted = {"layers": "0", "geometry": "-1,-1,5000,5000", "syncModel": "perLayer"}
    embedded = {"transportType": "esriTransportTypeEmbedded", **wanted}
    with _serving(_write_many(folder, count)) as (pid, url):
        async with _client(url) as client:
            await client.replica(**{**wanted, "geometry": "0,0,1,1"})
            Path(f"/proc/{pid}/clear_refs").write_text("5", encoding="ascii")
            idle = _memory_kb(pid, "VmRSS")

            answer = await client.post("createReplica", **wanted)
            assert await _count_in(client, answer["URL"]) == count
            assert await _count_in(client, f"{url}/createReplica", **embedded) == count

            return _memory_kb(pid, "VmHWM") - idle


async def test_replica_when_rows_are_tenfold_then_memory_is_not(tmp_path: Path) -> None:
    few = await _growth_kb(tmp_path / "few", 10_000)
    many = await _growth_kb(tmp_path / "many", 100_000)

    print(f"above idle: {few} kB for 10 000 rows, {many} kB for 100 000")
    assert many - few < _ALLOWED_GROWTH_KB


async def test_query_when_there_are_100k_rows_then_every_page_comes(tmp_path: Path) -> None:
    with _serving(_write_many(tmp_path, 100_000)) as (_, url):
        async with _client(url) as client:
            counted = await client.get("0/query", where="1=1", returnCountOnly=True)
            seen = 0
            for offset in range(0, 100_000, _PAGE):
                page = {"where": "1=1", "outFields": "serial", "resultOffset": str(offset)}
                seen += await _count_in(client, f"{url}/0/query", **page)
            few = await client.oids(HYDRANTS, "serial IN (1, 99999, 100000)")

    assert counted == {"count": 100_000}
    assert seen == 100_000
    assert few == [1, 99_999, 100_000]


class _Device:
    """One device: adds rows of its own, changes a row that all change, and syncs."""

    def __init__(self, number: int, client: Client) -> None:
        self._number = number
        self._client = client
        self._replica: Json = {}
        self._generations: list[Json] = []
        self.rows: dict[str, Json] = {}
        self.added: list[str] = []

    async def begin(self) -> None:
        """Take a replica of the hydrants."""
        self._replica = await self._client.replica(
            layers="0",
            replicaName=f"device {self._number}",
            layerQueries={"0": {"queryOption": "all"}},
            returnAttachments=True,
        )
        assert "error" not in self._replica, self._replica
        self._generations = self._replica["layerServerGens"]
        self._put(self._replica["layers"][0]["features"])

    async def round(self, number: int) -> None:
        """Edit and sync; every result has to be a success."""
        key = gid(10_000 + self._number * 100 + number)
        mark = f"{self._number}.{number}"
        row = hydrant(1, GlobalID=key, name=mark, serial=1000)
        attachment = {"globalId": gid(20_000 + self._number * 100 + number), "name": "a.txt"}
        attachment |= {"parentGlobalId": key, "data": "aGk="}
        entry = {
            "id": HYDRANTS,
            "features": {
                "adds": [row],
                "updates": [{"attributes": {"GlobalID": gid(1), "name": mark}}],
            },
            "attachments": {"adds": [attachment]},
        }
        answer = await self._sync(edits=[entry])
        told = layer_of(answer, HYDRANTS)
        results = told["addResults"] + told["updateResults"] + told["attachments"]["addResults"]
        assert [one["success"] for one in results] == [True] * 3
        self.added.append(key)

    async def finish(self) -> None:
        """Take what the others did last, and the own rows as the service has them."""
        await self._sync(edits=[])
        own = await self._client.post("0/query", globalIds=self.added, outFields="*")
        self._put(own["features"])

    async def _sync(self, **fields: object) -> Json:
        answer = await self._client.sync(self._replica, syncLayers=self._generations, **fields)
        assert "error" not in answer, answer
        for entry in answer.get("edits", []):
            self._put(entry["features"].get("adds", []) + entry["features"].get("updates", []))
        self._generations = answer["layerServerGens"]
        return answer

    def _put(self, features: list[Json]) -> None:
        self.rows |= {one["attributes"]["GlobalID"]: one for one in features}


async def test_service_when_50_devices_sync_at_once_then_no_edit_is_lost(data_dir: Path) -> None:
    server = FeatureServer(data_dir, clock=ManualClock(), mint=seeded_mint(50))
    async with server, _client(server.url("water")) as client:
        devices = [_Device(number, client) for number in range(_DEVICES)]
        await asyncio.gather(*(device.begin() for device in devices))
        for number in range(_ROUNDS):
            await asyncio.gather(*(device.round(number) for device in devices))
        await asyncio.gather(*(device.finish() for device in devices))

        made = await client.oids(HYDRANTS, "serial = 1000")
        (shared,) = (await client.get("0/query", objectIds="1", outFields="*"))["features"]
        now = await client.replica(layers="0", layerQueries={"0": {"queryOption": "all"}})
        replicas = await client.get("replicas")
        groups = await client.get("0/queryAttachments", definitionExpression="serial = 1000")

    assert len(made) == len(set(made)) == _DEVICES * _ROUNDS
    assert sum(len(one["attachmentInfos"]) for one in groups["attachmentGroups"]) == len(made)
    assert names([shared])[0].endswith(f".{_ROUNDS - 1}")
    truth = {one["attributes"]["GlobalID"]: one for one in now["layers"][0]["features"]}
    assert len(truth) == 9 + _DEVICES * _ROUNDS
    for device in devices:
        # A device whose own change of the shared row is the last one is not sent it again.
        others = {key: row for key, row in truth.items() if key != gid(1)}
        assert {key: row for key, row in device.rows.items() if key != gid(1)} == others
    assert len(replicas) == _DEVICES + 1


def test_peak_when_reset_then_the_present_one() -> None:
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")

    peak, present = (_memory_kb(os.getpid(), line) for line in ("VmHWM", "VmRSS"))

    assert peak - present < 2048
