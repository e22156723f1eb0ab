"""Esri JSON to GeoPackage: one example per rule, then what must be refused."""

import json
import math
from typing import Any

import pytest

from native.errors import ErrorCode, GeometryError
from native.geometry import esri_json_to_gpkg
from tests.native.wkb import Writer, gpkg

POINT, MULTIPOINT = "esriGeometryPoint", "esriGeometryMultipoint"
POLYLINE, POLYGON = "esriGeometryPolyline", "esriGeometryPolygon"

XY, XYZ = Writer(), Writer(has_z=True)
XYM, XYZM = Writer(has_m=True), Writer(has_z=True, has_m=True)
NAN = math.nan


def convert(value: Any, kind: str, has_z: bool = False, has_m: bool = False) -> bytes | None:
    text = value if isinstance(value, bytes) else json.dumps(value).encode()
    return esri_json_to_gpkg(text, kind, 4326, has_z, has_m)


@pytest.mark.parametrize(
    ("value", "has_z", "has_m", "expected"),
    [
        ({"x": 1, "y": 2.5}, False, False, XY.point((1, 2.5))),
        ({"y": 2, "x": 1, "z": 3, "m": 4}, True, True, XYZM.point((1, 2, 3, 4))),
        ({"y": 2, "x": 1, "z": 3, "m": 4}, False, True, XYM.point((1, 2, 4))),
        ({"x": 1, "y": 2, "z": 3}, True, True, XYZM.point((1, 2, 3, NAN))),
        ({"x": 1, "y": 2, "m": None}, False, True, XYM.point((1, 2, NAN))),
        ({"x": 1, "y": 2, "m": "NaN"}, False, True, XYM.point((1, 2, NAN))),
        ({"x": 1, "y": 2, "spatialReference": {"wkid": 3857}}, False, False, XY.point((1, 2))),
        ({"a": [{"b": [1, "}"]}], "x": 1, "y": 2, "id": 9}, False, False, XY.point((1, 2))),
        (b' { "\\u0078" : 1e0 , "y" : -0.0 } ', False, False, XY.point((1, -0.0))),
    ],
)
def test_point(value: Any, has_z: bool, has_m: bool, expected: bytes) -> None:
    assert convert(value, POINT, has_z, has_m) == gpkg(expected)


@pytest.mark.parametrize(
    "value", [{"x": None, "y": None}, {"x": "NaN", "y": "NaN"}, {"x": None}, {}]
)
def test_empty_point(value: Any) -> None:
    assert convert(value, POINT) == gpkg(XY.point((NAN, NAN)), empty=True)
    assert convert(value, POINT, True, True) == gpkg(XYZM.point((NAN,) * 4), empty=True)


@pytest.mark.parametrize("kind", [POINT, MULTIPOINT, POLYLINE, POLYGON])
def test_null_is_none(kind: str) -> None:
    assert convert(None, kind) is None
    assert convert(b" null ", kind) is None


@pytest.mark.parametrize(
    ("kind", "member", "code"),
    [(MULTIPOINT, "points", 4), (POLYLINE, "paths", 5), (POLYGON, "rings", 6)],
)
@pytest.mark.parametrize("value", [[], None])
def test_empty_lists(kind: str, member: str, code: int, value: Any) -> None:
    expected = gpkg(XY.head(code) + XY.count(0), empty=True)

    assert convert({member: value}, kind) == expected
    assert convert({}, kind) == expected


def test_multipoint() -> None:
    expected = gpkg(XY.multipoint([(3, 4), (1, 2)]), bounds=(1, 3, 2, 4))

    assert convert({"points": [[3, 4], [1, 2]]}, MULTIPOINT) == expected


def test_empty_paths_are_dropped() -> None:
    expected = gpkg(XY.multiline([[(1, 2), (3, 4)]]), bounds=(1, 3, 2, 4))

    assert convert({"paths": [[], [[1, 2], [3, 4]], []]}, POLYLINE) == expected


