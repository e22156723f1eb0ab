"""Devices off the grid whose edits are carried to the service as files, and the answers back.

The same edits and the same oracle as where two devices have a link of their own.
"""

import random
from dataclasses import replace
from pathlib import Path

import pytest

from engine.sync.parameters import PushChannel
from tests.engine.sync.carrying import export, push, push_over_faults, take_back
from tests.engine.sync.fleet import HYDRANTS, VISITS, Fleet, fleet, found, gid
from tests.engine.sync.loose_visits import loose
from tests.engine.sync.test_lost_answers import draw_fault
from tests.engine.sync.test_two_devices import CHANNELS, Story
from tests.feature_service import Profile


async def make_edits(world: Fleet, name: str = "A") -> None:
    """One edit of every kind on the device."""
    async with world.devices[name].open() as geodatabase:
        hydrants = geodatabase.table(HYDRANTS)
        (old,) = await hydrants.attachments(gid(1))
        await hydrants.add_feature({"GlobalID": gid(5001), "name": "new"}, {"x": 5, "y": 6})
        await hydrants.add_attachment(gid(5001), "new.jpg", None, b"new photo" * 100)
        await hydrants.update_attachment(old.global_id, "other.jpg", None, b"other")
        await hydrants.update_feature(gid(2), {"name": "mine", "pressure": 3.5})
        await hydrants.update_feature(gid(3), geometry={"x": 1.5, "y": 2.5})
        await hydrants.delete_feature(gid(4))
        visits = geodatabase.table(VISITS)
        await visits.add_feature({"GlobalID": gid(5002), "hydrant": gid(5001)})


@pytest.mark.parametrize("channel", CHANNELS)
async def test_edits_carried_there_and_the_answer_back_settle_everything(
    world: Fleet, tmp_path: Path, channel: PushChannel
) -> None:
    a = await world.device("A")
    await make_edits(world)
    delta, answer = tmp_path / "a.delta", tmp_path / "a.ack.delta"

    exported = await export(a, delta)
    pushed = await push(delta, answer, channel=channel)
    result = await take_back(a, answer)

    assert (exported.edits, exported.attachments) == (5, 2)
    assert not pushed.has_errors
    assert found(result).applied == 7
    await world.assert_agreed()
    assert not list(tmp_path.glob("*-push"))


@pytest.mark.parametrize("channel", CHANNELS)
async def test_edits_arrive_although_the_replica_is_gone_and_leave_none_behind(
    world: Fleet, tmp_path: Path, channel: PushChannel
) -> None:
    a = await world.device("A")
    await make_edits(world)
    await export(a, tmp_path / "a.delta")
    for one in await world.client.get("replicas"):
        await world.client.post("unRegisterReplica", replicaID=one["replicaID"])

    pushed = await push(tmp_path / "a.delta", tmp_path / "a.ack.delta", channel=channel)
    await take_back(a, tmp_path / "a.ack.delta")

    assert not pushed.has_errors
    assert await world.client.get("replicas") == []
    assert not any((await a.pending()).values())
    await a.sync()
    await world.assert_agreed()


@pytest.mark.parametrize("channel", CHANNELS)
async def test_row_whose_parent_is_gone_is_left_for_its_device(
    world: Fleet, tmp_path: Path, channel: PushChannel
) -> None:
    a = await world.device("A")
    async with a.open() as geodatabase:
        visits = geodatabase.table(VISITS)
        await visits.add_feature({"GlobalID": gid(5001), "hydrant": gid(2)})
        await visits.add_feature({"GlobalID": gid(5002), "hydrant": gid(3)})
    delta, answer = tmp_path / "a.delta", tmp_path / "a.ack.delta"
    await export(a, delta)
    await world.edit(HYDRANTS, deletes=[gid(2)])

    pushed = await push(delta, answer, channel=channel)
    await take_back(a, answer)

    (table,) = pushed.tables
    assert (table.unknown, table.verdicts.total()) == (1, 1)
    assert gid(5001) not in (await world.rows())[VISITS]
    assert sum((await a.pending()).values()) == 1
    await a.sync()
    await world.assert_agreed()
    async with a.open() as geodatabase:
        assert [c.global_id for c in await geodatabase.conflicts()]


@pytest.mark.parametrize("channel", CHANNELS)
async def test_row_that_was_added_before_its_parent_went_is_told_of_when_the_file_is_sent_again(
    tmp_path: Path, channel: PushChannel
) -> None:
    """The answer of the first time may have been lost."""
    async with loose(tmp_path, Profile()) as world:
        a = await world.device("A")
        async with a.open() as geodatabase:
            await geodatabase.table(VISITS).add_feature({"GlobalID": gid(5001), "hydrant": gid(2)})
        delta, answer = tmp_path / "a.delta", tmp_path / "a.ack.delta"
        await export(a, delta)
        await push(delta, tmp_path / "lost.ack.delta", channel=channel)
        await world.edit(HYDRANTS, deletes=[gid(2)])

        await push(delta, answer, channel=channel)
        result = await take_back(a, answer)

        assert found(result).applied == 1
        await a.sync()
        await world.assert_agreed()


@pytest.mark.parametrize("channel", CHANNELS)
@pytest.mark.parametrize("seed", [21, pytest.param(22, marks=pytest.mark.slow)])
async def test_story_by_files(tmp_path: Path, seed: int, channel: PushChannel) -> None:
    await run(tmp_path, seed, Profile(), channel)


@pytest.mark.slow
@pytest.mark.parametrize("channel", CHANNELS)
@pytest.mark.parametrize("seed", [400, 401, 402, 404, 406, 510])
async def test_story_by_files_with_any_service(
    tmp_path: Path, seed: int, channel: PushChannel
) -> None:
    # What cannot be proven of services that rename rows: see the story over bad links.
    profile = replace(Profile.random(seed), remints_global_ids=False)
    await run(tmp_path, seed, profile, channel)


async def run(folder: Path, seed: int, profile: Profile, channel: PushChannel) -> None:
    """A never has a link but in the end, or sometimes; B always has one."""
    draw = random.Random(seed)
    async with fleet(folder, profile) as world:
        a = await world.device("A", channel=channel)
        b = await world.device("B", channel=channel)
        story = Story(seed)
        delta, answer = folder / "a.delta", folder / "a.ack.delta"
        for _ in range(3):
            async with a.open() as geodatabase:
                await story.on_device("A", geodatabase, 6)
            async with b.open() as geodatabase:
                await story.on_device("B", geodatabase, 3)
            exported = await export(a, delta)
            if draw.random() < 0.5:
                await story.at_the_office(world, 2)
                await b.sync()
            if draw.random() < 0.3:  # A has met a link after all
                await a.sync()
            if draw.random() < 0.5:
                async with a.open() as geodatabase:
                    await story.on_device("A", geodatabase, 2)
            for _ in range(draw.randrange(4)):
                world.server.faults.add(draw_fault(draw))
            if exported:
                await push_over_faults(world, delta, answer, channel)
                if draw.random() < 0.3:
                    await a.sync()
                await take_back(a, answer)
                await take_back(a, answer)
            world.server.faults.clear()
        for device in (a, b, a, b):
            await device.sync()
        await world.assert_agreed()
        story.assert_kept(await world.rows())
