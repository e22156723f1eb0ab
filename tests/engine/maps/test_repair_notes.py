"""What a damaged geodatabase knew of its edits beside the edits themselves comes along."""

from pathlib import Path

import pytest

from engine.geodatabase import replica as replica_record
from engine.geodatabase.replica import LeftReplica
from engine.model import ConflictPolicy
from engine.sync.machine import machine_id
from tests.engine.maps.test_repair import repair, taken
from tests.engine.sync.carrying import export, push
from tests.engine.sync.fleet import HYDRANTS, Device, Fleet, gid

NEW = gid(5001)


async def exported(world: Fleet, path: Path) -> Device:
    """A device whose new row, with a photo, is in the file ``path``."""
    a = await taken(world)
    async with a.open() as geodatabase:
        hydrants = geodatabase.table(HYDRANTS)
        await hydrants.add_feature({"GlobalID": NEW, "name": "old"}, {"x": 5, "y": 6})
        await hydrants.add_attachment(NEW, "new.jpg", None, b"new")
    await export(a, path)
    return a


@pytest.mark.parametrize("is_sent_first", [True, False])
async def test_row_that_was_exported_and_deleted_stays_deleted_after_a_repair(
    world: Fleet, tmp_path: Path, is_sent_first: bool
) -> None:
    a = await exported(world, tmp_path / "A.delta")
    async with a.open() as geodatabase:
        await geodatabase.table(HYDRANTS).delete_feature(NEW)
    if is_sent_first:
        await push(tmp_path / "A.delta", tmp_path / "A.answer")

    await repair(a, again=True)
    if not is_sent_first:
        await a.sync()
        await push(tmp_path / "A.delta", tmp_path / "A.answer")
    await a.sync()

    await a.sync()
    assert NEW not in (await world.rows())[HYDRANTS]
    await world.assert_agreed()


@pytest.mark.parametrize("is_sent_first", [True, False])
async def test_row_that_was_changed_after_its_export_keeps_the_change_after_a_repair(
    world: Fleet, tmp_path: Path, is_sent_first: bool
) -> None:
    a = await exported(world, tmp_path / "A.delta")
    async with a.open() as geodatabase:
        await geodatabase.table(HYDRANTS).update_feature(NEW, {"name": "newer"})
    if is_sent_first:
        await push(tmp_path / "A.delta", tmp_path / "A.answer")

    await repair(a, again=True)
    if not is_sent_first:
        await push(tmp_path / "A.delta", tmp_path / "A.answer")
    await a.sync()

    assert (await world.rows())[HYDRANTS][NEW]["name"] == "newer"
    await a.sync()
    await world.assert_agreed()


async def test_parts_deleted_with_their_feature_come_back_with_it_after_a_repair(
    world: Fleet,
) -> None:
    a = await taken(world)
    a.parameters.conflict_policy = ConflictPolicy.REMOTE_WINS
    before = world.attachments()
    async with a.open() as geodatabase:
        await geodatabase.table(HYDRANTS).delete_feature(gid(1))
    await repair(a, again=True)
    await world.change(HYDRANTS, gid(1), name="office")

    await a.sync()

    assert (await world.rows())[HYDRANTS][gid(1)]["name"] == "office"
    assert world.attachments() == before
    await a.sync()
    await world.assert_agreed()


async def test_replica_that_an_earlier_sync_left_is_unregistered_after_a_repair(
    world: Fleet,
) -> None:
    a = await taken(world)
    async with a.open() as geodatabase:
        left = LeftReplica(world.url, "fieldsync-left", machine_id())
        await geodatabase.database.write(replica_record.note_left, left)

    await repair(a, again=True)

    async with a.open() as geodatabase:
        assert left in await geodatabase.database.read(replica_record.left_replicas)


async def test_refused_edit_stays_set_aside_after_a_repair_until_it_is_changed(
    world: Fleet,
) -> None:
    a = await taken(world)
    world.inside.service.document["allowedUploadFileTypes"] = "jpg"
    async with a.open() as geodatabase:
        hydrants = geodatabase.table(HYDRANTS)
        kept = await hydrants.add_attachment(gid(2), "kept.exe", None, b"no photo")
        renamed = await hydrants.add_attachment(gid(2), "renamed.exe", None, b"a photo")
    await a.sync()
    async with a.open() as geodatabase:
        before = {r.global_id: r.reason for r in await geodatabase.quarantine()}
        hydrants = geodatabase.table(HYDRANTS)
        await hydrants.update_attachment(renamed.global_id, "renamed.jpg", None, b"a photo")
    assert before.keys() == {kept.global_id, renamed.global_id}

    await repair(a, again=True)
    async with a.open() as geodatabase:
        assert kept.global_id in {r.global_id for r in await geodatabase.quarantine()}
    await a.sync()

    async with a.open() as geodatabase:
        (refused,) = await geodatabase.quarantine()
        assert (refused.global_id, refused.reason) == (kept.global_id, before[kept.global_id])
        world.server.log.clear()
        await a.sync_open(geodatabase)
        assert world.server.log.count("applyEdits") == 0
        await geodatabase.discard_quarantined(refused.id)
    assert renamed.global_id in world.attachments()
    await world.assert_agreed()
