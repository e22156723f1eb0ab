"""What a map is and holds, as ``take`` and ``info`` tell it.

The values' members are those of the JSON objects that docs/cli.md describes.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass

from device.tables import number, pairs, size, table
from engine import EngineError, FeatureTable, Geodatabase, OfflineMap

HEADINGS = ("id", "layer", "kind", "rows", "photos", "to send", "photos to send")
KINDS = {
    None: "table",
    "esriGeometryPoint": "points",
    "esriGeometryMultipoint": "multipoints",
    "esriGeometryPolyline": "lines",
    "esriGeometryPolygon": "polygons",
}
UPDATES = {
    "noUpdates": "none; the map takes no edits",
    "downloadScheduledUpdates": "packages; the map takes no edits",
    "downloadScheduledUpdatesAndUploadNewFeatures": "packages; new features are sent",
}
"""What a person is told of a map that is not simply synced."""

Json = dict[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Edits:
    """How many edits of each operation the service does not have."""

    adds: int
    updates: int
    deletes: int

    @property
    def total(self) -> int:
        return self.adds + self.updates + self.deletes


@dataclass(frozen=True, slots=True, kw_only=True)
class TableFacts:
    """A layer or table. ``edits`` are None if a damaged change log hides them (``error``),
    ``attachments`` if it has none."""

    layer_id: int
    name: str
    table: str
    geometry_type: str | None
    rows: int
    attachments: int | None
    edits: Edits | None
    attachment_edits: Edits | None
    error: Json | None


@dataclass(frozen=True, slots=True, kw_only=True)
class GeodatabaseFacts:
    """One GeoPackage and the service behind it."""

    path: str
    size_bytes: int
    service_url: str
    sync_id: str
    sync_model: str
    attachment_direction: str
    last_sync_at: str | None
    conflicts: int
    quarantined: int
    notices: tuple[str, ...]
    tables: tuple[TableFacts, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MapFacts:
    """A map. ``broken``: file name → error of each geodatabase that could not be opened;
    ``left_out``: layers and tables of the web map that were not taken."""

    map: str
    title: str
    item_id: str
    portal: str
    area_item_id: str
    taken_how: str
    taken_at: str
    update_mode: str
    area: Json | None
    geodatabases: tuple[GeodatabaseFacts, ...]
    broken: dict[str, Json]
    left_out: tuple[Json, ...]

    def to_json(self) -> Json:
        return asdict(self)

    def lines(self) -> Iterator[str]:
        """The map for a person."""
        told = [("map", self.map), ("taken", self.taken_at), ("area", _area(self.area))]
        if self.update_mode in UPDATES:
            told.append(("updates", UPDATES[self.update_mode]))
        yield from pairs(told)
        for geodatabase in self.geodatabases:
            yield ""
            yield from _geodatabase_lines(geodatabase)
        for name, error in self.broken.items():
            yield ""
            yield f"{name} cannot be used: {error['message']}"
        if self.left_out:
            yield ""
        for one in self.left_out:
            reason = one["error"]
            assert isinstance(reason, dict)
            yield f"not taken: {one['title']}: {reason['message']}"


async def describe(map_: OfflineMap) -> MapFacts:
    """Read what there is to say of an open map."""
    info = map_.info
    return MapFacts(
        map=str(map_.folder),
        title=info.title,
        item_id=info.item_id,
        portal=info.portal,
        area_item_id=info.area_item_id,
        taken_how=info.taken_how,
        taken_at=info.taken_at,
        update_mode=info.update_mode,
        area=None if info.area is None else info.area.to_json(),
        geodatabases=tuple([await _geodatabase(g) for g in map_.geodatabases]),
        broken={name: error.to_json() for name, error in map_.errors.items()},
        left_out=tuple(one.to_json() for one in info.left_out),
    )


async def _geodatabase(geodatabase: Geodatabase) -> GeodatabaseFacts:
    return GeodatabaseFacts(
        path=str(geodatabase.path),
        size_bytes=geodatabase.path.stat().st_size,
        service_url=geodatabase.service_url,
        sync_id=geodatabase.sync_id,
        sync_model=geodatabase.sync_model.value,
        attachment_direction=geodatabase.replica.attachment_direction.value,
        last_sync_at=geodatabase.replica.last_sync_at,
        conflicts=len(await geodatabase.conflicts()),
        quarantined=len(await geodatabase.quarantine()),
        notices=tuple(await geodatabase.notices()),
        tables=tuple([await _table(t) for t in geodatabase.feature_tables]),
    )


async def _table(feature_table: FeatureTable) -> TableFacts:
    edits = photo_edits = None
    if feature_table.error is None:
        counts = await feature_table.edit_counts()
        edits = Edits(adds=counts.adds, updates=counts.updates, deletes=counts.deletes)
        if feature_table.has_attachments:
            counts = await feature_table.attachment_edit_counts()
            photo_edits = Edits(adds=counts.adds, updates=counts.updates, deletes=counts.deletes)
    return TableFacts(
        layer_id=feature_table.layer_id,
        name=feature_table.name,
        table=feature_table.table_name,
        geometry_type=feature_table.geometry_type,
        rows=await feature_table.count(),
        attachments=await feature_table.attachment_count()
        if feature_table.has_attachments
        else None,
        edits=edits,
        attachment_edits=photo_edits,
        error=_error(feature_table.error),
    )


def _geodatabase_lines(geodatabase: GeodatabaseFacts) -> Iterator[str]:
    yield from pairs(
        [
            ("service", geodatabase.service_url),
            ("file", f"{geodatabase.path} ({size(geodatabase.size_bytes)})"),
            ("replica", f"{geodatabase.sync_id or 'unregistered'} ({geodatabase.sync_model})"),
            ("last sync", geodatabase.last_sync_at or "never"),
        ]
    )
    yield from table(HEADINGS, [_row(t) for t in geodatabase.tables])
    for one in geodatabase.tables:
        if one.error is not None:
            yield f"{one.name}: {one.error['message']}. {one.error['remedy']}"
    yield from geodatabase.notices
    if geodatabase.conflicts:
        told = number(geodatabase.conflicts, "conflict")
        yield f"{told} to be decided by a person. `fieldsync conflicts` lists them."
    if geodatabase.quarantined:
        told = number(geodatabase.quarantined, "edit")
        yield f"{told} refused and set aside. `fieldsync quarantine` says why."


def _row(one: TableFacts) -> tuple[object, ...]:
    return (
        one.layer_id,
        one.name,
        KINDS.get(one.geometry_type, one.geometry_type),
        one.rows,
        one.attachments,
        None if one.edits is None else one.edits.total,
        None if one.attachment_edits is None else one.attachment_edits.total,
    )


def _area(area: Json | None) -> str:
    if area is None:
        return "all that the service has"
    corners = ", ".join(f"{area[name]:g}" for name in ("xmin", "ymin", "xmax", "ymax"))
    reference = area.get("spatialReference")
    wkid = reference.get("wkid") if isinstance(reference, dict) else None
    return corners if wkid is None else f"{corners} (wkid {wkid})"


def _error(error: EngineError | None) -> Json | None:
    return None if error is None else error.to_json()
