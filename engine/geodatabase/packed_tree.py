"""Making an R-tree whole, from the leaves up, which costs a tenth of inserting row by row.

SQLite keeps an R-tree in three ordinary tables (sqlite.org/rtree.html, "The shadow tables"): nodes,
the node of each row, the parent of each node. They are filled by sort-tile-recursive packing: boxes
sorted by x, cut into slices, each sorted by y, cut into nodes; then the nodes' own boxes likewise,
until one node is left, the root. The native core packs; here the boxes lie in temporary tables, and
many of them are first parted by x, so that only a part has to be in memory.
"""

import sqlite3
import struct
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from math import ceil, sqrt

from engine.geodatabase.bulk_insert import insert_many
from engine.geodatabase.sql import quote
from native.rtree import BOX_SIZE, CELL_SIZE, HEAD_SIZE, Bounds, Boxes, make_boxes, part_boxes

_FULLNESS = 0.87  # of a packed node, so that the first rows that are added later find room
_ROOT = 1
_BATCH = 1000  # boxes with keys of their own that are added at once
_HELD = 4096  # boxes that are packed at once; all that is made of them takes 0.6 MB
_MOST_PARTS = 256  # beyond a million boxes the parts grow instead
_SAMPLES = 32  # of each part: enough for parts of nearly one size
_WAITING = 256 << 10  # bytes that wait for their parts' next pieces
_LARGEST_PIECE = 4000  # bytes; fits a page

_Pieces = Callable[[], Iterable[bytes]]


