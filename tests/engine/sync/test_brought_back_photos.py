"""Attachments that were deleted together with their feature, or whose data is not here, by the time
somebody decides otherwise."""

from pathlib import Path

import pytest

from engine.errors import EditRefusedError
from engine.geodatabase.conflicts import Side
from engine.model import ConflictPolicy
from engine.sync.delta_verdict import EditVerdict
from engine.sync.parameters import PushChannel
from tests.engine.sync.carrying import export, push, take_back
from tests.engine.sync.fleet import HYDRANTS, VISITS, Fleet, gid
from tests.engine.sync.test_edits_meanwhile import CHANNELS, foreign
from tests.engine.sync.test_photos import delete_photo
from tests.feature_service import Fault


@pytest.mark.parametrize("policy", [ConflictPolicy.MANUAL, ConflictPolicy.REMOTE_WINS])
async def test_deleted_feature_that_the_service_has_changed_comes_back_with_its_parts(
    world: Fleet, policy: ConflictPolicy
) -> None:
    a = await world.device("A")
    a.parameters.conflict_policy = policy
    before = world.attachments()
    visits = (await world.rows())[VISITS].keys()
    async with a.open() as geodatabase:
        await geodatabase.table(HYDRANTS).delete_feature(gid(1))
    await world.change(HYDRANTS, gid(1), name="news")
    await a.sync()
    assert world.attachments() == before
    assert (await world.rows())[VISITS].keys() == visits

    async with a.open() as geodatabase:
        for conflict in await geodatabase.conflicts():
            await geodatabase.resolve_conflict(conflict.id, Side.THEIRS)
    await a.sync()

    assert world.attachments() == before
    assert (await world.rows())[VISITS].keys() == visits
    await world.assert_agreed()


async def test_photo_that_was_deleted_before_its_feature_stays_deleted_when_that_comes_back(
    world: Fleet,
) -> None:
    a = await world.device("A")
    a.parameters.conflict_policy = ConflictPolicy.REMOTE_WINS
    async with a.open() as geodatabase:
        hydrants = geodatabase.table(HYDRANTS)
        (gone,) = await hydrants.attachments(gid(1))
        kept = await hydrants.add_attachment(gid(1), "kept.jpg", None, b"kept")
    await a.sync()
    async with a.open() as geodatabase:
        hydrants = geodatabase.table(HYDRANTS)
        await hydrants.delete_attachment(gone.global_id)
        await geodatabase.table(VISITS).delete_feature(gid(1001))
        await hydrants.delete_feature(gid(1))
    await world.change(HYDRANTS, gid(1), name="office")

    await a.sync()
    await a.sync()

    rows, photos = await world.rows(), world.attachments()
    assert rows[HYDRANTS][gid(1)]["name"] == "office"
    assert (gid(1001) in rows[VISITS], gid(1002) in rows[VISITS]) == (False, True)
    assert (gone.global_id in photos, kept.global_id in photos) == (False, True)
    assert not any((await a.pending()).values())
    await world.assert_agreed()


@pytest.mark.parametrize("channel", CHANNELS)
async def test_feature_whose_delete_is_refused_keeps_its_parts(
    world: Fleet, channel: PushChannel, tmp_path: Path
) -> None:
    a = await world.device("A", channel=channel)
    before, visits = world.attachments(), (await world.rows())[VISITS]
    access = {"allowOthersToDelete": False, "allowOthersToUpdate": True, "allowOthersToQuery": True}
    layer = world.inside.layer(HYDRANTS)
    layer.document["ownershipBasedAccessControlForFeatures"] = access
    async with a.open() as geodatabase:
        await geodatabase.table(HYDRANTS).delete_feature(gid(1))
    for _ in range(2):
        result = await a.sync()
        counts = [result.layer(HYDRANTS).uploaded, result.layer(HYDRANTS).attachments_uploaded]
        assert (counts[0].quarantined, counts[1].held) == (1, 1)
        visited = result.layer(VISITS).uploaded
        assert (visited.found, visited.held) == (2, 2)
    assert gid(1) in (await world.rows())[HYDRANTS]
    assert (world.attachments(), (await world.rows())[VISITS]) == (before, visits)
    assert not await export(a, tmp_path / "A.delta")

    async with a.open() as geodatabase:
        for refused in await geodatabase.quarantine():
            if refused.held_global_id is None:
                await geodatabase.discard_quarantined(refused.id)
    await a.sync()

    assert (world.attachments(), (await world.rows())[VISITS]) == (before, visits)
    await world.assert_agreed()


@pytest.mark.parametrize("cascades", [True, False])
@pytest.mark.parametrize("channel", CHANNELS)
async def test_parts_of_a_deleted_feature_count_as_sent_whoever_deletes_them(
    world: Fleet, channel: PushChannel, cascades: bool
) -> None:
    a = await world.device("A", channel=channel)
    if not cascades:
        for layer in (HYDRANTS, VISITS):
            world.inside.layer(layer).document["relationships"] = []
    async with a.open() as geodatabase:
        await geodatabase.table(HYDRANTS).delete_feature(gid(1))

    result = await a.sync()

    counts = result.layer(VISITS).uploaded
    assert (counts.found, counts.applied) == (2, 2)
    assert not (await world.rows())[VISITS].keys() & {gid(1001), gid(1002)}
    await world.assert_agreed()


