"""A row that was added here, left in a file, and was deleted here before anybody sent the file."""

import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from engine.model import SyncDirection
from engine.sync.parameters import PushChannel
from tests.engine.sync.carrying import export, push, take_back
from tests.engine.sync.fleet import HYDRANTS, VISITS, Device, Fleet, gid
from tests.engine.sync.test_clocks import agree_on_the_time
from tests.engine.sync.test_recovery import unregister

NEW = gid(7001)


async def exported(world: Fleet, path: Path, channel: PushChannel) -> Device:
    """A device that has deleted a row which is in the file ``path``."""
    a = await world.device("A", channel=channel)
    async with a.open() as geodatabase:
        await geodatabase.table(HYDRANTS).add_feature({"GlobalID": NEW, "name": "new"})
        await geodatabase.table(HYDRANTS).add_attachment(NEW, "new.jpg", None, b"new")
    await export(a, path)
    async with a.open() as geodatabase:
        await geodatabase.table(HYDRANTS).delete_feature(NEW)
    return a


async def add_new(device: Device, is_photo: bool) -> str:
    """Add a hydrant, or an attachment; its GlobalID."""
    async with device.open() as geodatabase:
        table = geodatabase.table(HYDRANTS)
        if is_photo:
            return (await table.add_attachment(gid(1), "new.jpg", None, b"new")).global_id
        return (await table.add_feature({"GlobalID": NEW})).global_id


async def delete_new(device: Device, new: str, is_photo: bool) -> None:
    async with device.open() as geodatabase:
        table = geodatabase.table(HYDRANTS)
        await (table.delete_attachment(new) if is_photo else table.delete_feature(new))


@pytest.mark.parametrize(
    ("channel", "syncs_first"),
    [
        (PushChannel.SYNCHRONIZE_REPLICA, True),
        pytest.param(PushChannel.SYNCHRONIZE_REPLICA, False, marks=pytest.mark.slow),
        pytest.param(PushChannel.APPLY_EDITS, True, marks=pytest.mark.slow),
        pytest.param(PushChannel.APPLY_EDITS, False, marks=pytest.mark.slow),
    ],
)
async def test_deleted_row_when_its_file_is_sent_then_the_delete_follows(
    world: Fleet, tmp_path: Path, channel: PushChannel, syncs_first: bool
) -> None:
    a = await exported(world, tmp_path / "A.delta", channel)
    if syncs_first:
        await a.sync()
    await push(tmp_path / "A.delta", tmp_path / "A.answer", channel=channel)
    assert NEW in (await world.rows())[HYDRANTS]

    await a.sync()

    assert NEW not in (await world.rows())[HYDRANTS]
    await a.sync()
    await world.assert_agreed()


async def test_deleted_row_when_the_answer_comes_back_then_the_delete_follows(
    world: Fleet, tmp_path: Path
) -> None:
    channel = PushChannel.SYNCHRONIZE_REPLICA
    a = await exported(world, tmp_path / "A.delta", channel)
    await push(tmp_path / "A.delta", tmp_path / "A.answer", channel=channel)
    await take_back(a, tmp_path / "A.answer")
    assert (await a.pending())["Hydrants"] == 2  # the attachment, too

    await a.sync()

    await a.sync()
    await world.assert_agreed()


@pytest.mark.parametrize("channel", [PushChannel.SYNCHRONIZE_REPLICA, PushChannel.APPLY_EDITS])
async def test_deleted_attachment_when_its_file_is_sent_then_the_delete_follows(
    world: Fleet, tmp_path: Path, channel: PushChannel
) -> None:
    a = await world.device("A", channel=channel)
    async with a.open() as geodatabase:
        table = geodatabase.table(HYDRANTS)
        photo = (await table.add_attachment(gid(1), "new.jpg", None, b"new")).global_id
    await export(a, tmp_path / "A.delta")
    async with a.open() as geodatabase:
        await geodatabase.table(HYDRANTS).delete_attachment(photo)
    await push(tmp_path / "A.delta", tmp_path / "A.answer", channel=channel)
    assert photo in world.attachments()

    await a.sync()

    assert photo not in world.attachments()
    await a.sync()
    await world.assert_agreed()


