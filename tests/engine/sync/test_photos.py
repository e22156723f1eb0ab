"""Photos go their own way: what becomes of one does not become of its row."""

import asyncio
import sqlite3

import pytest

from engine import faults
from engine.geodatabase import fetch_queue
from engine.geodatabase.conflicts import Side
from engine.geodatabase.fetch_queue import Fetch
from engine.model import ConflictPolicy, SyncDirection, SyncModel
from engine.sync.parameters import PushChannel, SyncLayerOption
from tests.engine.sync.fleet import HYDRANTS, PIPES, Device, Fleet, gid
from tests.engine.sync.test_edits_meanwhile import CHANNELS, foreign
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
    await world.replace_photo(global_id, "news.jpg", b"the news of the office")
    await a.sync(geodatabase_sync_direction=SyncDirection.DOWNLOAD)

    async with a.open() as geodatabase:
        for conflict in await geodatabase.conflicts():
            await geodatabase.resolve_conflict(conflict.id, Side.THEIRS)
    await a.sync()

    assert world.attachments()[global_id][3] == b"the news of the office"
    await world.assert_agreed()


async def replaced_on_both_sides(
    world: Fleet, name: str, policy: ConflictPolicy = ConflictPolicy.REMOTE_WINS
) -> tuple[Device, str]:
    """A device and a photo that it and the office have replaced."""
    a = await world.device("A")
    a.parameters.conflict_policy = policy
    global_id = next(iter(world.attachments()))
    async with a.open() as geodatabase:
        await geodatabase.table(HYDRANTS).update_attachment(global_id, name, None, b"mine")
    await world.replace_photo(global_id, "news.jpg", b"the news of the office")
    return a, global_id


@pytest.mark.parametrize("name", ["mine.jpg", "news.jpg"])
async def test_photo_that_was_replaced_on_both_sides_is_theirs_where_theirs_win(
    world: Fleet, name: str
) -> None:
    a, global_id = await replaced_on_both_sides(world, name)

    await a.sync()

    assert world.attachments()[global_id][1::2] == ("news.jpg", b"the news of the office")
    assert not any((await a.pending()).values())
    await world.assert_agreed()
    async with a.open() as geodatabase:
        (conflict,) = await geodatabase.conflicts(resolved=True)
        await geodatabase.resolve_conflict(conflict.id, Side.MINE)
        await geodatabase.resolve_conflict(conflict.id, Side.THEIRS)
    await a.sync()
    assert world.attachments()[global_id][3] == b"the news of the office"
    await world.assert_agreed()
    async with a.open() as geodatabase:
        await geodatabase.resolve_conflict(conflict.id, Side.MINE)
    await a.sync()
    assert world.attachments()[global_id][1::2] == (name, b"mine")
    await world.assert_agreed()


@pytest.mark.parametrize("side", Side)
@pytest.mark.parametrize("name", ["mine.jpg", "news.jpg"])
async def test_photo_that_was_replaced_on_both_sides_waits_for_a_person_and_goes_as_a_whole(
    world: Fleet, name: str, side: Side
) -> None:
    a, global_id = await replaced_on_both_sides(world, name, ConflictPolicy.MANUAL)
    await a.sync()
    assert world.attachments()[global_id][3] == b"the news of the office"
    async with a.open() as geodatabase:
        (conflict,) = await geodatabase.conflicts()
        await geodatabase.resolve_conflict(conflict.id, side)

    await a.sync()

    theirs = ("news.jpg", b"the news of the office")
    assert world.attachments()[global_id][1::2] == (
        theirs if side is Side.THEIRS else (name, b"mine")
    )
    assert not any((await a.pending()).values())
    await world.assert_agreed()


@pytest.mark.parametrize("point", ["download.merged", "part.renamed"])
async def test_photo_that_is_replaced_again_after_theirs_has_won_goes_up(
    world: Fleet, point: str
) -> None:
    a, global_id = await replaced_on_both_sides(world, "mine.jpg")

    passed: list[str] = []

    def replace(name: str) -> None:
        passed.append(name)
        if name == point and "download.merged" in passed and "again" not in passed:
            passed.append("again")
            foreign(a, f"UPDATE Hydrants__ATTACH SET DATA=x'0102' WHERE GLOBALID='{global_id}'")

    with faults.armed(replace):
        await a.sync()
    await a.sync()

    assert world.attachments()[global_id][3] == b"\x01\x02"
    await world.assert_agreed()


async def test_own_photo_that_comes_back_does_not_win_over_a_later_edit(world: Fleet) -> None:
    a = await world.device("A")
    a.parameters.conflict_policy = ConflictPolicy.REMOTE_WINS
    global_id = next(iter(world.attachments()))
    for data in (b"first", b"second"):
        async with a.open() as geodatabase:
            hydrants = geodatabase.table(HYDRANTS)
            await hydrants.update_attachment(global_id, f"{len(data)}.jpg", None, data)
        await a.sync()

    assert world.attachments()[global_id][1::2] == ("6.jpg", b"second")
    async with a.open() as geodatabase:
        assert not await geodatabase.conflicts(resolved=True)
    await world.assert_agreed()


