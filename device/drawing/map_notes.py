"""Layers whose features stand in the web map itself: map notes, and other feature collections.

Source: Web Map Specification, "featureCollection", "featureSet", "layerDefinition".
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field

from device.drawing.json_members import object_of, objects_of
from engine import Shape, ShapedRow, SpatialReference

Json = Mapping[str, object]

_SYMBOL = "symbol of its own"
"""Stands for a field: the number of the feature's own symbol among those of the layer."""

_MOST_SYMBOLS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class NotesLayer:
    """One layer of a feature collection, with rows as those of a feature table."""

    title: str
    geometry_type: str
    spatial_reference: SpatialReference
    drawing_info: Json
    features: Sequence[Json] = field(repr=False)
    symbols: Sequence[object] = field(default=(), repr=False)

    async def query_shapes(
        self, where: str = "", *, fields: Sequence[str] = ()
    ) -> AsyncIterator[ShapedRow]:
        """All features; a feature collection is not filtered."""
        del where
        for number, feature in enumerate(self.features):
            attributes = object_of(feature, "attributes")
            folded = {name.casefold(): value for name, value in attributes.items()}
            if self.symbols:
                folded[_SYMBOL] = self.symbols.index(feature.get("symbol"))
            cells = (folded.get(name.casefold()) for name in fields)
            yield ShapedRow(
                global_id=str(number),
                shape=Shape.from_json(object_of(feature, "geometry")),
                values=tuple(v if isinstance(v, int | float | str) else None for v in cells),
            )


def notes_layers(title: str, definition: Json) -> list[NotesLayer]:
    """The layers of the feature collection in a layer of a web map; none if it has none."""
    found = []
    for one in objects_of(object_of(definition, "featureCollection"), "layers"):
        about, rows = object_of(one, "layerDefinition"), object_of(one, "featureSet")
        features = objects_of(rows, "features")
        kind = about.get("geometryType") or rows.get("geometryType")
        if not features or not isinstance(kind, str):
            continue
        reference = object_of(rows, "spatialReference") or object_of(
            object_of(features[0], "geometry"), "spatialReference"
        )
        symbols = _own_symbols(features)
        name = about.get("name")
        found.append(
            NotesLayer(
                title=f"{title}: {name}" if isinstance(name, str) and name else title,
                geometry_type=kind,
                spatial_reference=SpatialReference.from_json(reference or {"wkid": 102100}),
                drawing_info=_drawn(symbols) if symbols else object_of(about, "drawingInfo"),
                features=features,
                symbols=symbols,
            )
        )
    return found


def _own_symbols(features: Sequence[Json]) -> list[object]:
    """The different symbols of features that have their own, as notes of older maps do."""
    found: list[object] = []
    for feature in features:
        symbol = feature.get("symbol")
        if symbol not in found:
            found.append(symbol)
    return found if any(found) and len(found) <= _MOST_SYMBOLS else []


def _drawn(symbols: Sequence[object]) -> Json:
    infos = [
        {"value": number, "label": "note", "symbol": symbol}
        for number, symbol in enumerate(symbols)
    ]
    return {"renderer": {"type": "uniqueValue", "field1": _SYMBOL, "uniqueValueInfos": infos}}
