"""Columns of the delta: every value comes back as it was, with and without a base."""

import json
import math
import random
import struct
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, strategies as st

from native.delta_columns import ROWS_MAX, ColumnReader, ColumnWriter
from native.errors import DeltaError, ErrorCode
from native.geometry import esri_json_to_gpkg
from native.layer import ColumnType, Layer, LayerTable
from tests.native.documents import VALUES, geometries
from tests.native.wkb import Writer, gpkg

ANY = (
    st.none()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats()
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=9)
    | st.binary(max_size=9)
)
KINDS = tuple(ColumnType)
GEOMETRIES = tuple(
    Layer(
        id=place,
        columns=(),
        geometry_type=f"esriGeometry{kind}",
        has_z=has_z,
        has_m=has_m,
    )
    for place, (kind, has_z, has_m) in enumerate(
        [
            ("Point", False, False),
            ("Point", True, True),
            ("Multipoint", False, False),
            ("Multipoint", False, True),
            ("Polyline", True, False),
            ("Polyline", False, False),
        ]
    )
)
POLYGONS = Layer(id=9, columns=(), geometry_type="esriGeometryPolygon")
TABLE = LayerTable((*GEOMETRIES, POLYGONS))


def exact(values: list[Any]) -> list[Any]:
    """Values in a form that tells -0.0 from 0.0, 1 from 1.0 and one NaN from another."""
    return [struct.pack("<d", v) if isinstance(v, float) else (type(v), v) for v in values]


def streams_of(kind: ColumnType, values: list[Any], base: list[Any] | None) -> list[bytes]:
    writer = ColumnWriter(TABLE)
    writer.put(kind, values, base)
    return writer.take()


def check(kind: ColumnType, values: list[Any], base: list[Any] | None = None) -> int:
    streams = streams_of(kind, values, base)
    reader = ColumnReader(TABLE, streams)
    assert exact(reader.get(kind, len(values), base)) == exact(values)
    assert reader.at_end
    return sum(map(len, streams))


def check_geometry(place: int, values: list[Any], base: list[Any] | None = None) -> int:
    writer = ColumnWriter(TABLE)
    writer.put_geometry(place, values, base)
    streams = writer.take()
    reader = ColumnReader(TABLE, streams)
    assert reader.get_geometry(place, len(values), base) == values
    assert reader.at_end
    return sum(map(len, streams))


@given(st.sampled_from(KINDS), st.data())
def test_any_column_comes_back(kind: ColumnType, data: st.DataObject) -> None:
    of_kind = VALUES[kind] if kind is not ColumnType.DATE else st.just("2020-01-01T00:00:00.000Z")
    values = data.draw(st.lists(of_kind | ANY, max_size=12))

    check(kind, values)


@given(st.sampled_from(KINDS), st.data())
def test_any_column_comes_back_against_any_base(kind: ColumnType, data: st.DataObject) -> None:
    pairs = data.draw(st.lists(st.tuples(VALUES[kind] | ANY, VALUES[kind] | ANY), max_size=12))

    check(kind, [value for value, _ in pairs], [base for _, base in pairs])


def blob(layer: Layer, value: Any) -> bytes | None:
    return esri_json_to_gpkg(
        json.dumps(value).encode(), str(layer.geometry_type), 4326, layer.has_z, layer.has_m
    )


def complete(layer: Layer, value: Any) -> Any:
    """A point with the Z that the layer demands."""
    if layer.geometry_type == "esriGeometryPoint" and value and layer.has_z:
        return value | {"z": 5}
    return value


@given(st.integers(0, len(GEOMETRIES) - 1), st.booleans(), st.data())
def test_any_geometry_comes_back(place: int, based: bool, data: st.DataObject) -> None:
    layer = GEOMETRIES[place]
    one = geometries(layer).map(lambda value: blob(layer, complete(layer, value)))
    pairs = data.draw(st.lists(st.tuples(one | st.binary(max_size=40), one), max_size=6))

    check_geometry(
        place, [value for value, _ in pairs], [base for _, base in pairs] if based else None
    )


def polygon(source: random.Random, vertices: int, places: int) -> bytes:
    def ring(count: int) -> list[list[float]]:
        found = [
            [round(source.uniform(8, 9), places), round(source.uniform(47, 48), places)]
            for _ in range(count)
        ]
        return [*found, found[0]]

    value = blob(POLYGONS, {"rings": [ring(vertices), ring(5), ring(4)]})
    assert value is not None
    return value


def test_polygons_against_bases_of_every_relation() -> None:
    source = random.Random(25)
    place = len(GEOMETRIES)
    base = [polygon(source, 30, 8) for _ in range(40)]
    moved = []
    for value in base:
        changed = bytearray(value)
        changed[-100:-92] = struct.pack("<d", 8.5)
        moved.append(bytes(changed))

    assert check_geometry(place, base, base) < 40 * 90
    check_geometry(place, [polygon(source, 31, 8) for _ in base], base)
    check_geometry(place, [polygon(source, 30, 15) for _ in base], base)
    check_geometry(place, moved, base)
    check_geometry(place, base, [None, *base[1:-1], b"no blob"])
    check_geometry(place, [None, *base[1:]])


