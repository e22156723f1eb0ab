"""Does a shape meet a filter? Everything is looked at in the layer's own reference."""

import json
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any

from .problem import invalid_parameter
from .projection import Move, mover, wkid_of

Point = tuple[float, float]
Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A shape cut into points, lines and an area."""

    points: tuple[Point, ...] = ()
    lines: tuple[tuple[Point, ...], ...] = ()
    rings: tuple[tuple[Point, ...], ...] = ()

    def segments(self) -> list[tuple[Point, Point]]:
        return [
            (part[index], part[index + 1])
            for part in (*self.lines, *self.rings)
            for index in range(len(part) - 1)
        ]

    def corners(self) -> list[Point]:
        """One point of each part, and every lone point."""
        return [*self.points, *(part[0] for part in (*self.lines, *self.rings) if part)]


@dataclass(frozen=True, slots=True, kw_only=True)
class SpatialFilter:
    """A filter geometry in the layer's reference: its box, its JSON, and whether it is a box."""

    box: Box
    text: str
    is_box: bool

    def condition(self, alias: str) -> tuple[str, list[Any]]:
        """The SQL that keeps the rows that meet it."""
        xmin, ymin, xmax, ymax = self.box
        sql = (
            f"({alias}.xmin <= ? AND {alias}.xmax >= ? AND {alias}.ymin <= ? AND {alias}.ymax >= ?"
        )
        values: list[Any] = [xmax, xmin, ymax, ymin]
        if self.is_box:
            sql += (
                f" AND (({alias}.xmin >= ? AND {alias}.xmax <= ?"
                f" AND {alias}.ymin >= ? AND {alias}.ymax <= ?)"
                f" OR shape_hits({alias}.shape, ?)))"
            )
            values += [xmin, xmax, ymin, ymax, self.text]
        else:
            sql += f" AND shape_hits({alias}.shape, ?))"
            values.append(self.text)
        return sql, values


def read_filter(name: str, text: str, kind: str, reference: Any, target: int) -> SpatialFilter:
    """The filter a client describes by `geometry`, `geometryType` and `inSR`.

    Source: ArcGIS REST API, "Query (Feature Service/Layer)", `geometry`: JSON, or comma text
    for envelopes and points.
    """
    given = _parsed(name, text, kind)
    own = given.get("spatialReference")
    move = mover(wkid_of(own) if own else wkid_of(reference), target)
    if "xmin" in given:
        return _box_filter(name, given, move)
    try:
        figure = figure_of(_moved(given, move))
    except (TypeError, ValueError, KeyError, IndexError):
        raise invalid_parameter(name, "the value is not a geometry") from None
    every = [*figure.points, *(p for part in (*figure.lines, *figure.rings) for p in part)]
    if not every:
        raise invalid_parameter(name, "the geometry is empty")
    xs, ys = [point[0] for point in every], [point[1] for point in every]
    return SpatialFilter(
        box=(min(xs), min(ys), max(xs), max(ys)),
        text=json.dumps(_moved(given, move)),
        is_box=False,
    )


def _parsed(name: str, text: str, kind: str) -> dict[str, Any]:
    if text.startswith("{"):
        try:
            given = json.loads(text)
        except ValueError:
            raise invalid_parameter(name, "the value is not JSON") from None
        return dict(given)
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        raise invalid_parameter(name, "the value is not a list of numbers") from None
    if kind.lower() == "esrigeometrypoint" and len(numbers) == 2:
        return {"x": numbers[0], "y": numbers[1]}
    if len(numbers) == 4:
        return dict(zip(("xmin", "ymin", "xmax", "ymax"), numbers, strict=True))
    raise invalid_parameter(name, f"{len(numbers)} numbers are no {kind}")


