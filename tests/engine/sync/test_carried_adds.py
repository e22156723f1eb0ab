"""A row that was added here, left in a file, and was changed here before anybody sent the file.

The service then says yes to the device's own add, and keeps the older version that it has.
"""

from contextlib import suppress
from pathlib import Path

import pytest

from engine import faults
from engine.errors import EngineError
from engine.geodatabase.conflicts import Side
from engine.model import ConflictPolicy, SyncDirection, SyncModel
from engine.sync.parameters import PushChannel
from tests.engine.sync.carrying import export, push, take_back
from tests.engine.sync.fleet import HYDRANTS, VISITS, Device, Fleet, fleet, found, gid
from tests.engine.sync.schedules.world import NOTES, take, write_data
from tests.engine.sync.test_edits_meanwhile import foreign
from tests.feature_service import Fault
from tests.feature_service.mishap import change_schema

NEW = gid(7001)
CHANNELS = [
    PushChannel.SYNCHRONIZE_REPLICA,
    pytest.param(PushChannel.APPLY_EDITS, marks=pytest.mark.slow),
]


async def change(device: Device, **values: object) -> None:
    async with device.open() as geodatabase:
        await geodatabase.table(HYDRANTS).update_feature(NEW, values)


async def with_new(world: Fleet, channel: PushChannel = PushChannel.AUTO) -> Device:
    device = await world.device("A", channel=channel)
    async with device.open() as geodatabase:
        await geodatabase.table(HYDRANTS).add_feature({"GlobalID": NEW, "name": "one"})
    return device


async def name_there(world: Fleet) -> object:
    return (await world.rows())[HYDRANTS][NEW]["name"]


async def send(device: Device, file: Path, channel: PushChannel = PushChannel.AUTO) -> Path:
    """Somebody sends the file ``file``; the answer, which nobody has brought back yet."""
    answer = file.with_suffix(".answer")
    await push(file, answer, channel=channel)
    return answer


@pytest.mark.parametrize("channel", CHANNELS)
@pytest.mark.parametrize("direction", [SyncDirection.UPLOAD, SyncDirection.BIDIRECTIONAL])
async def test_change_when_the_file_was_sent_then_it_follows(
    world: Fleet, tmp_path: Path, channel: PushChannel, direction: SyncDirection
) -> None:
    """Without a download, too: no download tells of a row outside of the map's filter."""
    a = await with_new(world, channel)
    await export(a, tmp_path / "A.delta")
    await change(a, name="two")
    await send(a, tmp_path / "A.delta", channel)

    await a.sync(geodatabase_sync_direction=direction)
    await a.sync(geodatabase_sync_direction=direction)

    assert await name_there(world) == "two"
    await a.sync()
    await world.assert_agreed()


@pytest.mark.parametrize("channel", CHANNELS)
async def test_change_when_the_file_was_sent_then_one_sync_is_enough(
    world: Fleet, tmp_path: Path, channel: PushChannel
) -> None:
    a = await with_new(world, channel)
    await export(a, tmp_path / "A.delta")
    await change(a, name="two")
    await send(a, tmp_path / "A.delta", channel)

    result = await a.sync(geodatabase_sync_direction=SyncDirection.UPLOAD)

    assert await name_there(world) == "two"
    assert (found(result).applied, found(result).pending) == (2, 0)


async def test_change_when_it_was_exported_as_well_then_it_follows(
    world: Fleet, tmp_path: Path
) -> None:
    """Two files with two versions: the service has the older one when the other is sent."""
    a = await with_new(world)
    await export(a, tmp_path / "one.delta")
    await change(a, name="two")
    await export(a, tmp_path / "two.delta")
    await send(a, tmp_path / "one.delta")
    answer = await send(a, tmp_path / "two.delta")

    await take_back(a, answer)
    await a.sync()

    assert await name_there(world) == "two"
    await a.sync()
    await world.assert_agreed()


@pytest.mark.parametrize("channel", CHANNELS)
async def test_change_after_an_add_without_an_answer_when_it_is_carried_then_it_follows(
    world: Fleet, tmp_path: Path, channel: PushChannel
) -> None:
    a = await with_new(world, channel)
    world.server.faults.add(Fault(kind="drop-after-commit", operation=channel.value, times=0))
    world.server.faults.add(Fault(kind="status", operation="query", times=0))  # no way to find out
    with pytest.raises(EngineError):
        await a.sync(geodatabase_sync_direction=SyncDirection.UPLOAD)
    world.server.faults.clear()
    assert await name_there(world) == "one"
    await world.change(HYDRANTS, NEW, status=2)
    await change(a, name="two")
    await export(a, tmp_path / "A.delta")

    await take_back(a, await send(a, tmp_path / "A.delta", channel))
    await a.sync()

    there = (await world.rows())[HYDRANTS][NEW]
    assert (there["name"], there["status"]) == ("two", 2)
    await a.sync()
    await world.assert_agreed()