async def test_photo_that_was_renamed_here_goes_up_with_the_data_that_is_there(
    world: Fleet,
) -> None:
    a = await world.device("A")
    global_id, (parent, *_) = next(iter(world.attachments().items()))
    await world.replace_photo(global_id, "news.jpg", b"the news of the office")
    foreign(a, "UPDATE Hydrants__ATTACH SET CONTENT_TYPE='image/png'")

    await a.sync()

    photo = world.attachments()[global_id]
    assert photo == (parent, "news.jpg", "image/png", b"the news of the office")
    await world.assert_agreed()


async def test_photo_that_is_renamed_before_its_data_has_come_keeps_its_data(world: Fleet) -> None:
    a, b = await world.device("A"), await world.device("B")
    async with b.open() as geodatabase:
        photo = await geodatabase.table(HYDRANTS).add_attachment(gid(1), "new.jpg", None, b"new")
    await b.sync()
    world.server.faults.add(Fault(kind="status", operation="attachment", status=404, times=3))
    await a.sync()
    name = f"UPDATE Hydrants__ATTACH SET ATT_NAME='other.jpg' WHERE GLOBALID='{photo.global_id}'"
    foreign(a, name)

    result = await a.sync()
    (counts,) = (r.attachments_uploaded for r in result.layer_results if r.layer_id == HYDRANTS)
    assert (counts.found, counts.pending) == (1, 1)
    for device in (a, b):
        await device.sync()

    assert world.attachments()[photo.global_id][1::2] == ("other.jpg", b"new")
    await world.assert_agreed()


async def test_photo_whose_data_never_came_is_not_brought_back_empty(world: Fleet) -> None:
    a, b = await world.device("A"), await world.device("B")
    async with b.open() as geodatabase:
        hydrants = geodatabase.table(HYDRANTS)
        photo = await hydrants.add_attachment(gid(1), "new.jpg", None, b"new")
    await b.sync()
    before = world.attachments()
    world.server.faults.add(Fault(kind="status", operation="attachment", status=404, times=0))
    await a.sync()
    foreign(a, f"UPDATE Hydrants SET name='mine' WHERE GlobalID='{gid(1)}'")
    await world.edit(HYDRANTS, deletes=[gid(1)])
    await a.sync()
    world.server.faults.clear()
    async with a.open() as geodatabase:
        (conflict,) = await geodatabase.conflicts(resolved=True)
        await geodatabase.resolve_conflict(conflict.id, Side.MINE)

    for device in (a, b):
        await device.sync()

    assert before.keys() - world.attachments().keys() == {photo.global_id}
    await world.assert_agreed()
    async with a.open() as geodatabase:
        (conflict,) = await geodatabase.conflicts(resolved=True)
    assert conflict.parts == 1, "the name of what could not be brought back"


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


async def test_data_that_came_in_a_file_and_was_lost_is_asked_of_the_service(world: Fleet) -> None:
    a = await world.device("A")
    ((photo, before),) = (await a.attachments()).items()
    number = HYDRANTS * 2 + 1
    lost = Fetch(number=number, gid=photo, url=None, spool_name="attachment-lost", size_bytes=None)
    async with a.open() as geodatabase:
        await geodatabase.database.write(_without_data, lost, applying=True)

    await a.sync()

    assert (await a.attachments())[photo] == before


def _without_data(connection: sqlite3.Connection, fetch: Fetch) -> None:
    connection.execute("UPDATE Hydrants__ATTACH SET DATA = NULL")
    fetch_queue.enqueue(connection, [fetch])


async def test_own_new_photo_that_was_replaced_by_one_of_that_size_is_fetched(
    world: Fleet,
) -> None:
    """The next download tells of it as of one that was added."""
    a = await world.device("A")
    async with a.open() as geodatabase:
        table = geodatabase.table(HYDRANTS)
        photo = await table.add_attachment(gid(2), "mine.jpg", None, b"mine")
    await a.sync(geodatabase_sync_direction=SyncDirection.UPLOAD)
    await world.replace_photo(photo.global_id, "news.jpg", b"news")

    await a.sync()

    assert (await a.attachments())[photo.global_id][3] == b"news"
    await world.assert_agreed()


async def test_error_that_comes_in_the_place_of_changed_data_is_not_taken_for_it(
    world: Fleet,
) -> None:
    """ArcGIS answers so with HTTP status 200, and the next download has not told yet why."""
    a = await world.device("A", model=SyncModel.PER_LAYER)
    ((photo, before),) = (await a.attachments()).items()
    await world.replace_photo(photo, "news.jpg", b"news")
    world.server.faults.add(Fault(kind="status", operation="attachment", status=404, times=1))
    await a.sync()
    await world.edit(HYDRANTS, deletes=[before[0]])

    await a.sync(
        layer_options=[
            SyncLayerOption(layer_id=HYDRANTS, sync_direction=SyncDirection.UPLOAD),
            SyncLayerOption(layer_id=PIPES, sync_direction=SyncDirection.DOWNLOAD),
        ]
    )

    assert (await a.attachments())[photo][3] == before[3]
    await a.sync()
    await world.assert_agreed()


