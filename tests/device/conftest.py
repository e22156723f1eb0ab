"""A feature service for the tests of the command, and the command itself."""

import asyncio
import json
import logging
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from device.cli import main
from tests.feature_service import FeatureServer, Profile, Security

TREES, VISITS, ZONES = 0, 1, 2
START_WITHIN_S = 30


def gid(number: int) -> str:
    """A GlobalID that a reader can tell apart."""
    return f"{{00000000-0000-4000-8000-{number:012X}}}"


def _fields(*more: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"name": "OBJECTID", "type": "esriFieldTypeOID", "nullable": False, "editable": False},
        {"name": "GlobalID", "type": "esriFieldTypeGlobalID", "nullable": False, "length": 38},
        *more,
    ]


def definition() -> dict[str, Any]:
    """Points with photos, a table of visits to them, and areas."""
    kinds = {
        "type": "codedValue",
        "name": "kinds",
        "codedValues": [{"name": kind, "code": kind} for kind in ("oak", "ash")],
    }
    relationship = {
        "id": 0,
        "name": "visits",
        "cardinality": "esriRelCardinalityOneToMany",
        "composite": False,
    }
    origin = {"relatedTableId": VISITS, "role": "esriRelRoleOrigin", "keyField": "GlobalID"}
    end = {"relatedTableId": TREES, "role": "esriRelRoleDestination", "keyField": "tree"}
    return {
        "capabilities": "Create,Delete,Update,Editing,Query,Sync,Uploads,ChangeTracking",
        "spatialReference": {"wkid": 4326, "latestWkid": 4326},
        "layers": [
            {
                "id": TREES,
                "name": "Trees",
                "geometryType": "esriGeometryPoint",
                "hasAttachments": True,
                "fields": _fields(
                    {"name": "kind", "type": "esriFieldTypeString", "domain": kinds, "length": 9},
                    {"name": "note", "type": "esriFieldTypeString", "length": 50},
                ),
                "relationships": [relationship | origin],
            },
            {
                "id": ZONES,
                "name": "Zones",
                "geometryType": "esriGeometryPolygon",
                "fields": _fields({"name": "name", "type": "esriFieldTypeString", "length": 50}),
            },
        ],
        "tables": [
            {
                "id": VISITS,
                "name": "Visits",
                "fields": _fields(
                    {"name": "tree", "type": "esriFieldTypeGUID", "length": 38},
                    {"name": "remark", "type": "esriFieldTypeString", "length": 50},
                ),
                "relationships": [relationship | end],
            }
        ],
    }


def write_world(data: Path) -> None:
    """The services ``park`` (12 trees at 1,1 … 12,12, two photos, 3 visits, a zone) and
    ``closed``, which is the same without Sync."""
    trees = [
        {
            "attributes": {"OBJECTID": n, "GlobalID": gid(n), "kind": "oak", "note": f"tree {n}"},
            "geometry": {"x": n, "y": n},
        }
        for n in range(1, 13)
    ]
    visits = [
        {"attributes": {"OBJECTID": n, "GlobalID": gid(100 + n), "tree": gid(n), "remark": "ok"}}
        for n in range(1, 4)
    ]
    ring = [[0, 0], [0, 20], [20, 20], [20, 0], [0, 0]]
    zones = [
        {
            "attributes": {"OBJECTID": 1, "GlobalID": gid(200), "name": "all"},
            "geometry": {"rings": [ring]},
        }
    ]
    for name in ("park", "closed"):
        service, document = data / name, definition()
        if name == "closed":
            document["capabilities"] = "Create,Delete,Update,Editing,Query"
        service.mkdir(parents=True)
        (service / "service.json").write_text(json.dumps(document), encoding="utf-8")
        for layer, rows in ((TREES, trees), (VISITS, visits), (ZONES, zones)):
            lines = "".join(json.dumps(row) + "\n" for row in rows)
            (service / f"{layer}.ndjson").write_text(lines, encoding="utf-8")
        for n in (1, 2):
            photos = service / "attachments" / str(TREES) / gid(n)
            photos.mkdir(parents=True)
            (photos / f"{n}.jpg").write_bytes(bytes([n]) * 5000)


class ServiceThread:
    """The reference service on a thread of its own: the command runs its own event loop."""

    def __init__(self, data: Path, security: Security | None = None) -> None:
        self.urls: dict[str, str] = {}
        self._data = data
        self._security = security
        self._ready, self._stop = threading.Event(), asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)

    def __enter__(self) -> "ServiceThread":
        self._thread.start()
        assert self._ready.wait(START_WITHIN_S), "the feature service did not start"
        return self

    def __exit__(self, *_: object) -> None:
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(START_WITHIN_S)

    def refresh_map_area(self, area_id: str) -> dict[str, str]:
        """Have the packages of a map area made anew."""
        assert self._loop is not None

        async def refresh() -> dict[str, str]:
            return self._server.refresh_map_area(area_id)

        return asyncio.run_coroutine_threadsafe(refresh(), self._loop).result(START_WITHIN_S)

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        # Without asynchronous jobs no test has to wait for a poll.
        async with FeatureServer(
            self._data, profile=Profile(supports_async=False), security=self._security
        ) as server:
            self.urls = dict(server.services)
            self._server = server
            self._ready.set()
            await self._stop.wait()


@pytest.fixture(scope="session")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Name → URL of running feature services. Tests change rows of their own only."""
    data = tmp_path_factory.mktemp("services")
    write_world(data)
    with ServiceThread(data) as service:
        yield service.urls


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """The one object that ``--json`` prints."""
        assert self.out.count("\n") == 1, self.out
        value: dict[str, Any] = json.loads(self.out)
        assert value["exit_code"] == self.code
        return value


Command = Callable[..., Ended]


@pytest.fixture
def fieldsync(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Command]:
    """``fieldsync(verb, …)`` runs the command in this process; failed requests are repeated at
    once."""
    monkeypatch.setattr("engine.service.backoff.BACKOFF_BASE_S", 0.0)
    before = logging.root.handlers[:], logging.root.level

    def run(*arguments: object) -> Ended:
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        return Ended(code, *capsys.readouterr())

    yield run
    logging.root.handlers[:] = before[0]
    logging.root.setLevel(before[1])


@dataclass(slots=True)
class Taken:
    """A map that was taken, and what ``take --json`` said."""

    folder: Path
    report: dict[str, Any] = field(default_factory=dict)

    @property
    def geopackage(self) -> Path:
        return self.folder / "park.gpkg"


@pytest.fixture
def taken(fieldsync: Command, services: dict[str, str], tmp_path: Path) -> Taken:
    """A map of the service ``park``."""
    folder = tmp_path / "my map"
    ended = fieldsync("take", services["park"], folder, "--json")
    assert ended.code == 0, ended.err
    return Taken(folder, ended.json)


@pytest.fixture
def socket_path() -> Iterator[Path]:
    """A short path: those of sockets have at most 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="fs") as folder:
        yield Path(folder) / "api.sock"
