"""The edits encoder, one example per rule."""

import json
import math
from collections.abc import Iterator
from typing import Any

import pytest

from native.encoder import EditsEncoder, Form
from native.errors import EncodeError, ErrorCode
from native.layer import Column, ColumnType, Layer
from tests.native.wkb import Writer, gpkg

GUID = "{F0C5D0A0-0000-4000-8000-00000000000A}"
XY = Writer()

TABLE = Layer(
    id=3,
    key="GlobalID",
    columns=(
        Column(name="GlobalID", type=ColumnType.GUID),
        Column(name="n", type=ColumnType.INTEGER),
        Column(name="d", type=ColumnType.REAL),
        Column(name="s", type=ColumnType.TEXT),
        Column(name="t", type=ColumnType.DATE),
    ),
)
POINTS = Layer(
    id=5,
    key="GlobalID",
    columns=(Column(name="GlobalID", type=ColumnType.GUID),),
    geometry_type="esriGeometryPoint",
)


def written(*parts: Iterator[bytes]) -> bytes:
    return b"".join(chunk for part in parts for chunk in part)


def one_add(layer: Layer, row: tuple[Any, ...]) -> Any:
    encoder = EditsEncoder([layer])
    text = written(encoder.adds(layer.id, [row]), encoder.finish())
    return json.loads(text)[0]["features"]["adds"][0]


@pytest.mark.parametrize(
    ("place", "value", "expected"),
    [
        (0, GUID[1:-1].lower(), GUID),
        (1, 2**63 - 1, 2**63 - 1),
        (1, -(2**63), -(2**63)),
        (1, 2**31, 2**31),
        (1, True, 1),
        (1, 7.0, 7),
        (2, 0.1, 0.1),
        (2, 5e-324, 5e-324),
        (2, 3, 3),
        (3, "", ""),
        (
            3,
            'a"\\\b\f\n\r\t\v\x00\x1f/ü\U0001f333\u2028',
            'a"\\\b\f\n\r\t\v\x00\x1f/ü\U0001f333\u2028',
        ),
        (4, "1970-01-01T00:00:00.000Z", 0),
        (4, "1969-12-31T23:59:59.999Z", -1),
        (4, "0001-01-01T00:00:00.000Z", -62135596800000),
        (4, "9999-12-31T23:59:59.999Z", 253402300799999),
        (4, "2020-02-29", 1582934400000),
        (4, "2020-02-29 01:02:03", 1582938123000),
        (4, "2020-02-29T01:02", 1582938120000),
        (4, "2020-02-29T01:02:03.1234567Z", 1582938123123),
        (4, "2020-02-29T01:02:03+01:30", 1582932723000),
        (4, None, None),
    ],
)
def test_values(place: int, value: Any, expected: Any) -> None:
    row = [GUID, None, None, None, None]
    row[place] = value

    attributes = one_add(TABLE, tuple(row))["attributes"]

    assert attributes[TABLE.columns[place].name] == expected
    assert list(attributes) == [column.name for column in TABLE.columns]


