"""Rows that leave the map's area or clause, and rows that were added since the last download."""

from pathlib import Path

import pytest

from engine.sync.parameters import PushChannel
from tests.engine.sync.fleet import (
    HYDRANTS,
    VISITS,
    Device,
    Fleet,
    SyncModel,
    assert_same,
    fleet,
    gid,
)
from tests.engine.sync.test_generate import parameters
from tests.feature_service import Profile

AREA = (50.0, 50.0, 650.0, 650.0)  # the hydrants 1 to 6


async def taken(world: Fleet, clause: str = "") -> Device:
    device = Device(world.url, world.folder / "A.gpkg", SyncModel.PER_REPLICA)
    wanted = await parameters(device, AREA)
    wanted.layer_options[0].where_clause = clause
    await device.take(wanted)
    return device


async def move_away(world: Fleet, number: int) -> None:
    (feature,) = await world.features(HYDRANTS, f"GlobalID='{gid(number)}'")
    feature["geometry"] = {"x": 5000.0, "y": 5000.0}
    await world.edit(HYDRANTS, updates=[world.editable(HYDRANTS, feature)])


@pytest.mark.parametrize("leaving", ["delete", "update"])
async def test_row_that_left_the_area_is_kept_as_it_is_there(tmp_path: Path, leaving: str) -> None:
    async with fleet(tmp_path, Profile(rows_leaving=leaving)) as world:  # type: ignore[arg-type]  # one of its values
        a = await taken(world)
        await move_away(world, 1)

        result = await a.sync()

        row = (await a.rows())[HYDRANTS][gid(1)]
        assert row == (await world.rows())[HYDRANTS][gid(1)]
        assert row[""] == [5000.0, 5000.0]
        assert (await a.rows())[VISITS].keys() >= {gid(1001), gid(1002)}
        assert result.layer(HYDRANTS).downloaded.out_of_area == 1


@pytest.mark.parametrize("leaving", ["delete", "update"])
async def test_row_outside_stays_current_until_it_is_deleted(tmp_path: Path, leaving: str) -> None:
    async with fleet(tmp_path, Profile(rows_leaving=leaving)) as world:  # type: ignore[arg-type]  # one of its values
        a = await taken(world, "status >= 0")
        await move_away(world, 1)
        await world.change(HYDRANTS, gid(2), name="inside")
        await a.sync()

        await world.change(HYDRANTS, gid(1), name="still told")
        result = await a.sync()
        assert (await a.rows())[HYDRANTS][gid(1)]["name"] == "still told"
        assert result.layer(HYDRANTS).downloaded.out_of_area == 0

        await world.edit(HYDRANTS, deletes=[gid(1)])
        await a.sync()
        assert gid(1) not in (await a.rows())[HYDRANTS]
        assert gid(2) in (await a.rows())[HYDRANTS]


async def test_edit_of_a_row_outside_is_sent(world: Fleet) -> None:
    a = await taken(world)
    await move_away(world, 1)
    await a.sync()
    async with a.open() as geodatabase:
        await geodatabase.table(HYDRANTS).update_feature(gid(1), {"name": "mine"})

    await a.sync()

    assert (await world.rows())[HYDRANTS][gid(1)]["name"] == "mine"
    await a.sync()
    assert not any((await a.pending()).values())


async def test_row_that_no_longer_fulfils_the_clause_is_kept(world: Fleet) -> None:
    a = await taken(world, "status = 2")
    await world.change(HYDRANTS, gid(3), status=1)

    await a.sync()

    assert (await a.rows())[HYDRANTS][gid(3)]["status"] == 1


@pytest.mark.parametrize("leaving", ["delete", "update"])
async def test_row_moved_away_by_this_device_is_kept_current(tmp_path: Path, leaving: str) -> None:
    async with fleet(tmp_path, Profile(rows_leaving=leaving)) as world:  # type: ignore[arg-type]  # one of its values
        a = await taken(world)
        a.parameters.push_channel = PushChannel.SYNCHRONIZE_REPLICA  # its edits are not told
        async with a.open() as geodatabase:
            hydrants = geodatabase.table(HYDRANTS)
            await hydrants.update_feature(gid(2), geometry={"x": 9000, "y": 9000})
        await a.sync()
        await world.change(HYDRANTS, gid(3), name="inside")
        await a.sync()
        assert (await a.rows())[HYDRANTS][gid(2)][""] == [9000.0, 9000.0]

        await world.change(HYDRANTS, gid(2), name="outside")
        await a.sync()

        assert (await a.rows())[HYDRANTS][gid(2)]["name"] == "outside"


async def test_deleted_row_is_deleted(world: Fleet) -> None:
    a = await taken(world)
    await world.edit(HYDRANTS, deletes=[gid(2)])

    await a.sync()

    assert gid(2) not in (await a.rows())[HYDRANTS]


@pytest.mark.parametrize("channel", [PushChannel.APPLY_EDITS, PushChannel.SYNCHRONIZE_REPLICA])
async def test_own_new_row_that_others_delete_before_the_next_download_goes(
    world: Fleet, channel: PushChannel
) -> None:
    a = await world.device("A", channel=channel)
    async with a.open() as geodatabase:
        table = geodatabase.table(HYDRANTS)
        await table.add_feature({"GlobalID": gid(5001), "name": "new"}, {"x": 1, "y": 2})
        photo = await table.add_attachment(gid(2), "a.jpg", None, b"data")
    await a.sync()
    await world.edit(HYDRANTS, deletes=[gid(5001)])
    await world.edit(HYDRANTS, attachments={"deletes": [photo.global_id]})

    await a.sync()

    assert_same(await world.rows(), await a.rows(), "A")
    assert photo.global_id not in await a.attachments()
