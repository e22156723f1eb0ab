"""What is too large for one request goes up in parts, and goes on where it was after a failure."""

import json
import random
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from engine import faults
from engine.errors import LinkError
from engine.geodatabase.conflicts import Side
from engine.model import ConflictPolicy
from engine.sync import batch_sizer
from engine.sync.parameters import PushChannel
from tests.engine.sync.carrying import export, push, take_back
from tests.engine.sync.fleet import HYDRANTS, Device, Fleet, fleet, found, gid
from tests.engine.sync.test_edits_meanwhile import CHANNELS, foreign
from tests.feature_service import Fault, Profile

PHOTO = random.Random(5).randbytes(30_000)


@pytest.fixture(autouse=True)
def _small_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_sizer, "MIN_BYTES", 1000)
    monkeypatch.setattr(batch_sizer, "START_BYTES", 4000)
    monkeypatch.setattr(batch_sizer, "MAX_BYTES", 4000)


async def device_with_a_photo(world: Fleet, channel: PushChannel) -> Device:
    a = await world.device("A", channel=channel)
    await add_photo(a)
    world.server.log.clear()
    return a


async def add_photo(device: Device) -> None:
    async with device.open() as geodatabase:
        await geodatabase.table(HYDRANTS).add_attachment(gid(1), "new.jpg", "image/jpeg", PHOTO)


async def break_off(world: Fleet, device: Device) -> None:
    """A sync whose link dies after three parts of an upload."""
    lost = Fault(kind="drop-before-commit", operation="uploadPart", skip=3, times=0)
    world.server.faults.add(lost)
    with pytest.raises(LinkError):
        await device.sync()
    world.server.faults.clear()


def photos(world: Fleet) -> list[bytes]:
    return [data for _, name, _, data in world.attachments().values() if name == "new.jpg"]


def parts_sent(world: Fleet) -> int:
    return world.server.log.count("uploadPart")


WHOLE = {PushChannel.APPLY_EDITS: 8, PushChannel.SYNCHRONIZE_REPLICA: 11}
"""Parts of 4000 bytes: of the data itself, and of the edits with it in base64."""


@pytest.mark.parametrize("channel", CHANNELS)
async def test_large_photo_goes_up_in_parts(world: Fleet, channel: PushChannel) -> None:
    a = await device_with_a_photo(world, channel)

    await a.sync()

    assert photos(world) == [PHOTO]
    assert world.server.log.count("register") == world.server.log.count("commit") == 1
    assert parts_sent(world) == WHOLE[channel]
    assert world.server.log.count(channel.value) == 1
    await a.sync()
    await world.assert_agreed()


@pytest.mark.parametrize("channel", CHANNELS)
async def test_small_set_is_one_request(world: Fleet, channel: PushChannel) -> None:
    a = await world.device("A", channel=channel)
    foreign(a, "UPDATE Hydrants SET name='first' WHERE fid=1")
    await a.sync()
    foreign(a, "UPDATE Hydrants SET name='mine'")
    world.server.log.clear()

    await a.sync()

    is_sync = channel is PushChannel.SYNCHRONIZE_REPLICA
    assert world.server.log.count(channel.value) == 1 + is_sync  # the first one is a download
    assert "register" not in world.server.log


@pytest.mark.parametrize("kind", ["drop-before-commit", "drop-after-commit", "cut-upload"])
@pytest.mark.parametrize("operation", ["register", "uploadPart", "commit", "parts"])
@pytest.mark.parametrize("channel", CHANNELS)
async def test_only_what_did_not_arrive_is_sent_again(
    world: Fleet, channel: PushChannel, operation: str, kind: str, monkeypatch: Any
) -> None:
    monkeypatch.setattr(batch_sizer, "MIN_BYTES", 4000)
    a = await device_with_a_photo(world, channel)
    skip = 3 if operation == "uploadPart" else 0
    world.server.faults.add(
        Fault(kind=kind, operation=operation, skip=skip, at_byte=700)  # type: ignore[arg-type]
    )

    await a.sync()

    assert photos(world) == [PHOTO]
    is_part_lost = operation == "uploadPart" and kind != "drop-after-commit"
    assert parts_sent(world) == WHOLE[channel] + is_part_lost


@pytest.mark.parametrize("channel", CHANNELS)
async def test_next_sync_goes_on_where_the_last_one_was_broken_off(
    world: Fleet, channel: PushChannel
) -> None:
    a = await device_with_a_photo(world, channel)
    await break_off(world, a)
    sent = parts_recorded(a)
    assert sent == [4000] * 3
    world.server.log.clear()

    await a.sync()

    assert photos(world) == [PHOTO]
    assert world.server.log.count("register") == 0
    assert parts_sent(world) == WHOLE[channel] - 3
    assert not list(a.path.with_name(f"{a.path.name}-spool").iterdir())


