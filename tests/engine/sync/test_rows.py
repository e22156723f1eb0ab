"""Features of the wire ⇄ rows: every field and geometry type goes round a service exactly."""

import json
import math
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from engine.geodatabase.difference import Row
from engine.geodatabase.layer_table import SQL_TYPES, LayerTable, layer_table
from engine.layer_schema import LayerSchema
from engine.model import SpatialReference
from engine.service.feature_service import FeatureService
from engine.service.feature_set import FeatureSet, query_by_global_ids
from engine.service.session import Session
from engine.sync.rows import RowError, codec_layer, table_rows
from tests.engine.geodatabase.schemas import ALL_TYPES, field, layer
from tests.engine.sync.plain_decoder import PlainDecoder
from tests.engine.sync.sending import add, wire
from tests.feature_service import FeatureServer, Profile
from tests.test_feature_service.world import gid, write_service

GUID = "{0F8FAD5B-D9CB-469F-A165-70867728950E}"

SAMPLES: dict[str, list[Any]] = {
    "small": [0, -32768, 32767, 1],
    "whole": [0, -(2**31), 2**31 - 1, 1],
    "big": [2**53 - 1, 1 - 2**53, 0],
    "single": [0.0, -1.5, 0.25, 16777216.0],
    "real": [0.1, -0.0, 5e-324, 1.7976931348623157e308, 1 / 3, 123456789.12345679],
    "words": ["", "é😀 𝄞", "a'b\"\\\n\t\u0001", " ", "NULL", "null", "1", "x" * 200],
    "moment": [0, -1, 1, -2208988800000, 1714564800123, -62135596800000, 253402300799999],
    "day": ["2024-02-29", "0001-01-01", "9999-12-31", "1969-12-31"],
    "clock": ["00:00:00", "23:59:59", "13:45:00.123000"],
    "offset": ["2024-02-29T13:45:00+02:00", "1969-12-31T23:59:59.999000-11:30"],
    "other": [GUID, "{00000000-0000-0000-0000-000000000000}"],
}


def features() -> Iterator[dict[str, Any]]:
    """Rows in which every sample occurs, and one that is all null."""
    for number in range(max(map(len, SAMPLES.values()))):
        values = {name: some[number % len(some)] for name, some in SAMPLES.items()}
        yield {"attributes": values, "geometry": {"x": 0.1 + number, "y": -0.25}}
    yield {"attributes": dict.fromkeys(SAMPLES), "geometry": None}


def is_json(value: object) -> bool:
    """Whether it can be written as JSON that says the same."""
    try:
        json.dumps(value, allow_nan=False)
    except ValueError:
        return False
    return True


def all_types() -> LayerSchema:
    more = {"esriFieldTypeString": {"length": 200}}
    return layer(fields=[field(name, kind, **more.get(kind, {})) for name, kind in ALL_TYPES])


def through_sqlite(table: LayerTable, row: Row) -> Row:
    """The row as a table with the geodatabase's column types gives it back."""
    types = [SQL_TYPES[column.type] for column in table.columns]
    shape = ["BLOB"] if table.geometry else []
    columns = ", ".join(f"c{n} {kind}" for n, kind in enumerate(["TEXT", *shape, *types]))
    with sqlite3.connect(":memory:") as connection:
        connection.execute(f"CREATE TABLE t ({columns})")
        connection.execute(f"INSERT INTO t VALUES ({','.join('?' * len(row))})", row)
        (found,) = connection.execute("SELECT * FROM t").fetchall()
    connection.close()
    return tuple(found)


