"""Maps for the tests of drawings, made without a service; and what is in a drawing of one."""

import asyncio
import io
import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from device.drawing.drawing import Drawing, Drawn
from device.drawing.plan import Plan, make_plan, survey
from engine.geodatabase import conflicts, quarantine
from engine.geodatabase.conflicts import ConflictKind
from engine.geodatabase.geodatabase import Geodatabase
from engine.geodatabase.geopackage import insert_rows
from engine.geodatabase.quarantine import Direction
from engine.geodatabase.replica import Replica
from engine.layer_schema import LayerSchema
from engine.maps.offline_map import OfflineMap
from engine.maps.package_info import UPDATE_BY_SYNC, MapService, PackageInfo
from engine.model import ConflictPolicy, EditOperation, Envelope
from native.geometry import esri_json_to_gpkg
from tests.engine.geodatabase import schemas

Json = dict[str, Any]

URL = schemas.URL
SVG = "{http://www.w3.org/2000/svg}"
HREF = "{http://www.w3.org/1999/xlink}href"
POINT, LINE, AREA = "esriGeometryPoint", "esriGeometryPolyline", "esriGeometryPolygon"
NOW = "2026-11-20T09:30:12.345Z"


def gid(number: int) -> str:
    return f"{{00000000-0000-4000-8000-{number:012X}}}"


def layer(
    number: int = 0, name: str = "Trees", geometry: str | None = POINT, **more: Any
) -> LayerSchema:
    """A layer with the fields ``kind`` and ``size``."""
    fields = [
        schemas.field("kind", "esriFieldTypeString"),
        schemas.field("size", "esriFieldTypeDouble"),
    ]
    return schemas.layer(number, name, geometry, fields, **more)


@dataclass(frozen=True, slots=True)
class Row:
    """A row as the service has it."""

    number: int
    geometry: Json | None = None
    kind: str | None = None
    size: float | None = None

    @property
    def gid(self) -> str:
        return gid(self.number)


def point(number: int, x: float, y: float, kind: str | None = None) -> Row:
    return Row(number, {"x": x, "y": y}, kind)


async def make_map(
    folder: Path,
    rows: Mapping[LayerSchema, Sequence[Row]] | Sequence[tuple[LayerSchema, Sequence[Row]]],
    *,
    title: str = "Town",
    definition: Json | None = None,
    area: Envelope | None = None,
) -> Path:
    """A map of one service, whose layers have those rows."""
    listed = sorted(rows.items() if isinstance(rows, Mapping) else rows, key=lambda one: one[0].id)
    folder.mkdir(parents=True)
    replica = Replica(replica_id="{R}", service_url=URL, last_sync_at=NOW)
    layers = [one for one, _ in listed]
    geodatabase = await Geodatabase.create(
        folder / "Trees.gpkg", schemas.service(), layers, replica
    )

    def fill(connection: sqlite3.Connection) -> None:
        for stored, (schema, some) in zip(geodatabase.layers, listed, strict=True):
            insert_rows(connection, stored.features.table, (_cells(schema, row) for row in some))

    async with geodatabase:
        await geodatabase.load(fill)
    service = MapService(file="Trees.gpkg", url=URL)
    PackageInfo(
        title=title,
        taken_at=NOW,
        taken_how="service",
        update_mode=UPDATE_BY_SYNC,
        services=(service,),
        area=area,
    ).write(folder)
    known = {
        "operationalLayers": [entry(n) for n in _numbers(layers, is_table=False)],
        "tables": [entry(n) for n in _numbers(layers, is_table=True)],
    }
    (folder / "map.json").write_text(json.dumps(known | (definition or {})))
    return folder


def entry(number: int, title: str = "", **more: Any) -> Json:
    """A layer of the web map."""
    return {
        "id": f"l{number}",
        "title": title or f"Layer {number}",
        "url": f"{URL}/{number}",
        **more,
    }


