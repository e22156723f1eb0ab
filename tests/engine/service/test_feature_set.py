"""Answers of queries: cut off, cut by a limit, damaged, of more rows than the memory takes."""

from typing import Any

import pytest

from engine.errors import LinkError, ProtocolError, ServiceRefusedError
from engine.layer_schema import LayerSchema
from engine.model import SpatialReference
from engine.service import feature_set
from engine.service.feature_service import FeatureService
from engine.service.feature_set import CodecRow, FeatureSet, query_by_global_ids, query_newer_than
from engine.service.session import Session
from native.layer import Column, ColumnType, Layer
from tests.engine.service.waters import gid
from tests.fakes.http_server import Cut, HttpServer, Reply, json_answer

CODEC = Layer(
    id=0,
    columns=(
        Column(name="GlobalID", type=ColumnType.GUID),
        Column(name="OBJECTID", type=ColumnType.INTEGER),
        Column(name="note", type=ColumnType.TEXT),
    ),
    key="GlobalID",
)
LAYER = LayerSchema.from_json(
    {
        "id": 0,
        "name": "Notes",
        "globalIdField": "GlobalID",
        "objectIdField": "OBJECTID",
        "maxRecordCount": 100,
        "fields": [
            {"name": "OBJECTID", "type": "esriFieldTypeOID"},
            {"name": "GlobalID", "type": "esriFieldTypeGlobalID"},
            {"name": "note", "type": "esriFieldTypeString"},
        ],
    },
    {"capabilities": "Query,Sync"},
)
REFERENCE = SpatialReference.of(4326)


def feature(number: int, **more: object) -> dict[str, Any]:
    attributes = {"OBJECTID": number, "GlobalID": gid(number), "note": "x", **more}
    return {"attributes": attributes}


def features(*numbers: int, **members: object) -> bytes:
    return json_answer({"features": [feature(n) for n in numbers], **members})


async def asked(server: HttpServer, session: Session, *numbers: int) -> dict[str, CodecRow | None]:
    service = FeatureService(f"{server.origin}/FeatureServer", session)
    wanted = [gid(number) for number in numbers]
    return await query_by_global_ids(service, LAYER, CODEC, wanted, REFERENCE)


def wheres(server: HttpServer) -> list[int]:
    """How many rows each query asked for."""
    return [request.field("where").count("{") for request in server.requests]


async def test_an_answer_that_is_cut_by_the_service_is_asked_on(session: Session) -> None:
    replies = (features(1, 2, exceededTransferLimit=True), features(3))
    async with HttpServer(*replies) as server:
        found = await asked(server, session, 1, 2, 3)

    assert set(found) == {gid(1), gid(2), gid(3)}
    assert wheres(server) == [3, 1]


async def test_an_answer_too_large_for_the_memory_is_asked_on(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feature_set, "FEATURE_SET_BYTES", 100_000)
    big = json_answer({"features": [feature(n, note="x" * 60_000) for n in range(1, 9)]})
    async with HttpServer(big, features(3, 4, 5, 6, 7, 8)) as server:
        found = await asked(server, session, *range(1, 9))

    assert set(found) == {gid(number) for number in range(1, 9)}
    assert 0 < wheres(server)[1] < 8
    assert len(server.requests) == 2


async def test_a_row_without_a_name_is_found_by_asking_for_fewer(session: Session) -> None:
    nameless = json_answer({"features": [{"attributes": {"OBJECTID": "?", "note": "x" * 20_000}}]})
    empty = features()
    async with HttpServer(nameless, nameless, empty) as server:
        found = await asked(server, session, 1, 2)

    assert found == {gid(1): None}
    assert wheres(server) == [2, 1, 1]


async def test_a_row_that_cannot_be_decoded_is_there_all_the_same(session: Session) -> None:
    wrong = json_answer({"features": [feature(1, OBJECTID="one"), feature(2)]})
    async with HttpServer(wrong) as server:
        found = await asked(server, session, 1, 2, 3)

    assert found == {gid(1): None, gid(2): (gid(2), 2, "x")}
    assert len(server.requests) == 1


@pytest.mark.parametrize("rows", [(), (1, 2)])
async def test_an_answer_cut_at_any_byte_is_asked_for_again(
    rows: tuple[int, ...], session: Session
) -> None:
    body = features(*rows).partition(b"\r\n\r\n")[2]
    head = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"  # nothing tells how much is to come
    for size in range(1, len(body)):
        replies: tuple[Reply, ...] = (Cut(head + body[:size]), features(*rows))
        async with HttpServer(*replies) as server:
            found = await asked(server, session, 1, 2)
            assert set(found) == {gid(number) for number in rows}
            assert len(server.requests) == 2


async def test_an_error_behind_rows_is_the_answer(session: Session) -> None:
    error = {"code": 400, "message": "No."}
    async with HttpServer(features(1, error=error)) as server:
        with pytest.raises(ServiceRefusedError, match="No"):
            await asked(server, session, 1)


async def test_an_answer_that_is_damaged_behind_its_rows_is_no_answer(session: Session) -> None:
    body = features(1).replace(b"]}", b"]x")
    async with HttpServer(body) as server:
        with pytest.raises(ProtocolError, match="damaged"):
            await asked(server, session, 1)


async def test_newer_rows_are_read_page_by_page(session: Session) -> None:
    replies = (features(8, 9, exceededTransferLimit=True), features(10))
    async with HttpServer(*replies) as server:
        service = FeatureService(f"{server.origin}/FeatureServer", session)
        rows = await query_newer_than(service, LAYER, CODEC, 7, REFERENCE)

    assert [row[1] for row in rows] == [8, 9, 10]
    assert [r.field("where") for r in server.requests] == ["OBJECTID > 7", "OBJECTID > 9"]


def test_a_receiver_that_was_cut_off_says_so() -> None:
    receiver = FeatureSet(CODEC, "https://h.org/FeatureServer/0/query?token=s3cret")
    receiver.feed(b'{"features": [')
    with pytest.raises(LinkError, match="cut off") as caught:
        receiver.finish()
    assert "s3cret" not in str(caught.value)
