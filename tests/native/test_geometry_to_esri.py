"""GeoPackage to Esri JSON, whatever wrote the blob, and the bounds of blobs."""

import contextlib
import json
import math
from typing import Any

import pytest

from native.errors import ErrorCode, GeometryError
from native.geometry import envelope, gpkg_to_esri_json, is_empty
from tests.native.wkb import Writer, gpkg

NAN = math.nan
XY = Writer()
ALL_DIMS = [(False, False), (True, False), (False, True), (True, True)]

SQUARE = [(0, 0), (4, 0), (4, 4), (0, 4), (0, 0)]  # counter-clockwise: OGC's exterior
HOLE = [(1, 1), (1, 2), (2, 2), (2, 1), (1, 1)]


def esri(blob: bytes, kind: str | None = None) -> Any:
    return json.loads(gpkg_to_esri_json(blob, kind))


@pytest.mark.parametrize("little", [True, False])
@pytest.mark.parametrize(("has_z", "has_m"), ALL_DIMS)
def test_every_type_in_every_byte_order_and_dimension(
    little: bool, has_z: bool, has_m: bool
) -> None:
    writer = Writer(little=little, has_z=has_z, has_m=has_m)
    further = [7.5] * has_z + [8.25] * has_m
    flags = {"hasZ": True} if has_z else {}
    flags |= {"hasM": True} if has_m else {}
    point = {"x": 1, "y": 2} | ({"z": 7.5} if has_z else {}) | ({"m": 8.25} if has_m else {})

    def vertices(run: Any) -> list[list[float]]:
        return [[*vertex, *further] for vertex in run]

    line, square, hole = vertices([(1, 2), (3, 4)]), vertices(SQUARE), vertices(HOLE)
    cases = [
        (writer.point([1, 2, *further]), point),
        (writer.line(line), {**flags, "paths": [line]}),
        (writer.polygon([square, hole]), {**flags, "rings": [square[::-1], hole[::-1]]}),
        (writer.multipoint(line), {**flags, "points": line}),
        (writer.multiline([line, line]), {**flags, "paths": [line, line]}),
        (
            writer.multipolygon([[square, hole], [square]]),
            {**flags, "rings": [square[::-1], hole[::-1], square[::-1]]},
        ),
    ]
    for wkb, expected in cases:
        for bounds in ((), (0.0,) * 4, (0.0,) * 6, (0.0,) * 8):
            for little_header in (True, False):
                blob = gpkg(wkb, little=little_header, bounds=bounds)
                assert esri(blob) == expected
                if bounds:
                    assert envelope(blob) == (0, 0, 0, 0)
                else:
                    assert envelope(blob) is not None


def test_parts_may_differ_in_byte_order() -> None:
    mixed = XY.head(4) + XY.count(2) + XY.point((1, 2)) + Writer(little=False).point((3, 4))

    assert esri(gpkg(mixed)) == {"points": [[1, 2], [3, 4]]}


@pytest.mark.parametrize(
    ("wkb", "expected"),
    [
        (XY.point((NAN, NAN)), {"x": None, "y": None}),
        (XY.multipoint([]), {"points": []}),
        (XY.multipoint([(NAN, NAN), (1, 2)]), {"points": [[1, 2]]}),
        (XY.line([]), {"paths": []}),
        (XY.multiline([]), {"paths": []}),
        (XY.multiline([[], [(1, 2), (3, 4)], []]), {"paths": [[[1, 2], [3, 4]]]}),
        (XY.polygon([]), {"rings": []}),
        (XY.polygon([[]]), {"rings": []}),
        (XY.multipolygon([]), {"rings": []}),
    ],
)
def test_empty_geometries_and_parts(wkb: bytes, expected: Any) -> None:
    assert esri(gpkg(wkb)) == expected
    assert is_empty(gpkg(wkb)) == (not any(expected.values()))


def test_rings_are_closed_and_turned() -> None:
    (ring,) = esri(gpkg(XY.polygon([SQUARE[:-1]])))["rings"]

    assert ring[0] == ring[-1]
    assert sorted(map(tuple, ring[1:])) == sorted(SQUARE[1:])


def test_missing_m_travels_as_null() -> None:
    writer = Writer(has_m=True)

    assert esri(gpkg(writer.point((1, 2, NAN)))) == {"x": 1, "y": 2, "m": None}
    assert esri(gpkg(writer.line([(1, 2, NAN), (3, 4, 5)])))["paths"] == [[[1, 2, None], [3, 4, 5]]]


def test_doubles_are_written_as_short_as_possible() -> None:
    blob = gpkg(XY.point((0.1, -1e-7)))

    assert gpkg_to_esri_json(blob) == b'{"x":0.1,"y":-1e-7}'


@pytest.mark.parametrize(
    ("wkb", "kind", "expected"),
    [
        (XY.point((1, 2)), "esriGeometryMultipoint", {"points": [[1, 2]]}),
        (XY.point((NAN, NAN)), "esriGeometryMultipoint", {"points": []}),
        (XY.multipoint([(1, 2)]), "esriGeometryPoint", {"x": 1, "y": 2}),
        (XY.multipoint([]), "esriGeometryPoint", {"x": None, "y": None}),
        (XY.line([(1, 2), (3, 4)]), "esriGeometryPolyline", {"paths": [[[1, 2], [3, 4]]]}),
    ],
)
def test_foreign_single_and_multi_types_fit_the_layer(wkb: bytes, kind: str, expected: Any) -> None:
    assert esri(gpkg(wkb), kind) == expected


