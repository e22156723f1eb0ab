"""Making an R-tree whole, from the leaves up, which costs half of inserting row by row.

SQLite keeps an R-tree in three ordinary tables (sqlite.org/rtree.html, "The shadow tables"): nodes,
the node of each row, the parent of each node. They are filled by sort-tile-recursive packing: boxes
sorted by x, cut into slices, each sorted by y, cut into nodes; then the nodes' own boxes likewise,
until one node is left, the root. SQLite's own sorter bounds the memory whatever the number of rows.
"""

import sqlite3
import struct
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, pairwise, repeat
from math import ceil, sqrt
from operator import itemgetter

from engine.geodatabase.sql import quote

Bounds = tuple[float, float, float, float]
"""minx, maxx, miny, maxy; NaN for a row without a place."""

_FULLNESS = 0.87  # of a packed node, so that the first rows that are added later find room
_SLICE_NODES = 50  # in one slice at most: its boxes are in memory
_ROOT = 1
_HEAD = struct.Struct(">HH")  # depth of the tree (0 but in the root), number of cells
_CELL = "q4f"
_CELL_BYTES = struct.calcsize(">" + _CELL)
_LARGEST = 3.4e38  # beyond it a 32-bit float is infinite
_SIDES = ("minx", "maxx", "miny", "maxy")
_MIDDLE = itemgetter(5)


class PackedTree:
    """Collects the boxes of rows and makes an R-tree of them. Needs an open transaction.

    The boxes lie in a temporary table called ``name``, where a later collector of that name finds
    them. Their numbers are finite.
    """

    def __init__(self, connection: sqlite3.Connection, name: str) -> None:
        self._connection = connection
        self._boxes = f"temp.{quote(name)}"
        connection.execute(
            f"CREATE TABLE IF NOT EXISTS {self._boxes}"
            "(id INTEGER PRIMARY KEY, minx REAL, maxx REAL, miny REAL, maxy REAL)"
        )

    def add(self, bounds: Iterable[Bounds]) -> None:
        """Add the boxes of the next rows, whose keys count from 1."""
        self._connection.executemany(
            f"INSERT INTO {self._boxes} (minx, maxx, miny, maxy) VALUES (?, ?, ?, ?)", bounds
        )

    def add_keyed(self, boxes: Iterable[tuple[int, float, float, float, float]]) -> None:
        """Add boxes, each with its row's key before it."""
        self._connection.executemany(f"INSERT INTO {self._boxes} VALUES (?, ?, ?, ?, ?)", boxes)

    def count(self) -> int:
        """How many rows were added, those without a place too."""
        (count,) = self._connection.execute(f"SELECT count(*) FROM {self._boxes}").fetchone()
        return int(count)

    def bounds(self) -> Bounds | None:
        """What holds all boxes; None without any."""
        found: Bounds = self._connection.execute(
            f"SELECT min(minx), max(maxx), min(miny), max(maxy) FROM {self._boxes}"
        ).fetchone()
        return None if found[0] is None else found

    def build(self, index: str) -> None:
        """Make the R-tree ``index`` of the boxes."""
        self._connection.execute(
            f"CREATE VIRTUAL TABLE {quote(index)} USING rtree(id, minx, maxx, miny, maxy)"
        )
        bounds = self.bounds()
        if bounds is not None:
            is_huge = max(map(abs, bounds)) > _LARGEST / 2
            _Packing(self._connection, index).run(self._boxes, _wider_sides(is_huge=is_huge))

    def forget(self) -> None:
        """Drop the boxes."""
        self._connection.execute(f"DROP TABLE {self._boxes}")


def _wider_sides(*, is_huge: bool) -> str:
    """SQL for a box's sides that survive the rounding to 32 bits: a box must not become smaller,
    so each side is moved out by more than half the distance of two floats."""
    sides = []
    for side, sign, infinite in zip(_SIDES, "-+-+", ("-9e999", "9e999") * 2, strict=True):
        moved = f"{side} {sign} (abs({side}) * 1.1920928955078125e-07 + 1.5e-45)"
        sides.append(
            f"iif(abs({side}) > {_LARGEST / 2}, {infinite}, {moved})" if is_huge else moved
        )
    return ", ".join(sides)