@pytest.mark.parametrize("is_pushed", [True, False])
async def test_change_after_an_add_that_the_service_carries_out_late_then_it_follows(
    world: Fleet, tmp_path: Path, is_pushed: bool
) -> None:
    """It was found not to be there; the call is carried out when the row is in a file already."""
    channel = PushChannel.APPLY_EDITS
    a = await with_new(world, channel)
    world.server.faults.add(Fault(kind="drop-before-commit", operation=channel.value, times=0))
    with pytest.raises(EngineError):
        await a.sync()
    world.server.faults.clear()
    await change(a, name="two")
    await export(a, tmp_path / "A.delta")
    late = {"attributes": {"GlobalID": NEW, "name": "one"}, "geometry": None}
    await world.edit(HYDRANTS, adds=[late])

    if is_pushed:
        await take_back(a, await send(a, tmp_path / "A.delta", channel))
    await a.sync()

    assert await name_there(world) == "two"
    await a.sync()
    await world.assert_agreed()


async def test_add_that_the_service_carries_out_late_when_it_was_taken_back_then_it_is_deleted(
    world: Fleet,
) -> None:
    channel = PushChannel.APPLY_EDITS
    a = await with_new(world, channel)
    world.server.faults.add(Fault(kind="drop-before-commit", operation=channel.value, times=0))
    with pytest.raises(EngineError):
        await a.sync()
    world.server.faults.clear()
    async with a.open() as geodatabase:
        await geodatabase.table(HYDRANTS).delete_feature(NEW)
    await a.sync()
    late = {"attributes": {"GlobalID": NEW, "name": "one"}, "geometry": None}
    await world.edit(HYDRANTS, adds=[late])

    await a.sync()
    await a.sync()

    assert NEW not in (await world.rows())[HYDRANTS]
    await world.assert_agreed()


async def test_change_there_when_none_was_made_here_then_it_stands(
    world: Fleet, tmp_path: Path
) -> None:
    a = await with_new(world)
    await export(a, tmp_path / "A.delta")
    await send(a, tmp_path / "A.delta")
    await world.change(HYDRANTS, NEW, name="office")

    result = await a.sync()

    assert await name_there(world) == "office"
    assert result.layer(HYDRANTS).downloaded.conflicts == 0
    await world.assert_agreed()


async def test_change_on_both_sides_when_nobody_can_tell_the_newer_then_it_is_a_conflict(
    world: Fleet, tmp_path: Path
) -> None:
    a = await with_new(world)
    await export(a, tmp_path / "A.delta")
    await change(a, name="two")
    await send(a, tmp_path / "A.delta")
    await world.change(HYDRANTS, NEW, name="office")

    await a.sync(
        geodatabase_sync_direction=SyncDirection.UPLOAD, conflict_policy=ConflictPolicy.MANUAL
    )

    assert await name_there(world) == "office"
    async with a.open() as geodatabase:
        (conflict,) = await geodatabase.conflicts()
        mine, theirs = conflict.mine or {}, conflict.theirs or {}
    assert (mine["name"], theirs["name"]) == ("two", "office")
    assert conflict.is_held


async def test_change_of_a_row_that_was_refused_once_when_the_file_was_sent_then_it_follows(
    world: Fleet, tmp_path: Path
) -> None:
    channel = PushChannel.SYNCHRONIZE_REPLICA
    a = await with_new(world, channel)
    foreign(a, f"UPDATE Hydrants SET status=99 WHERE GlobalID='{NEW}'")  # not in its domain
    await a.sync()
    await change(a, name="mended", status=1)
    await export(a, tmp_path / "A.delta")
    await change(a, name="two")
    await send(a, tmp_path / "A.delta", channel)

    for _ in range(2):
        await a.sync(geodatabase_sync_direction=SyncDirection.UPLOAD)

    assert await name_there(world) == "two"
    await a.sync()
    await world.assert_agreed()


@pytest.mark.parametrize("channel", CHANNELS)
@pytest.mark.parametrize("rollback", [False, True])
async def test_change_while_the_add_comes_to_the_service_twice_then_it_follows(
    world: Fleet, channel: PushChannel, rollback: bool
) -> None:
    """The answer is that of the second time: the row is there already, so the call is refused."""
    a = await with_new(world, channel)
    world.server.faults.add(Fault(kind="duplicate", operation=channel.value))
    passed = []

    def meanwhile(name: str) -> None:
        passed.append(name)
        if passed[-2:] == ["batch.sending", "transaction.committed"]:
            foreign(a, f"UPDATE Hydrants SET name='two' WHERE GlobalID='{NEW}'")

    with faults.armed(meanwhile), suppress(EngineError):
        await a.sync(geodatabase_sync_direction=SyncDirection.UPLOAD, rollback_on_failure=rollback)
    for _ in range(2):
        await a.sync()

    assert await name_there(world) == "two"
    await world.assert_agreed()