async def round_trip(
    folder: Path, schema: LayerSchema, rows: list[dict[str, Any]]
) -> tuple[list[Any], list[Any]]:
    """(what the service had, what it has of the copies that went through a device)."""
    document = {
        "capabilities": "Create,Delete,Update,Editing,Query,Sync",
        "spatialReference": {"wkid": 102100, "latestWkid": 3857},
        "layers" if schema.geometry_type else "tables": [dict(schema.resource)],
    }
    for number, row in enumerate(rows):
        row["attributes"] |= {"OBJECTID": number + 1, "GlobalID": gid(number)}
    write_service(folder / "types", document, {0: rows})
    async with (
        FeatureServer(folder, profile=Profile(snaps_coordinates=False)) as server,
        Session() as session,
    ):
        service = FeatureService(server.url("types"), session)
        known = await service.layer(0, await service.load())
        table = layer_table(known)
        codec = codec_layer(known, table, 3857)
        originals = [gid(n) for n in range(len(rows))]
        found = await query_by_global_ids(
            service, known, codec, originals, SpatialReference.of(102100)
        )
        adds = []
        for number, one in enumerate(originals):
            decoded = found[one]
            assert decoded is not None
            kept = through_sqlite(table, table_rows(table, [decoded])[0])
            adds.append(add(table, (gid(100 + number), *kept[1:])))
        edits = folder / "edits.json"
        edits.write_bytes(wire(known, adds))
        (answer,) = await service.apply_edits(
            {"useGlobalIds": "true", "rollbackOnFailure": "false"}, edits
        )
        results: Any = answer["addResults"]
        assert [r for r in results if not r["success"]] == []
        copies = [gid(100 + number) for number in range(len(adds))]
        sent, got = [await features_of(session, service, ids) for ids in (originals, copies)]
    return [comparable(f) for f in sent], [comparable(f) for f in got]


async def features_of(session: Session, service: FeatureService, gids: list[str]) -> list[Any]:
    """The features of the wire, in that order."""
    quoted = ",".join(f"'{one}'" for one in gids)
    form = {"where": f"GlobalID IN ({quoted})", "outFields": "*", "returnZ": "true"}
    answer: Any = await session.post(f"{service.url}/0/query", {**form, "returnM": "true"})
    found = {f["attributes"]["GlobalID"].upper().strip("{}"): f for f in answer["features"]}
    return [found[one.strip("{}")] for one in gids]


def comparable(feature: Mapping[str, Any]) -> Any:
    names = set(feature["attributes"]) - {"OBJECTID", "GlobalID"}
    return {name: feature["attributes"][name] for name in names}, feature.get("geometry")


async def test_every_field_type_goes_round(tmp_path: Path) -> None:
    rows = list(features())

    sent, got = await round_trip(tmp_path, all_types(), rows)

    assert [values for values, _ in sent] == [comparable(row)[0] for row in rows]
    assert got == sent


@pytest.mark.parametrize("number", [2**53 + 1, -(2**53) - 1, 2**63 - 1, -(2**63)])
def test_a_number_of_64_bits_goes_round_the_device(number: int) -> None:
    """The reference service stops where doubles do; a newer one need not."""
    schema = layer(geometry=None, fields=[field("big", "esriFieldTypeBigInteger")])
    table = layer_table(schema)
    attributes = json.loads(f'{{"GlobalID":"{GUID}","OBJECTID":1,"big":{number}}}')

    decoded = feature_set(schema, {"attributes": attributes})[GUID]
    assert decoded is not None
    row = through_sqlite(table, decoded)

    encoded = wire(schema, [add(table, row)]).decode()
    assert (
        encoded == f'[{{"id":0,"adds":[{{"attributes":{{"GlobalID":"{GUID}","big":{number}}}}}]}}]'
    )


async def test_a_table_goes_round(tmp_path: Path) -> None:
    schema = layer(geometry=None, fields=[field("note", "esriFieldTypeString")])

    sent, got = await round_trip(tmp_path, schema, [{"attributes": {"note": "a"}}])

    assert got == sent == [({"note": "a"}, None)]