def parts_recorded(device: Device) -> list[int]:
    connection = sqlite3.connect(device.path)
    (text,) = connection.execute("SELECT upload_parts FROM fieldsync_batch").fetchone()
    connection.close()
    return list(json.loads(text))


@pytest.mark.parametrize("channel", CHANNELS)
async def test_item_that_the_service_has_forgotten_is_registered_anew(
    world: Fleet, channel: PushChannel
) -> None:
    a = await device_with_a_photo(world, channel)
    world.server.faults.add(Fault(kind="uploads-purged", operation="uploadPart", skip=4))

    await a.sync()

    assert photos(world) == [PHOTO]
    assert world.server.log.count("register") == 2


@pytest.mark.parametrize("is_deleted", [False, True])
async def test_edit_made_between_a_broken_upload_and_the_next_sync_goes_up_in_that(
    world: Fleet, is_deleted: bool
) -> None:
    a = await device_with_a_photo(world, PushChannel.APPLY_EDITS)
    await break_off(world, a)
    what = (
        "DELETE FROM Hydrants__ATTACH" if is_deleted else "UPDATE Hydrants__ATTACH SET DATA=x'01'"
    )
    foreign(a, f"{what} WHERE ATT_NAME='new.jpg'")

    result = await a.sync()

    assert photos(world) == ([] if is_deleted else [b"\x01"])
    (counts,) = (r.attachments_uploaded for r in result.layer_results if r.layer_id == HYDRANTS)
    assert (counts.found, counts.applied) == (2, 2)
    assert not any((await a.pending()).values())
    await a.sync()
    await world.assert_agreed()


async def test_broken_upload_is_given_up_where_the_photo_was_replaced_there_and_theirs_win(
    world: Fleet,
) -> None:
    a, b = await world.device("A"), await world.device("B")
    a.parameters.conflict_policy = ConflictPolicy.REMOTE_WINS
    global_id = next(iter(world.attachments()))
    await replace_photo(a, global_id, PHOTO)
    await break_off(world, a)
    await replace_photo(b, global_id, b"theirs")
    await b.sync()

    await a.sync()

    assert world.attachments()[global_id][3] == b"theirs"
    assert not any((await a.pending()).values())
    await world.assert_agreed()


@pytest.mark.parametrize("side", [None, Side.THEIRS])
async def test_broken_upload_is_given_up_where_a_person_is_to_decide_or_has_taken_theirs(
    world: Fleet, side: Side | None
) -> None:
    a, b = await world.device("A"), await world.device("B")
    global_id = next(iter(world.attachments()))
    await replace_photo(a, global_id, PHOTO)
    lost = Fault(kind="drop-before-commit", operation="uploadPart", skip=3, times=0)
    world.server.faults.add(lost)
    with pytest.raises(LinkError):
        await a.sync()
    await replace_photo(b, global_id, b"theirs")
    await b.sync()
    if side is None:
        world.server.faults.clear()
        await a.sync(conflict_policy=ConflictPolicy.MANUAL)
    else:
        world.server.faults.clear()
        world.server.faults.add(Fault(kind="drop-before-commit", operation="uploadPart", times=0))
        with pytest.raises(LinkError):
            await a.sync()
        world.server.faults.clear()
        async with a.open() as geodatabase:
            (conflict,) = await geodatabase.conflicts()
            await geodatabase.resolve_conflict(conflict.id, side)
        await a.sync()
        await world.assert_agreed()

    assert world.attachments()[global_id][3] == b"theirs"


async def test_broken_upload_is_given_up_where_its_feature_is_gone(world: Fleet) -> None:
    a = await device_with_a_photo(world, PushChannel.APPLY_EDITS)
    await break_off(world, a)
    await world.edit(HYDRANTS, deletes=[gid(1)])
    world.server.log.clear()

    result = await a.sync()

    assert found(result).found == 0, "it is part of a conflict"
    assert not world.server.log.count("uploadPart")
    async with a.open() as geodatabase:
        (conflict,) = await geodatabase.conflicts()
        await geodatabase.resolve_conflict(conflict.id, Side.MINE)
    await a.sync()
    await a.sync()
    assert photos(world) == [PHOTO]
    await world.assert_agreed()


async def replace_photo(device: Device, global_id: str, data: bytes) -> None:
    async with device.open() as geodatabase:
        table = geodatabase.table(HYDRANTS)
        await table.update_attachment(global_id, "same.jpg", "image/jpeg", data)


