"""A geodatabase that is damaged while edits are on their way: they are found out about as ever."""

from contextlib import suppress
from pathlib import Path

import pytest

from engine import faults
from engine.errors import EngineError
from engine.geodatabase.conflicts import ConflictKind
from engine.sync.parameters import PushChannel
from tests.engine.maps.test_repair import repair, taken
from tests.engine.sync.fleet import HYDRANTS, Device, Fleet, fleet, gid
from tests.feature_service import Fault, Profile

NEW, OTHER = gid(5001), gid(5002)


class Died(Exception):
    """The device is gone."""


async def dies_without_an_answer(world: Fleet, device: Device, channel: PushChannel) -> None:
    """A sync whose edits arrive, and that dies before it finds out."""

    def die(point: str) -> None:
        if point == "batch.reconciling":
            raise Died

    world.server.faults.add(Fault(kind="drop-after-commit", operation=channel.value))
    with faults.armed(die), suppress(EngineError):
        await device.sync(push_channel=channel)


async def test_newer_value_of_somebody_else_is_not_overwritten_after_a_repair(world: Fleet) -> None:
    a = await taken(world)
    async with a.open() as geodatabase:
        hydrants = geodatabase.table(HYDRANTS)
        await hydrants.update_feature(gid(2), {"name": "mine"})
        await hydrants.update_feature(gid(3), {"name": "meant"})
        await hydrants.add_feature({"GlobalID": NEW, "name": "new"}, {"x": 5, "y": 6})
        await hydrants.add_feature({"GlobalID": OTHER, "name": "new"}, {"x": 7, "y": 8})
    await dies_without_an_answer(world, a, PushChannel.APPLY_EDITS)
    assert (await world.rows())[HYDRANTS][gid(2)]["name"] == "mine"
    await world.change(HYDRANTS, gid(2), name="office")
    async with a.open() as geodatabase:
        hydrants = geodatabase.table(HYDRANTS)
        await hydrants.update_feature(gid(3), {"name": "H3"})  # back to what it was
        await hydrants.delete_feature(OTHER)

    await repair(a, again=True)
    await a.sync()

    rows = (await world.rows())[HYDRANTS]
    assert rows[gid(2)]["name"] == "office"
    assert rows[gid(3)]["name"] == "H3"
    assert NEW in rows
    assert OTHER not in rows
    await a.sync()
    await world.assert_agreed()
    async with a.open() as geodatabase:
        (lost,) = await geodatabase.conflicts(resolved=True)
        assert (lost.global_id, lost.kind) == (gid(2), ConflictKind.UPDATED)
        assert lost.mine is not None
        assert lost.mine["name"] == "mine"


async def test_photo_that_arrived_is_not_sent_again_after_a_repair(world: Fleet) -> None:
    a = await taken(world)
    async with a.open() as geodatabase:
        hydrants = geodatabase.table(HYDRANTS)
        (photo,) = await hydrants.attachments(gid(1))
        await hydrants.update_attachment(photo.global_id, "other.jpg", None, b"other" * 100)
    await dies_without_an_answer(world, a, PushChannel.APPLY_EDITS)

    await repair(a, again=True)
    world.server.log.clear()
    await a.sync()

    assert world.server.log.count("applyEdits") == 0
    await world.assert_agreed()


@pytest.mark.parametrize("tells", ["none", "layer"])
async def test_row_that_the_service_renamed_is_not_doubled_after_a_repair(
    tmp_path: Path, tells: str
) -> None:
    profile = Profile(
        remints_global_ids=True,
        results_place=tells,  # type: ignore[arg-type]  # one of its values
        supports_async=False,
    )
    async with fleet(tmp_path, profile) as world:
        a = await taken(world)
        async with a.open() as geodatabase:
            hydrants = geodatabase.table(HYDRANTS)
            await hydrants.add_feature({"GlobalID": NEW, "name": "new"}, {"x": 5, "y": 6})
        await dies_without_an_answer(world, a, PushChannel.SYNCHRONIZE_REPLICA)
        assert "new" in [row["name"] for row in (await world.rows())[HYDRANTS].values()]

        await repair(a, again=True)
        await a.sync(push_channel=PushChannel.SYNCHRONIZE_REPLICA)

        rows = (await world.rows())[HYDRANTS].values()
        assert [row["name"] for row in rows].count("new") == 1
        await a.sync(push_channel=PushChannel.SYNCHRONIZE_REPLICA)
        await world.assert_agreed()