@pytest.mark.parametrize(
    ("flags", "vertex", "layer", "expected"),
    [
        ({}, [1, 2, 3, 4], (True, True), (1, 2, 3, 4)),
        ({}, [1, 2, 3], (True, False), (1, 2, 3)),
        ({}, [1, 2, 3], (False, True), (1, 2, 3)),
        ({}, [1, 2, 3], (True, True), (1, 2, 3, NAN)),
        ({}, [1, 2, 3, 4], (False, False), (1, 2)),
        ({"hasM": True}, [1, 2, 3], (False, True), (1, 2, 3)),
        ({"hasZ": True, "hasM": True}, [1, 2, 3, 4], (False, True), (1, 2, 4)),
        ({"hasZ": True, "hasM": True}, [1, 2, 3, 4], (True, False), (1, 2, 3)),
        ({"hasZ": True, "hasM": True}, [1, 2, 3, None], (True, True), (1, 2, 3, NAN)),
        ({"hasZ": True, "hasM": True}, [1, 2, 3], (True, True), (1, 2, 3, NAN)),
        ({"hasZ": True, "hasM": False}, [1, 2, 3], (True, True), (1, 2, 3, NAN)),
        ({"hasZ": False, "hasM": False}, [1, 2, 3, 4], (False, True), (1, 2, NAN)),
    ],
)
@pytest.mark.parametrize("flags_first", [True, False])
def test_flags_give_ordinates_their_meaning(
    flags: dict[str, bool],
    vertex: list[Any],
    layer: tuple[bool, bool],
    expected: tuple[float, ...],
    flags_first: bool,
) -> None:
    points = {"points": [vertex]}
    value = {**flags, **points} if flags_first else {**points, **flags}
    writer = Writer(has_z=layer[0], has_m=layer[1])

    blob = convert(value, MULTIPOINT, *layer)

    assert blob == gpkg(writer.multipoint([expected]), bounds=(1, 1, 2, 2))


OUTER = [[0, 0], [0, 10], [10, 10], [10, 0], [0, 0]]  # clockwise: Esri's exterior
HOLE = [[1, 1], [2, 1], [2, 2], [1, 2], [1, 1]]  # counter-clockwise: Esri's hole
ISLAND = [[1.2, 1.2], [1.2, 1.4], [1.4, 1.4], [1.2, 1.2]]  # an exterior inside the hole
FAR = [[20, 0], [20, 10], [30, 10], [20, 0]]


@pytest.mark.parametrize(
    ("rings", "polygons", "bounds"),
    [
        ([OUTER], [[OUTER[::-1]]], (0, 10, 0, 10)),
        ([OUTER[:-1]], [[OUTER[::-1]]], (0, 10, 0, 10)),
        ([OUTER, HOLE], [[OUTER[::-1], HOLE[::-1]]], (0, 10, 0, 10)),
        ([HOLE, OUTER], [[OUTER[::-1], HOLE[::-1]]], (0, 10, 0, 10)),
        ([FAR, HOLE, OUTER], [[FAR[::-1]], [OUTER[::-1], HOLE[::-1]]], (0, 30, 0, 10)),
        (
            [ISLAND, OUTER, HOLE],
            [[ISLAND[::-1]], [OUTER[::-1], HOLE[::-1]]],
            (0, 10, 0, 10),
        ),
        # Orientation is off: a hole outside every exterior stands for itself.
        ([OUTER, FAR[::-1]], [[OUTER[::-1]], [FAR[::-1]]], (0, 30, 0, 10)),
        # No ring runs clockwise: even-odd.
        ([OUTER[::-1], HOLE], [[OUTER[::-1], HOLE[::-1]]], (0, 10, 0, 10)),
        (
            [OUTER[::-1], HOLE, ISLAND[::-1]],
            [[OUTER[::-1], HOLE[::-1]], [ISLAND[::-1]]],
            (0, 10, 0, 10),
        ),
        ([[], OUTER], [[OUTER[::-1]]], (0, 10, 0, 10)),
    ],
)
def test_rings_become_polygons(
    rings: list[Any], polygons: list[Any], bounds: tuple[float, ...]
) -> None:
    expected = gpkg(XY.multipolygon(polygons), bounds=bounds)

    assert convert({"rings": rings}, POLYGON) == expected


def test_hole_that_touches_its_exterior_stays_inside() -> None:
    touching = [[0, 0], [2, 1], [1, 2], [0, 0]]
    expected = gpkg(XY.multipolygon([[OUTER[::-1], touching[::-1]]]), bounds=(0, 10, 0, 10))

    assert convert({"rings": [touching, OUTER]}, POLYGON) == expected


def test_sliver_far_from_the_origin_keeps_its_orientation() -> None:
    x, y = 12351633.6198, 4308475.3464
    sliver = [[x, y], [x, y + 1e-4], [x + 1e-4, y], [x, y]]

    blob = convert({"rings": [sliver]}, POLYGON)

    assert blob is not None
    assert blob.endswith(b"".join(map(XY.vertex, sliver[::-1])))


