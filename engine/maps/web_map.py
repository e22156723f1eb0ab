"""A web map: its layers and tables, which of them are of feature services, its offline settings.

Sources: Web Map Specification, "Web map", "Operational layers", "Group layer", "Subtype group
layer", "Offline". Whatever a web map holds beside that is kept as it is in ``map.json``.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import NamedTuple, Self, TypeVar
from urllib.parse import urlsplit

from engine.errors import MapError
from engine.json_members import object_of, text_of
from engine.layer_schema import JsonObject
from engine.model import SpatialReference
from engine.service.hosts import is_arcgis_online, origin

MAX_DEPTH = 30  # of groups in groups; Map Viewer makes far fewer
EMBEDDED = "feature collection"

_GROUPS = frozenset({"GroupLayer"})
_OF_SUBTYPES = frozenset({"SubtypeGroupLayer", "SubtypeGroupTable"})
_OF_FEATURES = frozenset({"", "ArcGISFeatureLayer", *_OF_SUBTYPES})


class EditableDownload(Enum):
    """What of layers that can be edited is downloaded (``offline.editableLayers.download``)."""

    NONE = "none"
    FEATURES = "features"
    FEATURES_AND_ATTACHMENTS = "featuresAndAttachments"


class EditableSync(Enum):
    """What of them a sync exchanges (``offline.editableLayers.sync``)."""

    FEATURES_AND_ATTACHMENTS = "syncFeaturesAndAttachments"
    FEATURES_UPLOAD_ATTACHMENTS = "syncFeaturesUploadAttachments"
    UPLOAD_FEATURES_AND_ATTACHMENTS = "uploadFeaturesAndAttachments"


W = TypeVar("W", EditableDownload, EditableSync)


@dataclass(frozen=True, slots=True, kw_only=True)
class OfflineSettings:
    """How the author wants the map taken offline; the defaults are those of the specification.

    ``online_layers``: ids of layers that shall stay online. ``notes``: settings that were not
    understood, for which the default stands.
    """

    download: EditableDownload = EditableDownload.FEATURES_AND_ATTACHMENTS
    sync: EditableSync = EditableSync.FEATURES_AND_ATTACHMENTS
    downloads_attachments_of_readonly: bool = True
    includes_rows_of_tables: bool = True
    online_layers: frozenset[str] = frozenset()
    reference_basemap: str = ""
    notes: tuple[str, ...] = ()

    @classmethod
    def from_json(cls, value: JsonObject) -> Self:
        """From ``applicationProperties.offline``."""
        notes: list[str] = []
        editable, online = object_of(value, "editableLayers"), value.get("connectedOnlineLayers")
        return cls(
            download=_word(editable, "download", EditableDownload.FEATURES_AND_ATTACHMENTS, notes),
            sync=_word(editable, "sync", EditableSync.FEATURES_AND_ATTACHMENTS, notes),
            downloads_attachments_of_readonly=object_of(value, "readonlyLayers").get(
                "downloadAttachments"
            )
            is not False,
            includes_rows_of_tables=object_of(value, "tables").get("includeRows") is not False,
            online_layers=frozenset(
                one["id"]
                for one in (online if isinstance(online, list) else ())
                if isinstance(one, dict) and isinstance(one.get("id"), str)
            ),
            reference_basemap=text_of(object_of(value, "offlinebasemap"), "referenceBasemapName"),
            notes=tuple(notes),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class WebMapLayer:
    """One layer or table of the map.

    ``service_url`` and ``layer_id`` are of its feature service; without one ``problem`` says why
    its rows cannot be taken. ``where`` is its definition expression. A subtype group layer is one
    layer of the service: what its sublayers show is all in there. ``stays_online``: its author
    wants that. ``is_embedded``: its features stand in the map itself. ``is_visible`` and
    ``opacity`` (0–1) count its groups in; ``definition`` is its JSON in the map.
    """

    id: str
    title: str
    type: str
    is_table: bool
    service_url: str = ""
    layer_id: int = -1
    where: str = ""
    problem: str = ""
    stays_online: bool = False
    is_embedded: bool = False
    is_visible: bool = True
    opacity: float = 1.0
    definition: JsonObject = field(default_factory=dict, repr=False, compare=False)

    @property
    def can_be_taken(self) -> bool:
        """Whether it is of a feature service and its author does not keep it online."""
        return not self.problem and not self.is_embedded


@dataclass(frozen=True, slots=True, kw_only=True)
class WebMap:
    """A web map. ``definition`` is its JSON as it was received; groups are resolved in ``layers``,
    in the order of the map."""

    layers: tuple[WebMapLayer, ...]
    tables: tuple[WebMapLayer, ...]
    offline: OfflineSettings
    spatial_reference: SpatialReference
    definition: JsonObject = field(repr=False, compare=False)

    @classmethod
    def from_json(cls, value: JsonObject, *, portal: str = "") -> Self:
        """From a web map's JSON. ``portal``: the URL of the portal it is from.

        :exc:`MapError` if it is no web map.
        """
        listed = value.get("operationalLayers")
        if not isinstance(listed, list):
            raise MapError(
                "this is no web map: it has no list of operational layers",
                remedy="Open it in Map Viewer and save it again, or give another item",
            )
        properties = object_of(value, "applicationProperties")
        offline = OfflineSettings.from_json(object_of(properties, "offline"))
        reader = _Reader(offline.online_layers, portal)
        layers = tuple(reader.read(listed, is_table=False))
        return cls(
            layers=layers,
            tables=tuple(reader.read(value.get("tables"), is_table=True)),
            offline=offline,
            spatial_reference=SpatialReference.from_json(object_of(value, "spatialReference")),
            definition=value,
        )

    @property
    def every(self) -> tuple[WebMapLayer, ...]:
        """Layers, then tables."""
        return (*self.layers, *self.tables)

    def services(self) -> dict[str, list[WebMapLayer]]:
        """URL of each feature service that the map takes rows from → its layers and tables."""
        found: dict[str, list[WebMapLayer]] = {}
        for layer in self.every:
            if layer.can_be_taken:
                found.setdefault(layer.service_url, []).append(layer)
        return found


def clauses(layers: list[WebMapLayer]) -> dict[int, str]:
    """Layer id → the clause for the rows that any of these layers of one service shows.

    One that is in the map several times is taken once, with the rows of all; empty: all rows.
    """
    found: dict[int, list[str]] = {}
    for layer in layers:
        found.setdefault(layer.layer_id, []).append(layer.where)
    return {layer_id: _joined(list(dict.fromkeys(texts))) for layer_id, texts in found.items()}


def _joined(texts: list[str]) -> str:
    if "" in texts:
        return ""
    return texts[0] if len(texts) == 1 else " OR ".join(f"({text})" for text in texts)


class _Group(NamedTuple):
    """What a group of layers decides for those in it."""

    stays_online: bool
    is_visible: bool
    opacity: float


_NO_GROUP = _Group(stays_online=False, is_visible=True, opacity=1.0)


class _Reader:
    """Reads lists of layers. Each gets an id of its own, also where the map gives none or twice."""

    def __init__(self, online: frozenset[str], portal: str) -> None:
        self._online = online
        self._portal = portal
        self._ids: set[str] = set()
        self._urls: dict[tuple[str, str], str] = {}

    def read(self, listed: object, *, is_table: bool) -> Iterator[WebMapLayer]:
        yield from self._listed(listed, _NO_GROUP, is_table=is_table, depth=0)

    def _listed(
        self, listed: object, group: "_Group", *, is_table: bool, depth: int
    ) -> Iterator[WebMapLayer]:
        if depth > MAX_DEPTH:
            raise MapError(f"the web map has groups in groups, more than {MAX_DEPTH} deep")
        for value in listed if isinstance(listed, list) else ():
            if not isinstance(value, dict):
                raise MapError("the web map has a layer that is no object")
            inside = _Group(
                stays_online=group.stays_online or text_of(value, "id") in self._online,
                is_visible=group.is_visible and value.get("visibility") is not False,
                opacity=group.opacity * _opacity(value),
            )
            if text_of(value, "layerType") in _GROUPS:
                for name, of_tables in (("layers", is_table), ("tables", True)):
                    yield from self._listed(
                        value.get(name), inside, is_table=of_tables, depth=depth + 1
                    )
            else:
                yield self._layer(value, inside, is_table=is_table)

    def _layer(
        self, value: Mapping[str, object], inside: "_Group", *, is_table: bool
    ) -> WebMapLayer:
        kind, layer_id = text_of(value, "layerType"), self._free_id(text_of(value, "id"))
        layer = WebMapLayer(
            id=layer_id,
            title=text_of(value, "title") or layer_id,
            type=kind or "ArcGISFeatureLayer",
            is_table=is_table,
            where=text_of(object_of(value, "layerDefinition"), "definitionExpression").strip(),
            stays_online=inside.stays_online,
            is_visible=inside.is_visible,
            opacity=inside.opacity,
            definition=value,
        )
        if layer.stays_online:
            return replace(layer, problem="its author wants it to stay online")
        if kind not in _OF_FEATURES:
            return replace(layer, problem=f"layers of the type {kind} cannot be taken offline")
        if "featureCollection" in value:
            return replace(layer, type=EMBEDDED, is_embedded=True)
        if text_of(value, "type") == "Feature Collection":
            return replace(layer, problem="it is a feature collection in another portal item")
        url, number = self._service(text_of(value, "url"))
        if not url:
            return replace(layer, problem=number)
        return replace(layer, service_url=url, layer_id=int(number))

    def _service(self, url: str) -> tuple[str, str]:
        """URL and layer id; or nothing, and why."""
        url = url.strip().split("?")[0].rstrip("/")
        service, _, number = url.rpartition("/")
        if not url:
            return "", "the map does not say at which URL it is"
        if url.casefold().endswith("/featureserver"):
            return "", "the map names its service, but no layer of it"
        kind = service.rpartition("/")[2].casefold()
        if not (number.isascii() and number.isdecimal()) or not origin(service)[1]:
            return "", "it is not a layer of a feature service"
        if kind != "featureserver":
            return "", "it is a layer of a map service, which cannot be taken offline"
        # The same service, spelled in two ways, is one.
        service = self._as_https(service)
        _, host, port = origin(service)
        key = (f"{host}:{'' if port in (80, 443) else port}", urlsplit(service).path.casefold())
        return self._urls.setdefault(key, service), number

    def _as_https(self, url: str) -> str:
        """Old maps say http for services that are at https, too: those of the portal's own host
        if that is https, and all of ArcGIS Online. Credentials are sent to https only."""
        scheme, host, _ = origin(url)
        if scheme != "http" or urlsplit(url).port is not None:
            return url
        secure = f"https{url[len(scheme) :]}"
        is_of_portal = origin(self._portal) == ("https", host, 443)
        return secure if is_of_portal or is_arcgis_online(secure) else url

    def _free_id(self, wanted: str) -> str:
        wanted = wanted or "layer"
        free, number = wanted, 2
        while free in self._ids:
            free, number = f"{wanted}_{number}", number + 1
        self._ids.add(free)
        return free


def _word(value: JsonObject, name: str, default: W, notes: list[str]) -> W:
    given = value.get(name)
    if given is None:
        return default
    try:
        return type(default)(given)
    except ValueError:
        notes.append(f"the map's offline setting {name} is {given!r}, which is not known")
        return default


def _opacity(value: JsonObject) -> float:
    given = value.get("opacity")
    return min(1.0, max(0.0, given)) if isinstance(given, int | float) else 1.0