async def test_photo_that_is_gone_on_both_sides_is_not_brought_back_empty(world: Fleet) -> None:
    a = await world.device("A")
    photo = next(iter(world.attachments()))
    await delete_photo(a, photo)
    await world.replace_photo(photo, "news.jpg", b"the news of the office")
    await a.sync()
    assert photo not in world.attachments()

    async with a.open() as geodatabase:
        (conflict,) = await geodatabase.conflicts(resolved=True)
        with pytest.raises(EditRefusedError, match="its data with it"):
            await geodatabase.resolve_conflict(conflict.id, Side.THEIRS)

    await a.sync()
    await world.assert_agreed()


@pytest.mark.parametrize(
    ("edit", "is_known"),
    [("replaced", True), ("renamed", True), ("none", True), ("replaced", False), ("none", False)],
)
async def test_edited_photo_is_not_lost_when_its_feature_has_come_back(
    world: Fleet, edit: str, is_known: bool
) -> None:
    a, b = await world.device("A"), await world.device("B")
    photo = next(iter(world.attachments()))
    name = world.attachments()[photo][1]
    async with a.open() as geodatabase:
        await geodatabase.table(HYDRANTS).update_feature(gid(1), {"serial": 7})
        if edit == "replaced":
            await geodatabase.table(HYDRANTS).update_attachment(photo, "mine.jpg", None, b"mine")
    if edit == "renamed":
        foreign(a, f"UPDATE Hydrants__ATTACH SET ATT_NAME='mine.jpg' WHERE GLOBALID='{photo}'")
    async with b.open() as geodatabase:
        await geodatabase.table(HYDRANTS).update_feature(gid(1), {"name": "B"})
    await world.edit(HYDRANTS, deletes=[gid(1)])
    for device in (a, b):
        await device.sync()
    async with b.open() as geodatabase:
        (conflict,) = await geodatabase.conflicts()
        await geodatabase.resolve_conflict(conflict.id, Side.MINE)
    await b.sync()
    await world.replace_photo(photo, name, b"the news of the office")
    if is_known:
        await a.sync()

    async with a.open() as geodatabase:
        (conflict,) = await geodatabase.conflicts()
        await geodatabase.resolve_conflict(conflict.id, Side.MINE)
    for device in (a, b):
        await device.sync()

    assert world.attachments()[photo][1::2] == (
        name if edit == "none" else "mine.jpg",
        b"mine" if edit == "replaced" else b"the news of the office",
    )
    assert (await world.rows())[HYDRANTS][gid(1)]["serial"] == 7
    await world.assert_agreed()


async def test_photo_that_another_program_writes_back_without_data_keeps_it(
    world: Fleet, tmp_path: Path
) -> None:
    a, b = await world.device("A"), await world.device("B")
    async with b.open() as geodatabase:
        photo = await geodatabase.table(HYDRANTS).add_attachment(gid(1), "new.jpg", None, b"new")
    await b.sync()
    world.server.faults.add(Fault(kind="status", operation="attachment", status=404, times=1))
    await a.sync()
    foreign(
        a,
        "UPDATE Hydrants__ATTACH SET ATT_NAME='other.jpg',DATA=DATA,DATA_SIZE=DATA_SIZE"
        f" WHERE GLOBALID='{photo.global_id}'",
        f"UPDATE Hydrants SET name='mine' WHERE GlobalID='{gid(1)}'",
    )
    await export(a, tmp_path / "A.delta")
    await push(tmp_path / "A.delta", tmp_path / "A.answer")
    assert world.attachments()[photo.global_id][1::2] == ("new.jpg", b"new")

    await take_back(a, tmp_path / "A.answer")
    await a.sync()
    await b.sync()

    assert world.attachments()[photo.global_id][1::2] == ("other.jpg", b"new")
    await world.assert_agreed()


@pytest.mark.parametrize("data", ["NULL", "12345", "1.5"])
async def test_photo_that_another_program_adds_without_data_is_set_aside_until_it_has_some(
    world: Fleet, data: str
) -> None:
    a = await world.device("A")
    foreign(
        a,
        "INSERT INTO Hydrants__ATTACH(GLOBALID,REL_GLOBALID,ATT_NAME,CONTENT_TYPE,DATA)"
        f" VALUES('{gid(7001)}','{gid(1)}','new.jpg','image/jpeg',{data})",
    )

    await a.sync()

    assert gid(7001) not in world.attachments()
    async with a.open() as geodatabase:
        (refused,) = await geodatabase.quarantine()
    assert "DATA" in refused.reason
    foreign(a, f"UPDATE Hydrants__ATTACH SET DATA=x'0102' WHERE GLOBALID='{gid(7001)}'")
    await a.sync()
    assert world.attachments()[gid(7001)][3] == b"\x01\x02"
    async with a.open() as geodatabase:
        assert not await geodatabase.quarantine()


