"""Devices and the feature service they share, for tests of whole syncs."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any, TypeVar

from aiohttp import ClientSession

from engine.geodatabase.feature_table import FeatureTable
from engine.geodatabase.geodatabase import Geodatabase
from engine.model import AttachmentSyncDirection, SyncModel, normalise_guid
from engine.service.sign_in import Credentials
from engine.sync.geodatabase_sync_task import GeodatabaseSyncTask
from engine.sync.job import Job
from engine.sync.parameters import (
    GenerateGeodatabaseParameters,
    PushChannel,
    SyncGeodatabaseParameters,
)
from engine.sync.results import EditCounts, SyncGeodatabaseResult
from tests.feature_service import (
    Faults,
    FeatureServer,
    ManualClock,
    Profile,
    Security,
    seeded_mint,
)
from tests.feature_service.edits import EditSession
from tests.feature_service.hosted import Actor, Hosted
from tests.test_feature_service.client import Client
from tests.test_feature_service.world import HYDRANTS, PIPES, VISITS, ZONES, gid, write_world

__all__ = [
    "HYDRANTS",
    "PIPES",
    "VISITS",
    "ZONES",
    "Device",
    "Fleet",
    "HastyClock",
    "SyncModel",
    "gid",
]

SERVICE = "water"
LAYERS = (HYDRANTS, PIPES, ZONES, VISITS)
WKID = {"wkid": 102100, "latestWkid": 3857}

P = TypeVar("P")
Json = dict[str, Any]
Rows = dict[int, dict[str, Json]]
"""Layer → GlobalID → attributes and coordinates, in one spelling for both sides."""


class HastyClock:
    """A clock on which nobody waits: a sleep only lets the others run, and its time has passed."""

    def __init__(self) -> None:
        self.elapsed_s = 0.0
        self.start = datetime(2024, 5, 1, 12, tzinfo=UTC)

    def monotonic(self) -> float:
        return self.elapsed_s

    def now(self) -> datetime:
        return self.start + timedelta(seconds=self.elapsed_s)

    async def sleep(self, seconds: float) -> None:
        self.elapsed_s += seconds
        await asyncio.sleep(0)


def changed(parameters: P, changes: Mapping[str, object]) -> P:
    """The same ``parameters``, with these values of members that they have."""
    for name, value in changes.items():
        assert hasattr(parameters, name), name
        setattr(parameters, name, value)
    return parameters


@dataclass(slots=True)
class Device:
    """One field device: a geodatabase in a folder of its own, and how it is synced."""

    url: str
    path: Path
    model: SyncModel
    clock: HastyClock = field(default_factory=HastyClock)
    parameters: SyncGeodatabaseParameters = field(default_factory=SyncGeodatabaseParameters)
    credential: Credentials | None = None
    messages: list[str] = field(default_factory=list)

    async def take(self, parameters: GenerateGeodatabaseParameters | None = None) -> None:
        """Take the whole service, or what ``parameters`` say."""
        async with self._task() as task:
            if parameters is None:
                parameters = await task.create_default_generate_geodatabase_parameters(None)
                parameters.sync_model = self.model
                parameters.return_attachments = True
                parameters.attachment_sync_direction = AttachmentSyncDirection.BIDIRECTIONAL
            await self._run(task.create_generate_geodatabase_job(parameters, self.path))

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Geodatabase]:
        async with await Geodatabase.open(self.path) as geodatabase:
            yield geodatabase

    async def sync(self, **changes: object) -> SyncGeodatabaseResult:
        """Sync once, with ``changes`` to the parameters; every edit must be accounted for."""
        async with self.open() as geodatabase:
            return await self.sync_open(geodatabase, **changes)

    async def sync_open(self, geodatabase: Geodatabase, **changes: object) -> SyncGeodatabaseResult:
        parameters = SyncGeodatabaseParameters(
            push_channel=self.parameters.push_channel,
            conflict_policy=self.parameters.conflict_policy,
        )
        changed(parameters, changes)
        async with self._task() as task:
            job = task.create_sync_geodatabase_job(parameters, geodatabase)
            await self._run(job)
            assert job.geodatabase_result is not None
            for layer in job.geodatabase_result.layer_results:
                for counts in (layer.uploaded, layer.attachments_uploaded):
                    assert counts.found == counts.accounted, (layer.table_name, counts)
            return job.geodatabase_result

    def _task(self) -> GeodatabaseSyncTask:
        return GeodatabaseSyncTask(self.url, credential=self.credential, clock=self.clock)

    async def _run(self, job: Job[Any]) -> None:
        job.start()
        try:
            await job.result()
        finally:
            self.messages = [m.text for m in job.messages]

    async def rows(self) -> Rows:
        """All rows, as :meth:`Fleet.rows` gives the service's."""
        async with self.open() as geodatabase:
            return {t.layer_id: await _rows_of(t) for t in geodatabase.feature_tables}

    async def attachments(self) -> dict[str, tuple[str, str, str, bytes]]:
        """GlobalID → (parent, name, type, bytes) of all attachments of the hydrants."""
        found = {}
        async with self.open() as geodatabase:
            table = geodatabase.table(HYDRANTS)
            parents = [f.global_id async for f in table.query_features()]
            for parent in parents:
                for one in await table.attachments(parent):
                    data = b"".join([p async for p in table.attachment_data(one.global_id)])
                    found[one.global_id] = (parent, one.name, one.content_type, data)
        return found

    async def pending(self) -> dict[str, int]:
        """How many edits each table would still send."""
        async with self.open() as geodatabase:
            return {
                t.name: (await t.edit_counts()).total + (await _attachment_edits(t))
                for t in geodatabase.feature_tables
            }