@pytest.mark.parametrize("is_photo", [False, True])
async def test_deleted_row_that_all_rows_show_to_be_there_then_the_delete_follows_at_once(
    world: Fleet, tmp_path: Path, is_photo: bool
) -> None:
    a = await world.device("A")
    new = await add_new(a, is_photo)
    await export(a, tmp_path / "A.delta")
    await delete_new(a, new, is_photo)
    await push(tmp_path / "A.delta", tmp_path / "A.answer", channel=PushChannel.APPLY_EDITS)
    await unregister(world, a)

    await a.sync()

    assert new not in (world.attachments() if is_photo else (await world.rows())[HYDRANTS])
    await world.assert_agreed()


@pytest.mark.parametrize("is_photo", [False, True])
async def test_delete_that_was_sent_when_a_file_adds_the_row_again_then_it_is_deleted_again(
    world: Fleet, tmp_path: Path, is_photo: bool
) -> None:
    """The device had synced meanwhile, and the service does not tell a replica of its own edits."""
    a = await world.device("A", channel=PushChannel.SYNCHRONIZE_REPLICA)
    new = await add_new(a, is_photo)
    await export(a, tmp_path / "A.delta")
    await a.sync()
    await delete_new(a, new, is_photo)
    await a.sync()
    await push(tmp_path / "A.delta", tmp_path / "A.answer", channel=PushChannel.SYNCHRONIZE_REPLICA)
    assert new in (world.attachments() if is_photo else (await world.rows())[HYDRANTS])

    await a.sync()

    assert new not in (world.attachments() if is_photo else (await world.rows())[HYDRANTS])
    await a.sync()
    await world.assert_agreed()


async def test_deleted_row_when_its_file_is_sent_once_more_then_it_is_deleted_again(
    world: Fleet, tmp_path: Path
) -> None:
    """Somebody has a copy of the file whose answer the device has had long since."""
    channel = PushChannel.SYNCHRONIZE_REPLICA
    a = await world.device("A", channel=channel)
    async with a.open() as geodatabase:
        await geodatabase.table(HYDRANTS).add_feature({"GlobalID": NEW})
    await export(a, tmp_path / "A.delta")
    await push(tmp_path / "A.delta", tmp_path / "A.answer", channel=channel)
    await take_back(a, tmp_path / "A.answer")
    async with a.open() as geodatabase:
        await geodatabase.table(HYDRANTS).delete_feature(NEW)
    await a.sync()
    await push(tmp_path / "A.delta", tmp_path / "A.answer", channel=channel)
    assert NEW in (await world.rows())[HYDRANTS]

    await a.sync()

    assert NEW not in (await world.rows())[HYDRANTS]
    await a.sync()
    await world.assert_agreed()


async def test_exports_of_long_ago_are_forgotten(
    world: Fleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a = await exported(world, tmp_path / "A.delta", PushChannel.AUTO)
    async with a.open() as geodatabase:
        await geodatabase.table(HYDRANTS).add_feature({"name": "unsent"})
    await export(a, tmp_path / "A.delta")
    agree_on_the_time(monkeypatch, a)
    a.clock.start -= timedelta(days=20_000)  # a device without a clock, before it has had a link
    await export(a, tmp_path / "A.delta")
    a.clock.start += timedelta(days=20_000)
    await a.sync(geodatabase_sync_direction=SyncDirection.DOWNLOAD)
    assert exports(a) == 3

    a.clock.elapsed_s += 91 * 86400
    await a.sync(geodatabase_sync_direction=SyncDirection.DOWNLOAD)

    assert exports(a) == 1, "the row that is still to be sent"


def exports(device: Device) -> int:
    """How many rows are remembered because they were exported."""
    with closing(sqlite3.connect(device.path)) as connection:
        (found,) = connection.execute("SELECT count(*) FROM fieldsync_exported").fetchone()
    return int(found)


async def test_child_of_a_deleted_row_that_is_in_a_file_is_not_held_up(
    world: Fleet, tmp_path: Path
) -> None:
    a = await exported(world, tmp_path / "A.delta", PushChannel.AUTO)
    async with a.open() as geodatabase:
        await geodatabase.table(VISITS).add_feature({"hydrant": NEW, "note": "lonely"})

    await a.sync()

    assert not any((await a.pending()).values())