class PackedTree:
    """Collects the boxes of rows and makes an R-tree of them. Needs an open transaction.

    The boxes lie in a temporary table called ``name``, where a later collector of that name finds
    them. Their numbers are finite.
    """

    def __init__(self, connection: sqlite3.Connection, name: str) -> None:
        self._connection = connection
        self._table = f"temp.{quote(name)}"
        connection.execute(
            f"CREATE TABLE IF NOT EXISTS {self._table} (id INTEGER PRIMARY KEY, rows INTEGER,"
            " minx REAL, maxx REAL, miny REAL, maxy REAL, boxes BLOB)"
        )

    def add(self, bounds: bytes) -> None:
        """Add the bounds of the next rows, whose keys count from 1.

        Four little-endian doubles a row: minx, maxx, miny, maxy; NaN for a row without a place.
        """
        count = self.count()
        self._insert(count + len(bounds) // 32, *make_boxes(bounds, count + 1))

    def add_keyed(self, boxes: Iterable[tuple[int, float, float, float, float]]) -> None:
        """Add boxes, each with its row's key before it."""
        count, iterator = self.count(), iter(boxes)
        while batch := list(islice(iterator, _BATCH)):
            keys = [box[0] for box in batch]
            bounds = chain.from_iterable(box[1:] for box in batch)
            count += len(batch)
            packed = struct.pack(f"<{4 * len(batch)}d", *bounds)
            self._insert(count, *make_boxes(packed, keys=keys))

    def _insert(self, rows: int, boxes: bytes, bounds: Bounds | None) -> None:
        self._connection.execute(
            f"INSERT INTO {self._table} VALUES (NULL, ?, ?, ?, ?, ?, ?)",
            (rows, *(bounds or (None,) * 4), boxes),
        )

    def count(self) -> int:
        """How many rows were added, those without a place too."""
        last = self._connection.execute(
            f"SELECT rows FROM {self._table} ORDER BY id DESC LIMIT 1"
        ).fetchone()
        return 0 if last is None else int(last[0])

    def bounds(self) -> Bounds | None:
        """What holds all boxes; None without any."""
        found: Bounds = self._connection.execute(
            f"SELECT min(minx), max(maxx), min(miny), max(maxy) FROM {self._table}"
        ).fetchone()
        return None if found[0] is None else found

    def build(self, index: str) -> None:
        """Make the R-tree ``index`` of the boxes."""
        connection, table = self._connection, self._table
        connection.execute(
            f"CREATE VIRTUAL TABLE {quote(index)} USING rtree(id, minx, maxx, miny, maxy)"
        )
        (size,) = connection.execute(f"SELECT total(length(boxes)) FROM {table}").fetchone()

        def pieces() -> Iterator[bytes]:
            for (boxes,) in connection.execute(f"SELECT boxes FROM {table} ORDER BY id"):
                yield boxes

        _Packing(connection, index).run(pieces, int(size) // BOX_SIZE)

    def forget(self) -> None:
        """Drop the boxes."""
        self._connection.execute(f"DROP TABLE {self._table}")


class _Packing:
    """Fills the tables of one new R-tree."""

    def __init__(self, connection: sqlite3.Connection, index: str) -> None:
        self._connection = connection
        self._nodes, self._rows, self._parents = (
            quote(f"{index}_{part}") for part in ("node", "rowid", "parent")
        )
        (self._node_size,) = connection.execute(
            f"SELECT length(data) FROM {self._nodes} WHERE nodeno = {_ROOT}"
        ).fetchone()
        self._most = (self._node_size - HEAD_SIZE) // CELL_SIZE
        self._cells = int(self._most * _FULLNESS)
        self._last = _ROOT  # the highest number of a node

    def run(self, pieces: _Pieces, count: int) -> None:
        """Pack ``count`` boxes, which come in ``pieces``, level by level."""
        depth = 0
        while count > self._most:
            before = self._last
            parents = self._level(pieces, count, self._parents if depth else self._rows)
            pieces, count, depth = parents.copy, self._last - before, depth + 1
        root = Boxes(list(pieces()))
        self._connection.execute(
            f"UPDATE {self._nodes} SET data = ? WHERE nodeno = {_ROOT}",
            (root.node(self._node_size, depth),),
        )
        places = [cell for key in root.keys for cell in (key, _ROOT)]
        insert_many(self._connection, self._parents if depth else self._rows, 2, places)

    def _level(self, pieces: _Pieces, count: int, places: str) -> list[bytes]:
        """Put boxes into nodes; returns the nodes' own boxes, half a byte for each row.

        Which box is in which node goes to the table ``places``.
        """
        connection, parents = self._connection, []
        connection.execute("CREATE TEMP TABLE fieldsync_placed (id, node)")
        slice_size = ceil(sqrt(count / self._cells)) * self._cells
        for boxes in self._parts(pieces, count):
            packed = boxes.pack(
                node_size=self._node_size,
                cells=self._cells,
                slice_size=slice_size,
                first_node=self._last + 1,
            )
            numbered = enumerate(packed.nodes, self._last + 1)
            connection.executemany(f"INSERT INTO {self._nodes} VALUES (?, ?)", numbered)
            insert_many(connection, "temp.fieldsync_placed", 2, packed.places)
            parents.append(packed.parents)
            self._last += len(packed.nodes)
        # In the order of the keys: each page of the table is then written once.
        connection.execute(
            f"INSERT INTO {places} SELECT id, node FROM temp.fieldsync_placed ORDER BY id"
        )
        connection.execute("DROP TABLE temp.fieldsync_placed")
        return parents

    def _parts(self, pieces: _Pieces, count: int) -> Iterator[Boxes]:
        """All boxes, part by part; each part lies beside the one before it."""
        parts = min(ceil(count / _HELD), _MOST_PARTS)
        if parts == 1:
            yield Boxes(list(pieces()))
            return
        connection, table = self._connection, "temp.fieldsync_part"
        connection.execute(f"CREATE TABLE {table} (id INTEGER PRIMARY KEY, boxes BLOB)")
        statement = f"INSERT INTO {table} VALUES (?, ?)"
        waiting = [bytearray() for _ in range(parts)]
        largest = min(_LARGEST_PIECE, _WAITING // parts)
        stored = [number << 32 for number in range(parts)]  # so a part's pieces lie together

        def store(number: int) -> None:
            connection.execute(statement, (stored[number], bytes(waiting[number])))
            waiting[number].clear()
            stored[number] += 1

        limits = _sample(pieces(), count // (parts * _SAMPLES)).limits(parts)
        for piece in pieces():
            for number, boxes in enumerate(part_boxes(piece, limits)):
                waiting[number] += boxes
                if len(waiting[number]) >= largest:
                    store(number)
        for number in range(parts):
            store(number)
            found = connection.execute(
                f"SELECT boxes FROM {table} WHERE id >= ? AND id < ? ORDER BY id",
                (number << 32, stored[number]),
            )
            yield Boxes([boxes for (boxes,) in found])
        connection.execute(f"DROP TABLE {table}")


def _sample(pieces: Iterable[bytes], distance: int) -> Boxes:
    """Every so manieth box."""
    step = max(1, distance) * BOX_SIZE
    sample = bytearray()
    for piece in pieces:
        for at in range(0, len(piece), step):
            sample += piece[at : at + BOX_SIZE]
    return Boxes([sample])
