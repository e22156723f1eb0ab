"""Geometries are compared by meaning: whoever wrote them, the same place is no edit."""

import random
import struct

import pytest

from engine.geodatabase.geometry_blob import nearly_same_geometry, same_geometry

NAN = float("nan")


def blob(wkb: bytes, *, envelope: int = 0, srs: int = 3857, big: bool = False) -> bytes:
    """A GeoPackage geometry with this WKB."""
    doubles = (0, 4, 6, 6, 8)[envelope]
    order = ">" if big else "<"
    header = struct.pack(f"{order}2sBBi", b"GP", 0, (envelope << 1) | (not big), srs)
    return header + struct.pack(f"{order}{doubles}d", *range(doubles)) + wkb


def random_wkb(rng: random.Random, *, big: bool, kind: int, dimension: int) -> bytes:
    """WKB of that type; the same numbers for the same state of ``rng``."""
    order = ">" if big else "<"
    head = struct.pack(f"{order}BI", not big, kind + 1000 * dimension)
    width = (2, 3, 3, 4)[dimension]

    def point() -> bytes:
        return struct.pack(f"{order}{width}d", *(rng.uniform(-1e7, 1e7) for _ in range(width)))

    def line() -> bytes:
        n = rng.randrange(0, 5)
        return struct.pack(f"{order}I", n) + b"".join(point() for _ in range(n))

    if kind == 1:
        return head + point()
    if kind == 2:
        return head + line()
    parts = rng.randrange(0, 4)
    count = struct.pack(f"{order}I", parts)
    if kind == 3:
        return head + count + b"".join(line() for _ in range(parts))
    below = kind - 3 if kind < 7 else rng.randrange(1, 4)
    return (
        head
        + count
        + b"".join(random_wkb(rng, big=big, kind=below, dimension=dimension) for _ in range(parts))
    )


@pytest.mark.parametrize("kind", range(1, 8))
@pytest.mark.parametrize("dimension", range(4))
def test_same_geometry_when_written_in_any_way_then_it_is_the_same(
    kind: int, dimension: int
) -> None:
    for seed in range(20):
        little = random_wkb(random.Random(seed), big=False, kind=kind, dimension=dimension)
        big = random_wkb(random.Random(seed), big=True, kind=kind, dimension=dimension)
        plain = blob(little)
        for envelope in range(5):
            other = blob(big, envelope=envelope, srs=4326, big=bool(seed % 2))
            assert same_geometry(plain, other)
            assert same_geometry(other, plain)
            assert same_geometry(plain, blob(little, envelope=envelope))


@pytest.mark.parametrize("kind", range(1, 8))
def test_same_geometry_when_one_byte_differs_then_it_is_another(kind: int) -> None:
    rng = random.Random(kind)
    little = random_wkb(random.Random(3), big=False, kind=kind, dimension=1)
    big = random_wkb(random.Random(3), big=True, kind=kind, dimension=1)
    for _ in range(50):
        at = rng.randrange(1, len(little))
        changed = little[:at] + bytes([little[at] ^ 1]) + little[at + 1 :]
        assert not same_geometry(blob(little), blob(changed))
        assert not same_geometry(blob(big), blob(changed))


def test_same_geometry_when_points_are_empty_then_the_bits_of_nan_do_not_matter() -> None:
    quiet = struct.pack("<BIdd", 1, 1, NAN, NAN)
    other = struct.pack("<BI", 1, 1) + b"\1\0\0\0\0\0\xf0\x7f" * 2

    assert same_geometry(blob(quiet), blob(other))
    assert same_geometry(blob(quiet), blob(struct.pack(">BIdd", 0, 1, NAN, NAN)))
    assert not same_geometry(blob(quiet), blob(struct.pack("<BIdd", 1, 1, 0, 0)))


@pytest.mark.parametrize(
    ("x", "moved", "near"),
    [
        (1_234_567.0, 0.009, True),
        (1_234_567.0, 0.02, False),
        (-12.5, 9e-8, True),
        (-12.5, 2e-7, False),
    ],
)
def test_nearly_same_geometry_when_moved_by_less_than_a_grid_then_it_is_near(
    x: float, moved: float, near: bool
) -> None:
    one = blob(struct.pack("<BIIdddd", 1, 2, 2, 0, 0, x, x))
    other = blob(struct.pack(">BIIdddd", 0, 2, 2, 0, 0, x, x + moved), envelope=1)

    assert nearly_same_geometry(one, other) is near
    assert nearly_same_geometry(one, one)
    assert not nearly_same_geometry(one, blob(struct.pack("<BIIdd", 1, 2, 1, 0, 0)))
    assert not nearly_same_geometry(one, None)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (None, None, True),
        (None, b"", False),
        (b"", b"", True),
        (b"rubbish", b"rubbish", True),
        (b"rubbish", b"garbage", False),
        ("text", "text", True),
        ("text", b"text", False),
        (blob(b""), blob(b"", envelope=1), True),
        (blob(b"\1"), blob(b"\0"), False),
        (blob(b"\1\3\0\0\0\xff\xff\xff\xff"), blob(b"\0\0\0\0\3\xff\xff\xff\xff"), False),
        (blob(b"\1\x63\0\0\0"), blob(b"\0\0\0\0\x63"), False),
        (blob(b"\1\7\0\0\0\1\0\0\0" * 50), blob(b"\0\0\0\0\7\0\0\0\1" * 50), False),
        (b"GP\0\x0b" + b"\0" * 80, b"GP\0\x0b" + b"\1" * 80, False),
    ],
)
def test_same_geometry_when_it_is_no_geometry_then_only_its_copy_is_the_same(
    one: object, other: object, same: bool
) -> None:
    assert same_geometry(one, other) is same
