"""Shapes: the coordinates of a geometry, whoever wrote it, and rows that come with little else."""

import json
import struct
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from engine.geodatabase.geodatabase import Geodatabase
from engine.geodatabase.shape import Shape, ShapeKind
from native.geometry import esri_json_to_gpkg
from tests.engine.geodatabase.made import ELM, OAK, made_trees

Json = Mapping[str, object]
Point = tuple[float, float]

NUMBERS = st.floats(-1e9, 1e9)
POINTS = st.tuples(NUMBERS, NUMBERS)
HEADER = b"GP\0\x01" + struct.pack("<i", 4326)


def blob(geometry: Json, kind: str, *, z: bool = False, m: bool = False) -> bytes:
    made = esri_json_to_gpkg(json.dumps(geometry).encode(), f"esriGeometry{kind}", 4326, z, m)
    assert made is not None
    return made


def points_of(shape: Shape | None) -> list[list[Point]]:
    """The points of each part."""
    assert shape is not None
    return [list(zip(part[::2], part[1::2], strict=True)) for part in shape.parts]


def wkb(code: int, *numbers: float, count: int | None = None) -> bytes:
    head = b"" if count is None else struct.pack("<I", count)
    return struct.pack("<BI", 1, code) + head + struct.pack(f"<{len(numbers)}d", *numbers)


@given(POINTS)
def test_a_point_is_the_same_from_a_blob_and_from_json(point: Point) -> None:
    geometry = {"x": point[0], "y": point[1]}

    for shape in (Shape.from_json(geometry), Shape.from_blob(blob(geometry, "Point"))):
        assert points_of(shape) == [[point]]
        assert shape is not None
        assert (shape.kind, shape.bounds) == (ShapeKind.POINTS, (*point, *point))


@given(st.lists(st.lists(POINTS, min_size=2, max_size=5), min_size=1, max_size=4), st.booleans())
def test_lines_are_the_same_from_a_blob_and_from_json(paths: list[list[Point]], z: bool) -> None:
    given = [[[*p, 7.0] if z else [*p] for p in path] for path in paths]
    geometry: Json = {"paths": given, "hasZ": z}

    from_json = Shape.from_json(geometry)
    from_blob = Shape.from_blob(blob(geometry, "Polyline", z=z))

    assert points_of(from_json) == points_of(from_blob) == paths
    assert from_json is not None
    assert from_json.kind is ShapeKind.LINES


def test_rings_of_all_polygons_are_listed_with_their_holes() -> None:
    outer = [[0, 0], [0, 9], [9, 9], [9, 0], [0, 0]]
    hole = [[1, 1], [2, 1], [2, 2], [1, 1]]
    other = [[20, 0], [20, 5], [25, 5], [20, 0]]

    shape = Shape.from_blob(blob({"rings": [outer, hole, other]}, "Polygon", m=True))

    assert shape is not None
    assert shape.kind is ShapeKind.RINGS
    assert sorted(len(part) // 2 for part in shape.parts) == [4, 4, 5]
    assert shape.bounds == (0, 0, 25, 9)


def test_points_of_a_multipoint_are_one_part() -> None:
    shape = Shape.from_blob(blob({"points": [[1, 2], [3, 4]]}, "Multipoint"))

    assert points_of(shape) == [[(1, 2), (3, 4)]]


def test_a_writer_of_the_other_byte_order_is_understood() -> None:
    big = b"GP\0\0" + struct.pack(">i", 4326) + struct.pack(">BIdd", 0, 1, 5.0, 6.0)

    assert points_of(Shape.from_blob(big)) == [[(5, 6)]]


@pytest.mark.parametrize(
    "broken",
    [
        None,
        "text",
        b"",
        b"GP",
        HEADER,
        HEADER + b"\x01",
        HEADER + wkb(1, 1.0),
        HEADER + wkb(1, float("nan"), float("nan")),
        HEADER + wkb(1, 1.0, float("inf")),
        HEADER + wkb(2, 1.0, 1.0, count=5),
        HEADER + wkb(8, 1.0, 1.0),
        HEADER + struct.pack("<BII", 1, 7, 2) + wkb(1, 1, 2) + wkb(2, 1, 2, 3, 4, count=2),
        HEADER + struct.pack("<BII", 1, 6, 0),
    ],
)
def test_what_cannot_be_drawn_is_no_shape(broken: object) -> None:
    assert Shape.from_blob(broken) is None


@given(st.binary(max_size=60))
def test_any_bytes_are_a_shape_or_none(rest: bytes) -> None:
    Shape.from_blob(HEADER + rest)


@pytest.mark.parametrize(
    "geometry",
    [None, {}, {"x": "NaN", "y": 1}, {"x": 1}, {"points": []}, {"paths": [[["a"]]]}, {"rings": 3}],
)
def test_json_without_coordinates_is_no_shape(geometry: Json | None) -> None:
    assert Shape.from_json(geometry) is None


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "trees.gpkg"


async def test_rows_come_with_the_fields_that_were_asked_for(path: Path) -> None:
    async with await made_trees(path) as geodatabase:
        rows = [
            row
            async for row in geodatabase.table(0).query_shapes(
                fields=("SPECIES", "no such", "globalid", "species")
            )
        ]

    assert [(r.global_id, r.values) for r in rows] == [
        (OAK, ("OAK", None, OAK, "OAK")),
        (ELM, ("ELM", None, ELM, "ELM")),
    ]
    assert points_of(rows[0].shape) == [[(1, 2)]]
    assert rows[1].shape is None


async def test_rows_fulfil_the_condition(path: Path) -> None:
    async with await made_trees(path) as geodatabase:
        found = [row async for row in geodatabase.table(0).query_shapes("species = ?", ("ELM",))]
        assert [row.global_id for row in found] == [ELM]


async def test_a_table_without_geometry_has_rows_without_shape(path: Path) -> None:
    async with await made_trees(path) as geodatabase:
        (row,) = [row async for row in geodatabase.table("Inspections").query_shapes()]
        assert row.shape is None


async def test_the_version_in_a_record_has_its_shape(path: Path) -> None:
    async with await made_trees(path) as geodatabase:
        await check_versions(geodatabase)


async def check_versions(geodatabase: Geodatabase) -> None:
    tree = geodatabase.table(0)
    place = blob({"x": 3, "y": 4}, "Point")

    assert points_of(tree.shape_in({"geom": {"hex": place.hex()}})) == [[(3, 4)]]
    assert tree.shape_in({"geom": None}) is None
    assert tree.shape_in(None) is None
    assert geodatabase.table(1).shape_in({"geom": {"hex": place.hex()}}) is None


async def test_coordinates_are_in_the_reference_that_the_table_says(path: Path) -> None:
    async with await made_trees(path) as geodatabase:
        reference = geodatabase.table(0).spatial_reference
        assert reference.same_as(geodatabase.table(0).schema.spatial_reference)
