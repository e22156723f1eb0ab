"""A replica: which rows a client keeps, and how far it has come.

Source: ArcGIS REST API, "Create Replica" and "Replica info".
"""

import json
from dataclasses import asdict, dataclass, field
from typing import Any

from .definition import Layer, Service
from .guid import bare
from .parameters import Parameters
from .problem import ServiceError, invalid_parameter
from .spatial import SpatialFilter, read_filter
from .store import Store

_OPTIONS = ("none", "useFilter", "all")
_ALLOWED_DIRECTIONS = {True: ("bidirectional", "upload"), False: ("none", "upload")}


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerQuery:
    """Which rows of one layer belong to the replica."""

    layer_id: int
    option: str
    where: str
    uses_geometry: bool
    includes_related: bool


@dataclass(slots=True, kw_only=True)
class Replica:
    """One registered replica, as it is stored."""

    id: str
    name: str
    owner: str
    model: str
    target: str
    direction: str
    returns_attachments: bool
    attachments_direction: str
    wkid: int
    geometry: str
    geometry_type: str
    in_sr: str
    queries: list[LayerQuery]
    created_ms: int
    last_sync_ms: int
    is_download_only: bool = False
    sees_everything: bool = False
    generations: dict[str, int] = field(default_factory=dict)

    def query_of(self, layer_id: int) -> LayerQuery:
        """The query of one of the replica's layers."""
        for query in self.queries:
            if query.layer_id == layer_id:
                return query
        raise ServiceError(400, "Invalid or missing input parameters.", f"no layer {layer_id}")

    @property
    def layer_ids(self) -> list[int]:
        return [query.layer_id for query in self.queries]

    @property
    def receives_attachments(self) -> bool:
        """Whether a sync sends attachments down."""
        return self.attachments_direction == "bidirectional"

    @property
    def sends_attachments(self) -> bool:
        """Whether a sync takes attachments up."""
        return self.attachments_direction in ("bidirectional", "upload")

    def spatial_filter(self, service_wkid: int) -> SpatialFilter | None:
        """The geometry filter in the service's reference."""
        if not self.geometry:
            return None
        return read_filter("geometry", self.geometry, self.geometry_type, self.in_sr, service_wkid)


def read_layer_ids(service: Service, parameters: Parameters) -> list[int]:
    """The `layers` parameter; ServiceError for a layer that is not there."""
    ids = parameters.integers("layers")
    if not ids:
        raise invalid_parameter("layers", "the list of layers is missing")
    for layer_id in ids:
        if layer_id not in service.layers:
            raise invalid_parameter("layers", f"there is no layer {layer_id}")
    return list(dict.fromkeys(ids))


def read_queries(service: Service, ids: list[int], parameters: Parameters) -> list[LayerQuery]:
    """The `layerQueries` parameter, with the default of every layer it leaves out."""
    given = parameters.json("layerQueries")
    if given is not None and not isinstance(given, dict):
        raise invalid_parameter("layerQueries", "the value is not a JSON object")
    by_id = {str(key): value for key, value in (given or {}).items()}
    for key in by_id:
        if not key.isdigit() or int(key) not in ids:
            raise invalid_parameter("layerQueries", f"layer {key} is not in layers")
    return [_query(service.layers[layer_id], service, ids, by_id) for layer_id in ids]


def _query(layer: Layer, service: Service, ids: list[int], given: dict[str, Any]) -> LayerQuery:
    entry = given.get(str(layer.id)) or {}
    if not isinstance(entry, dict):
        raise invalid_parameter("layerQueries", f"layer {layer.id} is not described by an object")
    where = str(entry.get("where") or "").strip()
    option = str(entry.get("queryOption") or "")
    if not option:
        related = layer.is_table and not where and bool(origins(service, layer, ids))
        option = "none" if related else "useFilter"
    chosen = next((word for word in _OPTIONS if word.lower() == option.lower()), None)
    if chosen is None:
        raise invalid_parameter("layerQueries", f"queryOption '{option}' is unknown")
    return LayerQuery(
        layer_id=layer.id,
        option=chosen,
        where=where,
        uses_geometry=_flag(entry.get("useGeometry", True)) and not layer.is_table,
        includes_related=_flag(entry.get("includeRelated", True)),
    )


def _flag(value: Any) -> bool:
    return value.strip().lower() == "true" if isinstance(value, str) else bool(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """A relationship that leads to a layer: whose rows bring rows of the layer along."""

    layer: Layer
    key: str
    own_key: str
    junction: Layer | None = None
    junction_keys: tuple[str, str] = ("", "")
    """The fields of the table between the two: the origin's key, and the layer's own."""


def origins(service: Service, layer: Layer, ids: list[int]) -> list[Origin]:
    """Every way from one of these layers to a layer."""
    found = []
    for origin_id in ids:
        origin = service.layers[origin_id]
        for one in origin.relationships:
            other = service.other_side(one)
            if not one.is_origin or one.is_dangling or other is None:
                continue
            if one.junction_layer == layer.id:
                found.append(Origin(layer=origin, key=one.key_field, own_key=one.junction_field))
            elif one.related_layer == layer.id:
                number = one.junction_layer
                between = None if number is None else service.layers[number]
                found.append(
                    Origin(
                        layer=origin,
                        key=one.key_field,
                        own_key=other.key_field,
                        junction=between,
                        junction_keys=(one.junction_field, other.junction_field),
                    )
                )
    return found


def read_attachments_direction(parameters: Parameters) -> tuple[bool, str]:
    """`returnAttachments` and `attachmentsSyncDirection`, which only go together in four pairs."""
    returned = parameters.flag("returnAttachments")
    allowed = _ALLOWED_DIRECTIONS[returned]
    direction = parameters.word(
        "attachmentsSyncDirection", ("none", "upload", "bidirectional"), allowed[0]
    )
    if direction not in allowed:
        if not returned and direction == "bidirectional":
            wanted = "needs returnAttachments=true"
        else:
            wanted = f"does not go with returnAttachments={str(returned).lower()}"
        raise invalid_parameter("attachmentsSyncDirection", f"'{direction}' {wanted}")
    return returned, direction


class Replicas:
    """The replicas registered in one store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def find(self, replica_id: str) -> Replica | None:
        """The replica of that id in any spelling."""
        found = self._store.one("SELECT document FROM replica WHERE id = ?", bare(replica_id))
        return None if found is None else _from_text(found[0])

    def every(self) -> list[Replica]:
        """Every replica, in the order of their names."""
        found = self._store.run("SELECT document FROM replica ORDER BY name").fetchall()
        return [_from_text(text) for (text,) in found]

    def save(self, replica: Replica) -> None:
        """Store a new or a changed replica; inside a transaction."""
        text = json.dumps(asdict(replica))
        self._store.run(
            "INSERT OR REPLACE INTO replica VALUES (?, ?, ?)", bare(replica.id), replica.name, text
        )

    def remove(self, replica: Replica) -> None:
        """Forget a replica; inside a transaction."""
        self._store.run("DELETE FROM replica WHERE id = ?", bare(replica.id))

    def free_name(self, wanted: str) -> str:
        """The name itself, or the first of `name_0`, `name_1` … that is not taken."""
        name, number = wanted, 0
        while self._store.one("SELECT 1 FROM replica WHERE name = ?", name):
            name, number = f"{wanted}_{number}", number + 1
        return name


def _from_text(text: str) -> Replica:
    document = json.loads(text)
    document["queries"] = [LayerQuery(**query) for query in document["queries"]]
    return Replica(**document)
