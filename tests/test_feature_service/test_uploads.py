"""Uploads: in parts, used by edits, too large, of a wrong type, and gone."""

import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession

from tests.feature_service import Fault, FeatureServer

from .client import Client, layer_of
from .world import HYDRANTS, Json, gid, hydrant, service_document, write_service

_TOO_LARGE = bytes((1 << 18) + 1)


@pytest.fixture
async def narrow(tmp_path: Path) -> AsyncIterator[Client]:
    """A client of a service that takes pictures and JSON of up to a quarter of a megabyte."""
    limits = {"maxUploadFileSize": 0.25, "allowedUploadFileTypes": "png, .JSON"}
    write_service(tmp_path / "s", {**service_document(), **limits}, {HYDRANTS: [hydrant(1)]})
    async with FeatureServer(tmp_path) as server, ClientSession() as session:
        yield Client(session, server.url("s"))


async def test_upload_when_in_parts_then_joined_in_order(client: Client) -> None:
    item = (await client.post("uploads/register", itemName="e.json"))["item"]["itemID"]
    adds = [{"attributes": {"GlobalID": gid(60)}, "geometry": {"x": 1, "y": 1}}]
    text = json.dumps([{"id": 0, "features": {"adds": adds}}]).encode()
    await client.send_file(f"uploads/{item}/uploadPart", "file", "p", text[20:], partId=2)
    await client.send_file(f"uploads/{item}/uploadPart", "file", "p", text[:20], partId=1)
    assert await client.get(f"uploads/{item}/parts") == {"parts": ["1", "2"]}
    replica = await client.replica()

    early = await client.sync(replica, editsUploadID=item, editsUploadFormat="json")
    committed = await client.post(f"uploads/{item}/commit", parts="1,2")
    answer = await client.sync(replica, editsUploadID=item, editsUploadFormat="JSON")

    assert "error" in early
    assert committed["item"]["committed"] is True
    assert layer_of(answer, HYDRANTS)["addResults"][0]["globalId"] == gid(60)
    assert (await client.post(f"uploads/{item}/delete"))["success"] is True
    assert "error" in await client.get(f"uploads/{item}")


async def test_upload_when_used_by_an_attachment_then_its_bytes(client: Client) -> None:
    sent = await client.send_file("uploads/upload", "file", "pic.png", b"12345")
    attachment = {
        "globalId": gid(61),
        "parentGlobalId": gid(3),
        "name": "pic.png",
        "uploadId": sent["item"]["itemID"],
    }
    replica = await client.replica(attachmentsSyncDirection="upload")

    answer = await client.sync(replica, edits=[{"id": 0, "attachments": {"adds": [attachment]}}])

    entry = layer_of(answer, HYDRANTS)["attachments"]
    assert entry["addResults"][0]["success"] is True
    assert "adds" not in entry
    infos = await client.get("0/3/attachments")
    assert infos["attachmentInfos"][0]["size"] == 5


async def test_info_when_asked_then_tells_the_limit(client: Client, narrow: Client) -> None:
    assert await client.get("uploads/info") == {"maxUploadFileSize": 2048}
    assert await narrow.get("uploads/info") == {"maxUploadFileSize": 0.25}
    assert "maxUploadFileSize" not in await narrow.get("")


def _refused(answer: Any, what: str) -> bool:
    return answer["error"]["code"] == 400 and what in answer["error"]["details"][0]


async def test_upload_when_too_large_or_of_a_wrong_type_then_refused(narrow: Client) -> None:
    large = await narrow.send_file("uploads/upload", "file", "a.png", _TOO_LARGE)
    odd = await narrow.send_file("uploads/upload", "file", "a.exe", b"1")
    registered = await narrow.post("uploads/register", itemName="edits.geodatabase")
    fine = await narrow.send_file("uploads/upload", "file", "A.PNG", _TOO_LARGE[1:])

    assert _refused(large, "may have 262144")
    assert _refused(odd, "'a.exe' is not allowed")
    assert _refused(registered, "'edits.geodatabase' is not allowed")
    assert fine["success"] is True


async def test_commit_when_parts_are_too_large_together_then_refused(narrow: Client) -> None:
    item = (await narrow.post("uploads/register", itemName="e.json"))["item"]["itemID"]
    for part in (1, 2):
        path = f"uploads/{item}/uploadPart"
        sent = await narrow.send_file(path, "file", "p", _TOO_LARGE[:200_000], partId=part)
        assert sent["success"] is True

    assert _refused(await narrow.post(f"uploads/{item}/commit", parts="1,2"), "400000 bytes")


async def test_attachment_when_beyond_the_limits_then_refused(narrow: Client) -> None:
    large = await narrow.send_file("0/1/addAttachment", "attachment", "a.png", _TOO_LARGE)
    odd = await narrow.send_file("0/1/addAttachment", "attachment", "a.txt", b"1")
    replica = await narrow.replica(returnAttachments=True)
    sent = [
        _attachment(70, "a.png", _TOO_LARGE),
        _attachment(71, "a.txt", b"1"),
        _attachment(72, "a.png", b"1"),
    ]
    answer = await narrow.sync(replica, edits=[{"id": 0, "attachments": {"adds": sent}}])

    assert "error" in large
    assert "error" in odd
    results = layer_of(answer, HYDRANTS)["attachments"]["addResults"]
    assert [one["success"] for one in results] == [False, False, True]
    assert [one["error"]["code"] for one in results[:2]] == [1008, 1008]


def _attachment(number: int, name: str, data: bytes) -> Json:
    return {
        "globalId": gid(number),
        "parentGlobalId": gid(1),
        "name": name,
        "data": base64.b64encode(data).decode("ascii"),
    }


async def test_upload_when_purged_then_edits_in_it_are_gone(data_dir: Path) -> None:
    async with FeatureServer(data_dir) as server, ClientSession() as session:
        client = Client(session, server.url("water"))
        replica = await client.replica()
        sent = await client.send_file("uploads/upload", "file", "e.json", b"[]")
        server.faults.add(Fault(kind="uploads-purged", operation="synchronizeReplica"))

        answer = await client.sync(replica, editsUploadId=sent["item"]["itemID"])

        assert "error" in answer
        assert await client.get("uploads") == {"uploads": []}


async def test_uploads_when_service_is_read_only_then_not_offered(tmp_path: Path) -> None:
    document = {**service_document(), "capabilities": "Query,Sync"}
    write_service(tmp_path / "s", document, {})

    async with FeatureServer(tmp_path) as server, ClientSession() as session:
        client = Client(session, server.url("s"))
        assert "error" in await client.get("uploads")
        assert "error" in await client.send_file("uploads/upload", "file", "a.png", b"1")
