"""What a portal tells of a package of a map area: which rows it holds, and of which generation.

The item and its relations are those of ArcGIS REST API, "Create Map Area", "Setup Map Area" and
"Refresh Map Area Package". The ``properties`` of a package item are not documented beyond what
"Setup Map Area" is given, so whatever is missing or of another shape is taken as not told, and only
what cannot be done without is an error.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Self, TypeVar

from engine.errors import MapError, ProtocolError
from engine.geodatabase.package_record import PackageGenerations
from engine.json_members import text_of
from engine.layer_schema import JsonObject
from engine.model import (
    AttachmentSyncDirection,
    Envelope,
    QueryOption,
    SpatialReference,
    SyncModel,
)
from engine.service.portal import ItemInfo
from engine.service.replica_file import generations

FEATURE_PACKAGE = "SQLite Geodatabase"
"""The item type of a package with features, whatever is in its file."""
TILE_PACKAGES = frozenset({"Vector Tile Package", "Tile Package", "Compact Tile Package"})

E = TypeVar("E", SyncModel, AttachmentSyncDirection)


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageItem:
    """One package of a map area.

    ``size_bytes`` is -1 if the portal does not tell it; ``modified`` in milliseconds since 1970.
    The rest is of a package with features: the service it was made of, its layers (none: all), the
    rows of each (``layerQueries``), the rectangle around its area, its own replica, from which a
    client's own one may be registered, and its generations. ``is_syncable``: its service makes
    replicas. ``keeps_updates``: refreshes leave update files beside it, for about
    ``max_delta_age_days``. A client whose generation is lower than ``last_purged_generation`` must
    take the whole package. ``problem``: why its definition cannot be understood.
    """

    item_id: str
    title: str
    type: str
    size_bytes: int
    modified: int
    service_url: str = ""
    layer_ids: tuple[int, ...] = ()
    layer_queries: Mapping[int, JsonObject] = field(default_factory=dict)
    extent: Envelope | None = None
    sync_model: SyncModel | None = None
    replica_id: str = ""
    is_syncable: bool = False
    generations: PackageGenerations = field(default_factory=PackageGenerations)
    return_attachments: bool = False
    attachment_sync_direction: AttachmentSyncDirection | None = None
    keeps_updates: bool = False
    max_delta_age_days: int | None = None
    last_purged_generation: int | None = None
    problem: str = ""

    @property
    def has_features(self) -> bool:
        return self.type == FEATURE_PACKAGE

    @property
    def is_tiles(self) -> bool:
        return self.type in TILE_PACKAGES

    @property
    def version(self) -> str:
        """A word for what its file is now, fit for a file name: a refresh makes it another."""
        return f"{self.modified}-{self.size_bytes}"[:60]

    @classmethod
    def from_item(cls, item: ItemInfo) -> Self:
        """From what the portal says of the item."""
        found = cls(
            item_id=item.id,
            title=item.title or item.id,
            type=item.type,
            size_bytes=item.size,
            modified=item.modified,
        )
        if not found.has_features:
            return found
        told = item.properties
        server, layers = generations(told)
        model = text_of(told, "syncModel")
        direction = text_of(told, "attachmentsSyncDirection")
        deltas = told.get("createPkgDeltas")
        queries, problem = _queries(told)
        return replace(
            found,
            service_url=text_of(told, "url").split("?")[0].rstrip("/"),
            layer_ids=tuple(dict.fromkeys(_layer_ids(told))),
            layer_queries=queries,
            extent=extent_in(told),
            sync_model=_member(SyncModel, model),
            replica_id=text_of(told, "replicaID"),
            is_syncable=bool(text_of(told, "replicaID")) or "Syncable" in item.type_keywords,
            generations=PackageGenerations(server=server, layers=layers if server is None else {}),
            return_attachments=told.get("returnAttachments") is True,
            attachment_sync_direction=_member(AttachmentSyncDirection, direction),
            keeps_updates=isinstance(deltas, dict) or deltas is True,
            max_delta_age_days=_whole(deltas, "maxDeltaAge") if isinstance(deltas, dict) else None,
            last_purged_generation=_whole(told, "lastPurgedGen"),
            problem=problem if text_of(told, "url") else "it does not tell of which service it is",
        )

    def require_definition(self) -> None:
        """:exc:`MapError` unless the item tells which rows the package holds."""
        if not self.has_features:
            raise MapError(
                f"the package {self.title} is of the type {self.type or 'unknown'}, "
                f"which holds no features",
                remedy="It stays where it is; nothing else needs to be done",
            )
        if self.problem:
            raise MapError(
                f"the package {self.title} ({self.item_id}) cannot be taken: {self.problem}",
                remedy="Have the map area's packages made anew, or take the web map for its extent",
            )


def extent_in(properties: JsonObject) -> Envelope | None:
    """The rectangle of an ``extent``, or the one around the polygon of an ``area``; None if neither
    can be understood."""
    for name in ("extent", "area"):
        value = _object(properties.get(name))
        if value is not None:
            found = _envelope(value)
            if found is not None:
                return found
    return None


def _envelope(value: JsonObject) -> Envelope | None:
    rings = value.get("rings")
    if isinstance(rings, list):
        points = [p for ring in rings if isinstance(ring, list) for p in ring]
        try:
            xs, ys = [float(p[0]) for p in points], [float(p[1]) for p in points]
            corners = {"xmin": min(xs), "ymin": min(ys), "xmax": max(xs), "ymax": max(ys)}
        except (TypeError, ValueError, IndexError, KeyError):
            return None
        value = {**corners, "spatialReference": value.get("spatialReference")}
    inner = value.get("extent")
    if "xmin" not in value and isinstance(inner, dict):  # a bookmark
        value = inner
    try:
        found = Envelope.from_json(value)
    except ProtocolError:
        return None
    # A portal writes {} where it knows none.
    known = found.spatial_reference not in (None, SpatialReference.from_json({}))
    return found if known else replace(found, spatial_reference=None)


def _layer_ids(properties: JsonObject) -> list[int]:
    listed = properties.get("layers")
    if isinstance(listed, str):
        listed = _parsed(listed) if listed.startswith("[") else listed.split(",")
    found = []
    for one in listed if isinstance(listed, list) else []:
        number = one.get("id") if isinstance(one, dict) else one
        if isinstance(number, int) and not isinstance(number, bool):
            found.append(number)
        elif isinstance(number, str) and number.strip().isdecimal():
            found.append(int(number))
    return found


def _queries(properties: JsonObject) -> tuple[dict[int, JsonObject], str]:
    """Which rows of each layer, and what of it is not understood."""
    found: dict[int, JsonObject] = {}
    for key, query in (_object(properties.get("layerQueries")) or {}).items():
        if not isinstance(query, dict) or not key.isdecimal():
            return {}, f"the query of layer {key!r} is not understood"
        option = query.get("queryOption")
        known = isinstance(option, str) and option in {one.value for one in QueryOption}
        if option is not None and not known:
            return {}, f"the query of layer {key!r} is of the unknown kind {option!r}"
        found[int(key)] = query
    return found, ""


def _object(value: object) -> JsonObject | None:
    """An object, also where it was written as text."""
    value = _parsed(value) if isinstance(value, str) else value
    return value if isinstance(value, dict) else None


def _parsed(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _whole(value: JsonObject, name: str) -> int | None:
    number = value.get(name)
    if isinstance(number, str) and number.isdecimal() and len(number) < 20:
        return int(number)
    return number if isinstance(number, int) and not isinstance(number, bool) else None


def _member(kind: type[E], text: str) -> E | None:
    return next((one for one in kind if one.value == text), None)