async def test_feature_that_was_brought_back_is_given_up_again(world: Fleet) -> None:
    a = await world.device("A")
    async with a.open() as geodatabase:
        hydrants = geodatabase.table(HYDRANTS)
        await hydrants.update_feature(gid(1), {"name": "mine"})
        await hydrants.add_attachment(gid(1), "new.jpg", None, b"new")
    await world.edit(HYDRANTS, deletes=[gid(1)])
    await a.sync()
    async with a.open() as geodatabase:
        (conflict,) = await geodatabase.conflicts()
        await geodatabase.resolve_conflict(conflict.id, Side.MINE)
        await geodatabase.resolve_conflict(conflict.id, Side.THEIRS)
    await a.sync()

    assert gid(1) not in (await world.rows())[HYDRANTS]
    await world.assert_agreed()
    async with a.open() as geodatabase:
        await geodatabase.resolve_conflict(conflict.id, Side.MINE)
    await a.sync()
    assert (await world.rows())[HYDRANTS][gid(1)]["name"] == "mine"
    assert b"new" in [photo[3] for photo in world.attachments().values()]


@pytest.mark.parametrize("channel", CHANNELS)
async def test_photo_that_another_program_gives_to_another_feature_is_set_aside(
    world: Fleet, channel: PushChannel, tmp_path: Path
) -> None:
    a = await world.device("A", channel=channel)
    photo = next(iter(world.attachments()))
    foreign(
        a,
        f"UPDATE Hydrants__ATTACH SET REL_GLOBALID='{gid(2)}' WHERE GLOBALID='{photo}'",
        f"UPDATE Hydrants SET name='mine' WHERE GlobalID='{gid(3)}'",
    )
    await export(a, tmp_path / "A.delta")
    assert (await push(tmp_path / "A.delta", tmp_path / "A.answer")).count(EditVerdict.APPLIED) == 1
    await take_back(a, tmp_path / "A.answer")
    await a.sync()

    async with a.open() as geodatabase:
        (refused,) = await geodatabase.quarantine()
        assert "another feature" in refused.reason
        await geodatabase.discard_quarantined(refused.id)
    await a.sync()
    await world.assert_agreed()


async def test_parts_that_an_older_engine_noted_wait_with_their_feature(world: Fleet) -> None:
    a = await world.device("A")
    a.parameters.conflict_policy = ConflictPolicy.MANUAL
    before, visits = world.attachments(), (await world.rows())[VISITS].keys()
    async with a.open() as geodatabase:
        await geodatabase.table(HYDRANTS).delete_feature(gid(1))
    foreign(
        a,
        "ALTER TABLE fieldsync_deleted_part DROP COLUMN whole_layer",
        "ALTER TABLE fieldsync_deleted_part DROP COLUMN whole_gid",
    )
    await world.change(HYDRANTS, gid(1), name="news")

    result = await a.sync()

    assert (world.attachments(), (await world.rows())[VISITS].keys()) == (before, visits)
    assert result.layer(VISITS).uploaded.held == 2
    assert result.layer(HYDRANTS).attachments_uploaded.held == 1


async def test_parts_of_a_feature_whose_delete_is_carried_in_a_file_go_with_it(
    world: Fleet, tmp_path: Path
) -> None:
    a = await world.device("A")
    async with a.open() as geodatabase:
        await geodatabase.table(HYDRANTS).delete_feature(gid(1))

    exported = await export(a, tmp_path / "A.delta")

    assert (exported.edits, exported.attachments) == (1, 0)
    await push(tmp_path / "A.delta", tmp_path / "A.answer")
    await take_back(a, tmp_path / "A.answer")
    await a.sync()
    await world.assert_agreed()


@pytest.mark.parametrize("channel", CHANNELS)
async def test_parts_of_a_feature_go_in_the_one_call_of_a_sync_that_is_all_or_nothing(
    world: Fleet, channel: PushChannel
) -> None:
    a = await world.device("A", channel=channel)
    async with a.open() as geodatabase:
        hydrants = geodatabase.table(HYDRANTS)
        photos = [await hydrants.add_attachment(gid(n), "a.jpg", None, b"a") for n in (1, 2)]
    await a.sync()
    async with a.open() as geodatabase:
        hydrants = geodatabase.table(HYDRANTS)
        for photo in photos:
            await hydrants.delete_attachment(photo.global_id)
        await hydrants.update_feature(gid(2), {"name": "mine"})
        await hydrants.delete_feature(gid(1))

    result = await a.sync(rollback_on_failure=True)

    layer = result.layer(HYDRANTS)
    counts = [layer.uploaded, layer.attachments_uploaded, result.layer(VISITS).uploaded]
    assert [(c.found, c.applied) for c in counts] == [(2, 2), (3, 3), (2, 2)]
    await world.assert_agreed()
