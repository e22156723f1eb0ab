"""GeoPackage blobs written plainly with struct: the oracle for the geometry codec."""

import struct
from collections.abc import Callable, Sequence
from typing import TypeVar

Vertex = Sequence[float]
T = TypeVar("T")


class Writer:
    """Builds WKB of one byte order and dimension; Z and M are the vertices' further ordinates."""

    def __init__(self, *, little: bool = True, has_z: bool = False, has_m: bool = False) -> None:
        self.order = "<" if little else ">"
        self.offset = 1000 * has_z + 2000 * has_m

    def head(self, code: int) -> bytes:
        return bytes([self.order == "<"]) + self.count(code + self.offset)

    def count(self, value: int) -> bytes:
        return struct.pack(self.order + "I", value)

    def vertex(self, vertex: Vertex) -> bytes:
        return struct.pack(f"{self.order}{len(vertex)}d", *vertex)

    def run(self, vertices: Sequence[Vertex]) -> bytes:
        return self.count(len(vertices)) + b"".join(map(self.vertex, vertices))

    def point(self, vertex: Vertex) -> bytes:
        return self.head(1) + self.vertex(vertex)

    def line(self, vertices: Sequence[Vertex]) -> bytes:
        return self.head(2) + self.run(vertices)

    def polygon(self, rings: Sequence[Sequence[Vertex]]) -> bytes:
        return self.head(3) + self.count(len(rings)) + b"".join(map(self.run, rings))

    def multi(self, code: int, parts: Sequence[T], write: Callable[[T], bytes]) -> bytes:
        return self.head(code) + self.count(len(parts)) + b"".join(map(write, parts))

    def multipoint(self, vertices: Sequence[Vertex]) -> bytes:
        return self.multi(4, vertices, self.point)

    def multiline(self, lines: Sequence[Sequence[Vertex]]) -> bytes:
        return self.multi(5, lines, self.line)

    def multipolygon(self, polygons: Sequence[Sequence[Sequence[Vertex]]]) -> bytes:
        return self.multi(6, polygons, self.polygon)


def gpkg(
    wkb: bytes,
    *,
    srs_id: int = 4326,
    little: bool = True,
    empty: bool = False,
    bounds: Sequence[float] = (),
) -> bytes:
    """A GeoPackage header before the WKB; the envelope's kind follows from how many bounds."""
    kind = {0: 0, 4: 1, 6: 2, 8: 4}[len(bounds)]
    order = "<" if little else ">"
    flags = little | kind << 1 | empty << 4
    head = struct.pack(f"{order}2sBBi", b"GP", 0, flags, srs_id)
    return head + struct.pack(f"{order}{len(bounds)}d", *bounds) + wkb