POINT = [0.1, -20037508.342789244]
LINE = [[0.1, 0.2], [1e-9, 2.5], [3.0, 1.0]]
RING = [[0.0, 0.0], [0.0, 9.0], [9.0, 9.0], [9.0, 0.0], [0.0, 0.0]]
HOLE = [[1.0, 1.0], [2.0, 1.0], [2.0, 2.0], [1.0, 2.0], [1.0, 1.0]]


def shapes(kind: str, has_z: bool, has_m: bool) -> list[Any]:
    """Geometries of that kind; every vertex gets its Z and M."""
    number = 0

    def raised(vertex: list[float]) -> list[Any]:
        nonlocal number
        number += 1
        return [*vertex, *([number / 2] if has_z else []), *([-number] if has_m else [])]

    dims = ({"hasZ": True} if has_z else {}) | ({"hasM": True} if has_m else {})
    if kind == "esriGeometryPoint":
        names = ["x", "y", *(["z"] if has_z else []), *(["m"] if has_m else [])]
        return [dict(zip(names, raised(POINT), strict=True)), None, {"x": None, "y": None}]
    if kind == "esriGeometryMultipoint":
        return [dims | {"points": [raised(v) for v in LINE]}, None, dims | {"points": []}]
    name, parts = (
        ("paths", [LINE, RING]) if kind == "esriGeometryPolyline" else ("rings", [RING, HOLE])
    )
    closed = kind == "esriGeometryPolygon"
    drawn = []
    for part in parts:
        vertices = [raised(v) for v in (part[:-1] if closed else part)]
        drawn.append([*vertices, vertices[0]] if closed else vertices)
    return [dims | {name: drawn}, dims | {name: drawn[:1]}, None, dims | {name: []}]


@pytest.mark.parametrize("has_m", [False, True])
@pytest.mark.parametrize("has_z", [False, True])
@pytest.mark.parametrize(
    "kind",
    ["esriGeometryPoint", "esriGeometryMultipoint", "esriGeometryPolyline", "esriGeometryPolygon"],
)
async def test_every_geometry_goes_round(
    kind: str, has_z: bool, has_m: bool, tmp_path: Path
) -> None:
    schema = layer(geometry=kind, hasZ=has_z, hasM=has_m)
    rows = [{"attributes": {}, "geometry": shape} for shape in shapes(kind, has_z, has_m)]

    sent, got = await round_trip(tmp_path, schema, rows)

    assert len(got) == len(rows)
    assert got == sent


# --- decoding -------------------------------------------------------------------------------------


def schema_of(*fields: tuple[str, str], geometry: str | None = None) -> LayerSchema:
    return layer(geometry=geometry, fields=[field(name, kind) for name, kind in fields])


def feature_set(schema: LayerSchema, feature: object) -> dict[str, Row | None]:
    """What a query that answers with that feature is understood as."""
    receiver = FeatureSet(codec_layer(schema, layer_table(schema), 3857), "https://h.org/0/query")
    receiver.feed(json.dumps({"features": [feature]}).encode())
    receiver.finish()
    return receiver.found


def plainly(schema: LayerSchema, feature: object) -> Row:
    return PlainDecoder(schema, layer_table(schema), 3857).row(feature)


