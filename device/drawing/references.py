"""Coordinates of one spatial reference in another, as far as a drawing needs it.

Geographic references and Web Mercator go into one another by formula; nothing else does. The
geodetic datums that are listed lie within two metres of WGS 84, which no pixel shows.
"""

import math
import re
from array import array
from collections.abc import Callable

from engine import SpatialReference

Convert = Callable[["array[float]"], "array[float]"]

RADIUS_M = 6378137.0
METRES_PER_DEGREE = RADIUS_M * math.pi / 180
_WEB_MERCATOR = 3857
_NEAR_WGS84 = frozenset(
    (4326, 4269, 4258, 4283, 7844, 4167, 4674, 4490, 4617, 6318, 6668, 4612, 4171, 4619, 4152)
)
_HIGHEST_LATITUDE = 89.9


def is_geographic(reference: SpatialReference) -> bool:
    """True if coordinates are degrees: EPSG numbers its geographic references 4001–4999 and some
    later ones, Esri 37001–37260 and 104000–104999."""
    number = reference.latest
    return (
        4001 <= number <= 4999
        or number in _NEAR_WGS84
        or 37001 <= number <= 37260
        or 104000 <= number <= 104999
        or (not number and reference.wkt.lstrip().upper().startswith("GEOGCS"))
    )


def converter(source: SpatialReference, target: SpatialReference) -> Convert | None:
    """What turns coordinates x, y, x, y … of ``source`` into those of ``target``; None if that is
    not known here."""
    if source.same_as(target) or {source.latest, target.latest} <= _NEAR_WGS84:
        return _same
    if source.latest in _NEAR_WGS84 and target.latest == _WEB_MERCATOR:
        return _to_mercator
    if source.latest == _WEB_MERCATOR and target.latest in _NEAR_WGS84:
        return _to_degrees
    return None


def metres_per_unit(reference: SpatialReference, x: float, y: float) -> float | None:
    """How long a unit of the reference is on the ground near x, y; None if that is not known."""
    del x
    number = reference.latest
    if number == _WEB_MERCATOR:
        return 1 / math.cosh(min(abs(y) / RADIUS_M, 20.0))
    if is_geographic(reference):
        return METRES_PER_DEGREE  # along a meridian, which is how far apart rows of pixels are
    if 32601 <= number <= 32660 or 32701 <= number <= 32760 or 25828 <= number <= 25838:
        return 1.0  # UTM
    units = re.findall(r'UNIT\["[^"]*",\s*([0-9.]+)', reference.wkt)
    return float(units[-1]) if units and reference.wkt.startswith("PROJCS") else None


def name_of(reference: SpatialReference) -> str:
    """The reference for a person."""
    known = {4326: "WGS 84", _WEB_MERCATOR: "Web Mercator", 4269: "NAD83", 4258: "ETRS89"}
    if reference.latest in known:
        return f"{known[reference.latest]} ({reference.latest})"
    if reference.latest:
        return f"spatial reference {reference.latest}"
    found = re.match(r'\w+\["([^"]{1,60})"', reference.wkt)
    return found[1].replace("_", " ") if found else "an unknown spatial reference"


def _same(ordinates: "array[float]") -> "array[float]":
    return ordinates


def _to_mercator(ordinates: "array[float]") -> "array[float]":
    found = array("d", bytes(len(ordinates) * 8))
    for at in range(0, len(ordinates), 2):
        latitude = min(max(ordinates[at + 1], -_HIGHEST_LATITUDE), _HIGHEST_LATITUDE)
        found[at] = ordinates[at] * METRES_PER_DEGREE
        found[at + 1] = RADIUS_M * math.asinh(math.tan(math.radians(latitude)))
    return found


def _to_degrees(ordinates: "array[float]") -> "array[float]":
    found = array("d", bytes(len(ordinates) * 8))
    for at in range(0, len(ordinates), 2):
        y = min(max(ordinates[at + 1] / RADIUS_M, -20.0), 20.0)
        found[at] = ordinates[at] / METRES_PER_DEGREE
        found[at + 1] = math.degrees(math.atan(math.sinh(y)))
    return found
