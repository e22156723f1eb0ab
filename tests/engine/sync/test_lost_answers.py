"""Links that break at any moment, services that are busy, results that are cut: nothing is lost,
doubled or stuck once the link is good again."""

import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from engine import faults
from engine.errors import EngineError, LinkError, ServiceBusyError
from engine.geodatabase.quarantine import Direction
from engine.sync.parameters import PushChannel
from engine.sync.pull import MAX_VAIN_RUNS
from engine.sync.reconciling import MOST_ASKED, MOST_WAITED
from tests.engine.sync.fleet import HYDRANTS, PIPES, VISITS, Device, Fleet, fleet, found, gid
from tests.engine.sync.loose_visits import loose
from tests.engine.sync.schedules.schedule import KINDS
from tests.engine.sync.test_edits_meanwhile import CHANNELS, foreign
from tests.engine.sync.test_two_devices import Story
from tests.feature_service import Fault, Profile
from tests.served_story import free_port

OPERATIONS = (
    "applyEdits",
    "synchronizeReplica",
    "jobs",
    "replicafiles",
    "query",
    "attachment",
    "attachments",
    "*",
)


def draw_fault(draw: random.Random) -> Fault:
    """Something that goes wrong on the line, once or a few times."""
    kind = draw.choice(KINDS)
    operation = draw.choice(OPERATIONS)
    return Fault(
        kind=kind,  # type: ignore[arg-type]  # one of the kinds
        # Nothing could tell a flipped byte of a photo, or of a value; one of the form is seen.
        operation="replicafiles" if kind == "corrupt-result" else operation,
        skip=draw.randrange(4),
        times=draw.choice([1, 1, 2, 6]),
        at_byte=1 if kind == "corrupt-result" else draw.randrange(1, 2000),
        status=draw.choice([500, 503, 504]),
    )


async def try_to_sync(device: Device) -> None:
    """The sync may fail, but not by a fault of ours."""
    with suppress(EngineError):
        await device.sync()
    assert not [text for text in device.messages if "fault in fieldsync" in text]


async def retry_quarantined(device: Device) -> None:
    """What a person does with edits that a service in trouble refused: nothing of them is lost."""
    async with device.open() as geodatabase:
        for item in await geodatabase.quarantine():
            if item.direction is Direction.OUTBOUND:
                await geodatabase.retry_quarantined(item.id)


async def run(folder: Path, seed: int, profile: Profile, channel: PushChannel) -> None:
    """The two devices' story over a bad link, then over a good one."""
    draw = random.Random(seed)
    async with fleet(folder, profile) as world:
        a = await world.device("A", channel=channel)
        b = await world.device("B", channel=channel)
        story = Story(seed)
        for _ in range(2):
            for name, device in (("A", a), ("B", b)):
                async with device.open() as geodatabase:
                    await story.on_device(name, geodatabase, 5)
            await story.at_the_office(world, 2)
            for device in (a, b, a):
                for _ in range(draw.randrange(4)):
                    world.server.faults.add(draw_fault(draw))
                await try_to_sync(device)
                world.server.faults.clear()
        for device in (a, b):
            await retry_quarantined(device)
        for device in (a, b, a, b):
            await device.sync()
        await world.assert_agreed()
        is_reminted = profile.remints_global_ids and channel is not PushChannel.APPLY_EDITS
        story.assert_kept(await world.rows(), is_reminted=is_reminted)


@pytest.mark.parametrize("channel", CHANNELS)
@pytest.mark.parametrize("seed", [1, 2, pytest.param(3, marks=pytest.mark.slow)])
async def test_story_over_a_bad_link(tmp_path: Path, seed: int, channel: PushChannel) -> None:
    await run(tmp_path, seed, Profile(), channel)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [*range(300, 308), 315, 328])
async def test_story_over_a_bad_link_with_any_service(tmp_path: Path, seed: int) -> None:
    await run(tmp_path, seed, Profile.random(seed), CHANNELS[seed % 2])


@pytest.mark.parametrize("seed", [328, pytest.param(317, marks=pytest.mark.slow)])
async def test_story_over_a_bad_link_with_a_service_that_makes_its_own_global_ids(
    tmp_path: Path, seed: int
) -> None:
    profile = replace(Profile.random(seed), remints_global_ids=True)
    await run(tmp_path, seed, profile, PushChannel.SYNCHRONIZE_REPLICA)


