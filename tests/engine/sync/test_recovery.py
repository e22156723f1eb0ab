"""A replica that is gone, or whose generation the service has forgotten: nothing is lost, doubled
or stuck, and what others did meanwhile comes down."""

import pytest

from engine.sync.parameters import PushChannel
from tests.engine.sync.fleet import HYDRANTS, PIPES, VISITS, Device, Fleet, gid
from tests.engine.sync.test_edits_meanwhile import CHANNELS
from tests.feature_service import Fault

NEW, CHILD = gid(5001), gid(5002)


async def edit_everything(device: Device) -> None:
    """An edit of every kind, among them rows that the office edits as well."""
    async with device.open() as geodatabase:
        hydrants = geodatabase.table(HYDRANTS)
        (old,) = await hydrants.attachments(gid(1))
        await hydrants.add_feature({"GlobalID": NEW, "name": "new"}, {"x": 5, "y": 6})
        await hydrants.add_attachment(NEW, "new.jpg", None, b"new photo" * 100)
        await hydrants.update_attachment(old.global_id, "other.jpg", None, b"other")
        await hydrants.update_feature(gid(2), {"name": "mine", "pressure": 3.5})
        await hydrants.update_feature(gid(6), {"name": "both"})
        await hydrants.update_feature(gid(7), {"name": "lost"})
        await hydrants.delete_feature(gid(4))
        visits = geodatabase.table(VISITS)
        await visits.add_feature({"GlobalID": CHILD, "hydrant": NEW})
        await geodatabase.table(PIPES).update_feature(gid(2001), {"label": "pipe"})


async def edit_at_the_office(world: Fleet) -> None:
    await world.change(HYDRANTS, gid(5), name="office")
    await world.change(HYDRANTS, gid(6), name="office too", serial=66)
    await world.edit(HYDRANTS, deletes=[gid(7), gid(9)])
    new = {"attributes": {"GlobalID": gid(5100), "label": "office"}}
    path = {"paths": [[[0, 0, 0], [9, 9, 0]]], "hasZ": True}
    await world.edit(PIPES, adds=[{**new, "geometry": path}])


async def assert_recovered(world: Fleet, device: Device) -> None:
    """All edits of both sides have met as in any sync."""
    rows = await world.rows()
    hydrants = rows[HYDRANTS]
    assert hydrants[NEW]["name"] == "new"
    assert rows[VISITS][CHILD]["hydrant"] == NEW
    assert (hydrants[gid(2)]["name"], hydrants[gid(2)]["pressure"]) == ("mine", 3.5)
    assert (hydrants[gid(6)]["name"], hydrants[gid(6)]["serial"]) == ("both", 66)
    assert hydrants[gid(5)]["name"] == "office"
    assert not hydrants.keys() & {gid(4), gid(7), gid(9)}
    assert rows[PIPES][gid(2001)]["label"] == "pipe"
    photos = sorted((name, data) for _, name, _, data in world.attachments().values())
    assert photos == [("new.jpg", b"new photo" * 100), ("other.jpg", b"other")]
    async with device.open() as geodatabase:
        kept = {c.global_id: c for c in await geodatabase.conflicts(resolved=True)}
    assert kept.keys() == {gid(6), gid(7)}
    mine = kept[gid(7)].mine
    assert mine is not None
    assert mine["name"] == "lost"


async def unregister(world: Fleet, device: Device) -> None:
    """What an administrator does."""
    async with device.open() as geodatabase:
        done = await world.client.post("unRegisterReplica", replicaID=geodatabase.sync_id)
    assert done["success"]


async def replicas(world: Fleet) -> list[str]:
    return [entry["replicaID"] for entry in await world.client.get("replicas")]


@pytest.mark.parametrize("channel", CHANNELS)
async def test_unregistered_replica_is_replaced_and_no_edit_is_lost(
    world: Fleet, channel: PushChannel
) -> None:
    a = await world.device("A", channel=channel)
    await edit_everything(a)
    await edit_at_the_office(world)
    await unregister(world, a)

    await a.sync()

    await world.assert_agreed()
    await assert_recovered(world, a)
    async with a.open() as geodatabase:
        assert await replicas(world) == [geodatabase.sync_id]


@pytest.mark.parametrize("channel", CHANNELS)
async def test_forgotten_generation_is_overcome_and_no_edit_is_lost(
    world: Fleet, channel: PushChannel
) -> None:
    a = await world.device("A", channel=channel)
    await edit_everything(a)
    await edit_at_the_office(world)
    before = await replicas(world)
    await world.client.post("query")
    world.server.faults.add(Fault(kind="generation-overtaken", operation="synchronizeReplica"))

    await a.sync()

    await world.assert_agreed()
    await assert_recovered(world, a)
    assert await replicas(world) == before


async def test_service_that_makes_no_replica_without_rows_is_recovered_from(world: Fleet) -> None:
    a = await world.device("A", channel=PushChannel.APPLY_EDITS)
    await edit_everything(a)
    await edit_at_the_office(world)
    await unregister(world, a)
    world.server.faults.add(Fault(kind="status", operation="createReplica", status=400))

    await a.sync()

    await world.assert_agreed()
    await assert_recovered(world, a)
    assert len(await replicas(world)) == 1
