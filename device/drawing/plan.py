"""What is to be drawn: the layers with their symbols, looked through once before the first line.

A file is written from its beginning to its end, so what stands at the beginning (the size of the
picture, the symbols that are used) has to be known before.
"""

import math
from array import array
from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from device.drawing.filters import local_sql
from device.drawing.map_notes import NotesLayer, notes_layers
from device.drawing.projection import Box
from device.drawing.references import Convert, converter, is_geographic
from device.drawing.renderers import OTHER, Renderer, make_renderer
from device.drawing.subtypes import drawing_info_of
from engine import (
    EngineError,
    FeatureTable,
    OfflineMap,
    OperationalLayer,
    Shape,
    ShapedRow,
    ShapeKind,
    SpatialReference,
)

KINDS = {
    "esriGeometryPoint": ShapeKind.POINTS,
    "esriGeometryMultipoint": ShapeKind.POINTS,
    "esriGeometryPolyline": ShapeKind.LINES,
    "esriGeometryPolygon": ShapeKind.RINGS,
}

_MOST_DEGREES, _MOST_UNITS = 720.0, 1e9


class RowSource(Protocol):
    """Where rows come from: a feature table, or the web map itself."""

    @property
    def spatial_reference(self) -> SpatialReference: ...

    def query_shapes(
        self, where: str = "", *, fields: Sequence[str] = ()
    ) -> AsyncIterator[ShapedRow]: ...


@dataclass(slots=True, kw_only=True)
class LayerPlan:
    """A layer that has rows on this device: what of it is found, and what becomes of it.

    ``table`` is None if its rows stand in the web map. ``seen`` are the features of each class that
    were found at first, ``drawn`` those that are in the picture; ``outside`` are not in it,
    ``without_shape`` can be nowhere.
    """

    number: int
    id: str
    title: str
    source: RowSource
    table: FeatureTable | None
    kind: ShapeKind
    renderer: Renderer
    where: str
    opacity: float
    is_drawn: bool
    reference: SpatialReference
    convert: Convert | None
    seen: dict[int, int] = field(default_factory=dict)
    drawn: dict[int, int] = field(default_factory=dict)
    outside: int = 0
    without_shape: int = 0
    notes: list[str] = field(default_factory=list)

    @property
    def features(self) -> int:
        """How many features of the layer are in the picture, with a symbol or without."""
        return sum(self.drawn.values())

    @property
    def used(self) -> list[int]:
        """The classes that have features, in their order in the renderer."""
        return sorted(one for one in self.seen if one != OTHER)

    def name_of(self, symbol_class: int) -> str:
        """The id of a class in the drawing."""
        return f"l{self.number}c{symbol_class}"

    async def rows(self) -> AsyncIterator[tuple[int, Shape | None]]:
        """Class and shape of each row, in the coordinates of the drawing; None if it has none."""
        assert self.convert is not None
        class_of, convert = self.renderer.class_of, self.convert
        rows: AsyncIterator[ShapedRow] = self.source.query_shapes(
            self.where, fields=self.renderer.fields
        )
        async for row in rows:
            shape = row.shape
            if shape is not None:
                is_other = shape.kind is not self.kind
                shape = None if is_other else converted(shape, convert, self.reference)
            yield class_of(row.values), shape


@dataclass(slots=True, kw_only=True)
class Plan:
    """All of a drawing. ``reference`` is what its coordinates are in, ``box`` what of it must be
    shown, ``area`` the area that was taken."""

    reference: SpatialReference
    layers: list[LayerPlan]
    tables: list[OperationalLayer]
    missing: list[OperationalLayer]
    area: Box | None
    box: Box | None
    notes: list[str]

    @property
    def drawn(self) -> list[LayerPlan]:
        """Those layers that are drawn, the lowest first."""
        return [one for one in self.layers if one.is_drawn]

    @property
    def feature_tables(self) -> list[tuple[FeatureTable, Convert | None]]:
        """The feature tables behind the layers, each once; also those of layers that are hidden or
        cannot be drawn, whose edits are counted all the same."""
        found = {
            id(one.table): (one.table, one.convert) for one in self.layers if one.table is not None
        }
        return list(found.values())


def make_plan(map_: OfflineMap, chosen: Collection[str] | None) -> Plan:
    """The plan for a map; ``chosen`` are the ids of the layers that are wanted, hidden ones too,
    None all that the map shows."""
    every = [one for one in map_.operational_layers if chosen is None or one.id in chosen]
    reference = _page_reference(map_, every)
    layers: list[LayerPlan] = []
    tables: list[OperationalLayer] = []
    missing: list[OperationalLayer] = []
    is_asked = chosen is not None
    for layer in every:
        found = _sources(layer)
        if not found:
            (missing if layer.feature_table is None else tables).append(layer)
        for source in found:
            number = len(layers)
            layers.append(_layer_plan(number, layer, source, reference, is_asked=is_asked))
    notes: list[str] = []
    area = None
    if map_.info.area is not None:
        given = map_.info.area
        box = (given.xmin, given.ymin, given.xmax, given.ymax)
        area = box_in(box, given.spatial_reference or reference, reference)
        if area is None:
            notes.append("the area that was taken is in another spatial reference, and not drawn")
    return Plan(
        reference=reference,
        layers=layers,
        tables=tables,
        missing=missing,
        area=area,
        box=area,
        notes=notes,
    )