async def test_row_that_came_back_under_another_global_id_before_it_was_recognised_is_one(
    tmp_path: Path,
) -> None:
    profile = Profile(remints_global_ids=True, echoes_own_edits=True, results_place="none")
    async with fleet(tmp_path, profile) as world:
        a = await world.device("A", channel=PushChannel.SYNCHRONIZE_REPLICA)
        foreign(a, f"INSERT INTO Hydrants(GlobalID,name) VALUES('{gid(5001)}','new')")
        world.server.faults.add(Fault(kind="drop-before-commit", operation="query", times=0))
        with pytest.raises(EngineError):
            await a.sync()
        world.server.faults.clear()

        await a.sync()

        names = [row["name"] for row in (await world.rows())[HYDRANTS].values()]
        assert names.count("new") == 1
        await world.assert_agreed()


async def test_row_of_another_parent_is_not_taken_for_ours(tmp_path: Path) -> None:
    profile = Profile(remints_global_ids=True, results_place="none")
    async with fleet(tmp_path, profile) as world:
        a = await world.device("A", channel=PushChannel.SYNCHRONIZE_REPLICA)
        foreign(a, f"INSERT INTO Visits(GlobalID,hydrant) VALUES('{gid(5001)}','{gid(2)}')")
        office = {"attributes": {"GlobalID": gid(6001), "hydrant": gid(3)}}
        await world.edit(VISITS, adds=[office])
        dead = Fault(kind="drop-before-commit", operation="synchronizeReplica", skip=1)
        world.server.faults.add(dead)

        await a.sync()
        await a.sync()

        hydrants = [row["hydrant"] for row in (await world.rows())[VISITS].values()]
        assert (hydrants.count(gid(2)), hydrants.count(gid(3))) == (1, 1)
        await world.assert_agreed()


async def test_row_whose_parent_went_in_the_same_call_is_recognised(tmp_path: Path) -> None:
    profile = Profile(remints_global_ids=True, results_place="none")
    async with loose(tmp_path, profile) as world:
        a = await world.device("A", channel=PushChannel.SYNCHRONIZE_REPLICA)
        foreign(
            a,
            f"INSERT INTO Visits(GlobalID,hydrant,note) VALUES('{gid(5001)}','{gid(2)}','new')",
            f"DELETE FROM Hydrants WHERE GlobalID='{gid(2)}'",
        )

        await a.sync()

        await world.assert_agreed()
        assert [r["note"] for r in (await world.rows())[VISITS].values()].count("new") == 1


@pytest.mark.parametrize("channel", CHANNELS)
@pytest.mark.parametrize("kind", ["drop-before-commit", "drop-after-commit"])
async def test_lost_answer_is_found_out_within_the_sync(
    world: Fleet, channel: PushChannel, kind: str
) -> None:
    a = await world.device("A", channel=channel)
    async with a.open() as geodatabase:
        hydrants = geodatabase.table(HYDRANTS)
        await hydrants.add_feature({"GlobalID": gid(5001), "name": "new"}, {"x": 1, "y": 2})
        await hydrants.delete_feature(gid(4))
        await geodatabase.table(VISITS).add_feature({"GlobalID": gid(5002), "hydrant": gid(5001)})
        await geodatabase.table(PIPES).update_feature(gid(2001), {"label": "mine"})
    skip = 1 if channel is PushChannel.SYNCHRONIZE_REPLICA else 0  # the download comes first
    world.server.faults.add(
        Fault(kind=kind, operation=channel.value, skip=skip)  # type: ignore[arg-type]  # a kind
    )

    result = await a.sync()

    assert found(result).applied == found(result).found
    await a.sync()
    await world.assert_agreed()
    assert (await world.rows())[VISITS][gid(5002)]["hydrant"] == gid(5001)


def link_dies_at(world: Fleet, point: str) -> Callable[[str], None]:
    """From that point on the service cannot be reached."""

    def handler(name: str) -> None:
        if name == point:
            world.server.faults.add(Fault(kind="drop-before-commit", times=0))

    return handler


