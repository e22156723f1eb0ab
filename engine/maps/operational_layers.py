"""The layers of an offline map as its web map has them, each with its rows on this device.

Sources: Web Map Specification, "Operational layers", "layerDefinition", "drawingInfo"; ArcGIS REST
API, "Layer (feature service)", for layers whose symbols the web map leaves to their service.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from engine.errors import EngineError, MapError
from engine.geodatabase.feature_table import FeatureTable
from engine.json_members import object_of
from engine.layer_schema import JsonObject
from engine.maps.web_map import WebMap, WebMapLayer


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationalLayer:
    """A layer or table of a map.

    ``feature_table`` is None if its rows are not on this device; then ``reason`` says why, or is
    empty for a layer that stays online. ``is_visible`` and ``opacity`` (0–1) count groups in.
    ``definition_expression`` is the condition for the rows that it shows, in the SQL of the
    service; empty: all. ``definition`` is the layer's JSON in the web map, empty if it is not in
    there.
    """

    id: str
    title: str
    is_table: bool
    feature_table: FeatureTable | None
    reason: str = ""
    is_visible: bool = True
    opacity: float = 1.0
    definition_expression: str = ""
    definition: JsonObject = field(default_factory=dict, repr=False, compare=False)

    @property
    def drawing_info(self) -> JsonObject:
        """How it is drawn: as the web map says, else as the service does; empty if neither does."""
        own = object_of(object_of(self.definition, "layerDefinition"), "drawingInfo")
        if own.get("renderer") or self.feature_table is None:
            return own
        return object_of(self.feature_table.schema.resource, "drawingInfo")


def operational_layers(
    definition: JsonObject,
    portal: str,
    tables: Mapping[str, Sequence[FeatureTable]],
    missing: Mapping[str, EngineError],
) -> list[OperationalLayer]:
    """The layers of the web map ``definition``, the lowest first, then its tables.

    ``tables`` are the feature tables by the URL of their service, ``missing`` says of layers, by
    their id, why they were not taken. What the web map does not name lies below what it names.
    """
    try:
        named = WebMap.from_json(definition, portal=portal).every
    except MapError:  # the folder's own files say enough to draw the rest
        named = ()
    found = [_layer(one, tables, missing) for one in named]
    seen = {id(one.feature_table) for one in found if one.feature_table is not None}
    below = [
        OperationalLayer(
            id=f"{url}/{table.layer_id}",
            title=table.name,
            is_table=table.geometry_type is None,
            feature_table=table,
        )
        for url, listed in tables.items()
        for table in reversed(listed)
        if id(table) not in seen
    ]
    every = [*below, *found]
    return [one for one in every if not one.is_table] + [one for one in every if one.is_table]


def _layer(
    layer: WebMapLayer,
    tables: Mapping[str, Sequence[FeatureTable]],
    missing: Mapping[str, EngineError],
) -> OperationalLayer:
    table = None
    if layer.can_be_taken and not layer.stays_online:
        listed = tables.get(layer.service_url, ())
        table = next((one for one in listed if one.layer_id == layer.layer_id), None)
    reason = ""
    if layer.is_embedded:
        reason = "its features stand in the web map"
    elif table is None and not layer.stays_online:
        error = missing.get(layer.id)
        reason = layer.problem or ("it was not taken" if error is None else error.message)
    return OperationalLayer(
        id=layer.id,
        title=layer.title,
        is_table=layer.is_table if table is None else table.geometry_type is None,
        feature_table=table,
        reason=reason,
        is_visible=layer.is_visible,
        opacity=layer.opacity,
        definition_expression=layer.where,
        definition=layer.definition,
    )