@pytest.mark.parametrize(
    ("place", "value", "code"),
    [
        (0, "x", ErrorCode.GUID),
        (0, 5, ErrorCode.TYPE),
        (1, 2**63, ErrorCode.NUMBER),
        (1, -(2**63) - 1, ErrorCode.NUMBER),
        (1, 10**40, ErrorCode.NUMBER),
        (1, 1.5, ErrorCode.NUMBER),
        (1, math.nan, ErrorCode.NUMBER),
        (1, "7", ErrorCode.TYPE),
        (2, math.nan, ErrorCode.NOT_FINITE),
        (2, -math.inf, ErrorCode.NOT_FINITE),
        (2, "1", ErrorCode.TYPE),
        (3, 5, ErrorCode.TYPE),
        (3, b"x", ErrorCode.TYPE),
        (3, "\ud83c", ErrorCode.TEXT),
        (3, (1,), ErrorCode.TYPE),
        (4, 5, ErrorCode.TYPE),
        (4, "2021-02-29", ErrorCode.DATE),
        (4, "0000-01-01", ErrorCode.DATE),
        (4, "2021-02-28T24:00:00Z", ErrorCode.DATE),
        (4, "2021-02-28T23:00:00Zx", ErrorCode.DATE),
        (4, "", ErrorCode.DATE),
    ],
)
def test_a_value_without_a_form_names_row_and_column(
    place: int, value: Any, code: ErrorCode
) -> None:
    good = (GUID, 1, None, None, None)
    bad = [GUID, None, None, None, None]
    bad[place] = value
    encoder = EditsEncoder([TABLE])
    errors: list[EncodeError] = []

    text = written(
        encoder.adds(3, [good, tuple(bad), good, tuple(bad)], on_bad=errors.append),
        encoder.adds(3, [good]),
        encoder.finish(),
    )

    assert len(json.loads(text)[0]["features"]["adds"]) == 3
    assert [(error.code, error.row) for error in errors] == [(code, 1), (code, 3)]
    assert {error.column for error in errors} == {TABLE.columns[place].name}
    with pytest.raises(EncodeError):
        written(EditsEncoder([TABLE]).adds(3, [tuple(bad)]))


@pytest.mark.parametrize("row", [(GUID,), (GUID,) * 6, ()])
def test_a_row_of_another_width_is_refused(row: tuple[Any, ...]) -> None:
    with pytest.raises(EncodeError) as caught:
        written(EditsEncoder([TABLE]).adds(3, [row]))
    assert (caught.value.code, caught.value.column) == (ErrorCode.SYNTAX, None)


def test_updates_carry_what_the_mask_names_and_the_key() -> None:
    encoder = EditsEncoder([POINTS, TABLE])
    blob = gpkg(XY.point((1, 2)))
    rows = [
        (b"\x06", GUID, 5, None, "unchanged", None),
        (b"", GUID, 5, None, "unchanged", None),
    ]

    text = written(
        encoder.updates(3, rows),
        encoder.updates(5, [(b"\x02", GUID, blob), (b"\x02", GUID, None), (b"\x01", GUID, blob)]),
        encoder.finish(),
    )

    table, points = json.loads(text)
    key = {"GlobalID": GUID}
    assert table["features"]["updates"] == [
        {"attributes": {**key, "n": 5, "d": None}},
        {"attributes": key},
    ]
    assert points["features"]["updates"] == [
        {"attributes": key, "geometry": {"x": 1, "y": 2}},
        {"attributes": key, "geometry": None},
        {"attributes": key},
    ]


@pytest.mark.parametrize(
    ("blob", "expected"),
    [
        (gpkg(XY.point((1.5, -2))), {"x": 1.5, "y": -2}),
        (gpkg(XY.multipoint([(1.5, -2)])), {"x": 1.5, "y": -2}),
        (gpkg(Writer(has_z=True, has_m=True).point((1, 2, math.nan, 4))), {"x": 1, "y": 2}),
        (gpkg(XY.point((math.nan, math.nan)), empty=True), {"x": None, "y": None}),
    ],
)
def test_geometry_takes_the_layers_form(blob: bytes, expected: Any) -> None:
    assert one_add(POINTS, (GUID, blob))["geometry"] == expected


def test_a_null_geometry_of_an_add_is_left_out() -> None:
    assert "geometry" not in one_add(POINTS, (GUID, None))


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ("text", ErrorCode.TYPE),
        (b"no blob", ErrorCode.TRUNCATED),
        (gpkg(XY.line([(1, 2), (3, 4)])), ErrorCode.GEOMETRY),
        (gpkg(XY.point((math.inf, 0))), ErrorCode.NOT_FINITE),
    ],
)
def test_a_geometry_without_a_form(value: Any, code: ErrorCode) -> None:
    with pytest.raises(EncodeError) as caught:
        written(EditsEncoder([POINTS]).adds(5, [(GUID, value)]))
    assert (caught.value.code, caught.value.column) == (code, "geometry")


