"""Uploads in parts: what is sent, and every spelling of what is answered."""

from pathlib import Path
from typing import Any

import pytest

from engine.errors import AuthenticationError, ProtocolError, ServiceRefusedError
from engine.service.feature_service import FeatureService
from engine.service.session import Session
from engine.service.uploads import Part, Uploads
from tests.engine.service.waters import waters
from tests.fakes.http_server import HttpServer, Reply, answer, json_answer


async def asked(reply: Reply, call: Any) -> Any:
    async with HttpServer(reply) as server, Session() as session:
        return await call(Uploads(FeatureService(f"{server.origin}/FeatureServer", session)))


async def test_file_goes_up_in_parts(tmp_path: Path) -> None:
    content = tmp_path / "edits.json"
    content.write_bytes(b"0123456789")
    async with waters(tmp_path) as at:
        uploads = Uploads(at.service)

        item = await uploads.register("edits.json")
        assert await uploads.parts(item) == frozenset()
        await uploads.send(item, content, Part(number=2, offset=4, size=6))
        await uploads.send(item, content, Part(number=1, offset=0, size=9))
        await uploads.send(item, content, Part(number=1, offset=0, size=4))
        assert await uploads.parts(item) == frozenset({1, 2})
        assert await uploads.is_committed(item) is False
        await uploads.commit(item, 2)

        assert await uploads.is_committed(item) is True
        inside = at.server.hosted("water")
        assert (inside.folder / "uploads" / item).read_bytes() == b"0123456789"
        await uploads.delete(item)
        assert await uploads.is_committed(item) is None
        assert await uploads.parts(item) is None


@pytest.mark.parametrize("name", ["itemID", "itemId", "ItemId"])
async def test_item_in_every_spelling(name: str) -> None:
    reply = json_answer({"success": True, "item": {name: "i7"}})

    assert await asked(reply, lambda uploads: uploads.register("a")) == "i7"


@pytest.mark.parametrize(
    "listed", [[1, 3], ["1", "3"], [{"partId": 1, "size": 5}, {"partID": "3"}], ["3", "x", 1]]
)
async def test_parts_in_every_spelling(listed: object) -> None:
    found = await asked(json_answer({"parts": listed}), lambda uploads: uploads.parts("i7"))

    assert found == {1, 3}


@pytest.mark.parametrize("reply", [{}, {"item": {}}, {"item": None}, {"item": {"itemID": 7}}])
async def test_register_without_an_item(reply: object) -> None:
    with pytest.raises(ProtocolError):
        await asked(json_answer(reply), lambda uploads: uploads.register("a"))


async def test_item_that_is_gone_and_one_that_is_not_ours_to_see() -> None:
    gone = json_answer({"error": {"code": 404, "message": "Item not found."}})
    assert await asked(gone, lambda uploads: uploads.parts("i7")) is None
    assert await asked(answer("no", status=404), lambda uploads: uploads.is_committed("i7")) is None
    denied = json_answer({"error": {"code": 499, "message": "Token Required"}})
    with pytest.raises(AuthenticationError):
        await asked(denied, lambda uploads: uploads.parts("i7"))


async def test_commit_that_is_refused() -> None:
    refused = json_answer({"error": {"code": 400, "message": "Unable to commit item."}})

    with pytest.raises(ServiceRefusedError):
        await asked(refused, lambda uploads: uploads.commit("i7", 3))


async def test_item_of_a_hostile_name_stays_below_uploads() -> None:
    async with HttpServer(json_answer({"parts": []})) as server, Session() as session:
        await Uploads(FeatureService(f"{server.origin}/FeatureServer", session)).parts("../../x?a")

    assert server.requests[0].target.startswith("/FeatureServer/uploads/..%2F..%2Fx%3Fa/parts")