@pytest.mark.parametrize(
    ("blob", "kind", "code"),
    [
        (b"", None, ErrorCode.TRUNCATED),
        (b"XP" + bytes(30), None, ErrorCode.HEADER),
        (b"GP\x01" + bytes(30), None, ErrorCode.HEADER),
        (b"GP\x00\x0b" + bytes(90), None, ErrorCode.HEADER),  # envelope kind 5
        (b"GP\x00\x21" + bytes(30), None, ErrorCode.HEADER),  # extended type
        (gpkg(XY.point((1, 2)) + b"\0"), None, ErrorCode.TRAILING),
        (gpkg(XY.head(7) + XY.count(0)), None, ErrorCode.GEOMETRY),
        (gpkg(XY.head(8) + XY.run([(1, 2), (3, 4)])), None, ErrorCode.GEOMETRY),
        (gpkg(XY.head(4001) + bytes(16)), None, ErrorCode.GEOMETRY),
        (gpkg(XY.head(0x20000001) + bytes(20)), None, ErrorCode.GEOMETRY),  # EWKB
        (gpkg(b"\x02" + XY.point((1, 2))[1:]), None, ErrorCode.GEOMETRY),
        (gpkg(XY.multi(4, [(1, 2), (3, 4)], XY.vertex)), None, ErrorCode.GEOMETRY),
        (
            gpkg(XY.head(4) + XY.count(1) + Writer(has_z=True).point((1, 2, 3))),
            None,
            ErrorCode.GEOMETRY,
        ),
        (gpkg(XY.head(6) + XY.count(1) + XY.line([(1, 2), (3, 4)])), None, ErrorCode.GEOMETRY),
        (gpkg(XY.head(2) + XY.count(2**32 - 1)), None, ErrorCode.TRUNCATED),
        (gpkg(XY.point((NAN, 2))), None, ErrorCode.NOT_FINITE),
        (gpkg(XY.point((math.inf, 2))), None, ErrorCode.NOT_FINITE),
        (gpkg(XY.line([(1, 2), (3, NAN)])), None, ErrorCode.NOT_FINITE),
        (gpkg(Writer(has_z=True).point((1, 2, NAN))), None, ErrorCode.NOT_FINITE),
        (gpkg(Writer(has_m=True).point((1, 2, math.inf))), None, ErrorCode.NOT_FINITE),
        (gpkg(XY.point((1, 2))), "esriGeometryPolygon", ErrorCode.GEOMETRY),
        (gpkg(XY.line([(1, 2), (3, 4)])), "esriGeometryPolygon", ErrorCode.GEOMETRY),
        (gpkg(XY.multipoint([(1, 2), (3, 4)])), "esriGeometryPoint", ErrorCode.GEOMETRY),
    ],
)
def test_refused(blob: bytes, kind: str | None, code: ErrorCode) -> None:
    with pytest.raises(GeometryError) as caught:
        gpkg_to_esri_json(blob, kind)
    assert caught.value.code is code
    assert 0 <= caught.value.offset <= len(blob)


def test_every_truncation_is_an_error() -> None:
    for wkb in (
        XY.point((1, 2)),
        XY.multiline([SQUARE, HOLE]),
        XY.multipolygon([[SQUARE, HOLE], [SQUARE]]),
    ):
        blob = gpkg(wkb, bounds=(0, 4, 0, 4))
        for size in range(len(blob)):
            with pytest.raises(GeometryError):
                gpkg_to_esri_json(blob[:size])


def test_every_flipped_bit_is_an_error_or_a_geometry() -> None:
    blob = gpkg(XY.multipolygon([[SQUARE, HOLE]]), bounds=(0, 4, 0, 4))
    for bit in range(len(blob) * 8):
        broken = bytearray(blob)
        broken[bit // 8] ^= 1 << bit % 8
        with contextlib.suppress(GeometryError):
            assert isinstance(esri(bytes(broken)), dict)


def test_envelope_walks_collections_but_not_for_ever() -> None:
    inner = XY.head(7) + XY.count(2) + XY.point((1, 2)) + XY.line([(3, -4), (5, 6)])
    deep = inner
    for _ in range(14):
        deep = XY.head(7) + XY.count(1) + deep

    assert envelope(gpkg(deep)) == (1, 5, -4, 6)
    with pytest.raises(GeometryError) as caught:
        envelope(gpkg(XY.head(7) + XY.count(1) + deep))
    assert caught.value.code is ErrorCode.DEPTH


def test_envelope_reads_the_coordinates_when_the_header_has_none_that_is_usable() -> None:
    wkb = XY.line([(3, -4), (1, 6)])

    assert envelope(gpkg(wkb)) == (1, 3, -4, 6)
    assert envelope(gpkg(wkb, bounds=(NAN,) * 4)) == (1, 3, -4, 6)
    assert envelope(gpkg(wkb, bounds=(9, 8, 0, 1))) == (1, 3, -4, 6)
    assert envelope(gpkg(XY.line([]), empty=True)) is None
