"""SPEC.md §4 read once more in plain Python: what the core's geometry columns are compared with."""

import math
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from native.layer import Layer
from tests.native.delta_oracle import Streams, integers, on_grid, signed, tagged
from tests.native.wkb import Writer, gpkg

Vertex = tuple[float, ...]
POINT, MULTIPOINT, POLYLINE, POLYGON = (
    f"esriGeometry{kind}" for kind in ("Point", "Multipoint", "Polyline", "Polygon")
)


@dataclass(frozen=True, slots=True)
class Shape:
    """How a geometry is divided, in the numbers of §4's "Structure", and its vertices."""

    counts: list[int]
    vertices: list[Vertex]


def axes_of(layer: Layer) -> int:
    return 2 + layer.has_z + layer.has_m


# ---- shapes and blobs ----


def runs_of(layer: Layer, counts: Sequence[int]) -> list[list[int]]:
    """The vertices in each path, or in each ring of each polygon, part by part."""
    following = iter(counts)
    if layer.geometry_type == POLYGON:
        polygons = range(next(following))
        return [[next(following) for _ in range(next(following))] for _ in polygons]
    if layer.geometry_type == POLYLINE:
        return [[next(following)] for _ in range(next(following))]
    return [[1]] * (next(following) if layer.geometry_type == MULTIPOINT else 1)


def blob_of(layer: Layer, shape: Shape) -> bytes:
    """The one blob that a shape stands for."""
    writer = Writer(has_z=layer.has_z, has_m=layer.has_m)
    if layer.geometry_type == POINT:
        return gpkg(writer.point(shape.vertices[0]), srs_id=layer.srs_id)
    vertices = iter(shape.vertices)
    parts = [
        [[next(vertices) for _ in range(count)] for count in runs]
        for runs in runs_of(layer, shape.counts)
    ]
    if layer.geometry_type == POLYGON:
        wkb = writer.multipolygon(parts)
    elif layer.geometry_type == POLYLINE:
        wkb = writer.multiline([lines[0] for lines in parts])
    else:
        wkb = writer.multipoint([points[0][0] for points in parts])
    bounds: list[float] = []
    for axis in range(2):
        low, high = math.inf, -math.inf
        for vertex in shape.vertices:
            low = vertex[axis] if vertex[axis] < low else low
            high = vertex[axis] if vertex[axis] > high else high
        bounds += [low, high]
    return gpkg(wkb, srs_id=layer.srs_id, bounds=bounds)


def shape_of(layer: Layer, value: Any) -> Shape | None:
    """None for what is no shape by §4: it travels tagged."""
    if not isinstance(value, bytes):
        return None
    try:
        shape = _taken_apart(layer, value)
    except struct.error:
        return None
    if not shape.vertices or (layer.geometry_type == POINT and math.isnan(shape.vertices[0][0])):
        return None
    return shape if blob_of(layer, shape) == value else None


def _taken_apart(layer: Layer, blob: bytes) -> Shape:
    """Without a look at what :func:`blob_of` would write otherwise."""
    form = f"<{axes_of(layer)}d"
    at = 8 if layer.geometry_type == POINT else 40
    counts: list[int] = []
    vertices: list[Vertex] = []

    def count() -> int:
        nonlocal at
        counts.append(struct.unpack_from("<I", blob, at)[0])
        at += 4
        return counts[-1]

    def take(number: int) -> None:
        nonlocal at
        for _ in range(number):
            vertices.append(struct.unpack_from(form, blob, at))
            at += struct.calcsize(form)

    at += 5
    if layer.geometry_type == POINT:
        take(1)
        return Shape(counts, vertices)
    for _ in range(count()):
        at += 5
        if layer.geometry_type == MULTIPOINT:
            take(1)
            continue
        for _ in range(count() if layer.geometry_type == POLYGON else 1):
            take(count())
    return Shape(counts, vertices)


# ---- the column ----


