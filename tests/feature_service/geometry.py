"""Esri JSON geometry: checking what a client sends and cutting what it is to see.

Source: ArcGIS REST API, "Geometry objects". Kept inside as JSON without a spatial reference,
each vertex `[x, y]`, then z when the layer has z, then m when it has m (null when unknown).
"""

import math
from dataclasses import dataclass
from typing import Any

from .definition import Layer
from .problem import EditError
from .profile import Profile
from .projection import Move

_NO_M = 1002
_CURVES = 1005
_NO_Z = 1014
_UNUSABLE = 1015

_PARTS = {
    "esriGeometryMultipoint": "points",
    "esriGeometryPolyline": "paths",
    "esriGeometryPolygon": "rings",
}

Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Intake:
    """How geometries sent to one layer become geometries kept by it."""

    geometry_type: str
    has_z: bool
    has_m: bool
    z_default: float | None
    move: Move | None
    decimals: int | None

    def keep(self, geometry: Any) -> dict[str, Any]:
        """The geometry as it is kept; EditError when the layer cannot hold it."""
        if not isinstance(geometry, dict):
            raise EditError(_UNUSABLE, "Geometry could not be set: not a geometry object.")
        if "curvePaths" in geometry or "curveRings" in geometry:
            raise EditError(_CURVES, "Geometry could not be set: true curves are not supported.")
        if self.geometry_type == "esriGeometryPoint":
            return self._keep_point(geometry)
        member = _PARTS[self.geometry_type]
        parts = geometry.get(member)
        if not isinstance(parts, list):
            raise EditError(_UNUSABLE, f"Geometry could not be set: no {member}.")
        has_z, has_m = self._layout(geometry, parts)
        if member == "points":
            return {member: [self._vertex(vertex, has_z, has_m) for vertex in parts]}
        kept = [[self._vertex(vertex, has_z, has_m) for vertex in _part(part)] for part in parts]
        if member == "rings":
            kept = [_closed(ring) for ring in kept]
        elif any(len(path) < 2 for path in kept):
            raise EditError(_UNUSABLE, "Geometry could not be set: a path of one vertex.")
        return {member: kept}

    def _layout(self, geometry: dict[str, Any], parts: list[Any]) -> tuple[bool, bool]:
        has_z, has_m = geometry.get("hasZ"), geometry.get("hasM")
        if has_z is None and has_m is None:
            first = _first_vertex(parts)
            size = len(first) if first is not None else 2
            return size >= 3 and (self.has_z or size > 3), size >= 4 or (
                size == 3 and self.has_m and not self.has_z
            )
        return bool(has_z), bool(has_m)

    def _vertex(self, vertex: Any, has_z: bool, has_m: bool) -> list[float | None]:
        if not isinstance(vertex, list) or len(vertex) < 2:
            raise EditError(_UNUSABLE, "Geometry could not be set: a vertex without x and y.")
        z = vertex[2] if has_z and len(vertex) > 2 else None
        m_at = 3 if has_z else 2
        m = vertex[m_at] if has_m and len(vertex) > m_at else None
        kept: list[float | None] = list(self._xy(vertex[0], vertex[1]))
        if self.has_z:
            kept.append(self._z(z))
        if self.has_m:
            if not has_m:
                raise EditError(_NO_M, "Geometry does not have m-values.")
            kept.append(_measure(m))
        return kept

    def _keep_point(self, geometry: dict[str, Any]) -> dict[str, Any]:
        if "x" not in geometry:
            raise EditError(_UNUSABLE, "Geometry could not be set: no x.")
        if geometry["x"] is None or geometry["x"] == "NaN":
            return {"x": None, "y": None}
        x, y = self._xy(geometry["x"], geometry.get("y"))
        kept: dict[str, Any] = {"x": x, "y": y}
        if self.has_z:
            kept["z"] = self._z(geometry.get("z"))
        if self.has_m:
            if "m" not in geometry:
                raise EditError(_NO_M, "Geometry does not have m-values.")
            kept["m"] = _measure(geometry["m"])
        return kept

    def _xy(self, x: Any, y: Any) -> tuple[float, float]:
        moved_x, moved_y = _finite(x), _finite(y)
        if self.move is not None:
            moved_x, moved_y = self.move(moved_x, moved_y)
        if self.decimals is not None:
            moved_x, moved_y = round(moved_x, self.decimals), round(moved_y, self.decimals)
        return moved_x, moved_y

    def _z(self, z: Any) -> float:
        if z is None or z == "NaN":
            if self.z_default is None:
                raise EditError(_NO_Z, "Geometry does not have z-values.")
            return self.z_default
        return _finite(z)


