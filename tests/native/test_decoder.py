"""The decoder, one example per rule."""

import base64
import json
import struct
from typing import Any

import pytest

from native.decoder import (
    Attachment,
    AttachmentData,
    BadItem,
    Decoder,
    Deletes,
    Event,
    Header,
    LateLayer,
    PartialRows,
    Results,
    Rows,
    decode,
)
from native.errors import DecodeError, ErrorCode
from native.layer import Column, ColumnType, Layer
from native.operation import Operation

GUID = "{F0C5D0A0-0000-4000-8000-00000000000A}"

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
LINES = Layer(
    id=5,
    columns=(Column(name="n", type=ColumnType.INTEGER),),
    geometry_type="esriGeometryPolyline",
)


def events(document: Any, **options: Any) -> list[Event]:
    text = document if isinstance(document, bytes) else json.dumps(document).encode()
    decoder = Decoder([TABLE, LINES], **options)
    return [*decoder.feed(text), *decoder.finish()]


def feature_set(*attributes: dict[str, Any]) -> dict[str, Any]:
    return {"features": [{"attributes": each} for each in attributes]}


def only_row(attributes: dict[str, Any]) -> tuple[Any, ...]:
    (found,) = events(feature_set(attributes), default_layer=3)
    assert isinstance(found, Rows)
    assert found.operation is Operation.DATA
    (row,) = found.rows
    return row


@pytest.mark.parametrize(
    ("name", "value", "place", "expected"),
    [
        ("globalid", GUID.lower(), 0, GUID),
        ("GLOBALID", GUID[1:-1], 0, GUID),
        ("GlobalID", GUID[1:-1].replace("-", ""), 0, GUID),
        ("n", 2**63 - 1, 1, 2**63 - 1),
        ("n", -(2**63), 1, -(2**63)),
        ("n", 5.0, 1, 5),
        ("n", 1e3, 1, 1000),
        ("n", True, 1, 1),
        ("d", 1, 2, 1.0),
        ("d", 5e-324, 2, 5e-324),
        ("s", "", 3, ""),
        ("s", '\U0001f333 \u0000 "\\/\b', 3, '\U0001f333 \u0000 "\\/\b'),
        ("s", 12.50, 3, "12.5"),
        ("s", False, 3, "false"),
        ("t", 0, 4, "1970-01-01T00:00:00.000Z"),
        ("t", -1, 4, "1969-12-31T23:59:59.999Z"),
        ("t", -62135596800000, 4, "0001-01-01T00:00:00.000Z"),
        ("t", 253402300799999, 4, "9999-12-31T23:59:59.999Z"),
        ("t", 951782400000, 4, "2000-02-29T00:00:00.000Z"),
        ("t", 1600000000000.0, 4, "2020-09-13T12:26:40.000Z"),
        ("t", None, 4, None),
        ("other", {"x": [1]}, 4, None),
    ],
)
def test_values(name: str, value: Any, place: int, expected: Any) -> None:
    found = only_row({name: value})[place]

    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("GlobalID", "{F0C5D0A0}", ErrorCode.GUID),
        ("GlobalID", "", ErrorCode.GUID),
        ("GlobalID", 7, ErrorCode.TYPE),
        ("n", 1.5, ErrorCode.NUMBER),
        ("n", 2**63, ErrorCode.NUMBER),
        ("n", "7", ErrorCode.TYPE),
        ("d", "NaN", ErrorCode.NOT_FINITE),
        ("d", "x", ErrorCode.TYPE),
        ("s", ["x"], ErrorCode.TYPE),
        ("s", "\ud83c", ErrorCode.TEXT),
        ("t", -62135596800001, ErrorCode.DATE),
        ("t", 253402300800000, ErrorCode.DATE),
        ("t", 0.5, ErrorCode.DATE),
        ("t", "2020-01-01", ErrorCode.TYPE),
    ],
)
def test_a_value_that_cannot_be_read_costs_its_row_only(
    name: str, value: Any, code: ErrorCode
) -> None:
    document = feature_set({"n": 1}, {name: value, "n2": 0}, {"n": 2})
    text = json.dumps(document).encode()

    first, bad, last = events(text, default_layer=3)

    assert isinstance(first, Rows)
    assert isinstance(last, Rows)
    assert (first.rows[0][1], last.rows[0][1]) == (1, 2)
    assert isinstance(bad, BadItem)
    assert bad.code is code
    assert bad.column == [column.name for column in TABLE.columns].index(name)
    assert bad.raw == text[bad.offset : bad.offset + bad.size]
    assert json.loads(bad.raw)["attributes"][name] == value


def test_overflowing_double_is_not_finite() -> None:
    (bad,) = events(b'{"features":[{"attributes":{"d":1e999}}]}', default_layer=3)

    assert isinstance(bad, BadItem)
    assert bad.code is ErrorCode.NOT_FINITE


def test_invalid_utf8_costs_its_row_only() -> None:
    (bad,) = events(b'{"features":[{"attributes":{"s":"\xff"}}]}', default_layer=3)

    assert isinstance(bad, BadItem)
    assert bad.code is ErrorCode.TEXT


