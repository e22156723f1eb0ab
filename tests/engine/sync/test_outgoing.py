"""From edits to the spool file: the exact bytes, and what has no wire form."""

import base64
import json
import math
import sqlite3
import struct
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from engine.geodatabase.change_log import Edit
from engine.geodatabase.difference import Row
from engine.geodatabase.layer_table import LayerTable, attachment_table, layer_table
from engine.layer_schema import LayerSchema
from engine.model import EditOperation as Op
from engine.sync.outgoing import Refused
from native.encoder import Form
from native.geometry import esri_json_to_gpkg
from tests.engine.geodatabase.schemas import field, layer
from tests.engine.sync.sending import add, edit, wire

GUID = "{0F8FAD5B-D9CB-469F-A165-70867728950E}"
OTHER = "{0F8FAD5B-D9CB-469F-A165-70867728950F}"


def point(x: float = 1.5, y: float = 2.5) -> bytes:
    blob = esri_json_to_gpkg(
        json.dumps({"x": x, "y": y}).encode(), "esriGeometryPoint", 3857, False, False
    )
    assert blob is not None
    return blob


def schema(geometry: str | None = "esriGeometryPoint", **more: Any) -> LayerSchema:
    return layer(
        geometry=geometry,
        fields=[
            field("name", "esriFieldTypeString"),
            field("size", "esriFieldTypeDouble"),
            field("made", "esriFieldTypeDate", editable=False),
            field("day", "esriFieldTypeDateOnly"),
            field("when", "esriFieldTypeDate"),
            field("other", "esriFieldTypeGUID"),
            field("count", "esriFieldTypeInteger"),
        ],
        **more,
    )


TABLE = layer_table(schema())
ROW: Row = (GUID, point(), 7, "a", None, "2024-05-01T12:00:00.000Z", None, None, None, None)


def update(row: Row = ROW, table: LayerTable = TABLE, **more: Any) -> Edit:
    return edit(table, row, Op.UPDATE, **more)


def place(name: str) -> int:
    return TABLE.row_names.index(name)


def cells(**values: Any) -> Row:
    row = list(ROW)
    for name, value in values.items():
        row[place(name)] = value
    return tuple(row)


def sent(edits: list[Edit], **more: Any) -> Any:
    return json.loads(wire(schema(), edits, **more))


# --- the list -------------------------------------------------------------------------------------

EDITS = [
    add(TABLE, ROW),
    update(columns=("name",)),
    edit(TABLE, (OTHER, *ROW[1:]), Op.DELETE),
]
FEATURES = (
    f'"adds":[{{"attributes":{{"GlobalID":"{GUID}","name":"a"}},"geometry":{{"x":1.5,"y":2.5}}}}],'
    f'"updates":[{{"attributes":{{"GlobalID":"{GUID}","name":"a"}}}}],"deletes":["{OTHER}"]'
)


def test_the_bytes_of_apply_edits() -> None:
    assert wire(schema(), EDITS).decode() == f'[{{"id":0,{FEATURES}}}]'


def test_the_bytes_of_synchronize_replica() -> None:
    expected = f'[{{"id":0,"features":{{{FEATURES}}}}}]'
    assert wire(schema(), EDITS, Form.SYNC).decode() == expected


def test_a_reference_is_named_in_each_geometry_where_it_is_asked_for() -> None:
    (found,) = sent([add(TABLE, ROW)], reference='{"wkid":25832}')

    assert found["adds"][0]["geometry"] == {
        "x": 1.5,
        "y": 2.5,
        "spatialReference": {"wkid": 25832},
    }


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.binary(max_size=200))
def test_attachment_data_goes_round(data: bytes) -> None:
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE Trees__ATTACH(ATTACHMENTID INTEGER PRIMARY KEY,DATA)")
    connection.execute("INSERT INTO Trees__ATTACH VALUES(1,?)", (data,))
    photo = (OTHER, GUID, None, "a.jpg", 3)
    edits = [edit(attachment_table(TABLE), photo, Op.ADD)]

    (found,) = json.loads(wire(schema(), edits, connection=connection))

    connection.close()
    (entry,) = found["attachments"]["adds"]
    assert base64.b64decode(entry.pop("data"), validate=True) == data
    assert entry == {
        "globalId": OTHER,
        "parentGlobalId": GUID,
        "contentType": "application/octet-stream",
        "name": "a.jpg",
    }


def test_an_attachment_without_its_feature_is_refused() -> None:
    refused: Refused = []
    edits = [edit(attachment_table(TABLE), (OTHER, None, None, "a.jpg", 3), Op.ADD)]

    wire(schema(), edits, refused=refused)

    assert [reason for _, reason in refused] == ["an attachment needs REL_GLOBALID and ATT_NAME"]


