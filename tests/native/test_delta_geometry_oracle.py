"""Geometry columns that the core writes are what SPEC.md §4 says, and back."""

from typing import Any

import pytest
from hypothesis import given, strategies as st

from native.delta_columns import ColumnReader, ColumnWriter
from native.layer import Layer, LayerTable
from tests.native import delta_geometry_oracle as oracle, delta_oracle
from tests.native.delta_geometry_oracle import Shape, Vertex

LAYERS = tuple(
    Layer(id=place, columns=(), geometry_type=f"esriGeometry{kind}", has_z=has_z, has_m=has_m)
    for place, (kind, has_z, has_m) in enumerate(
        (kind, *further)
        for kind in ("Point", "Multipoint", "Polyline", "Polygon")
        for further in ((False, False), (True, False), (False, True), (True, True))
    )
)
TABLE = LayerTable(LAYERS)
ODD = st.sampled_from([None, 7, 1.5, "text", b"", b"GP\0\1no blob"])
# Few different ones: what repeats is what the prediction is about.
ORDINATE = (
    st.integers(-9, 9).map(float)
    | st.integers(-300, 300).map(lambda n: n / 100)
    | st.integers(-(10**10), 10**10).map(lambda n: n / 1e8)
    | st.sampled_from([-0.0, 0.1 + 0.2, 1e300, 5e-324])
    | st.floats(-2e7, 2e7)
)


@st.composite
def shapes(draw: st.DrawFn, layer: Layer) -> Shape:
    small = st.integers(0, 3)
    match layer.geometry_type:
        case oracle.POINT:
            counts = []
        case oracle.MULTIPOINT:
            counts = [draw(st.integers(1, 5))]
        case oracle.POLYLINE:
            lines = draw(st.lists(st.integers(0, 5), min_size=1, max_size=3))
            counts = [len(lines), *lines]
        case _:
            polygons = draw(st.lists(st.lists(small, max_size=3), min_size=1, max_size=3))
            counts = [len(polygons)]
            for rings in polygons:
                counts += [len(rings), *rings]
    size = sum(sum(part) for part in oracle.runs_of(layer, counts))
    return Shape(counts, [draw(vertices(layer)) for _ in range(size)])


def vertices(layer: Layer) -> st.SearchStrategy[Vertex]:
    measure = ORDINATE | st.just(float("nan"))
    return st.tuples(*[ORDINATE] * (2 + layer.has_z), *[measure] * layer.has_m)


@st.composite
def pairs(draw: st.DrawFn, layer: Layer) -> tuple[Any, Any]:
    """A value and what the base has for its row: the same, much of it, or something else."""
    old = draw(shapes(layer))
    new = draw(st.just(old) | edited(layer, old) | shapes(layer))
    value: Any = oracle.blob_of(layer, new) if new.vertices else None
    before: Any = oracle.blob_of(layer, old) if old.vertices else None
    return (draw(ODD) if draw(st.integers(0, 9)) == 0 else value), before


@st.composite
def edited(draw: st.DrawFn, layer: Layer, shape: Shape) -> Shape:
    """One vertex moved, put in or taken out."""
    if not shape.vertices:
        return shape
    at = draw(st.integers(0, len(shape.vertices) - 1))
    found, vertex = list(shape.vertices), draw(vertices(layer))
    if layer.geometry_type != oracle.MULTIPOINT or draw(st.booleans()):
        return Shape(shape.counts, [*found[:at], vertex, *found[at + 1 :]])
    if draw(st.booleans()) or len(found) == 1:
        return Shape([len(found) + 1], [*found[:at], vertex, *found[at:]])
    return Shape([len(found) - 1], [*found[:at], *found[at + 1 :]])


def check(place: int, values: list[Any], base: list[Any] | None) -> None:
    writer = ColumnWriter(TABLE)
    writer.put_geometry(place, values, base)
    written = writer.take()
    streams = delta_oracle.Streams(written)

    assert oracle.read(LAYERS[place], streams, len(values), base) == values
    assert streams.at_end
    assert ColumnReader(TABLE, written).get_geometry(place, len(values), base) == values


@pytest.mark.parametrize("kind", range(4))
@given(st.integers(0, 3), st.booleans(), st.data())
def test_any_geometry_column(kind: int, dims: int, based: bool, data: st.DataObject) -> None:
    place = 4 * kind + dims
    drawn = data.draw(st.lists(pairs(LAYERS[place]), max_size=5))
    base = [old for _, old in drawn] if based else None

    check(place, [value for value, _ in drawn], base)


def line(xs: list[float]) -> bytes:
    place = next(i for i, layer in enumerate(LAYERS) if layer.geometry_type == oracle.POLYLINE)
    return oracle.blob_of(LAYERS[place], Shape([1, len(xs)], [(x, x / 2) for x in xs]))


@pytest.mark.parametrize("based", [False, True])
def test_a_vertex_put_in_taken_out_or_moved(based: bool) -> None:
    place = next(i for i, layer in enumerate(LAYERS) if layer.geometry_type == oracle.POLYLINE)
    run = [n / 4 for n in range(40)]
    values = [
        line(run),
        line([*run[:7], 99.5, *run[7:]]),
        line([*run[:7], *run[9:]]),
        line([*run[:7], 0.1 + 0.2, *run[8:]]),
        line(run[::-1]),
        None,
    ]

    check(place, values, [line(run)] * len(values) if based else None)
