"""Query answers as GeoJSON, for clients that ask `f=geojson`.

Source: RFC 7946, and ArcGIS REST API, "Query (Feature Service/Layer)", `f`.
"""

from typing import Any

from .spatial import Figure, meets

Ring = list[list[float]]


def collection(answer: dict[str, Any], id_field: str) -> dict[str, Any]:
    """A feature set in degrees as a feature collection."""
    shown: dict[str, Any] = {
        "type": "FeatureCollection",
        "features": [_feature(one, id_field) for one in answer["features"]],
    }
    if answer.get("exceededTransferLimit"):
        shown["properties"] = {"exceededTransferLimit": True}
    return shown


def _feature(feature: dict[str, Any], id_field: str) -> dict[str, Any]:
    attributes = feature["attributes"]
    shape = feature.get("geometry")
    return {
        "type": "Feature",
        "id": attributes.get(id_field),
        "geometry": None if shape is None else _geometry(shape),
        "properties": attributes,
    }


def _geometry(shape: dict[str, Any]) -> dict[str, Any] | None:
    if "x" in shape:
        if shape["x"] in (None, "NaN"):
            return None
        place = [shape[name] for name in ("x", "y", "z") if name in shape]
        return {"type": "Point", "coordinates": place}
    if "points" in shape:
        return {"type": "MultiPoint", "coordinates": shape["points"]}
    if "paths" in shape:
        return _single_or_multi("LineString", shape["paths"])
    return _single_or_multi("Polygon", _polygons(shape["rings"]))


def _single_or_multi(kind: str, parts: list[Any]) -> dict[str, Any] | None:
    if not parts:
        return None
    if len(parts) == 1:
        return {"type": kind, "coordinates": parts[0]}
    return {"type": f"Multi{kind}", "coordinates": parts}


def _polygons(rings: list[Ring]) -> list[list[Ring]]:
    """Exterior rings with the holes they hold; orientation as GeoJSON wants it."""
    exteriors = [ring for ring in rings if _doubled_area(ring) <= 0] or rings[:1]
    polygons = [[ring[::-1]] for ring in exteriors]
    for ring in rings:
        if any(ring is exterior for exterior in exteriors):
            continue
        home = next((at for at, exterior in enumerate(exteriors) if _holds(exterior, ring)), 0)
        polygons[home].append(ring[::-1])
    return polygons


def _doubled_area(ring: Ring) -> float:
    return sum(
        one[0] * other[1] - other[0] * one[1]
        for one, other in zip(ring, ring[1:] + ring[:1], strict=True)
    )


def _holds(exterior: Ring, hole: Ring) -> bool:
    outer = Figure(rings=(tuple((one[0], one[1]) for one in exterior),))
    return meets(outer, Figure(points=((hole[0][0], hole[0][1]),)))