# --- rows -----------------------------------------------------------------------------------------


def test_an_add_has_what_has_a_value_and_may_be_edited() -> None:
    assert sent([add(TABLE, ROW)])[0]["adds"] == [
        {"attributes": {"GlobalID": GUID, "name": "a"}, "geometry": {"x": 1.5, "y": 2.5}}
    ]


def test_an_update_has_what_was_changed() -> None:
    found = sent([update(columns=("size",)), update(columns=("made", "OBJECTID"))])

    assert [u["attributes"] for u in found[0]["updates"]] == [
        {"GlobalID": GUID, "size": None},
        {"GlobalID": GUID},  # what the service sets is never sent
    ]
    assert not [u for u in found[0]["updates"] if "geometry" in u]


def test_a_whole_row_has_our_columns_on_top_and_no_unedited_geometry() -> None:
    rest = {(TABLE.number, GUID): {"name": "theirs", "size": 5, "made": 7, "count": None}}

    found = sent([update(columns=("name",))], whole_rows=rest)

    assert found[0]["updates"] == [
        {"attributes": {"GlobalID": GUID, "name": "a", "size": 5, "count": None}}
    ]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("Point", {"x": None, "y": None}),
        ("Multipoint", {"points": []}),
        ("Polyline", {"paths": []}),
        ("Polygon", {"rings": []}),
    ],
)
def test_a_geometry_that_was_taken_away_is_sent_as_an_empty_one(kind: str, expected: Any) -> None:
    shaped = schema(f"esriGeometry{kind}")
    table = layer_table(shaped)
    changed = update((GUID, None, *ROW[2:]), table, geometry_changed=True)

    (found,) = json.loads(wire(shaped, [changed]))

    assert found["updates"] == [{"attributes": {"GlobalID": GUID}, "geometry": expected}]


@pytest.mark.parametrize(
    ("name", "stored", "expected"),
    [
        ("name", 5, "5"),
        ("size", "1.5", 1.5),
        ("count", "12", 12),
        ("count", 3.0, 3),
        ("when", "2020-02-29 01:02:03", 1582938123000),
        ("when", "2020-02-29T01:02:03+01:30", 1582932723000),
        ("day", "2024-02-29T00:00:00Z", "2024-02-29"),
        ("other", GUID.strip("{}").lower(), GUID),
        ("other", "", None),
    ],
)
def test_other_programs_spellings_go_up_in_one(name: str, stored: Any, expected: Any) -> None:
    found = sent([update(cells(**{name: stored}), columns=(name,))])

    assert found[0]["updates"] == [{"attributes": {"GlobalID": GUID, name: expected}}]


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("size", math.inf, "size: inf is not a finite number"),
        ("size", math.nan, "size: nan is not a finite number"),
        ("size", "tall", "size: 'tall' where a number is expected"),
        ("name", b"raw", "name: 3 bytes of binary data"),
        ("geom", "POINT(1 2)", "geometry: not a GeoPackage geometry"),
        ("geom", b"GP", "geometry: the input ends inside a value"),
        ("geom", point()[:-8] + struct.pack("<d", math.inf), "geometry: NaN or infinity"),
    ],
)
@pytest.mark.parametrize("operation", [Op.ADD, Op.UPDATE])
def test_a_value_without_a_form_leaves_out_that_edit_alone(
    name: str, value: Any, reason: str, operation: Op
) -> None:
    def edited(row: Row) -> Edit:
        return edit(TABLE, row, operation, columns=("name", "size"), geometry_changed=True)

    bad, good = edited(cells(**{name: value})), edited((OTHER, *ROW[1:]))
    refused: Refused = []

    (found,) = sent([good, bad, good, bad, good], refused=refused)

    assert [e for e, _ in refused] == [bad, bad]
    assert all(text.startswith(reason) for _, text in refused), refused
    assert [f["attributes"]["GlobalID"] for f in found[f"{operation.value}s"]] == [OTHER] * 3


def test_an_unchanged_value_without_a_form_does_no_harm() -> None:
    found = sent([update(cells(size=math.inf, geom=b"GP"), columns=("name",))])

    assert found[0]["updates"] == [{"attributes": {"GlobalID": GUID, "name": "a"}}]


@pytest.mark.parametrize(
    "number", [0.1, 1 / 3, 5e-324, 1.7976931348623157e308, -0.0, 123456789.12345679, 1e22, 1e-7]
)
def test_doubles_are_exact(number: float) -> None:
    found = sent([update(cells(size=number), columns=("size",))])

    assert repr(float(found[0]["updates"][0]["attributes"]["size"])) == repr(number)