@pytest.mark.parametrize(
    ("kind", "value", "reason"),
    [
        ("Double", math.nan, "nan is not a finite number"),
        ("Double", math.inf, "inf is not a finite number"),
        ("Single", -math.inf, "-inf is not a finite number"),
        ("Double", "NaN", "where a number is expected"),
        ("Double", True, "where a number is expected"),
        ("Integer", math.inf, "where a whole number is expected"),
        ("Integer", math.nan, "where a whole number is expected"),
        ("Integer", 1.5, "where a whole number is expected"),
        ("BigInteger", 2**63, "does not fit into 64 bits"),
        ("Date", math.nan, "where a whole number is expected"),
        ("Date", 10**18, "outside the years 1 to 9999"),
        ("Date", "2024-01-01", "where a whole number is expected"),
        ("DateOnly", "31.12.2024", "where a date is expected"),
        ("TimeOnly", "25:00:00", "where a time of day is expected"),
        ("TimestampOffset", 0, "where text is expected"),
        ("String", 5, "where text is expected"),
        ("String", {"a": 1}, "where text is expected"),
        ("String", "\ud83d", "not valid Unicode"),
        ("GUID", "no guid", "where a GUID is expected"),
    ],
)
def test_a_value_that_cannot_be_kept_is_refused_by_name(
    kind: str, value: object, reason: str
) -> None:
    feature = {"attributes": {"GlobalID": GUID, "speed": value}}
    schema = schema_of(("speed", f"esriFieldType{kind}"))

    with pytest.raises(RowError, match=f"^speed: .*{reason}"):
        plainly(schema, feature)
    is_text = kind in ("DateOnly", "TimeOnly", "TimestampOffset", "String") and value != "\ud83d"
    if is_json(value) and not (is_text and isinstance(value, int | str)):  # kept as it came
        assert feature_set(schema, feature) == {GUID: None}


@pytest.mark.parametrize(
    ("feature", "reason"),
    [
        (None, "a feature without attributes"),
        ([], "a feature without attributes"),
        ({}, "a feature without attributes"),
        ({"attributes": None}, "a feature without attributes"),
        ({"attributes": {}}, "GlobalID: no GlobalID"),
        ({"attributes": {"GlobalID": None}}, "GlobalID: no GlobalID"),
        ({"attributes": {"GlobalID": "7"}}, "GlobalID: no GlobalID"),
        ({"attributes": {"GlobalID": GUID}, "geometry": {"paths": []}}, "geometry: "),
        ({"attributes": {"GlobalID": GUID}, "geometry": {"x": math.nan, "y": 0}}, "geometry: "),
        ({"attributes": {"GlobalID": GUID}, "geometry": {"x": math.inf, "y": 0}}, "geometry: "),
        ({"attributes": {"GlobalID": GUID}, "geometry": "POINT(1 2)"}, "geometry: "),
        ({"attributes": {"GlobalID": GUID}, "geometry": {"x": 10**400, "y": 0}}, "geometry: "),
    ],
)
def test_a_feature_that_is_none_is_refused(feature: object, reason: str) -> None:
    schema = schema_of(geometry="esriGeometryPoint")

    with pytest.raises(RowError, match=f"^{reason}"):
        plainly(schema, feature)
    if is_json(feature):
        assert not any(feature_set(schema, feature).values())


def test_names_match_in_any_letter_case() -> None:
    feature = {"attributes": {"globalid": GUID, "Objectid": 7, "NAME": "a", "Size": 2}}

    schema = schema_of(("name", "esriFieldTypeString"), ("size", "esriFieldTypeInteger"))

    assert plainly(schema, feature) == (GUID, 7, "a", 2)
    assert feature_set(schema, feature) == {GUID: (GUID, 7, "a", 2)}


def test_one_name_in_another_case_is_no_null() -> None:
    feature = {"attributes": {"GlobalID": GUID, "OBJECTID": 7, "Name": "a", "more": 1, "else": 2}}

    schema = schema_of(("name", "esriFieldTypeString"))

    assert plainly(schema, feature) == (GUID, 7, "a")
    assert feature_set(schema, feature) == {GUID: (GUID, 7, "a")}


@pytest.mark.parametrize(
    "spelled", [GUID, GUID.lower(), GUID.strip("{}"), GUID.strip("{}").lower()]
)
def test_a_global_id_is_known_in_every_spelling(spelled: str) -> None:
    feature = {"attributes": {"GlobalID": spelled, "OBJECTID": 1}}
    wrong = {"attributes": {"GLOBALID": spelled, "OBJECTID": "one"}}

    assert plainly(schema_of(), feature)[0] == GUID
    assert feature_set(schema_of(), feature) == {GUID: (GUID, 1)}
    assert feature_set(schema_of(), wrong) == {GUID: None}
