"""The service of the schedules, and the values of its cells in one spelling for both sides."""

import json
import shutil
import sqlite3
import struct
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import Any

from engine.model import QueryOption, normalise_guid
from engine.sync.geodatabase_sync_task import GeodatabaseSyncTask
from native.geometry import gpkg_to_esri_json
from tests.engine.sync.fleet import SERVICE, Device, SyncModel, coordinates
from tests.feature_service import FeatureServer, ManualClock, Profile, seeded_mint
from tests.served_story import free_port
from tests.test_feature_service.world import (
    HYDRANTS,
    PIPES,
    VISITS,
    field,
    gid,
    hydrant,
    service_document,
    visit,
    write_service,
)

__all__ = ["HYDRANTS", "NOTES", "PIPES", "SERVICE", "TOKENS", "VISITS", "gid"]

NOTES = 4
LAYERS = (HYDRANTS, PIPES, VISITS, NOTES)
TABLES = {HYDRANTS: "Hydrants", PIPES: "Pipes", VISITS: "Visits", NOTES: "Notes"}
COLUMNS: dict[int, dict[str, str]] = {
    HYDRANTS: {
        "name": "text",
        "status": "integer",
        "pressure": "double",
        "serial": "integer",
        "checked": "date",
        "flow": "single",
        "": "shape",
    },
    PIPES: {"label": "text", "": "shape"},
    VISITS: {"hydrant": "guid", "note": "text"},
    NOTES: {"visit": "guid", "text": "text"},
}
"""Layer → the columns that devices edit, and of what kind they are; "" is the geometry."""

TOKENS = {HYDRANTS: "name", PIPES: "label", VISITS: "note", NOTES: "text"}
"""The column in which every row that is added has a text of its own."""

PARENTS = {VISITS: (HYDRANTS, "hydrant", True), NOTES: (VISITS, "visit", False)}
"""Child layer → its parent's layer, the column with its GlobalID, and whether it is composed."""

EXTRA = "extra"
"""How the names of fields begin that come to the layers later."""

Value = str | int | float | None
Row = dict[str, Value]


def document() -> dict[str, Any]:
    """The usual example with a Single column, and grandchildren that outlive their parents."""
    service = service_document()
    hydrants, visits = service["layers"][0], service["tables"][0]
    hydrants["fields"].append(field("flow", "Single"))
    relation = {"id": 1, "name": "notes", "composite": False}
    relation["cardinality"] = "esriRelCardinalityOneToMany"
    origin = {"role": "esriRelRoleOrigin", "relatedTableId": NOTES, "keyField": "GlobalID"}
    visits["relationships"].append({**relation, **origin})
    destination = {"role": "esriRelRoleDestination", "relatedTableId": VISITS, "keyField": "visit"}
    service["tables"].append(
        {
            "id": NOTES,
            "name": "Notes",
            "fields": [
                *visits["fields"][:2],
                field("visit", "GUID", length=38),
                field("text", "String", length=100),
            ],
            "relationships": [{**relation, **destination}],
        }
    )
    return service


def write_data(folder: Path) -> None:
    """The data folder of the service: six hydrants with two photos, pipes, visits, a note."""
    note = {"OBJECTID": 1, "GlobalID": gid(4001), "visit": gid(1001), "text": "note 1"}
    rows = {
        HYDRANTS: [hydrant(n, flow=n / 4) for n in range(1, 7)],
        PIPES: [_pipe(n) for n in range(1, 4)],
        VISITS: [visit(1, 1), visit(2, 1), visit(3, 4)],
        NOTES: [{"attributes": note}],
    }
    made = write_service(folder / SERVICE, document(), rows)
    for number in (1, 2):
        picture = made / "attachments" / "0" / gid(number) / f"photo{number}.jpg"
        picture.parent.mkdir(parents=True)
        picture.write_bytes(b"\xff\xd8 a picture %d" % number)


def _pipe(number: int) -> dict[str, Any]:
    path = [[100.0 * number, 0.0, 1.0], [100.0 * number, 1000.0, 2.0]]
    attributes = {"OBJECTID": number, "GlobalID": gid(2000 + number), "label": f"P{number}"}
    return {"attributes": attributes, "geometry": {"hasZ": True, "paths": [path]}}


# --- the state before a schedule -----------------------------------------------------------------


def new_server(folder: Path, port: int, profile: Profile, seed: int) -> FeatureServer:
    return FeatureServer(
        folder, profile=profile, clock=ManualClock(), mint=seeded_mint(seed), port=port
    )


