"""The shape of a feature: flat coordinates, as a program needs them that draws it.

Sources: OGC 12-128r18 (GeoPackage), clause 2.1.3; ArcGIS REST API, "Geometry objects".
"""

import math
import struct
from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Self

from engine.geodatabase.geometry_blob import LINE, POINT, POLYGON, Parts, take_apart, wkb_of
from engine.values import ColumnValue

_SIZES = (2, 3, 3, 4)
"""Ordinates of a point by the thousands of the WKB type code: XY, XYZ, XYM, XYZM."""

_ONE_POINT = struct.Struct("<BIdd")


class ShapeKind(Enum):
    """What the parts of a shape are."""

    POINTS = "points"
    LINES = "lines"
    RINGS = "rings"


@dataclass(frozen=True, slots=True)
class Shape:
    """A geometry without Z and M. Each of ``parts`` is x, y, x, y …; of points all are in one part.

    ``RINGS`` are exteriors and holes alike: what lies in an odd number of them is inside.
    """

    kind: ShapeKind
    parts: "tuple[array[float], ...]"

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """xmin, ymin, xmax, ymax."""
        if len(self.parts) == 1 and len(self.parts[0]) == 2:
            x, y = self.parts[0]
            return x, y, x, y
        xs = [edge for part in self.parts for edge in (min(part[::2]), max(part[::2]))]
        ys = [edge for part in self.parts for edge in (min(part[1::2]), max(part[1::2]))]
        return min(xs), min(ys), max(xs), max(ys)

    @classmethod
    def from_blob(cls, blob: object) -> Self | None:
        """From a GeoPackage geometry of any writer.

        None if it is NULL or empty, cannot be read, or has several kinds in it.
        """
        wkb = wkb_of(blob)
        if wkb is None:
            return None
        if len(wkb) == _ONE_POINT.size and wkb[:5] == b"\x01\x01\0\0\0":
            return cls._of(ShapeKind.POINTS, [array("d", _ONE_POINT.unpack(wkb)[2:])])
        taken = take_apart(wkb)
        if taken is None:
            return None
        kinds, parts = set(), []
        for kind, part in _pieces(taken):
            kinds.add(kind)
            parts.append(part)
        if len(kinds) != 1:
            return None
        (kind,) = kinds
        if kind is ShapeKind.POINTS:
            parts = [_joined(parts)]
        return cls._of(kind, parts)

    @classmethod
    def from_json(cls, geometry: Mapping[str, object] | None) -> Self | None:
        """From an Esri JSON geometry; None if there is none, or no coordinates are in it."""
        if geometry is None:
            return None
        try:
            if "x" in geometry:
                point = _flat([(geometry["x"], geometry["y"])])
                return cls._of(ShapeKind.POINTS, [point])
            for name, kind in (
                ("points", ShapeKind.POINTS),
                ("paths", ShapeKind.LINES),
                ("rings", ShapeKind.RINGS),
            ):
                listed = geometry.get(name)
                if isinstance(listed, list):
                    parts = [listed] if kind is ShapeKind.POINTS else listed
                    return cls._of(kind, [_flat(part) for part in parts])
        except (KeyError, TypeError, ValueError, IndexError):
            pass
        return None

    @classmethod
    def _of(cls, kind: ShapeKind, parts: "list[array[float]]") -> Self | None:
        # The sum of a part is finite only if every number in it is; an empty point is made of NaN.
        found = tuple(part for part in parts if part and math.isfinite(sum(part)))
        return cls(kind, found) if found else None


@dataclass(frozen=True, slots=True, kw_only=True)
class ShapedRow:
    """A row with its shape, None if it has none that can be read, and the ``values`` that were
    asked for, as they lie in the file."""

    global_id: str
    shape: Shape | None = field(repr=False)
    values: tuple[ColumnValue, ...]


def _flat(points: object) -> "array[float]":
    if not isinstance(points, list):
        raise TypeError
    return array("d", [ordinate for point in points for ordinate in (point[0], point[1])])


def _joined(parts: "list[array[float]]") -> "array[float]":
    """All points in one; one without coordinates takes none of the others away."""
    joined = array("d")
    for part in parts:
        if math.isfinite(sum(part)):
            joined.extend(part)
    return joined


def _pieces(taken: Parts) -> "Iterator[tuple[ShapeKind, array[float]]]":
    """The points, lines and rings of a geometry that was taken apart, each with X and Y only."""
    numbers = iter(taken.skeleton)
    at = 0

    def piece(count: int, size: int) -> "array[float]":
        nonlocal at
        ordinates = taken.ordinates[at : at + count * size]
        at += count * size
        if size == 2:
            return ordinates
        flat = array("d", bytes(16 * count))
        flat[::2], flat[1::2] = ordinates[::size], ordinates[1::size]
        return flat

    for code in numbers:
        kind, size = code % 1000, _SIZES[code // 1000]
        if kind == POINT:
            yield ShapeKind.POINTS, piece(1, size)
            continue
        count = next(numbers)
        if kind == LINE:
            yield ShapeKind.LINES, piece(count, size)
        elif kind == POLYGON:
            for _ in range(count):
                yield ShapeKind.RINGS, piece(next(numbers), size)
        # A collection's count is all that stands before its members.