@pytest.mark.parametrize("channel", CHANNELS)
@pytest.mark.parametrize("others", [0, 1])
async def test_upload_of_what_went_up_in_a_file_meanwhile_is_given_up(
    world: Fleet, tmp_path: Path, others: int, channel: PushChannel
) -> None:
    a = await device_with_a_photo(world, channel)
    await export(a, tmp_path / "A.delta")
    async with a.open() as geodatabase:
        for _ in range(others):
            await geodatabase.table(HYDRANTS).add_attachment(gid(1), "later.jpg", None, b"later")
    await break_off(world, a)
    await push(tmp_path / "A.delta", tmp_path / "A.answer", channel=channel)
    await take_back(a, tmp_path / "A.answer")

    await a.sync()

    assert photos(world) == [PHOTO]
    assert not any((await a.pending()).values())
    await a.sync()
    await world.assert_agreed()


@pytest.mark.parametrize("channel", CHANNELS)
async def test_damaged_spool_is_made_anew(world: Fleet, channel: PushChannel) -> None:
    a = await device_with_a_photo(world, channel)
    await break_off(world, a)
    (spool,) = a.path.with_name(f"{a.path.name}-spool").glob("batch-*")
    spool.write_bytes(spool.read_bytes()[:-1] + b"?")

    await a.sync()

    assert photos(world) == [PHOTO]
    assert world.server.log.count("register") == 2


@pytest.mark.parametrize("channel", CHANNELS)
async def test_service_without_uploads_gets_it_in_one_request(
    world: Fleet, channel: PushChannel
) -> None:
    a = await device_with_a_photo(world, channel)
    world.server.faults.add(Fault(kind="status", operation="register", status=403, times=0))

    await a.sync()

    assert photos(world) == [PHOTO]
    assert world.server.log.count(channel.value) == 1


@pytest.mark.parametrize("channel", CHANNELS)
async def test_request_that_is_too_large_is_followed_by_smaller_ones(
    world: Fleet, channel: PushChannel
) -> None:
    a = await world.device("A", channel=channel)
    async with a.open() as geodatabase:
        for number in range(8):
            await geodatabase.table(HYDRANTS).add_feature(
                {"GlobalID": gid(5000 + number), "name": "n" * 20}, {"x": 1.0, "y": 2.0}
            )
    world.server.faults.add(Fault(kind="status", operation=channel.value, status=413))
    world.server.log.clear()

    await a.sync()

    assert world.server.log.count(channel.value) >= 3
    await a.sync()
    await world.assert_agreed()


@pytest.mark.parametrize("channel", CHANNELS)
async def test_all_or_nothing_is_one_upload(world: Fleet, channel: PushChannel) -> None:
    a = await world.device("A", channel=channel)
    foreign(a, "UPDATE Visits SET note='mine'")
    await a.sync()  # which finds out what partial updates do
    await add_photo(a)
    foreign(a, "UPDATE Hydrants SET name='mine'")
    world.server.log.clear()

    await a.sync(rollback_on_failure=True)

    assert world.server.log.count("register") == 1
    download = channel is PushChannel.SYNCHRONIZE_REPLICA
    assert world.server.log.count(channel.value) == 1 + download
    await a.sync()
    await world.assert_agreed()


@pytest.mark.parametrize("channel", CHANNELS)
async def test_large_call_whose_answer_is_lost_is_a_job_that_is_asked(
    tmp_path: Path, channel: PushChannel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.sync.channels.ASYNC_BYTES", 0)
    async with fleet(tmp_path, Profile(job_polls=3)) as world:
        a = await world.device("A", channel=channel)
        foreign(a, "UPDATE Hydrants SET name='mine'")
        world.server.faults.add(Fault(kind="drop-before-commit", operation="jobs", times=7))
        world.server.log.clear()

        await a.sync()

        assert world.server.log.count(channel.value) <= 3  # the canary, the others, a download
        await a.sync()
        await world.assert_agreed()


@pytest.mark.parametrize("channel", CHANNELS)
async def test_photo_that_is_changed_while_it_goes_up_arrives_in_the_end(
    world: Fleet, channel: PushChannel
) -> None:
    a = await device_with_a_photo(world, channel)

    def change(name: str) -> None:
        if name == "upload.committed":
            foreign(a, "UPDATE Hydrants__ATTACH SET DATA=x'0102' WHERE ATT_NAME='new.jpg'")

    with faults.armed(change):
        await a.sync()
    await a.sync()

    assert photos(world) == [b"\x01\x02"]
    await a.sync()
    await world.assert_agreed()
