"""Packing an R-tree: the bounds of rows into the nodes that SQLite keeps in its shadow tables.

Source: sqlite.org/rtree.html, "The shadow tables". Boxes are 24 bytes each, in the processor's own
layout: they are for scratch tables of the same process.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from native._native import ffi, lib

Bounds = tuple[float, float, float, float]
"""minx, maxx, miny, maxy"""

HEAD_SIZE, CELL_SIZE = 4, 24
"""Bytes of a node before its cells, and of each cell."""

BOX_SIZE = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed:
    """Boxes in nodes. ``parents`` are the nodes' own boxes, keyed by the nodes' numbers;
    ``places`` the key of each box and the number of its node, in turns."""

    nodes: list[bytes]
    parents: bytes
    places: list[int]


def make_boxes(
    bounds: bytes, first_key: int = 1, keys: Sequence[int] | None = None
) -> tuple[bytes, Bounds | None]:
    """The boxes of rows, and what holds them all; None without any place.

    ``bounds`` are four little-endian doubles a row, NaN without a place. Keys count on from
    ``first_key`` unless there are ``keys``. A box is never smaller than the bounds.
    """
    count = len(bounds) // 32
    boxes = ffi.new("struct fs_box[]", count)
    extent = ffi.new("double[]", [math.inf, -math.inf, math.inf, -math.inf])
    given = ffi.NULL if keys is None else ffi.new("int64_t[]", keys)
    made = lib.fs_rtree_boxes(ffi.from_buffer(bounds), count, first_key, given, boxes, extent)
    whole = (extent[0], extent[1], extent[2], extent[3]) if made else None
    return ffi.buffer(boxes, made * BOX_SIZE)[:], whole


def part_boxes(boxes: bytes, limits: bytes) -> list[bytes]:
    """The boxes before each limit, and those after the last; limits come from ``Boxes.limits``."""
    count, limit_count = len(boxes) // BOX_SIZE, len(limits) // BOX_SIZE
    out = ffi.new("struct fs_box[]", count)
    sizes = ffi.new("size_t[]", limit_count + 1)
    source, sorted_limits = ffi.from_buffer(boxes), ffi.from_buffer(limits)
    lib.fs_rtree_part(
        ffi.cast("struct fs_box *", source),
        count,
        ffi.cast("struct fs_box *", sorted_limits),
        limit_count,
        out,
        sizes,
    )
    parted = ffi.buffer(out, len(boxes))
    parts, at = [], 0
    for number in range(limit_count + 1):
        size = sizes[number] * BOX_SIZE
        parts.append(parted[at : at + size])
        at += size
    return parts


class Boxes:
    """Boxes that are held in memory, to be sorted and packed. Belongs to one thread at a time."""

    def __init__(self, pieces: Sequence[bytes | bytearray]) -> None:
        self.count = sum(map(len, pieces)) // BOX_SIZE
        self._boxes = ffi.new("struct fs_box[]", self.count)
        self._work = ffi.new("struct fs_box[]", self.count)
        at = 0
        for piece in pieces:
            ffi.memmove(self._boxes + at, piece, len(piece))
            at += len(piece) // BOX_SIZE

    def limits(self, parts: int) -> bytes:
        """The boxes that cut all of these, sorted by x, into so many parts of nearly one size."""
        lib.fs_rtree_sort(self._boxes, self.count, self._work)
        edges = [self.count * number // parts for number in range(1, parts)]
        return b"".join(ffi.buffer(self._boxes + edge, BOX_SIZE)[:] for edge in edges)

    def node(self, node_size: int, depth: int) -> bytes:
        """One node with all of these, which must fit; ``depth`` is the tree's height in a root."""
        node = ffi.new("uint8_t[]", node_size)
        status = lib.fs_rtree_node(self._boxes, self.count, depth, node_size, node)
        if status != lib.FS_OK:
            raise ValueError(f"{self.count} boxes do not fit into {node_size} bytes")
        return ffi.buffer(node, node_size)[:]

    @property
    def keys(self) -> list[int]:
        """The keys, in the present order."""
        return [self._boxes[place].key for place in range(self.count)]

    def pack(self, *, node_size: int, cells: int, slice_size: int, first_node: int) -> Packed:
        """Put all of these into nodes of at most ``cells`` boxes, numbered from ``first_node``.

        They are cut into slices of about ``slice_size`` boxes by x, and those into nodes by y.
        ValueError for a plan that cannot be followed.
        """
        plan, result = ffi.new("struct fs_rtree_plan *"), ffi.new("struct fs_result *")
        plan.node_size, plan.cells, plan.slice = node_size, cells, slice_size
        places = ffi.new("int64_t[]", 2 * self.count)
        room = self.count // max(1, cells) + 1
        while True:
            nodes = ffi.new("uint8_t[]", room * node_size)
            parents = ffi.new("struct fs_box[]", room)
            status = lib.fs_rtree_pack(
                plan,
                self._boxes,
                self.count,
                self._work,
                first_node,
                room,
                nodes,
                parents,
                places,
                result,
            )
            if status != lib.FS_NEED_OUTPUT:
                break
            room = result.size
        if status != lib.FS_OK:
            raise ValueError(f"no nodes of {node_size} bytes with {cells} boxes can be made")
        return Packed(
            nodes=[
                ffi.buffer(nodes + number * node_size, node_size)[:]
                for number in range(result.size)
            ],
            parents=ffi.buffer(parents, result.size * BOX_SIZE)[:],
            places=ffi.unpack(places, 2 * self.count),
        )