@pytest.mark.parametrize("channel", CHANNELS)
async def test_row_that_others_changed_after_ours_arrived_is_a_conflict_and_not_sent_again(
    world: Fleet, channel: PushChannel
) -> None:
    a = await world.device("A", channel=channel)
    # The first partial update of all is watched; here it is about what comes later.
    foreign(a, f"UPDATE Hydrants SET name='first' WHERE GlobalID='{gid(2)}'")
    await a.sync()
    foreign(a, f"UPDATE Hydrants SET name='mine' WHERE GlobalID='{gid(1)}'")
    skip = 1 if channel is PushChannel.SYNCHRONIZE_REPLICA else 0  # the download comes first
    world.server.faults.add(Fault(kind="drop-after-commit", operation=channel.value, skip=skip))
    with faults.armed(link_dies_at(world, "batch.reconciling")), pytest.raises(EngineError):
        await a.sync()
    world.server.faults.clear()
    assert (await world.rows())[HYDRANTS][gid(1)]["name"] == "mine"
    await world.change(HYDRANTS, gid(1), name="office, later")

    await a.sync()

    assert (await world.rows())[HYDRANTS][gid(1)]["name"] == "office, later"
    async with a.open() as geodatabase:
        (conflict,) = await geodatabase.conflicts(resolved=True)
    assert conflict.mine is not None
    assert conflict.mine["name"] == "mine"
    await world.assert_agreed()


@pytest.mark.parametrize("number", [1, 30])
@pytest.mark.parametrize("channel", CHANNELS)
async def test_add_that_arrived_and_was_deleted_by_others_is_not_added_again(
    tmp_path: Path, channel: PushChannel, number: int
) -> None:
    async with fleet(tmp_path, Profile(tells_short_lived=True)) as world:
        a = await world.device("A", channel=channel)
        added = [gid(5000 + n) for n in range(number)]
        for one in added:
            foreign(a, f"INSERT INTO Hydrants(GlobalID,name) VALUES('{one}','new')")
        world.server.faults.add(Fault(kind="drop-after-commit", operation=channel.value))
        with faults.armed(link_dies_at(world, "batch.reconciling")), pytest.raises(EngineError):
            await a.sync()
        world.server.faults.clear()
        assert (await world.rows())[HYDRANTS].keys() >= set(added)
        await world.edit(HYDRANTS, deletes=added[::2])

        result = await a.sync()

        assert found(result).pending == 0
        await world.assert_agreed()
        assert (await world.rows())[HYDRANTS].keys() & set(added) == set(added[1::2])


@pytest.mark.parametrize("channel", CHANNELS)
async def test_delete_of_an_attachment_that_never_arrived_is_sent_again(
    world: Fleet, channel: PushChannel
) -> None:
    a = await world.device("A", channel=channel)
    foreign(a, "DELETE FROM Hydrants__ATTACH")
    with faults.armed(link_dies_at(world, "batch.sending")), pytest.raises(EngineError):
        await a.sync()
    world.server.faults.clear()

    await a.sync()

    assert not world.attachments()
    await world.assert_agreed()


@pytest.mark.parametrize("channel", CHANNELS)
async def test_delete_of_an_attachment_that_is_downloaded_before_it_is_settled_is_done(
    world: Fleet, channel: PushChannel
) -> None:
    a = await world.device("A", channel=channel)
    foreign(a, "DELETE FROM Hydrants__ATTACH")
    skip = 1 if channel is PushChannel.SYNCHRONIZE_REPLICA else 0  # the download comes first
    world.server.faults.add(Fault(kind="drop-after-commit", operation=channel.value, skip=skip))
    with faults.armed(link_dies_at(world, "download.merged")), suppress(EngineError):
        await a.sync()
    world.server.faults.clear()

    await a.sync()

    await world.assert_agreed()


@pytest.mark.parametrize("channel", CHANNELS)
async def test_attachment_that_is_deleted_before_its_update_is_found_out_about_goes(
    world: Fleet, channel: PushChannel
) -> None:
    a = await world.device("A", channel=channel)
    async with a.open() as geodatabase:
        hydrants = geodatabase.table(HYDRANTS)
        (old,) = await hydrants.attachments(gid(1))
        await hydrants.update_attachment(old.global_id, "other.jpg", None, b"other")
    with faults.armed(link_dies_at(world, "batch.sending")), pytest.raises(EngineError):
        await a.sync()
    world.server.faults.clear()
    foreign(a, "DELETE FROM Hydrants__ATTACH")

    await a.sync()

    assert not world.attachments()
    await world.assert_agreed()