async def test_error_is_no_data_of_an_attachment_whose_size_is_not_known(world: Fleet) -> None:
    a = await world.device("A")
    ((photo, before),) = (await a.attachments()).items()
    gone = f"{world.url}/{HYDRANTS}/1/attachments/999"
    number = HYDRANTS * 2 + 1
    wanted = Fetch(number=number, gid=photo, url=gone, spool_name=None, size_bytes=None)
    async with a.open() as geodatabase:
        await geodatabase.database.write(fetch_queue.enqueue, [wanted], applying=True)

    await a.sync()

    assert (await a.attachments())[photo] == before
    async with a.open() as geodatabase:
        (waiting,) = await geodatabase.database.read(fetch_queue.next_fetches)
    assert "Attachment not found" in str(waiting.error)


@pytest.mark.parametrize("is_conflict", [False, True])
async def test_photo_does_not_come_back_with_older_data_than_its_name(
    world: Fleet, is_conflict: bool
) -> None:
    """Its feature is deleted there before the new data has come, and brought back by an edit."""
    a, b = await world.device("A"), await world.device("B")
    a.parameters.conflict_policy = ConflictPolicy.MANUAL
    ((photo, (parent, *_)),) = (await a.attachments()).items()
    if is_conflict:
        async with a.open() as geodatabase:
            hydrants = geodatabase.table(HYDRANTS)
            await hydrants.update_attachment(photo, "mine.jpg", None, b"mine")
    await world.replace_photo(photo, "news.jpg", b"news" if is_conflict else b"other news")
    world.server.faults.add(Fault(kind="status", operation="attachment", status=404, times=0))
    await a.sync()
    async with a.open() as geodatabase:
        for conflict in await geodatabase.conflicts():
            await geodatabase.resolve_conflict(conflict.id, Side.THEIRS)
    foreign(a, f"UPDATE Hydrants SET name='mine' WHERE GlobalID='{parent}'")
    await world.edit(HYDRANTS, deletes=[parent])
    await a.sync()
    async with a.open() as geodatabase:
        for conflict in await geodatabase.conflicts():
            await geodatabase.resolve_conflict(conflict.id, Side.MINE)
    world.server.faults.clear()

    for device in (a, b):
        await device.sync()

    assert parent in (await world.rows())[HYDRANTS]
    assert photo not in world.attachments()
    await world.assert_agreed()


async def test_edit_of_a_photo_whose_data_is_gone_there_does_not_wait_for_it(world: Fleet) -> None:
    """It went with its feature, which was deleted here, so no download tells of it."""
    a = await world.device("A", channel=PushChannel.SYNCHRONIZE_REPLICA)
    ((photo, (parent, *_)),) = (await a.attachments()).items()
    async with a.open() as geodatabase:
        await geodatabase.table(HYDRANTS).update_attachment(photo, "mine.jpg", None, b"mine")
    await a.sync()
    without = f"SET DATA=NULL,ATT_NAME='other.jpg' WHERE GLOBALID='{photo}'"
    gone = f"DELETE FROM Hydrants WHERE GlobalID='{parent}'"
    foreign(a, f"UPDATE Hydrants__ATTACH {without}", gone)

    for _ in range(3):
        await a.sync()

    assert not any((await a.pending()).values())
    assert photo not in await a.attachments()
    await world.assert_agreed()


@pytest.mark.parametrize("data", [b"again", b"of another size"])
@pytest.mark.parametrize("policy", ConflictPolicy)
async def test_photo_that_is_replaced_while_it_is_on_its_way_is_no_conflict_with_itself(
    world: Fleet, policy: ConflictPolicy, data: bytes
) -> None:
    """Its answer is lost, and what is here is not what was sent."""
    a = await world.device("A", channel=PushChannel.APPLY_EDITS)
    a.parameters.conflict_policy = policy
    photo = next(iter(world.attachments()))
    async with a.open() as geodatabase:
        await geodatabase.table(HYDRANTS).update_attachment(photo, "first.jpg", None, b"first")
    world.server.faults.add(Fault(kind="drop-after-commit", operation="applyEdits", times=1))
    said = f"DATA=x'{data.hex()}',ATT_NAME='again.jpg'"
    passed: list[str] = []

    def replace(name: str) -> None:
        passed.append(name)
        if passed[-2:] == ["batch.sending", "transaction.committed"] and "again" not in passed:
            passed.append("again")
            foreign(a, f"UPDATE Hydrants__ATTACH SET {said} WHERE GLOBALID='{photo}'")

    with faults.armed(replace):
        await a.sync()
    await a.sync()

    assert "again" in passed
    async with a.open() as geodatabase:
        assert await geodatabase.conflicts(resolved=True) == []
    assert world.attachments()[photo][1::2] == ("again.jpg", data)
    await world.assert_agreed()
