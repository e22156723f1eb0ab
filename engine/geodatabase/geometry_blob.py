"""Whether two GeoPackage geometries are the same place, whoever wrote them.

Writers differ in byte order, envelope and header flags (OGC 12-128r18 §2.1.3); none of that is an
edit. Types and dimensions are compared by their code, coordinates bit by bit, or, where a service
has rounded them to its grid, within a tolerance.
"""

import struct
import sys
from array import array
from typing import NamedTuple

_ENVELOPE_BYTES = (0, 32, 48, 48, 64)
_HEADER_BYTES = 8
POINT, LINE, POLYGON = 1, 2, 3
COLLECTIONS = frozenset((4, 5, 6, 7))
_MOST_NESTED = 16
_MOST_DEGREES = 400.0
_DEGREES = 1e-7
_LENGTH = 1e-2
_IS_BIG_HOST = sys.byteorder == "big"


class Parts(NamedTuple):
    """A geometry taken apart: types and counts in the order they stand in, and all ordinates."""

    skeleton: tuple[int, ...]
    ordinates: "array[float]"


def same_geometry(one: object, other: object) -> bool:
    """True if both are NULL, or geometries of the same type with the same coordinates.

    A blob that cannot be read is the same only as its exact copy.
    """
    if one == other:
        return True
    a, b = wkb_of(one), wkb_of(other)
    if a is None or b is None:
        return False
    if a == b:
        return True
    # In the same byte order differing bytes are differing coordinates; only an empty point, which
    # is made of NaNs (of any bits), needs the long way.
    if a[:5] == b[:5] and len(a) > 37:
        return False
    mine, theirs = take_apart(a), take_apart(b)
    if mine is None or theirs is None or mine.skeleton != theirs.skeleton:
        return False
    pairs = zip(mine.ordinates, theirs.ordinates, strict=True)
    return mine.ordinates.tobytes() == theirs.ordinates.tobytes() or all(
        a != a and b != b for a, b in pairs
    )


def nearly_same_geometry(one: object, other: object) -> bool:
    """True also if the ordinates differ by no more than a service's grid may move them: a
    centimetre, or the like in degrees (values up to 400 are taken for degrees)."""
    if same_geometry(one, other):
        return True
    a, b = wkb_of(one), wkb_of(other)
    if a is None or b is None:
        return False
    mine, theirs = take_apart(a), take_apart(b)
    if mine is None or theirs is None or mine.skeleton != theirs.skeleton:
        return False
    return all(
        abs(a - b) <= (_DEGREES if abs(a) <= _MOST_DEGREES else _LENGTH)
        for a, b in zip(mine.ordinates, theirs.ordinates, strict=True)
    )


def take_apart(wkb: bytes) -> Parts | None:
    """The parts of a WKB geometry; None if it is broken or of a type that GeoPackage lacks."""
    skeleton: list[int] = []
    ordinates = array("d")
    try:
        end = _take(wkb, 0, skeleton, ordinates, 0)
    except (struct.error, ValueError, IndexError):
        return None
    return Parts(tuple(skeleton), ordinates) if end == len(wkb) else None


def wkb_of(blob: object) -> bytes | None:
    """The WKB behind the header; None if this is no GeoPackage geometry."""
    if not isinstance(blob, bytes) or len(blob) < _HEADER_BYTES or blob[:2] != b"GP":
        return None
    envelope = (blob[3] >> 1) & 7
    if envelope >= len(_ENVELOPE_BYTES):
        return None
    return blob[_HEADER_BYTES + _ENVELOPE_BYTES[envelope] :]


def _take(wkb: bytes, at: int, skeleton: list[int], ordinates: "array[float]", depth: int) -> int:
    """Take the geometry at ``at`` apart; returns where it ends."""
    if depth > _MOST_NESTED or wkb[at] > 1:
        raise ValueError
    is_big = wkb[at] == 0
    order = ">I" if is_big else "<I"
    (code,) = struct.unpack_from(order, wkb, at + 1)
    at += 5
    skeleton.append(code)
    kind, dimension = code % 1000, code // 1000
    if dimension > 3:
        raise ValueError
    size = (2, 3, 3, 4)[dimension] * 8

    def count() -> int:
        nonlocal at
        (n,) = struct.unpack_from(order, wkb, at)
        at += 4
        skeleton.append(n)
        return int(n)

    def points(n: int) -> None:
        nonlocal at
        end = at + n * size
        if end > len(wkb):
            raise ValueError
        values = array("d", wkb[at:end])
        if is_big != _IS_BIG_HOST:
            values.byteswap()
        ordinates.extend(values)
        at = end

    if kind == POINT:
        points(1)
    elif kind == LINE:
        points(count())
    elif kind == POLYGON:
        for _ in range(count()):
            points(count())
    elif kind in COLLECTIONS:
        for _ in range(count()):
            at = _take(wkb, at, skeleton, ordinates, depth + 1)
    else:
        raise ValueError
    return at