@pytest.mark.parametrize("channel", CHANNELS)
async def test_related_row_that_was_sent_from_a_file_stays_when_its_parent_is_gone(
    tmp_path: Path, channel: PushChannel
) -> None:
    """The parent went with a feature that this device deleted. No download tells of either: the
    files went up through the device's own replica."""
    write_data(tmp_path / "service")
    async with fleet(tmp_path) as world:
        a = Device(world.url, tmp_path / "A.gpkg", SyncModel.PER_REPLICA)
        await take(a)
        foreign(a, f"DELETE FROM Hydrants WHERE GlobalID='{gid(1)}'")
        await export(a, tmp_path / "deleted.delta")
        async with a.open() as geodatabase:
            await geodatabase.table(NOTES).add_feature({"GlobalID": NEW, "visit": gid(1001)})
        await export(a, tmp_path / "both.delta")
        await send(a, tmp_path / "both.delta", channel)

        await take_back(a, await send(a, tmp_path / "deleted.delta", channel))
        await a.sync()

        assert NEW in (await a.rows())[NOTES]
        async with a.open() as geodatabase:
            assert not await geodatabase.conflicts()
            assert not await geodatabase.has_local_edits()


async def test_refused_row_in_a_file_when_it_is_deleted_then_nobody_is_asked_about_it(
    world: Fleet, tmp_path: Path
) -> None:
    a = await with_new(world)
    foreign(a, f"UPDATE Hydrants SET status=99 WHERE GlobalID='{NEW}'")  # not in its domain
    await export(a, tmp_path / "A.delta")
    await a.sync()

    foreign(a, f"DELETE FROM Hydrants WHERE GlobalID='{NEW}'")
    await a.sync()

    async with a.open() as geodatabase:
        assert not await geodatabase.quarantine()


async def test_refused_row_that_was_given_up_does_not_come_with_its_file(
    world: Fleet, tmp_path: Path
) -> None:
    channel = PushChannel.SYNCHRONIZE_REPLICA
    a = await with_new(world, channel)
    foreign(a, f"UPDATE Hydrants SET status=99 WHERE GlobalID='{NEW}'")  # not in its domain
    await export(a, tmp_path / "A.delta")
    await a.sync()
    async with a.open() as geodatabase:
        (refused,) = await geodatabase.quarantine()
        await geodatabase.discard_quarantined(refused.id)
    change_schema(world.inside, {"layer": 0, "field": "status", "set": {"domain": None}})

    await send(a, tmp_path / "A.delta", channel)
    await a.sync()

    await world.assert_agreed()
    assert NEW not in (await world.rows())[HYDRANTS]


async def test_restored_row_that_went_to_the_store_again_does_not_come_with_its_file(
    world: Fleet, tmp_path: Path
) -> None:
    channel = PushChannel.SYNCHRONIZE_REPLICA
    a = await world.device("A", channel=channel)
    foreign(a, f"UPDATE Hydrants SET name='mine' WHERE GlobalID='{gid(2)}'")
    await world.edit(HYDRANTS, deletes=[gid(2)])
    await a.sync()
    async with a.open() as geodatabase:
        (conflict,) = await geodatabase.conflicts()
        await geodatabase.resolve_conflict(conflict.id, Side.MINE)
        await geodatabase.table(HYDRANTS).add_attachment(gid(2), "new.jpg", None, b"new")
        await geodatabase.table(VISITS).add_feature({"GlobalID": NEW, "hydrant": gid(2)})
    await export(a, tmp_path / "A.delta")
    async with a.open() as geodatabase:
        await geodatabase.resolve_conflict(conflict.id, Side.THEIRS)

    await send(a, tmp_path / "A.delta", channel)
    for _ in range(2):
        await a.sync()

    await world.assert_agreed()
    assert gid(2) not in (await world.rows())[HYDRANTS]
    assert NEW not in (await world.rows())[VISITS]


@pytest.mark.parametrize("is_brought_back", [False, True])
async def test_row_that_others_deleted_and_a_file_added_again_comes_back(
    world: Fleet, tmp_path: Path, is_brought_back: bool
) -> None:
    """The file was sent through the device's own replica, so no download tells of it."""
    a = await with_new(world)
    async with a.open() as geodatabase:
        photo = await geodatabase.table(HYDRANTS).add_attachment(NEW, "new.jpg", None, b"new")
    await export(a, tmp_path / "A.delta")
    await a.sync()
    await world.edit(HYDRANTS, deletes=[NEW])
    await a.sync()

    answer = await send(a, tmp_path / "A.delta", PushChannel.SYNCHRONIZE_REPLICA)
    if is_brought_back:
        await take_back(a, answer)
    await a.sync()

    assert NEW in (await a.rows())[HYDRANTS]
    assert photo.global_id in await a.attachments()
    await world.assert_agreed()