def test_an_inserted_vertex_costs_a_vertex() -> None:
    writer = Writer()
    run = [(n / 100, math.sqrt(n)) for n in range(500)]
    place = next(i for i, layer in enumerate(GEOMETRIES) if layer.id == 5)

    def line(vertices: list[tuple[float, float]]) -> bytes:
        xs, ys = [x for x, _ in vertices], [y for _, y in vertices]
        return gpkg(writer.multiline([vertices]), bounds=(min(xs), max(xs), min(ys), max(ys)))

    longer = [*run[:200], (2.5, 3.5), *run[200:]]

    size = check_geometry(place, [line(longer)], [line(run)])

    assert check_geometry(place, [line(longer)]) > 7000
    assert size < 8200
    assert check_geometry(place, [line(run)], [line(run)]) < 8100


def test_foreign_blobs_travel_whole() -> None:
    writer = Writer(little=False)
    values = [
        gpkg(writer.point((1, 2))),
        gpkg(Writer().point((1, 2)), srs_id=3857),
        gpkg(Writer().line([(1, 2), (3, 4)]), bounds=(1, 3, 2, 4, 0, 0)),
        gpkg(Writer().point((math.nan, math.nan)), empty=True),
        b"",
        "text",
        7,
        1.5,
        None,
    ]

    check_geometry(0, values)


@pytest.mark.parametrize(
    ("kind", "values", "limit"),
    [
        (ColumnType.INTEGER, list(range(0, 40_000, 10)), 10),
        (ColumnType.INTEGER, [7] * 4000, 10),
        (ColumnType.REAL, [n / 4 for n in range(4000)], 20),
        (ColumnType.DATE, [f"2020-01-{d:02d}T00:00:00.000Z" for d in range(1, 31)], 40),
        (ColumnType.TEXT, ["oak", "ash"] * 2000, 4010),
    ],
)
def test_regular_columns_are_small(kind: ColumnType, values: list[Any], limit: int) -> None:
    assert check(kind, values) <= limit


def test_sorted_guids_of_version_4_need_14_bytes() -> None:
    source = random.Random(26)
    ids = [UUID(int=source.getrandbits(128), version=4) for _ in range(ROWS_MAX)]
    guids = [f"{{{str(each).upper()}}}" for each in ids]

    assert check(ColumnType.GUID, sorted(guids)) <= 15.3 * ROWS_MAX
    assert check(ColumnType.GUID, guids) <= 16.3 * ROWS_MAX


def test_more_rows_than_a_block_are_refused() -> None:
    with pytest.raises(DeltaError) as caught:
        ColumnWriter(TABLE).put(ColumnType.INTEGER, [0] * (ROWS_MAX + 1))
    assert caught.value.code is ErrorCode.LIMIT


@pytest.mark.parametrize(
    ("value", "code"),
    [(2**63, ErrorCode.NUMBER), ((1,), ErrorCode.TYPE), ("\ud800", ErrorCode.TEXT)],
)
def test_values_of_no_known_type_are_refused(value: Any, code: ErrorCode) -> None:
    with pytest.raises(DeltaError) as caught:
        ColumnWriter(TABLE).put(ColumnType.TEXT, [value])
    assert caught.value.code is code


def sample_columns() -> list[tuple[ColumnType, list[Any], list[Any] | None]]:
    guid = "{F0C5D0A0-0000-4000-8000-00000000000A}"
    return [
        (ColumnType.INTEGER, [1, 5, None, -3, 2**40, "x"], None),
        (ColumnType.INTEGER, [1, 5, 7], [2, 4, None]),
        (ColumnType.REAL, [1.25, math.inf, 0.1, None, 7], None),
        (ColumnType.REAL, [math.pi, math.e, 1.5], [math.pi, None, 1.25]),
        (ColumnType.TEXT, ["oak", "ash", "oak", None, b"\0"], None),
        (ColumnType.GUID, [guid, guid[:-2] + "B}", None, "no guid"], None),
        (ColumnType.DATE, ["2020-02-29T00:00:00.000Z", "2020-02-29", None], None),
    ]


@pytest.mark.parametrize("column", range(7))
def test_truncated_and_flipped_streams_are_errors_or_values(column: int) -> None:
    kind, values, base = sample_columns()[column]
    streams = streams_of(kind, values, base)
    for place in range(3):
        for size in range(len(streams[place])):
            cut = [s[:size] if i == place else s for i, s in enumerate(streams)]
            with pytest.raises(DeltaError):
                ColumnReader(TABLE, cut).get(kind, len(values), base)
        for bit in range(8 * len(streams[place])):
            broken = [bytearray(stream) for stream in streams]
            broken[place][bit // 8] ^= 1 << bit % 8
            try:
                found = ColumnReader(TABLE, list(map(bytes, broken))).get(kind, len(values), base)
            except DeltaError:
                continue
            assert len(found) == len(values)


def test_truncated_and_flipped_geometry_streams_are_errors_or_blobs() -> None:
    source = random.Random(27)
    place = len(GEOMETRIES)
    base = [polygon(source, 4, 2) for _ in range(2)]
    values = [polygon(source, 4, 2), polygon(source, 5, 15), None, b"x"]
    bases = [*base, None, None]
    writer = ColumnWriter(TABLE)
    writer.put_geometry(place, values, bases)
    streams = writer.take()
    for stream in range(3):
        for size in range(len(streams[stream])):
            cut = [s[:size] if i == stream else s for i, s in enumerate(streams)]
            with pytest.raises(DeltaError):
                ColumnReader(TABLE, cut).get_geometry(place, len(values), bases)
        for bit in range(8 * len(streams[stream])):
            broken = [bytearray(each) for each in streams]
            broken[stream][bit // 8] ^= 1 << bit % 8
            try:
                reader = ColumnReader(TABLE, list(map(bytes, broken)))
                found = reader.get_geometry(place, len(values), bases)
            except DeltaError:
                continue
            assert len(found) == len(values)