class _Packing:
    """Fills the tables of one new R-tree."""

    def __init__(self, connection: sqlite3.Connection, index: str) -> None:
        self._connection = connection
        self._nodes, self._rows, self._parents = (
            quote(f"{index}_{part}") for part in ("node", "rowid", "parent")
        )
        (self._node_bytes,) = connection.execute(
            f"SELECT length(data) FROM {self._nodes} WHERE nodeno = {_ROOT}"
        ).fetchone()
        self._most = (self._node_bytes - _HEAD.size) // _CELL_BYTES
        self._cells = int(self._most * _FULLNESS)
        self._last = _ROOT  # the highest number of a node

    def run(self, boxes: str, sides: str) -> None:
        """Pack level by level; ``sides`` says what is read of the rows' own boxes."""
        connection, level, made = self._connection, 0, []
        where = "WHERE minx NOTNULL"
        (count,) = connection.execute(f"SELECT count(*) FROM {boxes} {where}").fetchone()
        while count > self._most:
            above = f"temp.fieldsync_level_{level + 1}"
            connection.execute(
                f"CREATE TABLE {above} (id INTEGER PRIMARY KEY, minx, maxx, miny, maxy)"
            )
            made.append(above)
            rows = connection.execute(
                f"SELECT id, {sides}, miny + maxy FROM {boxes} {where} ORDER BY minx + maxx"
            )
            count = self._level(rows, count, self._parents if level else self._rows, above)
            boxes, sides, level = above, ", ".join(_SIDES), level + 1
        cells = connection.execute(f"SELECT id, {sides} FROM {boxes} {where}").fetchall()
        root = self._node(cells, depth=level)
        connection.execute(f"UPDATE {self._nodes} SET data = ? WHERE nodeno = {_ROOT}", (root,))
        connection.executemany(
            f"INSERT INTO {self._parents if level else self._rows} VALUES (?, {_ROOT})",
            ((cell[0],) for cell in cells),
        )
        for table in made:
            connection.execute(f"DROP TABLE {table}")

    def _level(self, rows: sqlite3.Cursor, count: int, places: str, above: str) -> int:
        """Put ``count`` boxes, which come sorted by x, into nodes; returns how many those are.

        Which is in which node goes to ``places``, the nodes' own boxes go to ``above``.
        """
        connection, first = self._connection, self._last
        connection.execute("CREATE TEMP TABLE fieldsync_placed (id, node)")
        slices = round(sqrt(ceil(count / self._cells)))
        size = min(ceil(count / slices / self._cells), _SLICE_NODES) * self._cells
        while cells := rows.fetchmany(size):
            cells.sort(key=_MIDDLE)
            for part in _even_parts(cells, self._cells):
                self._last += 1
                number = self._last
                ids, *sides, _ = zip(*part, strict=True)
                bounds = [(min, max)[place % 2](side) for place, side in enumerate(sides)]
                node = self._node([cell[:5] for cell in part], depth=0)
                connection.execute(f"INSERT INTO {self._nodes} VALUES (?, ?)", (number, node))
                connection.executemany(
                    "INSERT INTO temp.fieldsync_placed VALUES (?, ?)",
                    zip(ids, repeat(number), strict=False),
                )
                connection.execute(f"INSERT INTO {above} VALUES (?, ?, ?, ?, ?)", (number, *bounds))
        # In the order of the keys: each page of the table is then written once.
        connection.execute(
            f"INSERT INTO {places} SELECT id, node FROM temp.fieldsync_placed ORDER BY id"
        )
        connection.execute("DROP TABLE temp.fieldsync_placed")
        return self._last - first

    def _node(self, cells: Sequence[tuple[float, ...]], *, depth: int) -> bytes:
        body = struct.pack(">" + _CELL * len(cells), *chain.from_iterable(cells))
        return (_HEAD.pack(depth, len(cells)) + body).ljust(self._node_bytes, b"\0")


def _even_parts(cells: list[tuple[float, ...]], most: int) -> Iterator[list[tuple[float, ...]]]:
    """Parts of nearly one size, at most ``most`` each."""
    count = ceil(len(cells) / most)
    edges = [len(cells) * number // count for number in range(count + 1)]
    for start, end in pairwise(edges):
        yield cells[start:end]