def _sources(layer: OperationalLayer) -> Sequence[FeatureTable | NotesLayer]:
    """What of a layer has shapes that can be drawn."""
    if layer.feature_table is not None:
        return [layer.feature_table] if layer.feature_table.geometry_type in KINDS else []
    notes = notes_layers(layer.title, layer.definition)
    return [one for one in notes if one.geometry_type in KINDS]


def _layer_plan(
    number: int,
    layer: OperationalLayer,
    source: FeatureTable | NotesLayer,
    reference: SpatialReference,
    *,
    is_asked: bool,
) -> LayerPlan:
    kind = KINDS[source.geometry_type or ""]
    problem, title, table = "", layer.title, None
    if isinstance(source, NotesLayer):
        drawing_info, title = source.drawing_info, source.title
    else:
        table = source
        drawing_info, problem = drawing_info_of(layer)
    renderer = make_renderer(drawing_info, kind, number)
    convert = converter(source.spatial_reference, reference)
    notes = [*renderer.problems, *([problem] if problem else [])]
    if convert is None:
        notes = ["it is in another spatial reference than the map, and not drawn"]
    return LayerPlan(
        number=number,
        id=layer.id,
        title=title,
        source=source,
        table=table,
        kind=kind,
        renderer=renderer,
        where="" if table is None else local_sql(layer.definition_expression),
        opacity=layer.opacity * _service_opacity(layer),
        is_drawn=convert is not None and (is_asked or layer.is_visible),
        reference=reference,
        convert=convert,
        notes=notes,
    )


def _service_opacity(layer: OperationalLayer) -> float:
    """A service may say how transparent its layer is, in percent, where the web map does not."""
    clear = layer.drawing_info.get("transparency")
    if "opacity" in layer.definition or not isinstance(clear, int | float):
        return 1.0
    return 1 - min(max(clear, 0), 100) / 100


async def survey(plan: Plan) -> None:
    """Look through the rows: which classes there are and, if nobody said what to show, where."""
    bounds: list[Box] = []
    for one in plan.drawn:
        await _check_condition(one)
        if plan.box is not None and not one.renderer.fields:
            one.seen[0] = 0  # the drawing itself will count them
            continue
        async for symbol_class, shape in one.rows():
            one.seen[symbol_class] = one.seen.get(symbol_class, 0) + 1
            if plan.box is None and shape is not None:
                bounds = [_joined([*bounds, shape.bounds])]
        if OTHER in one.seen:
            one.notes.append("features for whose values it has no symbol are not drawn")
    if plan.box is None:
        for table, convert in plan.feature_tables:
            if table.error is None:
                async for edit in table.get_local_edits():
                    feature = edit.feature or edit.base
                    shape = Shape.from_json(None if feature is None else feature.geometry)
                    shape = converted(shape, convert, plan.reference)
                    if shape is not None:
                        bounds = [_joined([*bounds, shape.bounds])]
        if bounds:
            (plan.box,) = bounds


def converted(
    shape: Shape | None, convert: Convert | None, reference: SpatialReference
) -> Shape | None:
    """The shape in the drawing's coordinates; None if those are not known or nowhere on earth."""
    if shape is None or convert is None:
        return None
    moved = Shape(shape.kind, tuple(convert(part) for part in shape.parts))
    return moved if is_sound(moved.bounds, reference) else None


def box_in(box: Box, source: SpatialReference, target: SpatialReference) -> Box | None:
    """The box in another reference; None if that is not known here."""
    convert = converter(source, target)
    if convert is None:
        return None
    xmin, ymin, xmax, ymax = convert(array("d", box))
    return xmin, ymin, xmax, ymax


def is_sound(box: Box, reference: SpatialReference) -> bool:
    """True if that is a place: one wild number would make a dot of all the rest of the map."""
    most = _MOST_DEGREES if is_geographic(reference) else _MOST_UNITS
    return all(math.isfinite(edge) and abs(edge) <= most for edge in box)


async def _check_condition(one: LayerPlan) -> None:
    """A condition that only its service understands is left out."""
    if not one.where:
        return
    try:
        async for _ in one.source.query_shapes(f"(\n{one.where}\n) AND 0"):
            pass
    except EngineError as error:
        if error.code != "bad-parameter":
            raise
        one.where = ""
        one.notes.append("its filter cannot be followed here: all its features are drawn")


def _page_reference(map_: OfflineMap, layers: Sequence[OperationalLayer]) -> SpatialReference:
    """The web map's own, if layers can be drawn in it; else that of the first layer."""
    value = map_.definition.get("spatialReference")
    wanted = SpatialReference.from_json(value if isinstance(value, dict) else None)
    found = [
        one.feature_table.spatial_reference
        for one in layers
        if one.feature_table is not None and one.feature_table.geometry_type is not None
    ]
    if (wanted.latest or wanted.wkt) and (
        not found or any(converter(one, wanted) is not None for one in found)
    ):
        return wanted
    return found[0] if found else SpatialReference.of(4326)


def _joined(boxes: Sequence[Box]) -> Box:
    xmins, ymins, xmaxs, ymaxs = zip(*boxes, strict=True)
    return min(xmins), min(ymins), max(xmaxs), max(ymaxs)