@pytest.mark.parametrize("channel", CHANNELS)
async def test_service_that_asks_to_come_back_late_ends_the_sync_and_names_the_time(
    world: Fleet, channel: PushChannel
) -> None:
    a = await world.device("A", channel=channel)
    foreign(a, f"UPDATE Hydrants SET name='mine' WHERE GlobalID='{gid(1)}'")
    busy = Fault(kind="status", operation=channel.value, status=503, retry_after_s=3600)
    world.server.faults.add(busy)

    with pytest.raises(ServiceBusyError, match=r"in 3600 seconds, at 2024-05-01 1[23]:\d\d:\d\d"):
        await a.sync()

    assert a.clock.monotonic() < 60
    await a.sync()
    assert (await world.rows())[HYDRANTS][gid(1)]["name"] == "mine"
    await a.sync()
    await world.assert_agreed()


async def test_job_that_can_never_be_asked_holds_nothing_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server behind a proxy may name a host that only it knows."""
    monkeypatch.setattr("engine.sync.channels.ASYNC_BYTES", 0)
    async with fleet(tmp_path, Profile(job_polls=1)) as world:
        a = await world.device("A", channel=PushChannel.APPLY_EDITS)
        foreign(a, f"UPDATE Hydrants SET name='mine' WHERE GlobalID='{gid(1)}'")
        world.server.faults.add(Fault(kind="drop-before-commit", operation="jobs", times=0))
        with pytest.raises(LinkError):
            await a.sync()
        world.server.faults.clear()
        nowhere = f"http://127.0.0.1:{free_port()}/arcgis/jobs/1"
        foreign(a, f"UPDATE fieldsync_batch SET status_url='{nowhere}'")
        await world.change(HYDRANTS, gid(2), name="office")

        for _ in range(MOST_ASKED - 1):
            with suppress(LinkError):
                await a.sync()
        await a.sync()

        assert (await world.rows())[HYDRANTS][gid(1)]["name"] == "mine"
        await world.assert_agreed()


async def test_job_that_was_waited_for_in_many_runs_holds_nothing_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of them was stopped before the job came to an end."""
    monkeypatch.setattr("engine.sync.channels.ASYNC_BYTES", 0)
    async with fleet(tmp_path, Profile(job_polls=1)) as world:
        a = await world.device("A", channel=PushChannel.APPLY_EDITS)
        foreign(a, f"UPDATE Hydrants SET name='mine' WHERE GlobalID='{gid(1)}'")
        world.server.faults.add(Fault(kind="drop-before-commit", operation="jobs", times=0))
        with pytest.raises(LinkError):
            await a.sync()
        world.server.faults.clear()
        nowhere = f"http://127.0.0.1:{free_port()}/arcgis/jobs/1"
        waited = f"json_set(counts,'$.waited',{MOST_WAITED})"
        foreign(a, f"UPDATE fieldsync_batch SET counts={waited},status_url='{nowhere}'")

        await a.sync()

        assert (await world.rows())[HYDRANTS][gid(1)]["name"] == "mine"
        assert not any((await a.pending()).values())


@pytest.mark.parametrize("kind", ["drop-before-commit", "status"])
async def test_changes_that_can_never_be_had_hold_no_edit_up(tmp_path: Path, kind: str) -> None:
    async with fleet(tmp_path, Profile(job_polls=1)) as world:
        a = await world.device("A", channel=PushChannel.APPLY_EDITS)
        foreign(a, f"UPDATE Hydrants SET name='mine' WHERE GlobalID='{gid(1)}'")
        foreign(a, f"UPDATE Hydrants SET name='mine' WHERE GlobalID='{gid(3)}'")
        await world.change(HYDRANTS, gid(2), name="office")
        await world.change(HYDRANTS, gid(3), name="office")
        nowhere = Fault(kind=kind, operation="jobs", status=400, times=0)  # type: ignore[arg-type]
        world.server.faults.add(nowhere)

        for _ in range(MAX_VAIN_RUNS + 1):
            assert (await world.rows())[HYDRANTS][gid(1)]["name"] != "mine"
            with pytest.raises(EngineError):
                await a.sync()

        assert [(await world.rows())[HYDRANTS][gid(n)]["name"] for n in (1, 3)] == ["mine"] * 2
        assert not any((await a.pending()).values())
        async with a.open() as geodatabase:
            (conflict,) = await geodatabase.conflicts(resolved=True)
        assert conflict.global_id == gid(3)
        world.server.faults.clear()
        await a.sync()
        await world.assert_agreed()
