"""A service that gives added rows GlobalIDs of its own: what points at such a row follows it."""

from pathlib import Path

from engine.geodatabase.conflicts import ConflictKind, Side
from engine.sync.parameters import PushChannel
from tests.engine.sync.fleet import HYDRANTS, VISITS, Device, Fleet, fleet, found, gid
from tests.engine.sync.test_edits_meanwhile import foreign
from tests.feature_service import Profile

PROFILE = Profile(remints_global_ids=True)
CHANNEL = PushChannel.SYNCHRONIZE_REPLICA


async def assert_visits_hang_together(world: Fleet, note: str) -> None:
    """The visit with that note belongs to a hydrant that the service has."""
    rows = await world.rows()
    (visit,) = (row for row in rows[VISITS].values() if row["note"] == note)
    assert visit["hydrant"] in rows[HYDRANTS]


async def with_a_deleted_hydrant(world: Fleet) -> Device:
    """A device that has edited a hydrant which the office has deleted."""
    a = await world.device("A", channel=CHANNEL)
    foreign(a, f"UPDATE Hydrants SET name='mine' WHERE GlobalID='{gid(2)}'")
    await world.edit(HYDRANTS, deletes=[gid(2)])
    await a.sync()
    return a


async def decide_for_mine(device: Device) -> None:
    async with device.open() as geodatabase:
        conflicts = await geodatabase.conflicts(resolved=True)
        (conflict,) = (c for c in conflicts if c.kind is ConflictKind.DELETED_THERE)
        await geodatabase.resolve_conflict(conflict.id, Side.MINE)


async def test_rows_of_a_row_that_is_brought_back_follow_it_in_the_same_sync(
    tmp_path: Path,
) -> None:
    async with fleet(tmp_path, PROFILE) as world:
        a = await with_a_deleted_hydrant(world)
        await decide_for_mine(a)
        foreign(a, f"INSERT INTO Visits(hydrant,note) VALUES('{gid(2)}','new')")
        await a.sync()

        await assert_visits_hang_together(world, "new")
        await world.assert_agreed()


async def test_untouched_rows_of_a_row_that_is_brought_back_follow_it_in_the_same_sync(
    tmp_path: Path,
) -> None:
    async with fleet(tmp_path, PROFILE) as world:
        a = await with_a_deleted_hydrant(world)
        foreign(a, f"INSERT INTO Visits(hydrant,note) VALUES('{gid(2)}','alone')")
        await a.sync()
        await decide_for_mine(a)

        result = await a.sync()

        assert found(result).applied == found(result).found == 2
        await assert_visits_hang_together(world, "alone")
        await world.assert_agreed()


async def test_row_that_goes_in_one_call_with_its_renamed_parent_follows_it_in_the_same_sync(
    tmp_path: Path,
) -> None:
    async with fleet(tmp_path, PROFILE) as world:
        a = await world.device("A", channel=CHANNEL)
        foreign(
            a,
            f"INSERT INTO Hydrants(GlobalID,name) VALUES('{gid(5001)}','new')",
            f"INSERT INTO Visits(GlobalID,hydrant,note) VALUES('{gid(5002)}','{gid(5001)}','new')",
        )

        result = await a.sync(rollback_on_failure=True)

        assert found(result).applied == found(result).found
        await assert_visits_hang_together(world, "new")
        await a.sync()
        await world.assert_agreed()