async def _attachment_edits(table: FeatureTable) -> int:
    return (await table.attachment_edit_counts()).total


async def _rows_of(table: FeatureTable) -> dict[str, Json]:
    rows = {}
    async for feature in table.query_features():
        assert not feature.problems, feature.problems
        attributes = {n.lower(): _plain(v) for n, v in feature.attributes.items()}
        rows[feature.global_id] = {**attributes, "": coordinates(feature.geometry)}
    return rows


def _plain(value: object) -> object:
    """An attribute of the API as the wire has it."""
    if isinstance(value, datetime):
        return round(value.timestamp() * 1000)
    return value.isoformat() if isinstance(value, date | time) else value


def coordinates(geometry: Mapping[str, object] | None) -> object:
    """The bare numbers of a geometry, alike however it was spelled."""
    if geometry is None:
        return None
    if "x" in geometry:
        return [float(str(geometry["x"])), float(str(geometry["y"]))]
    parts = geometry.get("paths") or geometry.get("rings")
    if not isinstance(parts, list):
        return None
    return [[[None if v is None else float(v) for v in p] for p in part] for part in parts]


class Fleet:
    """A running service and the devices that took it."""

    def __init__(self, server: FeatureServer, client: Client, folder: Path) -> None:
        self.server = server
        self.client = client
        self.folder = folder
        self.url = server.url(SERVICE)
        self.devices: dict[str, Device] = {}

    async def device(
        self,
        name: str,
        *,
        model: SyncModel | None = None,
        channel: PushChannel = PushChannel.AUTO,
        credential: Credentials | None = None,
    ) -> Device:
        """A device that has just taken the map."""
        offered = self.server.profile.sync_models
        if model is None:
            model = SyncModel.PER_LAYER if offered == "perLayer" else SyncModel.PER_REPLICA
        device = Device(self.url, self.folder / f"{name}.gpkg", model)
        device.parameters.push_channel = channel
        device.credential = credential
        await device.take()
        self.devices[name] = device
        return device

    @property
    def inside(self) -> Any:
        return self.server.hosted(SERVICE)

    async def rows(self) -> Rows:
        """All rows of the service, read by query."""
        found: Rows = {}
        for layer_id in LAYERS:
            types = {
                f["name"].lower(): f["type"]
                for f in (await self.client.get(str(layer_id)))["fields"]
            }
            found[layer_id] = {}
            for feature in await self.features(layer_id):
                row: Json = {}
                for name, value in feature["attributes"].items():
                    is_guid = types[name.lower()] in ("esriFieldTypeGUID", "esriFieldTypeGlobalID")
                    if types[name.lower()] == "esriFieldTypeTimestampOffset" and value:
                        value = _plain(datetime.fromisoformat(value))
                    row[name.lower()] = normalise_guid(value) if is_guid else value
                row[""] = coordinates(feature.get("geometry"))
                found[layer_id][row["globalid"]] = row
        return found

    async def features(self, layer_id: int, where: str = "1=1") -> list[Json]:
        answer = await self.client.post(
            f"{layer_id}/query",
            where=where,
            outFields="*",
            returnZ=True,
            returnM=True,
            resultRecordCount=2000,
        )
        assert not answer.get("exceededTransferLimit"), "the world is larger than one answer"
        return list(answer["features"])

    def attachments(self) -> dict[str, tuple[str, str, str, bytes]]:
        """As :meth:`Device.attachments`, of the service."""
        inside = self.inside
        held = inside.attachments(inside.layer(HYDRANTS))
        return {
            a.gid: (a.parent_gid, a.name, a.content_type, held.content(a.content_id))
            for a in held._all("1=1")
        }

    async def edit(self, layer_id: int, **edits: object) -> list[Json]:
        """Edit the service directly, as an office does; every edit must succeed."""
        answer = await self.client.post(
            "applyEdits",
            edits=[{"id": layer_id, **edits}],
            useGlobalIds=True,
            rollbackOnFailure=False,
        )
        assert isinstance(answer, list), answer
        results = [
            r
            for part in (answer[0], answer[0].get("attachments") or {})
            for name in ("addResults", "updateResults", "deleteResults")
            for r in part.get(name) or []
        ]
        assert all(r["success"] for r in results), results
        return results

    async def replace_photo(self, global_id: str, name: str, data: bytes) -> None:
        """Replace an attachment of a hydrant, as an office does."""
        edit = {
            "globalId": global_id,
            "parentGlobalId": self.attachments()[global_id][0],
            "name": name,
            "contentType": "image/jpeg",
            "data": base64.b64encode(data).decode(),
        }
        await self.edit(HYDRANTS, attachments={"updates": [edit]})

    async def change(self, layer_id: int, global_id: str, **attributes: object) -> None:
        """Change attributes of one row on the service (whole row, whatever the profile does)."""
        (feature,) = await self.features(layer_id, f"GlobalID='{global_id}'")
        feature["attributes"] |= attributes
        await self.edit(layer_id, updates=[self.editable(layer_id, feature)])

    def editable(self, layer_id: int, feature: Json) -> Json:
        """The feature without what only the service may set."""
        layer = self.inside.layer(layer_id)
        own = set(layer.tracking_fields) | {
            f.name.lower() for f in layer.stored_fields if not f.is_editable
        }
        own.add(layer.object_id_field.lower())
        kept = {n: v for n, v in feature["attributes"].items() if n.lower() not in own}
        return {**feature, "attributes": kept}

    async def assert_agreed(self) -> None:
        """Every device has the rows and attachments of the service, and nothing to send."""
        rows, attachments = await self.rows(), self.attachments()
        for name, device in self.devices.items():
            assert_same(rows, await device.rows(), name)
            here = await device.attachments()
            brief = [{k: v[:3] for k, v in side.items()} for side in (attachments, here)]
            assert brief[0] == brief[1], name
            assert here == attachments, f"{name}: the bytes of an attachment differ"
            assert not any((await device.pending()).values()), (name, await device.pending())


