"""Spatial references: telling them apart, and moving coordinates between two of them.

WGS 84 degrees (4326) and Web Mercator metres (3857 and its older numbers) are converted by
the sphere's own formula; any other reference can only be used as it is.
"""

import math
from collections.abc import Callable
from typing import Any

from .parameters import lenient_json
from .problem import ServiceError

Move = Callable[[float, float], tuple[float, float]]

_RADIUS_M = 6378137.0
_MERCATOR = frozenset((3857, 102100, 102113, 900913))
_LATITUDE_LIMIT = 89.99999


def wkid_of(reference: Any) -> int | None:
    """One number for a reference given as a number, as text or as JSON; None when absent."""
    if reference is None or reference == "":
        return None
    if isinstance(reference, str):
        text = reference.strip()
        try:
            reference = lenient_json(text)
        except ValueError:
            raise _unusable(text) from None
    if isinstance(reference, dict):
        if not reference:
            return None
        reference = reference.get("latestWkid") or reference.get("wkid")
    if isinstance(reference, bool) or not isinstance(reference, int):
        raise _unusable(reference)
    return 3857 if reference in _MERCATOR else reference


def _unusable(reference: object) -> ServiceError:
    return ServiceError(400, "Invalid spatial reference", f"{reference!r} has no usable wkid")


def document_of(wkid: int) -> dict[str, int]:
    """The JSON of a spatial reference, with the historical number ArcGIS prints first."""
    return {"wkid": 102100 if wkid == 3857 else wkid, "latestWkid": wkid}


def _to_mercator(x: float, y: float) -> tuple[float, float]:
    latitude = max(-_LATITUDE_LIMIT, min(_LATITUDE_LIMIT, y))
    angle = math.pi / 4 + math.radians(latitude) / 2
    return math.radians(x) * _RADIUS_M, math.log(math.tan(angle)) * _RADIUS_M


def _to_degrees(x: float, y: float) -> tuple[float, float]:
    latitude = math.degrees(2 * math.atan(math.exp(y / _RADIUS_M)) - math.pi / 2)
    return math.degrees(x / _RADIUS_M), latitude


def mover(source: int | None, target: int) -> Move | None:
    """How to move a coordinate; None when nothing has to move."""
    if source is None or source == target:
        return None
    if (source, target) == (4326, 3857):
        return _to_mercator
    if (source, target) == (3857, 4326):
        return _to_degrees
    raise ServiceError(
        400,
        "Unable to complete operation.",
        f"No transformation from spatial reference {source} to {target}.",
    )