def new_device(folder: Path, name: str, port: int, model: SyncModel) -> Device:
    url = f"http://127.0.0.1:{port}/arcgis/rest/services/{SERVICE}/FeatureServer"
    return Device(url, folder / f"{name}.gpkg", model)


class Taken(Enum):
    """What of the service a map has."""

    ALL = "all"
    """Also rows that are related to none."""
    RELATED = "related"
    """Tables for their relationships only."""
    OPEN = "open"
    """The hydrants that are open, and what is related to them."""


async def take(device: Device, taken: Taken = Taken.ALL) -> None:
    """Make the map."""
    async with GeodatabaseSyncTask(device.url, clock=device.clock) as task:
        parameters = await task.create_default_generate_geodatabase_parameters(None)
    parameters.sync_model = device.model
    for option in parameters.layer_options:
        if taken is Taken.ALL:
            option.query_option = QueryOption.ALL
        elif taken is Taken.OPEN and option.layer_id == HYDRANTS:
            option.where_clause = "status = 1"
    await device.take(parameters)


def inside_of(taken: Taken, rows: Mapping[int, Mapping[str, Row]]) -> dict[int, set[str]]:
    """Layer → GlobalIDs of those of the service's rows that belong to a map."""
    found = {layer: set(rows[layer]) for layer in LAYERS}
    if taken is Taken.ALL:
        return found
    if taken is Taken.OPEN:
        found[HYDRANTS] = {gid for gid, row in rows[HYDRANTS].items() if row["status"] == 1}
    for child in (VISITS, NOTES):
        parent, key, _ = PARENTS[child]
        found[child] = {gid for gid, row in rows[child].items() if row[key] in found[parent]}
    return found


class Templates:
    """Maps that were taken once and are copied: one port, so that the service's URL stays."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self._folder = folder

    async def copy(self, model: SyncModel, taken: Taken, names: str, folder: Path) -> None:
        template = self._folder / model.value / taken.value
        if not template.exists():
            await self._make(model, taken, template)
        shutil.copytree(template / "service", folder / "service")
        for name in names:
            shutil.copy(template / f"{name}.gpkg", folder)

    async def _make(self, model: SyncModel, taken: Taken, folder: Path) -> None:
        folder.mkdir(parents=True)
        write_data(folder / "service")
        async with new_server(folder / "service", self.port, Profile(), 0):
            for name in "ABC":
                await take(new_device(folder, name, self.port, model), taken)


# --- cells ---------------------------------------------------------------------------------------


def single(value: float) -> float:
    return float(struct.unpack("<f", struct.pack("<f", value))[0])


def plain(kind: str, value: Any) -> Value:
    """A cell, from the API, the wire or a file, as a value that compares as it should."""
    if value is None:
        return None
    match kind:
        case "guid":
            return normalise_guid(value)
        case "double":
            return float(value)
        case "single":
            return single(float(value))
        case "date":
            return _milliseconds(value)
        case "shape":
            return _shape(value)
    return value if isinstance(value, int | float) else str(value)


def _milliseconds(value: Any) -> int:
    if isinstance(value, str):
        value = datetime.fromisoformat(value.replace("Z", "+00:00"))
        value = value if value.tzinfo else value.replace(tzinfo=UTC)
    return round(value.timestamp() * 1000) if isinstance(value, datetime) else int(value)


def _shape(value: Any) -> str | None:
    if isinstance(value, dict) and set(value) == {"hex"}:
        value = bytes.fromhex(value["hex"])
    if isinstance(value, bytes):
        value = gpkg_to_esri_json(value)
    if isinstance(value, bytes | str):
        value = json.loads(value)
    found = coordinates(value)
    return None if found is None else json.dumps(_rounded(found))


def _rounded(value: Any) -> Any:
    if isinstance(value, list):
        return [_rounded(v) for v in value]
    return None if value is None else round(float(value), 4) + 0.0


def device_rows(connection: sqlite3.Connection) -> dict[int, dict[str, Row]]:
    """Layer → GlobalID → cells, of a geodatabase."""
    rows: dict[int, dict[str, Row]] = {}
    for layer in LAYERS:
        columns = COLUMNS[layer]
        names = ",".join(f'"{name or "geom"}"' for name in columns)
        found = connection.execute(f'SELECT GlobalID,{names} FROM "{TABLES[layer]}"')
        rows[layer] = {
            row[0]: {n: plain(k, v) for (n, k), v in zip(columns.items(), row[1:], strict=True)}
            for row in found
        }
    return rows
