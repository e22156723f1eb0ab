"""Whether two GeoPackage geometries are the same place, whoever wrote them.

Writers differ in byte order, envelope and header flags (OGC 12-128r18 §2.1.3); none of that is an
edit. Everything else is: coordinates are compared bit by bit, types and dimensions by their code.
"""

import struct
from array import array

_ENVELOPE_BYTES = (0, 32, 48, 48, 64)
_HEADER_BYTES = 8
_POINT, _LINE, _POLYGON = 1, 2, 3
_COLLECTIONS = frozenset((4, 5, 6, 7))
_MOST_NESTED = 16
_NAN = struct.pack("<d", float("nan"))


def same_geometry(one: object, other: object) -> bool:
    """True if both are NULL, or geometries of the same type with the same coordinates.

    A blob that cannot be read is the same only as its exact copy.
    """
    if one == other:
        return True
    if not isinstance(one, bytes) or not isinstance(other, bytes):
        return False
    a, b = _body(one), _body(other)
    if a is None or b is None:
        return False
    if a == b:
        return True
    # In the same byte order differing bytes are differing coordinates; only an empty point, which
    # is made of NaNs (of any bits), needs the long way.
    if a[:5] == b[:5] and len(a) > 37:
        return False
    try:
        return _little_endian(a) == _little_endian(b)
    except (struct.error, ValueError, IndexError):
        return False


def _body(blob: bytes) -> bytes | None:
    """The WKB behind the header; None if this is no GeoPackage geometry."""
    if len(blob) < _HEADER_BYTES or blob[:2] != b"GP":
        return None
    envelope = (blob[3] >> 1) & 7
    if envelope >= len(_ENVELOPE_BYTES):
        return None
    return blob[_HEADER_BYTES + _ENVELOPE_BYTES[envelope] :]


def _little_endian(wkb: bytes) -> bytes:
    out = bytearray()
    end = _copy(wkb, 0, out, 0)
    return bytes(out) + wkb[end:]


def _copy(wkb: bytes, at: int, out: bytearray, depth: int) -> int:
    """Append the geometry at ``at`` in little-endian order; returns where it ends."""
    if depth > _MOST_NESTED or wkb[at] > 1:
        raise ValueError
    big = wkb[at] == 0
    order = ">" if big else "<"
    (code,) = struct.unpack_from(f"{order}I", wkb, at + 1)
    at += 5
    out += struct.pack("<BI", 1, code)
    kind, dimension = code % 1000, code // 1000
    if dimension > 3:
        raise ValueError
    size = (2, 3, 3, 4)[dimension] * 8

    def count() -> int:
        nonlocal at
        (n,) = struct.unpack_from(f"{order}I", wkb, at)
        at += 4
        out.extend(struct.pack("<I", n))
        return int(n)

    def points(n: int) -> None:
        nonlocal at
        end = at + n * size
        if end > len(wkb):
            raise ValueError
        values = array("d", wkb[at:end])
        if big:
            values.byteswap()
        if kind == _POINT and any(v != v for v in values):
            out.extend(b"".join(_NAN if v != v else struct.pack("<d", v) for v in values))
        else:
            out.extend(values.tobytes())
        at = end

    if kind == _POINT:
        points(1)
    elif kind == _LINE:
        points(count())
    elif kind == _POLYGON:
        for _ in range(count()):
            points(count())
    elif kind in _COLLECTIONS:
        for _ in range(count()):
            at = _copy(wkb, at, out, depth + 1)
    else:
        raise ValueError
    return at
