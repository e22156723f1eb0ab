"""Countries out of a TopoJSON file: arcs shared by neighbours become Esri polygons."""

import json
from collections.abc import Iterator
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

Point = tuple[float, float]
Ring = list[Point]


def read_polygons(path: Path, name: str) -> Iterator[tuple[dict[str, Any], list[Ring]]]:
    """Each polygon of the object ``name``: its members (id, properties) and its Esri rings.

    Follows the TopoJSON specification 1.0: quantised, delta-encoded arcs; ``~i`` is arc ``i``
    backwards; arcs of a ring share their end points.
    """
    topology = json.loads(path.read_text(encoding="utf-8"))
    arcs = [list(_points(arc, topology["transform"])) for arc in topology["arcs"]]
    for geometry in topology["objects"][name]["geometries"]:
        polygons = geometry["arcs"]
        if geometry["type"] == "Polygon":
            polygons = [polygons]
        rings = [
            _oriented(_ring(indexes, arcs), is_outer=number == 0)
            for polygon in polygons
            for number, indexes in enumerate(polygon)
        ]
        yield geometry, rings


def _points(arc: list[list[int]], transform: dict[str, list[float]]) -> Iterator[Point]:
    (scale_x, scale_y), (left, bottom) = transform["scale"], transform["translate"]
    columns, rows = accumulate(step[0] for step in arc), accumulate(step[1] for step in arc)
    for x, y in zip(columns, rows, strict=True):
        yield round(x * scale_x + left, 6), round(y * scale_y + bottom, 6)


def _ring(indexes: list[int], arcs: list[Ring]) -> Ring:
    ring: Ring = []
    for index in indexes:
        arc = arcs[index] if index >= 0 else arcs[~index][::-1]
        ring += arc[1:] if ring else arc
    return ring


def _oriented(ring: Ring, *, is_outer: bool) -> Ring:
    """Esri polygons have outer rings clockwise and holes counter-clockwise."""
    turns = sum(x1 * y2 - x2 * y1 for (x1, y1), (x2, y2) in pairwise(ring))
    is_clockwise = turns < 0
    return ring if is_clockwise == is_outer else ring[::-1]
