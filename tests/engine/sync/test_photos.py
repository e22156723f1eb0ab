"""Photos go their own way: what becomes of one does not become of its row."""

import asyncio
import base64

import pytest

from engine.geodatabase.conflicts import Side
from engine.model import ConflictPolicy, SyncDirection
from engine.sync.parameters import PushChannel
from tests.engine.sync.fleet import HYDRANTS, Device, Fleet, gid
from tests.engine.sync.test_edits_meanwhile import CHANNELS
from tests.feature_service import Fault

NEW = gid(5001)


@pytest.mark.parametrize("channel", CHANNELS)
async def test_refused_photo_does_not_hold_back_its_row(world: Fleet, channel: PushChannel) -> None:
    a = await world.device("A", channel=channel)
    world.inside.service.document["allowedUploadFileTypes"] = "jpg"
    async with a.open() as geodatabase:
        hydrants = geodatabase.table(HYDRANTS)
        await hydrants.add_feature({"GlobalID": NEW, "name": "new"}, {"x": 5, "y": 6})
        good = await hydrants.add_attachment(NEW, "good.jpg", None, b"good photo")
        bad = await hydrants.add_attachment(NEW, "bad.exe", None, b"no photo")

    result = await a.sync()

    (layer,) = (r for r in result.layer_results if r.layer_id == HYDRANTS)
    assert (layer.uploaded.found, layer.uploaded.applied) == (1, 1)
    photos = layer.attachments_uploaded
    assert (photos.found, photos.applied, photos.quarantined) == (2, 1, 1)
    assert NEW in (await world.rows())[HYDRANTS]
    assert good.global_id in world.attachments()
    async with a.open() as geodatabase:
        (refused,) = await geodatabase.quarantine()
    assert refused.global_id == bad.global_id
    assert refused.remedy


async def test_photo_of_a_layer_that_cannot_be_read_now_waits_for_the_next_sync(
    world: Fleet,
) -> None:
    a, b = await world.device("A"), await world.device("B")
    async with b.open() as geodatabase:
        await geodatabase.table(HYDRANTS).add_attachment(gid(1), "new.jpg", None, b"new")
    await b.sync()
    world.server.faults.add(Fault(kind="status", operation="attachment", status=404, times=1))
    await a.sync()
    # All layers at once, then the hydrants alone.
    world.server.faults.add(Fault(kind="expired-result", operation="layers"))
    world.server.faults.add(Fault(kind="expired-result", operation="layer"))

    result = await asyncio.wait_for(a.sync(), 20)

    assert [one.layer_id for one in result.layer_results if one.error] == [HYDRANTS]
    await a.sync()
    assert len(await a.attachments()) == 2
    await world.assert_agreed()


@pytest.mark.parametrize("policy", ConflictPolicy)
async def test_photo_that_was_deleted_here_comes_back_with_the_bytes_that_are_there(
    world: Fleet, policy: ConflictPolicy
) -> None:
    a = await world.device("A")
    a.parameters.conflict_policy = policy
    global_id = next(iter(world.attachments()))
    await delete_photo(a, global_id)
    edit = {
        "globalId": global_id,
        "parentGlobalId": world.attachments()[global_id][0],
        "name": "news.jpg",
        "contentType": "image/jpeg",
        "data": base64.b64encode(b"the news of the office").decode(),
    }
    await world.edit(HYDRANTS, attachments={"updates": [edit]})
    await a.sync(geodatabase_sync_direction=SyncDirection.DOWNLOAD)

    async with a.open() as geodatabase:
        for conflict in await geodatabase.conflicts():
            await geodatabase.resolve_conflict(conflict.id, Side.THEIRS)
    await a.sync()

    assert world.attachments()[global_id][3] == b"the news of the office"
    await world.assert_agreed()


@pytest.mark.parametrize("deletes", [False, True])
async def test_photo_whose_refused_edit_is_given_up_comes_back_with_its_bytes(
    world: Fleet, deletes: bool
) -> None:
    a = await world.device("A")
    world.inside.service.document["allowedUploadFileTypes"] = "png"
    before = world.attachments()
    global_id = next(iter(before))
    async with a.open() as geodatabase:
        hydrants = geodatabase.table(HYDRANTS)
        await hydrants.update_attachment(global_id, "mine.jpg", None, b"mine")
    await a.sync()
    if deletes:
        await delete_photo(a, global_id)

    async with a.open() as geodatabase:
        (refused,) = await geodatabase.quarantine()
        await geodatabase.discard_quarantined(refused.id)
    await a.sync()

    assert world.attachments() == before
    await world.assert_agreed()


async def delete_photo(device: Device, global_id: str) -> None:
    async with device.open() as geodatabase:
        await geodatabase.table(HYDRANTS).delete_attachment(global_id)