def read(
    layer: Layer, streams: Streams, count: int, base: Sequence[Any] | None
) -> list[bytes | Any]:
    """One geometry column."""
    classes = streams.take(0, count) if streams.byte() else bytes(count)
    of_xy = streams.byte()
    places = [of_xy, of_xy, *(streams.byte() for _ in range(axes_of(layer) - 2))]
    bases = [None if base is None else shape_of(layer, base[i]) for i in range(count)]
    points: Iterator[Vertex] = iter(())
    if layer.geometry_type == POINT:
        regular = [bases[i] for i, each in enumerate(classes) if each == 0]
        points = _points(streams, places, regular, has_base=base is not None)
    anchor: Vertex = (0.0,) * axes_of(layer)
    values: list[Any] = []
    for each, old in zip(classes, bases, strict=True):
        if each == 1:
            values.append(None)
        elif each == 2:
            values.append(tagged(streams))
        elif each == 0 and layer.geometry_type == POINT:
            values.append(blob_of(layer, Shape([], [next(points)])))
        else:
            shape = _shape(layer, streams, None if each == 3 else places, old, anchor)
            if each == 0:
                anchor = shape.vertices[0]
            values.append(blob_of(layer, shape))
    return values


def _points(
    streams: Streams, places: Sequence[int], bases: Sequence[Shape | None], *, has_base: bool
) -> Iterator[Vertex]:
    columns = []
    for axis, of_axis in enumerate(places):
        old = [0 if b is None else on_grid(b.vertices[0][axis], of_axis) or 0 for b in bases]
        found = integers(streams, len(bases), old if has_base else None)
        columns.append([v / 10.0**of_axis for v in found])
    return zip(*columns, strict=True)


def _shape(
    layer: Layer,
    streams: Streams,
    places: Sequence[int] | None,
    base: Shape | None,
    anchor: Vertex,
) -> Shape:
    """One row; ``places`` None: whole."""
    prefix = 0
    if base is not None and streams.byte() == 0:
        counts, prefix = base.counts, len(base.vertices)
    else:
        prefix = 0 if base is None else streams.varint()
        counts = _counts(layer, streams)
    runs = [count for part in runs_of(layer, counts) for count in part]
    ends = {sum(runs[: i + 1]) - 1: sum(runs[:i]) for i, count in enumerate(runs) if count > 1}
    closing = ends if layer.geometry_type == POLYGON else {}
    vertices: list[Vertex] = []
    for i in range(sum(runs)):
        expected = _of_base(base, prefix, i, sum(runs))
        if expected is None and i in closing:
            expected = vertices[closing[i]]
        elif expected is None:
            expected = vertices[-1] if vertices else anchor
        vertices.append(tuple(_ordinates(streams, places, expected)))
    return Shape(counts, vertices)


def _counts(layer: Layer, streams: Streams) -> list[int]:
    if layer.geometry_type == POINT:
        return []
    counts = [streams.varint()]
    for _ in range(0 if layer.geometry_type == MULTIPOINT else counts[0]):
        counts.append(streams.varint())
        rings = counts[-1] if layer.geometry_type == POLYGON else 0
        counts += [streams.varint() for _ in range(rings)]
    return counts


def _of_base(base: Shape | None, prefix: int, i: int, count: int) -> Vertex | None:
    if base is None:
        return None
    if i < prefix:
        return base.vertices[i]
    mirrored = len(base.vertices) - (count - i)
    return base.vertices[mirrored] if mirrored >= prefix else None


def _ordinates(streams: Streams, places: Sequence[int] | None, expected: Vertex) -> Iterator[float]:
    for axis, value in enumerate(expected):
        if places is None:
            mixed = zip(streams.take(0, 8), struct.pack("<d", value), strict=True)
            yield struct.unpack("<d", bytes(a ^ b for a, b in mixed))[0]
        else:
            v = signed(streams.zigzag() + (on_grid(value, places[axis]) or 0))
            yield v / 10.0 ** places[axis]