def assert_same(service: Rows, device: Rows, name: str) -> None:
    """Row by row, with a message that names the first rows that differ."""
    wrong = [
        f"{layer_id} {global_id}: {_differing(rows, device[layer_id], global_id)}"
        for layer_id, rows in service.items()
        for global_id in sorted(rows.keys() | device[layer_id].keys())
        if rows.get(global_id) != device[layer_id].get(global_id)
    ]
    assert not wrong, f"{name}:\n" + "\n".join(wrong[:20])


def _differing(service: dict[str, Json], device: dict[str, Json], global_id: str) -> str:
    there, here = service.get(global_id), device.get(global_id)
    if there is None or here is None:
        return f"service {there is not None}, device {here is not None}"
    return json.dumps(
        {n: [there.get(n), here.get(n)] for n in there | here if there.get(n) != here.get(n)}
    )


@asynccontextmanager
async def fleet(
    folder: Path,
    profile: Profile | None = None,
    faults: Faults | None = None,
    *,
    port: int = 0,
    security: Security | None = None,
) -> AsyncIterator[Fleet]:
    """A service of the example world with that profile, and no devices yet.

    With ``security`` the office comes in by the first of its API keys.
    """
    data = folder / "service"
    if not data.exists():
        write_world(data)
    server = FeatureServer(
        data,
        profile=profile or Profile(),
        clock=ManualClock(),
        mint=None if port else seeded_mint(7),  # a service that is started again mints anew
        faults=faults,
        port=port,
        security=security,
    )
    token = next(iter(security.api_keys), "") if security is not None else ""
    async with server, ClientSession() as session:
        yield Fleet(server, Client(session, server.url(SERVICE), token=token), folder)


def found(result: SyncGeodatabaseResult) -> EditCounts:
    """The sum of all edits that a sync met."""
    total = EditCounts()
    for layer in result.layer_results:
        for counts in (layer.uploaded, layer.attachments_uploaded):
            for name in ("found", "applied", "conflict", "quarantined", "held", "pending"):
                setattr(total, name, getattr(total, name) + getattr(counts, name))
    return total


def edit_inside(inside: Hosted, layer_id: int, edits: dict[str, Any]) -> None:
    """The office's edit, made at once: nobody may wait in the middle of a device's step."""
    layer = inside.layer(layer_id)
    with inside.store.transaction():
        session = EditSession(inside, Actor(), origin="", by_global_id=True, is_sync=False)
        for kind, items in edits.items():
            results = getattr(session, kind)(layer, items)
            assert all(r["success"] for r in results), results
        session.finish(rollback_on_failure=True)
