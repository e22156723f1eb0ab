"""What lost a conflict, or was refused, can be read and put back, until it is pruned."""

import pytest

from engine.geodatabase.conflicts import Side
from engine.geodatabase.history import VersionSource
from tests.engine.sync.fleet import HYDRANTS, Device, Fleet, gid
from tests.engine.sync.test_clocks import agree_on_the_time
from tests.engine.sync.test_edits_meanwhile import foreign


async def lose(world: Fleet) -> Device:
    """The office's name of a hydrant loses against the device's."""
    a = await world.device("A")
    async with a.open() as geodatabase:
        await geodatabase.table(HYDRANTS).update_feature(gid(2), {"name": "mine"})
    await world.change(HYDRANTS, gid(2), name="theirs")
    await a.sync()
    assert (await world.rows())[HYDRANTS][gid(2)]["name"] == "mine"
    return a


async def test_versions_that_lost_are_in_the_history(world: Fleet) -> None:
    a = await lose(world)
    async with a.open() as geodatabase:
        versions = await geodatabase.history("Hydrants", gid(2).lower())
        others = await geodatabase.history(HYDRANTS, gid(3))

    names = {v.source: v.attributes["name"] for v in versions}
    assert names == {
        VersionSource.BASE: "H2",
        VersionSource.MINE: "mine",
        VersionSource.THEIRS: "theirs",
    }
    assert {v.resolution for v in versions} == {"mine"}
    assert others == []


async def test_a_version_that_lost_can_be_put_back_and_sent(world: Fleet) -> None:
    a = await lose(world)
    async with a.open() as geodatabase:
        (version, *_) = await geodatabase.history(HYDRANTS, gid(2))
        assert version.conflict_id is not None
        await geodatabase.resolve_conflict(version.conflict_id, Side.THEIRS)

    assert (await a.pending())["Hydrants"] == 1
    await a.sync()

    assert (await world.rows())[HYDRANTS][gid(2)]["name"] == "theirs"
    await world.assert_agreed()


async def test_an_edit_that_lost_against_a_delete_that_was_sent_can_be_put_back(
    world: Fleet,
) -> None:
    a = await world.device("A")
    async with a.open() as geodatabase:
        await geodatabase.table(HYDRANTS).delete_feature(gid(4))
    await world.change(HYDRANTS, gid(4), name="theirs")
    await a.sync()
    assert gid(4) not in (await world.rows())[HYDRANTS]

    async with a.open() as geodatabase:
        (conflict,) = await geodatabase.conflicts(resolved=True)
        await geodatabase.resolve_conflict(conflict.id, Side.THEIRS)
    await a.sync()

    assert (await world.rows())[HYDRANTS][gid(4)]["name"] == "theirs"
    await a.sync()
    await world.assert_agreed()


async def test_a_refused_version_is_in_the_history_after_it_was_given_up(world: Fleet) -> None:
    a = await world.device("A")
    foreign(a, f"UPDATE Hydrants SET status=99 WHERE GlobalID='{gid(2)}'")
    await a.sync()
    async with a.open() as geodatabase:
        (refused,) = await geodatabase.quarantine()
        await geodatabase.discard_quarantined(refused.id)

        (version,) = await geodatabase.history(HYDRANTS, gid(2))

    assert (version.source, version.attributes["status"]) == (VersionSource.REFUSED, 99)
    assert (version.quarantine_id, version.resolution) == (refused.id, "discarded")


async def test_a_sync_forgets_what_was_decided_long_ago_and_nothing_open(
    world: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    a = await lose(world)
    agree_on_the_time(monkeypatch, a)
    foreign(a, f"UPDATE Hydrants SET status=99 WHERE GlobalID='{gid(3)}'")
    await a.sync()
    await a.clock.sleep(89 * 86400)
    await a.sync()
    async with a.open() as geodatabase:
        assert await geodatabase.history(HYDRANTS, gid(2))

    await a.clock.sleep(2 * 86400)
    await a.sync()

    async with a.open() as geodatabase:
        assert await geodatabase.history(HYDRANTS, gid(2)) == []
        assert len(await geodatabase.history(HYDRANTS, gid(3))) == 1
