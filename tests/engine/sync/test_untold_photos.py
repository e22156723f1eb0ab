"""Attachments of rows that leave the map's clause, and come back: a download does not tell of what
happened to them meanwhile."""

import base64
from pathlib import Path
from typing import Literal

import pytest

from engine.model import ConflictPolicy, SyncDirection
from tests.engine.sync.fleet import HYDRANTS, Device, Fleet, SyncModel, fleet, gid
from tests.engine.sync.test_generate import parameters
from tests.engine.sync.test_half_merged import dies_at
from tests.engine.sync.test_out_of_area import AREA
from tests.feature_service import Fault, Profile

ROW = gid(3)
OLD, NEW = gid(7001), gid(7002)

When = Literal["as it leaves", "outside", "as it returns"]
WHEN: tuple[When, ...] = ("as it leaves", "outside", "as it returns")


def sent(global_id: str, data: bytes, name: str = "pump.jpg") -> dict[str, object]:
    return {
        "globalId": global_id,
        "parentGlobalId": ROW,
        "name": name,
        "contentType": "image/jpeg",
        "data": base64.b64encode(data).decode(),
    }


async def taken(world: Fleet) -> Device:
    """A device with the hydrants of status 2; one of them has an attachment."""
    await world.edit(HYDRANTS, attachments={"adds": [sent(OLD, b"old")]})
    device = Device(world.url, world.folder / "A.gpkg", SyncModel.PER_REPLICA)
    wanted = await parameters(device, AREA)
    wanted.layer_options[0].where_clause = "status = 2"
    await device.take(wanted)
    assert OLD in await device.attachments()
    return device


async def leave(world: Fleet) -> None:
    await world.change(HYDRANTS, ROW, status=1)


async def come_back(world: Fleet) -> None:
    await world.change(HYDRANTS, ROW, status=2)


async def assert_photos(world: Fleet, device: Device) -> None:
    """The device has the attachments of that row as the service has them."""
    here, there = await device.attachments(), world.attachments()
    of_row = [{k: v for k, v in side.items() if v[0] == ROW} for side in (here, there)]
    assert of_row[0] == of_row[1]


async def story(world: Fleet, device: Device, when: When, **edits: object) -> None:
    await leave(world)
    if when == "as it leaves":
        await world.edit(HYDRANTS, attachments=edits)
    await device.sync()
    if when == "outside":
        await world.edit(HYDRANTS, attachments=edits)
    if when != "as it returns":
        await device.sync()
        await assert_photos(world, device)
        return
    await world.edit(HYDRANTS, attachments=edits)
    await come_back(world)
    await device.sync()
    await assert_photos(world, device)


@pytest.mark.parametrize("when", WHEN[1:])
async def test_photo_of_a_row_outside_that_is_deleted_goes(world: Fleet, when: When) -> None:
    a = await taken(world)

    await story(world, a, when, deletes=[OLD])


@pytest.mark.parametrize("when", WHEN)
async def test_photo_that_is_added_to_a_row_outside_comes(world: Fleet, when: When) -> None:
    a = await taken(world)

    await story(world, a, when, adds=[sent(NEW, b"new data")])

    assert NEW in await a.attachments()


@pytest.mark.parametrize("leaving", ["update", "nothing"])
async def test_photos_of_a_row_of_which_nobody_told_that_it_was_outside_are_compared(
    tmp_path: Path, leaving: Literal["update", "nothing"]
) -> None:
    async with fleet(tmp_path, Profile(rows_leaving=leaving)) as world:
        a = await taken(world)
        await leave(world)
        await a.sync()
        await world.edit(HYDRANTS, attachments={"adds": [sent(NEW, b"new")], "deletes": [OLD]})
        await come_back(world)

        await a.sync()

        await assert_photos(world, a)
        assert NEW in await a.attachments()


async def test_photo_of_a_row_outside_that_is_replaced_comes_anew(world: Fleet) -> None:
    a = await taken(world)

    await story(world, a, "outside", updates=[sent(OLD, b"other data")])


async def test_renamed_photo_of_the_same_size_is_fetched_again(world: Fleet) -> None:
    a = await taken(world)

    await story(world, a, "outside", updates=[sent(OLD, b"OLD", "other.jpg")])


async def test_photos_of_rows_outside_are_compared_where_they_cannot_be_queried(
    world: Fleet,
) -> None:
    a = await taken(world)
    fault = Fault(kind="status", operation="queryAttachments", status=400, times=0)
    world.server.faults.add(fault)

    await story(world, a, "outside", adds=[sent(NEW, b"new")], deletes=[OLD])


async def test_unsent_photos_of_a_row_outside_survive(world: Fleet) -> None:
    a = await taken(world)
    a.parameters.conflict_policy = ConflictPolicy.REMOTE_WINS
    await world.edit(HYDRANTS, attachments={"adds": [sent(NEW, b"new")]})
    await a.sync()
    await leave(world)
    await a.sync()
    async with a.open() as geodatabase:
        table = geodatabase.table(HYDRANTS)
        await table.delete_attachment(NEW)
        await table.update_attachment(OLD, "mine.jpg", "image/jpeg", b"my own data")
        mine = await table.add_attachment(ROW, "another.jpg", None, b"another")
    await world.change(HYDRANTS, gid(2), name="something")  # so that there is a download

    await a.sync(geodatabase_sync_direction=SyncDirection.DOWNLOAD)

    here = await a.attachments()
    assert NEW not in here
    assert here[OLD][3] == b"my own data"
    assert here[mine.global_id][3] == b"another"
    await a.sync()
    await assert_photos(world, a)
    assert not any((await a.pending()).values())


async def test_photos_of_rows_outside_are_listed_by_one_request(world: Fleet) -> None:
    a = await taken(world)
    await leave(world)
    for number in (1, 5):
        await world.change(HYDRANTS, gid(number), status=1)
    await a.sync()
    await world.change(HYDRANTS, gid(2), name="something")
    world.server.log.clear()

    await a.sync()

    assert world.server.log.count("queryAttachments") == 1
    assert world.server.log.count("attachments") == 0


async def test_photo_that_was_deleted_outside_goes_after_a_merge_that_was_broken_off(
    world: Fleet,
) -> None:
    a = await taken(world)
    await leave(world)
    await a.sync()
    await world.edit(HYDRANTS, attachments={"deletes": [OLD], "adds": [sent(NEW, b"new")]})
    await come_back(world)
    assert await dies_at(a, 2)  # the row, and the new attachment: the old one is still there
    async with a.open() as geodatabase:
        held = await geodatabase.table(HYDRANTS).attachments(ROW)
    assert {one.global_id for one in held} == {OLD, NEW}

    await a.sync()

    await assert_photos(world, a)