def _box_filter(name: str, given: dict[str, Any], move: Move | None) -> SpatialFilter:
    try:
        corners = [
            (float(given["xmin"]), float(given["ymin"])),
            (float(given["xmax"]), float(given["ymax"])),
        ]
    except (KeyError, TypeError, ValueError):
        raise invalid_parameter(name, "the envelope lacks a number") from None
    if move is not None:
        corners = [move(*corner) for corner in corners]
    (x1, y1), (x2, y2) = corners
    box = min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2)
    ring = [
        [box[0], box[1]],
        [box[0], box[3]],
        [box[2], box[3]],
        [box[2], box[1]],
        [box[0], box[1]],
    ]
    return SpatialFilter(box=box, text=json.dumps({"rings": [ring]}), is_box=True)


def _moved(given: dict[str, Any], move: Move | None) -> dict[str, Any]:
    def place(vertex: list[Any]) -> list[float]:
        x, y = float(vertex[0]), float(vertex[1])
        return list(move(x, y)) if move else [x, y]

    if "x" in given:
        x, y = place([given["x"], given["y"]])
        return {"x": x, "y": y}
    if "points" in given:
        return {"points": [place(vertex) for vertex in given["points"]]}
    member = "paths" if "paths" in given else "rings"
    return {member: [[place(vertex) for vertex in part] for part in given[member]]}


def figure_of(shape: dict[str, Any]) -> Figure:
    """The figure of a geometry kept inside or of a filter."""
    if "x" in shape:
        if shape["x"] is None:
            return Figure()
        return Figure(points=((float(shape["x"]), float(shape["y"])),))
    if "points" in shape:
        return Figure(points=tuple((float(v[0]), float(v[1])) for v in shape["points"]))
    parts = tuple(
        tuple((float(v[0]), float(v[1])) for v in part)
        for part in shape.get("paths", shape.get("rings", []))
    )
    return Figure(lines=parts) if "paths" in shape else Figure(rings=parts)


@lru_cache(maxsize=64)
def _filter_figure(text: str) -> Figure:
    return figure_of(json.loads(text))


def shape_hits(shape: str | None, wanted: str) -> int:
    """SQL function: 1 when the shapes share at least a point."""
    if shape is None:
        return 0
    return int(meets(figure_of(json.loads(shape)), _filter_figure(wanted)))


def meets(one: Figure, other: Figure) -> bool:
    """Whether two figures share at least a point."""
    if any(_covers(other, corner) for corner in one.corners()):
        return True
    if any(_covers(one, corner) for corner in other.corners()):
        return True
    others = other.segments()
    return any(_cross(a, b, c, d) for a, b in one.segments() for c, d in others)


def _covers(figure: Figure, point: Point) -> bool:
    if point in figure.points:
        return True
    if any(_on_segment(a, b, point) for a, b in figure.segments()):
        return True
    inside = False
    x, y = point
    for ring in figure.rings:
        for (x1, y1), (x2, y2) in pairwise(ring):
            if (y1 > y) != (y2 > y) and x < (x2 - x1) * (y - y1) / (y2 - y1) + x1:
                inside = not inside
    return inside


def _turn(a: Point, b: Point, c: Point) -> float:
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


def _on_segment(a: Point, b: Point, p: Point) -> bool:
    return (
        min(a[0], b[0]) <= p[0] <= max(a[0], b[0])
        and min(a[1], b[1]) <= p[1] <= max(a[1], b[1])
        and _turn(a, b, p) == 0
    )


def _cross(a: Point, b: Point, c: Point, d: Point) -> bool:
    if max(a[0], b[0]) < min(c[0], d[0]) or max(c[0], d[0]) < min(a[0], b[0]):
        return False
    if max(a[1], b[1]) < min(c[1], d[1]) or max(c[1], d[1]) < min(a[1], b[1]):
        return False
    one, two = _turn(a, b, c), _turn(a, b, d)
    three, four = _turn(c, d, a), _turn(c, d, b)
    return ((one <= 0 <= two) or (two <= 0 <= one)) and (
        (three <= 0 <= four) or (four <= 0 <= three)
    )