def test_bounds_lie_beside_the_rows() -> None:
    lines: list[Any] = [{"paths": [[[1, 2], [3, -4]]]}, None, {"paths": []}]
    document = {"features": [{"geometry": line} for line in lines]}

    (found,) = events(document, default_layer=5)

    assert isinstance(found, Rows)
    first, *others = struct.iter_unpack("<4d", found.bounds)
    assert first == (1, 3, -4, 2)
    assert all(value != value for other in others for value in other)
    assert [row[1] is None for row in found.rows] == [False, True, False]


def test_a_layer_named_after_its_rows_takes_a_second_pass() -> None:
    features = {"adds": [{"attributes": {"n": 8}}]}
    document = {
        "layers": [
            {"features": features, "id": 3},
            {"id": 3, "features": {"adds": [{"attributes": {"n": 9}}]}},
        ],
        "replicaServerGen": 4,
    }
    text = json.dumps(document).encode()

    assert LateLayer(entry=0, layer_id=3) in events(text)
    found = list(decode(lambda: [text], [TABLE]))

    assert [event.rows[0][1] for event in found if isinstance(event, Rows)] == [9, 8]
    assert [event.members for event in found if isinstance(event, Header)] == [
        [("replicaServerGen", b"4")]
    ]


def test_an_entry_without_a_usable_layer_is_reported_once() -> None:
    document = {
        "edits": [
            {"id": 99, "features": {"adds": [{}], "deletes": ["x"]}, "attachments": {"adds": []}},
            {"features": {"adds": [{}]}},
            {"id": "three", "features": {"adds": [{}]}},
            {"id": 3, "features": {"deletes": [GUID]}},
        ]
    }

    found = events(document)

    assert [event.code for event in found if isinstance(event, BadItem)] == [ErrorCode.LAYER] * 4
    assert isinstance(found[-1], Deletes)
    assert found[-1].ids == [GUID]


def test_list_of_entries_at_the_root() -> None:
    uploaded = [
        {
            "id": 3,
            "adds": [{"attributes": {"n": 1, "d": 2}}],
            "updates": [{"attributes": {"n": 1}}],
            "deletes": [GUID[1:-1].lower()],
            "attachments": {"deletes": [GUID]},
        }
    ]

    rows, partial, deletes, of_attachments = events(uploaded)

    assert isinstance(rows, Rows)
    assert rows.rows == [(None, 1, 2.0, None, None)]
    assert isinstance(partial, PartialRows)
    assert partial.rows == [((None, 1, None, None, None), (0, 2, 3, 4))]
    assert deletes == Deletes(layer_id=3, of_attachments=False, ids=[GUID])
    assert of_attachments == Deletes(layer_id=3, of_attachments=True, ids=[GUID])


def test_deleted_rows_that_come_whole_give_their_guid() -> None:
    document = {"edits": [{"id": 3, "features": {"deletes": [{"attributes": {"globalid": GUID}}]}}]}

    assert events(document) == [Deletes(layer_id=3, of_attachments=False, ids=[GUID])]


def test_results_wherever_they_stand() -> None:
    one = {"globalId": GUID, "success": True}
    document = {
        "edits": [
            {
                "id": 3,
                "features": {"updateResults": [one]},
                "attachments": {"addResults": [one]},
                "addResults": [one],
            }
        ],
        "editsResults": [{"id": 5, "deleteResults": [one]}],
    }
    text = json.dumps(one).encode()

    found = [event for event in events(document) if isinstance(event, Results)]

    assert found == [
        Results(layer_id=3, of_attachments=False, results=[("updateResults", text)]),
        Results(layer_id=3, of_attachments=True, results=[("addResults", text)]),
        Results(layer_id=3, of_attachments=False, results=[("addResults", text)]),
        Results(layer_id=5, of_attachments=False, results=[("deleteResults", text)]),
    ]


def test_header_members_come_as_text_unless_they_are_huge() -> None:
    document = {"a": [1, {"b": None}], "huge": "x" * 70_000, "ü\n": True}

    (found,) = events(document)

    assert isinstance(found, Header)
    assert found.members == [("a", b'[1, {"b": null}]'), ("ü\n", b"true")]


def attachment(text: bytes) -> tuple[bytes, Attachment]:
    document = b'{"edits":[{"id":3,"attachments":{"adds":[{"data":"%s"}]}}]}' % text
    *data, last = events(document)
    assert isinstance(last, Attachment)
    return b"".join(event.data for event in data if isinstance(event, AttachmentData)), last


@pytest.mark.parametrize(
    ("text", "data"),
    [
        (b"", b""),
        (b"QQ==", b"A"),
        (b"QUI=", b"AB"),
        (b"QUI", b"AB"),
        (b"QUJD", b"ABC"),
        (b"\\/\\/\\u002b\\u002F", b"\xff\xff\xbf"),
        (b"QU\\r\\nJD ", b"ABC"),
    ],
)
def test_attachment_data(text: bytes, data: bytes) -> None:
    found, last = attachment(text)

    assert found == data
    assert (last.data_size, last.error) == (len(data), None)


