"""An R-tree that was packed is one that SQLite itself could have made."""

import math
import random
import sqlite3
import struct
from collections.abc import Iterator

import pytest

from engine.geodatabase.packed_tree import PackedTree
from native.rtree import Bounds

SIZES = [0, 1, 50, 51, 52, 103, 2_000, 2_245, 120_000]
"""Around the limits of one node, of two levels and of three."""


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.execute("BEGIN")
    yield connection
    connection.close()


def boxes(count: int, size: float = 0.001) -> list[Bounds]:
    rng = random.Random(count)
    found = []
    for _ in range(count):
        x, y = rng.uniform(-180, 180), rng.uniform(-90, 90)
        found.append((x, x + rng.random() * size, y, y + rng.random() * size))
    return found


def joined(bounds: list[Bounds]) -> bytes:
    return b"".join(struct.pack("<4d", *box) for box in bounds)


def packed(connection: sqlite3.Connection, bounds: list[Bounds]) -> None:
    tree = PackedTree(connection, "boxes")
    for at in range(0, len(bounds), 1000):
        tree.add(joined(bounds[at : at + 1000]))
    tree.build("tree")
    tree.forget()


def check(connection: sqlite3.Connection) -> str:
    (found,) = connection.execute("SELECT rtreecheck('tree')").fetchone()
    return str(found)


def within(connection: sqlite3.Connection, window: Bounds) -> set[int]:
    minx, maxx, miny, maxy = window
    found = connection.execute(
        "SELECT id FROM tree WHERE maxx >= ? AND minx <= ? AND maxy >= ? AND miny <= ?",
        (minx, maxx, miny, maxy),
    )
    return {key for (key,) in found}


@pytest.mark.parametrize("count", SIZES)
def test_a_packed_tree_is_sound_and_holds_every_row(
    connection: sqlite3.Connection, count: int
) -> None:
    packed(connection, boxes(count))

    assert check(connection) == "ok"
    keys = [key for (key,) in connection.execute("SELECT id FROM tree ORDER BY id")]
    assert keys == list(range(1, count + 1))


def test_a_window_finds_every_row_in_it_and_hardly_another(connection: sqlite3.Connection) -> None:
    bounds = boxes(5_000)
    packed(connection, bounds)

    for x in range(-180, 180, 20):
        window = (x, x + 5.0, -30.0, 30.0)
        wanted = {
            key
            for key, (minx, maxx, miny, maxy) in enumerate(bounds, 1)
            if maxx >= window[0] and minx <= window[1] and maxy >= window[2] and miny <= window[3]
        }
        found = within(connection, window)
        assert wanted <= found
        assert len(found - wanted) <= 2  # 32-bit floats are a little coarser


def test_rows_can_be_added_moved_and_deleted_afterwards(connection: sqlite3.Connection) -> None:
    packed(connection, boxes(3_000))
    rng = random.Random(1)

    for box in boxes(2_000, size=1.0):
        key = rng.randrange(1, 4_000)
        connection.execute("INSERT OR REPLACE INTO tree VALUES (?, ?, ?, ?, ?)", (key, *box))
        connection.execute("DELETE FROM tree WHERE id = ?", (rng.randrange(1, 4_000),))

    assert check(connection) == "ok"


def test_a_row_without_a_place_is_left_out(connection: sqlite3.Connection) -> None:
    nowhere = (math.nan,) * 4

    packed(connection, [(1.0, 1.0, 2.0, 2.0), nowhere, (3.0, 3.0, 4.0, 4.0)])

    assert within(connection, (-9, 9, -9, 9)) == {1, 3}


def test_coordinates_beyond_32_bits_are_found(connection: sqlite3.Connection) -> None:
    huge = [(-1e300, 1e300, 0.0, 1.0), (1e300, 1e300, 5.0, 5.0), *boxes(100)]

    packed(connection, huge)

    assert check(connection) == "ok"
    assert {1, 2} <= within(connection, (1e299, 1e301, -9, 9))


def test_the_bounds_of_all_boxes_are_exact(connection: sqlite3.Connection) -> None:
    tree = PackedTree(connection, "boxes")
    tree.add(joined([(0.1, 0.2, 0.3, 0.4), (-0.1, 0.0, 0.7, 0.9)]))

    assert tree.bounds() == (-0.1, 0.2, 0.3, 0.9)


@pytest.mark.parametrize("page_bytes", [512, 1024, 65536])
def test_any_page_size_will_do(page_bytes: int) -> None:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.execute(f"PRAGMA page_size = {page_bytes}")
    connection.execute("BEGIN")

    packed(connection, boxes(1_000))

    assert check(connection) == "ok"
    connection.close()