def test_many_nested_rings_take_bounded_time() -> None:
    ring = [[0, 0], [0, 1], [1, 0], [0, 0]]

    blob = convert({"rings": [ring, ring[::-1]] * 20_000}, POLYGON)

    assert blob is not None


@pytest.mark.parametrize(
    ("text", "kind", "code", "offset"),
    [
        (b"", POINT, ErrorCode.TRUNCATED, 0),
        (b"[]", POINT, ErrorCode.SYNTAX, 0),
        (b'{"x":1,"y":2}x', POINT, ErrorCode.TRAILING, 13),
        (b'{"x":1,"y":}', POINT, ErrorCode.SYNTAX, 11),
        (b'{"x":1,"y":null}', POINT, ErrorCode.VERTEX, 16),
        (b'{"x":1e999,"y":0}', POINT, ErrorCode.NOT_FINITE, 5),
        (b'{"x":"1","y":0}', POINT, ErrorCode.NOT_FINITE, 5),
        (b'{"x":NaN,"y":0}', POINT, ErrorCode.SYNTAX, 5),
        (b'{"x":01,"y":0}', POINT, ErrorCode.SYNTAX, 5),
        (b'{"rings":[]}', POINT, ErrorCode.GEOMETRY, 1),
        (b'{"points":[]}', POLYLINE, ErrorCode.GEOMETRY, 1),
        (b'{"curvePaths":[]}', POLYLINE, ErrorCode.CURVE, 1),
        (b'{"curveRings":[]}', POLYGON, ErrorCode.CURVE, 1),
        (b'{"paths":[[[1,2],{"c":[[3,4],[5,6]]}]]}', POLYLINE, ErrorCode.CURVE, 17),
        (b'{"paths":[[[1]]]}', POLYLINE, ErrorCode.VERTEX, 12),
        (b'{"paths":[[[1,null]]]}', POLYLINE, ErrorCode.VERTEX, 12),
        (b'{"paths":[[[1,2,3,4,5]]]}', POLYLINE, ErrorCode.VERTEX, 20),
        (b'{"paths":[[1,2]]}', POLYLINE, ErrorCode.SYNTAX, 11),
        (b'{"paths":[[[1,2],]]}', POLYLINE, ErrorCode.SYNTAX, 17),
        (b'{"a":' + b"[" * 65 + b"]" * 65 + b"}", POINT, ErrorCode.DEPTH, 69),
        (b'{"a":' + b"[" * 64 + b"]" * 64 + b"}", POINT, None, 0),
        (b'{"a":"\n"}', POINT, ErrorCode.SYNTAX, 6),
    ],
)
def test_refused(text: bytes, kind: str, code: ErrorCode | None, offset: int) -> None:
    if code is None:
        assert convert(text, kind) is not None
        return
    with pytest.raises(GeometryError) as caught:
        convert(text, kind)
    assert (caught.value.code, caught.value.offset) == (code, offset)


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ({"x": 1, "y": 2}, POINT),
        ({"x": 1, "y": 2, "z": None}, POINT),
        ({"points": [[1, 2]]}, MULTIPOINT),
        ({"points": [[1, 2, None]]}, MULTIPOINT),
        ({"points": [[1, 2, 3]], "hasM": True}, MULTIPOINT),
        ({"paths": [[[1, 2, 3], [4, 5]]], "hasZ": True}, POLYLINE),
        ({"paths": [[[1, 2, 3]]], "hasZ": False}, POLYLINE),
    ],
)
def test_a_missing_z_is_refused(value: Any, kind: str) -> None:
    with pytest.raises(GeometryError) as caught:
        convert(value, kind, True)
    assert caught.value.code is ErrorCode.Z_MISSING


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ({"x": 1.5, "y": 2, "hasZ": True, "q": ["\\u0041", None, True]}, POINT),
        ({"points": [[1, 2], [3, 4]], "hasM": False}, MULTIPOINT),
        ({"paths": [[[1, 2], [3, 4]], [[5, 6], [7, 8]]]}, POLYLINE),
        ({"rings": [OUTER, HOLE], "spatialReference": {"wkid": 4326}}, POLYGON),
    ],
)
def test_every_truncation_is_an_error(value: Any, kind: str) -> None:
    text = json.dumps(value).encode()
    for size in range(len(text)):
        with pytest.raises(GeometryError):
            convert(text[:size], kind)