@pytest.mark.parametrize("text", [b"Q", b"QUJDQ", b"Q=", b"QQ=Q", b"Q*JD", b"QUJD\\b", b"\\u00"])
def test_attachment_data_that_is_not_base64(text: bytes) -> None:
    _, last = attachment(text)

    assert last.error is ErrorCode.BASE64


def test_attachment_data_leaves_in_pieces() -> None:
    content = bytes(range(256)) * 8000
    text = b'{"edits":[{"id":3,"attachments":{"adds":[{"data":"%s","name":"a"}]}}]}'
    document = text % base64.b64encode(content)
    decoder = Decoder([TABLE])

    found = [
        event
        for at in range(0, len(document), 5000)
        for event in decoder.feed(document[at : at + 5000])
    ]
    found += decoder.finish()

    data = [event.data for event in found if isinstance(event, AttachmentData)]
    assert b"".join(data) == content
    assert max(map(len, data)) <= 256 << 10
    assert isinstance(found[-1], Attachment)
    assert (found[-1].name, found[-1].data_size) == ("a", len(content))


def big_line(vertices: int) -> dict[str, Any]:
    path = [[1.25, 2.5]] * vertices
    return {"attributes": {"n": 1}, "geometry": {"paths": [path]}}


@pytest.mark.parametrize("piece", [1 << 20, 10_000])
def test_buffers_grow_for_a_large_feature(piece: int) -> None:
    text = json.dumps({"features": [big_line(100_000), big_line(1)]}).encode()
    decoder = Decoder([LINES], default_layer=5)

    found = [e for at in range(0, len(text), piece) for e in decoder.feed(text[at : at + piece])]
    found += decoder.finish()

    sizes = [len(row[1]) for event in found if isinstance(event, Rows) for row in event.rows]
    assert sizes == [40 + 9 + 9 + 16 * 100_000, 40 + 9 + 9 + 16]


@pytest.mark.parametrize("piece", [1 << 20, 1000])
def test_a_feature_beyond_the_limit_is_reported_and_skipped(piece: int) -> None:
    text = json.dumps({"features": [big_line(20_000), big_line(1)]}).encode()
    decoder = Decoder([LINES], default_layer=5, item_limit=100_000)

    found = [e for at in range(0, len(text), piece) for e in decoder.feed(text[at : at + piece])]
    found += decoder.finish()

    bad, rows = found
    assert isinstance(bad, BadItem)
    assert (bad.code, bad.raw) == (ErrorCode.LIMIT, None)
    assert (bad.offset, bad.size) == (14, len(json.dumps(big_line(20_000))))
    assert isinstance(rows, Rows)


def test_a_feature_nested_too_deeply_is_skipped() -> None:
    deep = b"[" * 5000 + b"]" * 5000
    text = b'{"features":[{"a":' + deep + b'},{"attributes":{"n":1}}],"b":' + deep + b"}"

    bad, rows, header = events(text, default_layer=3)

    assert isinstance(bad, BadItem)
    assert bad.code is ErrorCode.DEPTH
    assert isinstance(rows, Rows)
    assert isinstance(header, Header)


def test_batches_hold_so_many_rows() -> None:
    document = feature_set(*({"n": n} for n in range(25)))

    found = events(document, default_layer=3, rows_per_batch=10)

    assert [len(event.rows) for event in found if isinstance(event, Rows)] == [10, 10, 5]


@pytest.mark.parametrize(
    ("text", "code", "offset"),
    [
        (b"", ErrorCode.TRUNCATED, 0),
        (b"<html>", ErrorCode.SYNTAX, 0),
        (b'"text"', ErrorCode.SYNTAX, 0),
        (b'{"a":1]', ErrorCode.SYNTAX, 6),
        (b'{"a" 1}', ErrorCode.SYNTAX, 5),
        (b'{"a":[}]}', ErrorCode.SYNTAX, 6),
        (b"{a:1}", ErrorCode.SYNTAX, 1),
        (b'{"a":}', ErrorCode.SYNTAX, 5),
        (b"{} x", ErrorCode.TRAILING, 3),
        (b'{"a":1', ErrorCode.TRUNCATED, 6),
    ],
)
def test_broken_structure(text: bytes, code: ErrorCode, offset: int) -> None:
    with pytest.raises(DecodeError) as caught:
        events(text)
    assert (caught.value.code, caught.value.offset) == (code, offset)


def test_what_came_before_an_error_is_handed_out_and_the_error_stays() -> None:
    decoder = Decoder([TABLE], default_layer=3)

    assert list(decoder.feed(b'{"features":[{"attributes":{"n":1}}')) == []
    broken = decoder.feed(b" nonsense")

    assert isinstance(next(broken), Rows)
    with pytest.raises(DecodeError):
        next(broken)
    with pytest.raises(DecodeError):
        list(decoder.finish())


def test_layers_are_checked() -> None:
    with pytest.raises(ValueError, match="no column 'GID'"):
        Decoder([Layer(id=0, columns=(), key="GID")])
    columns = tuple(Column(name=f"c{n}", type=ColumnType.TEXT) for n in range(5000))
    with pytest.raises(ValueError, match="more than the core takes"):
        Decoder([Layer(id=0, columns=columns)])