def _numbers(layers: Sequence[LayerSchema], *, is_table: bool) -> list[int]:
    return [one.id for one in layers if (one.geometry_type is None) == is_table]


def _cells(schema: LayerSchema, row: Row) -> tuple[Any, ...]:
    cells: list[Any] = [row.gid]
    if schema.geometry_type is not None:
        blob = None
        if row.geometry is not None:
            text = json.dumps(row.geometry).encode()
            blob = esri_json_to_gpkg(text, schema.geometry_type, 3857, False, False)
        cells.append(blob)
    return (*cells, row.number, row.kind, row.size)


async def add_conflict(
    geodatabase: Geodatabase, number: int, version: Json | None = None, *, is_photo: bool = False
) -> None:
    """An open conflict of a row of the first layer, or of a photo of it."""

    def note(connection: sqlite3.Connection) -> None:
        stored = geodatabase.layers[0]
        table = (
            stored.attachments.table if is_photo and stored.attachments else stored.features.table
        )
        conflicts.record(
            connection,
            table,
            gid(number),
            kind=ConflictKind.UPDATED,
            policy=ConflictPolicy.MANUAL,
            columns=("kind",),
            base=None,
            mine=None,
            theirs=None,
            now=NOW,
        )
        if version is not None:
            connection.execute("UPDATE fieldsync_conflict SET mine=?", (json.dumps(version),))

    await geodatabase.database.write(note)


async def add_refusal(geodatabase: Geodatabase, number: int, reason: str = "too tall") -> None:
    """A row of the first layer in the quarantine."""

    def note(connection: sqlite3.Connection) -> None:
        quarantine.put(
            connection,
            direction=Direction.OUTBOUND,
            table=geodatabase.layers[0].features.table,
            global_id=gid(number),
            operation=EditOperation.UPDATE,
            code="1000",
            reason=reason,
            remedy="",
            now=NOW,
            seq=10**6,
        )

    await geodatabase.database.write(note)


@dataclass(slots=True)
class Picture:
    """A drawing, read again."""

    content: bytes
    plan: Plan
    drawn: Drawn
    root: ElementTree.Element = field(init=False)

    def __post_init__(self) -> None:
        self.root = ElementTree.fromstring(self.content)

    def group(self, name: str) -> ElementTree.Element:
        """The group of that id."""
        (found,) = [one for one in self.root.iter(f"{SVG}g") if one.get("id") == name]
        return found

    def symbols(self, name: str) -> list[str]:
        """The names of the symbols in a group, element by element."""
        return [
            (one.get(HREF) or "").lstrip("#") or one.get("class") or ""
            for one in self.group(name)
            if one.tag in (f"{SVG}use", f"{SVG}path")
        ]

    @property
    def texts(self) -> list[str]:
        return ["".join(one.itertext()) for one in self.root.iter(f"{SVG}text")]

    def marks(self) -> dict[str, int]:
        """How many marks of each kind are on the map itself."""
        found: dict[str, int] = {}
        for group in self.root.iter(f"{SVG}g"):
            if (group.get("id") or "").startswith("marks-"):
                for use in group.findall(f"{SVG}use"):
                    name = (use.get(HREF) or "").removeprefix("#mark-")
                    found[name] = found.get(name, 0) + 1
        return found


async def drawn_by(
    folder: Path, *, chosen: frozenset[str] | None = None, box: Any = None, width: int = 1200
) -> Picture:
    async with OfflineMap.open(folder) as map_:
        plan = make_plan(map_, chosen)
        plan.box = box or plan.box
        await survey(plan)
        stream = io.BytesIO()
        drawn = await Drawing(map_, plan, stream).write(width)
    return Picture(stream.getvalue(), plan, drawn)


def picture_of(folder: Path, **options: Any) -> Picture:
    """The same, for tests that are not asynchronous."""
    return asyncio.run(drawn_by(folder, **options))
