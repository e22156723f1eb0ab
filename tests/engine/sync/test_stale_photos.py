"""Attachments that were exported and replaced before anybody sent the file, or after it."""

from pathlib import Path

import pytest

from engine.errors import EngineError
from engine.geodatabase.conflicts import Side
from engine.model import ConflictPolicy, SyncDirection
from engine.sync.delta_verdict import EditVerdict
from engine.sync.parameters import PushChannel
from tests.engine.sync.carrying import export, push, take_back
from tests.engine.sync.fleet import HYDRANTS, Device, Fleet, fleet, gid
from tests.engine.sync.test_carried_adds import CHANNELS
from tests.engine.sync.test_edits_meanwhile import foreign
from tests.feature_service import Fault, Profile


async def with_new(world: Fleet, channel: PushChannel) -> tuple[Device, str]:
    """A device, and a photo that was added on it."""
    device = await world.device("A", channel=channel)
    async with device.open() as geodatabase:
        table = geodatabase.table(HYDRANTS)
        photo = await table.add_attachment(gid(1), "same.jpg", "image/jpeg", b"one")
    return device, photo.global_id


async def replace(device: Device, photo: str, name: str, data: bytes) -> None:
    async with device.open() as geodatabase:
        await geodatabase.table(HYDRANTS).update_attachment(photo, name, None, data)


@pytest.mark.parametrize("is_delete", [False, True])
async def test_replaced_attachment_when_a_stale_file_is_sent_then_it_is_a_conflict(
    world: Fleet, tmp_path: Path, is_delete: bool
) -> None:
    a = await world.device("A")
    photo = next(iter(world.attachments()))
    async with a.open() as geodatabase:
        table = geodatabase.table(HYDRANTS)
        if is_delete:
            await table.delete_attachment(photo)
        else:
            await table.update_attachment(photo, "stale.jpg", None, b"stale")
    await export(a, tmp_path / "A.delta")
    await world.replace_photo(photo, "office.jpg", b"office.jpg")

    result = await push(tmp_path / "A.delta", tmp_path / "A.answer")

    assert result.count(EditVerdict.CONFLICT) == 1
    assert world.attachments()[photo][1] == "office.jpg"
    await take_back(a, tmp_path / "A.answer")
    await a.sync(conflict_policy=ConflictPolicy.MANUAL)
    async with a.open() as geodatabase:
        (conflict,) = await geodatabase.conflicts()
    assert conflict.is_held
    assert world.attachments()[photo][1] == "office.jpg"


async def test_file_with_a_replaced_attachment_that_is_sent_twice_is_applied_once(
    world: Fleet, tmp_path: Path
) -> None:
    a = await world.device("A")
    photo = next(iter(world.attachments()))
    async with a.open() as geodatabase:
        table = geodatabase.table(HYDRANTS)
        await table.update_attachment(photo, "mine.jpg", None, b"mine")
    await export(a, tmp_path / "A.delta")

    first = await push(tmp_path / "A.delta", tmp_path / "one.answer")
    second = await push(tmp_path / "A.delta", tmp_path / "two.answer")

    assert first.count(EditVerdict.APPLIED) == second.count(EditVerdict.APPLIED) == 1
    await take_back(a, tmp_path / "two.answer")
    await a.sync()
    await world.assert_agreed()


async def test_own_photo_from_a_file_does_not_win_over_a_later_edit(tmp_path: Path) -> None:
    async with fleet(tmp_path, Profile(echoes_own_edits=True)) as world:
        a = await world.device("A")
        a.parameters.conflict_policy = ConflictPolicy.REMOTE_WINS
        photo, (_, name, *_) = next(iter(world.attachments().items()))
        await replace(a, photo, name, b"first")
        await export(a, tmp_path / "A.delta")
        await replace(a, photo, name, b"second one")
        await push(tmp_path / "A.delta", tmp_path / "A.answer")
        await take_back(a, tmp_path / "A.answer")

        await a.sync()

        assert world.attachments()[photo][3] == b"second one"
        async with a.open() as geodatabase:
            assert not await geodatabase.conflicts(resolved=True)
        await world.assert_agreed()


async def test_new_photo_that_a_file_has_brought_is_not_sent_again(
    world: Fleet, tmp_path: Path
) -> None:
    a, _ = await with_new(world, PushChannel.APPLY_EDITS)
    await export(a, tmp_path / "A.delta")
    await push(tmp_path / "A.delta", tmp_path / "A.answer", channel=PushChannel.APPLY_EDITS)

    result = await a.sync()

    assert result.layer(HYDRANTS).attachments_uploaded.found == 0
    await world.assert_agreed()


@pytest.mark.parametrize("channel", CHANNELS)
async def test_new_photo_that_a_file_has_brought_and_somebody_has_replaced_stays_so(
    world: Fleet, tmp_path: Path, channel: PushChannel
) -> None:
    a, photo = await with_new(world, channel)
    await export(a, tmp_path / "A.delta")
    await push(tmp_path / "A.delta", tmp_path / "A.answer", channel=channel)
    await world.replace_photo(photo, "office.jpg", b"office")

    await a.sync()

    assert world.attachments()[photo][1::2] == ("office.jpg", b"office")
    await world.assert_agreed()