def everything(encoder: EditsEncoder) -> Iterator[bytes]:
    row = (GUID, 1, 2.5, "s", None)
    attachment: dict[str, Any] = {
        "global_id": GUID,
        "parent_global_id": GUID,
        "name": 'ü"',
        "content_type": "image/png",
    }
    yield from encoder.adds(3, [row])
    yield from encoder.adds(3, [])
    yield from encoder.adds(3, [row, row])
    yield from encoder.updates(3, [(b"\x02", *row)])
    yield from encoder.deletes(3, [GUID, GUID])
    yield from encoder.attachment(3, **attachment, data=[b"h", b"", b"ello", b"!"])
    yield from encoder.attachment(3, **attachment, data=[])
    yield from encoder.attachment(3, **attachment, upload_id="i7")
    yield from encoder.attachment(3, **attachment, data=[b"x"], update=True)
    yield from encoder.attachment_deletes(3, [GUID])
    yield from encoder.deletes(5, [GUID])
    yield from encoder.finish()


ADD = {"attributes": {"GlobalID": GUID, "n": 1, "d": 2.5, "s": "s", "t": None}}
META = {
    "globalId": GUID,
    "parentGlobalId": GUID,
    "contentType": "image/png",
    "name": 'ü"',
}
FEATURES = {
    "adds": [ADD, ADD, ADD],
    "updates": [{"attributes": {"GlobalID": GUID, "n": 1}}],
    "deletes": [GUID, GUID],
}
ATTACHMENTS = {
    "adds": [
        {**META, "data": "aGVsbG8h"},
        {**META, "data": ""},
        {**META, "uploadId": "i7"},
    ],
    "updates": [{**META, "data": "eA=="}],
    "deletes": [GUID],
}


def test_both_forms_of_the_list() -> None:
    assert json.loads(b"".join(everything(EditsEncoder([TABLE, POINTS])))) == [
        {"id": 3, "features": FEATURES, "attachments": ATTACHMENTS},
        {"id": 5, "features": {"deletes": [GUID]}},
    ]
    assert json.loads(b"".join(everything(EditsEncoder([TABLE, POINTS], form=Form.APPLY)))) == [
        {"id": 3, **FEATURES, "attachments": ATTACHMENTS},
        {"id": 5, "deletes": [GUID]},
    ]


@pytest.mark.parametrize("size", [1, 2, 7, 100, 1 << 20])
def test_pieces_have_one_size(size: int) -> None:
    whole = b"".join(everything(EditsEncoder([TABLE, POINTS])))

    chunks = list(everything(EditsEncoder([TABLE, POINTS], chunk_size=size)))

    assert b"".join(chunks) == whole
    assert {len(chunk) for chunk in chunks[:-1]} <= {size}
    assert len(chunks[-1]) <= size


def test_nothing_to_say_is_an_empty_list() -> None:
    assert written(EditsEncoder([TABLE]).finish()) == b"[]"


def test_features_larger_than_the_buffer_and_batches_larger_than_it() -> None:
    encoder = EditsEncoder([TABLE])
    rows = [(GUID, n, None, "x" * 300_000 * (n == 500), None) for n in range(2000)]

    text = written(encoder.adds(3, rows), encoder.finish())

    found = json.loads(text)[0]["features"]["adds"]
    assert [feature["attributes"]["n"] for feature in found] == list(range(2000))


def test_calls_out_of_order_are_refused() -> None:
    encoder = EditsEncoder([TABLE, POINTS])
    list(encoder.deletes(3, [GUID]))

    with pytest.raises(ValueError, match="adds of layer 3 after its deletes"):
        list(encoder.adds(3, []))
    list(encoder.attachment_deletes(3, []))
    with pytest.raises(ValueError, match="features of layer 3 after its attachments"):
        list(encoder.deletes(3, []))
    list(encoder.deletes(5, []))
    with pytest.raises(ValueError, match="layer 3 has been written already"):
        list(encoder.deletes(3, []))
    with pytest.raises(KeyError):
        list(encoder.deletes(4, []))