def intake(layer: Layer, move: Move | None, decimals: int | None) -> Intake:
    """The intake of a layer for geometries in a reference `move` comes from."""
    default = layer.document.get("zDefault", 0) if layer.document.get("enableZDefaults") else None
    return Intake(
        geometry_type=str(layer.geometry_type),
        has_z=layer.has_z,
        has_m=layer.has_m,
        z_default=None if default is None else float(default),
        move=move,
        decimals=decimals,
    )


def _finite(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise EditError(_UNUSABLE, f"Geometry could not be set: {value!r} is not a coordinate.")
    return float(value)


def _measure(value: Any) -> float | None:
    return None if value is None or value == "NaN" else _finite(value)


def _part(part: Any) -> list[Any]:
    if not isinstance(part, list):
        raise EditError(_UNUSABLE, "Geometry could not be set: a part is not a list.")
    return part


def _first_vertex(parts: list[Any]) -> list[Any] | None:
    first: Any = parts
    while isinstance(first, list) and first and isinstance(first[0], list):
        first = first[0]
    return first if isinstance(first, list) and first else None


def _closed(ring: list[list[float | None]]) -> list[list[float | None]]:
    if ring and ring[0][:2] != ring[-1][:2]:
        ring = [*ring, list(ring[0])]
    if len(ring) < 4:
        raise EditError(_UNUSABLE, "Geometry could not be set: a ring of fewer than 4 vertices.")
    return ring


def vertices(shape: dict[str, Any]) -> list[list[Any]]:
    """Every vertex of a kept geometry, in order."""
    if "x" in shape:
        return [] if shape["x"] is None else [[shape["x"], shape["y"]]]
    if "points" in shape:
        return list(shape["points"])
    return [vertex for part in shape.get("paths", shape.get("rings", [])) for vertex in part]


def box_of(shape: dict[str, Any] | None) -> Box | None:
    """The bounding box; None for no geometry and for an empty one."""
    every = vertices(shape) if shape else []
    if not every:
        return None
    xs, ys = [vertex[0] for vertex in every], [vertex[1] for vertex in every]
    return min(xs), min(ys), max(xs), max(ys)


@dataclass(frozen=True, slots=True, kw_only=True)
class Show:
    """How kept geometries become geometries a client sees."""

    has_z: bool
    has_m: bool
    with_z: bool
    with_m: bool
    move: Move | None
    empty: str | None

    def shape(self, kept: dict[str, Any]) -> dict[str, Any]:
        """The geometry for an answer."""
        if "x" in kept:
            return self._point(kept)
        shown: dict[str, Any] = {}
        if self.has_z and self.with_z:
            shown["hasZ"] = True
        if self.has_m and self.with_m:
            shown["hasM"] = True
        if "points" in kept:
            shown["points"] = [self._vertex(vertex) for vertex in kept["points"]]
            return shown
        member = "paths" if "paths" in kept else "rings"
        shown[member] = [[self._vertex(vertex) for vertex in part] for part in kept[member]]
        return shown

    def _point(self, kept: dict[str, Any]) -> dict[str, Any]:
        x, y = kept["x"], kept["y"]
        if x is None:
            return {"x": self.empty, "y": self.empty}
        if self.move is not None:
            x, y = self.move(x, y)
        shown = {"x": x, "y": y}
        if self.with_z and "z" in kept:
            shown["z"] = kept["z"]
        if self.with_m and "m" in kept:
            shown["m"] = kept["m"]
        return shown

    def _vertex(self, vertex: list[Any]) -> list[Any]:
        x, y = vertex[0], vertex[1]
        if self.move is not None:
            x, y = self.move(x, y)
        shown = [x, y]
        if self.has_z and self.with_z:
            shown.append(vertex[2])
        if self.has_m and self.with_m:
            shown.append(vertex[-1])
        return shown


def show(layer: Layer, move: Move | None, *, with_z: bool, with_m: bool, profile: Profile) -> Show:
    """The view of a layer's geometries for one answer."""
    return Show(
        has_z=layer.has_z,
        has_m=layer.has_m,
        with_z=with_z,
        with_m=with_m,
        move=move,
        empty="NaN" if profile.empty_point == "NaN" else None,
    )