@pytest.mark.parametrize("channel", CHANNELS)
@pytest.mark.parametrize("is_exported", [False, True])
async def test_new_photo_that_was_replaced_before_its_file_was_sent_follows(
    tmp_path: Path, channel: PushChannel, is_exported: bool
) -> None:
    """A service that has an attachment takes no other data with its add, but may say yes."""
    async with fleet(tmp_path, Profile(repeated_add="ignore")) as world:
        a, photo = await with_new(world, channel)
        await export(a, tmp_path / "A.delta")
        await replace(a, photo, "same.jpg", b"two")
        await export(a, tmp_path / "B.delta")
        await push(tmp_path / "A.delta", tmp_path / "A.answer", channel=channel)
        if is_exported:
            await push(tmp_path / "B.delta", tmp_path / "B.answer", channel=channel)
            await take_back(a, tmp_path / "B.answer")

        await a.sync()
        await a.sync()

        assert world.attachments()[photo][3] == b"two"
        await world.assert_agreed()


@pytest.mark.parametrize("channel", CHANNELS)
async def test_new_photo_without_an_answer_that_is_replaced_and_carried_follows(
    world: Fleet, tmp_path: Path, channel: PushChannel
) -> None:
    a, photo = await with_new(world, channel)
    world.server.faults.add(Fault(kind="drop-after-commit", operation=channel.value, times=0))
    world.server.faults.add(Fault(kind="status", operation="query", times=0))  # no way to find out
    with pytest.raises(EngineError):
        await a.sync(geodatabase_sync_direction=SyncDirection.UPLOAD)
    world.server.faults.clear()
    await replace(a, photo, "two.jpg", b"number two")
    await export(a, tmp_path / "A.delta")
    await push(tmp_path / "A.delta", tmp_path / "A.answer", channel=channel)
    await take_back(a, tmp_path / "A.answer")

    await a.sync()

    assert world.attachments()[photo][1::2] == ("two.jpg", b"number two")
    await a.sync()
    await world.assert_agreed()


async def test_renamed_photo_whose_file_is_sent_twice_is_applied_once(
    world: Fleet, tmp_path: Path
) -> None:
    """The file has no data of it."""
    a = await world.device("A")
    photo = next(iter(world.attachments()))
    foreign(a, f"UPDATE Hydrants__ATTACH SET ATT_NAME='mine.jpg' WHERE GLOBALID='{photo}'")
    await export(a, tmp_path / "A.delta")

    await push(tmp_path / "A.delta", tmp_path / "one.answer")
    result = await push(tmp_path / "A.delta", tmp_path / "two.answer")

    assert result.count(EditVerdict.APPLIED) == 1
    await take_back(a, tmp_path / "two.answer")
    assert world.attachments()[photo][1] == "mine.jpg"
    await world.assert_agreed()


@pytest.mark.parametrize(
    ("policy", "side"),
    [(ConflictPolicy.MANUAL, Side.THEIRS), (ConflictPolicy.REMOTE_WINS, Side.MINE)],
)
async def test_new_photo_of_which_nobody_can_tell_the_newer_is_as_the_policy_and_a_person_want_it(
    world: Fleet, tmp_path: Path, policy: ConflictPolicy, side: Side
) -> None:
    a, photo = await with_new(world, PushChannel.SYNCHRONIZE_REPLICA)
    a.parameters.conflict_policy = policy
    await export(a, tmp_path / "A.delta")
    await replace(a, photo, "two.jpg", b"number two")
    channel = PushChannel.SYNCHRONIZE_REPLICA
    await push(tmp_path / "A.delta", tmp_path / "A.answer", channel=channel)
    await a.sync()
    assert world.attachments()[photo][3] == b"one"

    async with a.open() as geodatabase:
        (conflict,) = await geodatabase.conflicts(resolved=True)
        await geodatabase.resolve_conflict(conflict.id, side)
    await a.sync()

    data = b"one" if side is Side.THEIRS else b"number two"
    assert world.attachments()[photo][3] == data
    await world.assert_agreed()


@pytest.mark.slow
@pytest.mark.parametrize("answers", ["AB", "BA", "B"])
async def test_two_files_with_two_versions_that_are_sent_in_the_wrong_order_lose_nothing(
    world: Fleet, tmp_path: Path, answers: str
) -> None:
    channel = PushChannel.SYNCHRONIZE_REPLICA
    a, photo = await with_new(world, channel)
    async with a.open() as geodatabase:
        await geodatabase.table(HYDRANTS).add_feature({"GlobalID": gid(7001), "name": "one"})
        await geodatabase.table(HYDRANTS).update_feature(gid(3), {"name": "one"})
    await export(a, tmp_path / "A.delta")
    await replace(a, photo, "two.jpg", b"number two")
    async with a.open() as geodatabase:
        for number in (7001, 3):
            await geodatabase.table(HYDRANTS).update_feature(gid(number), {"name": "two"})
    await export(a, tmp_path / "B.delta")
    for name in "BA":
        await push(tmp_path / f"{name}.delta", tmp_path / f"{name}.answer", channel=channel)
    for name in answers:
        await take_back(a, tmp_path / f"{name}.answer")

    await a.sync()
    await a.sync()

    rows = (await world.rows())[HYDRANTS]
    assert [rows[gid(number)]["name"] for number in (7001, 3)] == ["two", "two"]
    assert world.attachments()[photo][1::2] == ("two.jpg", b"number two")
    await world.assert_agreed()
