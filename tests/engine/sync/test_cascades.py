"""A delete takes related rows along on the service, and its own device hears of that in no file."""

from pathlib import Path

import pytest

from engine.errors import LinkError
from engine.geodatabase.conflicts import Side
from engine.sync import settlement
from engine.sync.parameters import PushChannel
from tests.engine.sync.fleet import VISITS, Fleet, SyncModel, fleet, gid
from tests.engine.sync.schedules.world import NOTES, new_device, take, write_data
from tests.engine.sync.test_edits_meanwhile import CHANNELS, foreign
from tests.feature_service import Fault, Profile


async def _gone(*args: object) -> None:
    raise LinkError("the link is gone")


@pytest.mark.parametrize("channel", CHANNELS)
async def test_rows_that_went_along_go_though_the_sync_broke_off_before_it_looked(
    world: Fleet, channel: PushChannel, monkeypatch: pytest.MonkeyPatch
) -> None:
    a = await world.device("A", channel=channel)
    foreign(a, f"DELETE FROM Hydrants WHERE GlobalID='{gid(1)}'")
    with monkeypatch.context() as patch:
        patch.setattr(settlement, "refresh_related", _gone)
        with pytest.raises(LinkError):
            await a.sync()
    assert (await a.rows())[VISITS].keys() > (await world.rows())[VISITS].keys()

    await a.sync()

    await world.assert_agreed()


@pytest.mark.parametrize("channel", CHANNELS)
async def test_new_row_that_went_along_in_the_same_call_goes(
    world: Fleet, channel: PushChannel
) -> None:
    a = await world.device("A", channel=channel)
    foreign(
        a,
        f"INSERT INTO Visits(GlobalID,hydrant,note) VALUES('{gid(5001)}','{gid(1)}','new')",
        f"DELETE FROM Hydrants WHERE GlobalID='{gid(1)}'",
    )

    await a.sync()

    await world.assert_agreed()


async def test_rows_below_one_that_went_along_and_was_added_again_by_its_update_are_read_back(
    tmp_path: Path,
) -> None:
    write_data(tmp_path / "service")
    async with fleet(tmp_path, Profile(update_of_missing="insert")) as world:
        a = new_device(tmp_path, "A", 0, SyncModel.PER_REPLICA)
        a.url = world.url
        a.parameters.push_channel = PushChannel.SYNCHRONIZE_REPLICA
        await take(a)
        # So that the rest goes up in one call, in which the hydrants come first.
        foreign(a, f"UPDATE Hydrants SET name='first' WHERE GlobalID='{gid(2)}'")
        await a.sync()
        foreign(
            a,
            f"UPDATE Hydrants SET name='second' WHERE GlobalID='{gid(3)}'",
            f"UPDATE Visits SET note='mine' WHERE GlobalID='{gid(1001)}'",
            f"DELETE FROM Hydrants WHERE GlobalID='{gid(1)}'",
        )

        await a.sync()

        notes = world.inside.rows(world.inside.layer(NOTES))
        assert notes.by_gid(gid(4001)).values["visit"] is None
        assert (await a.rows())[NOTES][gid(4001)]["visit"] is None


@pytest.mark.parametrize("channel", CHANNELS)
@pytest.mark.parametrize("is_lost", [False, True])
async def test_row_sent_with_one_that_went_along_does_not_go_back_to_what_was_sent(
    tmp_path: Path, channel: PushChannel, is_lost: bool
) -> None:
    write_data(tmp_path / "service")
    async with fleet(tmp_path, Profile()) as world:
        a = new_device(tmp_path, "A", 0, SyncModel.PER_REPLICA)
        a.url = world.url
        a.parameters.push_channel = channel
        await take(a)
        foreign(a, f"UPDATE Hydrants SET name='first' WHERE GlobalID='{gid(2)}'")
        await a.sync()
        foreign(
            a,
            f"UPDATE Hydrants SET name='second' WHERE GlobalID='{gid(3)}'",
            f"INSERT INTO Notes(GlobalID,visit,text) VALUES('{gid(5001)}','{gid(1001)}','old')",
            f"UPDATE Visits SET note='mine',hydrant='{gid(3)}' WHERE GlobalID='{gid(1001)}'",
            f"DELETE FROM Hydrants WHERE GlobalID='{gid(1)}'",
        )
        if is_lost:
            world.server.faults.add(Fault(kind="drop-after-commit", operation=channel.value))
        await a.sync()
        foreign(a, f"UPDATE Notes SET text='new' WHERE GlobalID='{gid(5001)}'")
        await a.sync()

        async with a.open() as geodatabase:
            (conflict,) = await geodatabase.conflicts()
            await geodatabase.resolve_conflict(conflict.id, Side.MINE)
        await a.sync()

        rows = await a.rows()
        assert rows[NOTES][gid(5001)]["text"] == "new"
        assert rows[VISITS][gid(1001)]["note"] == "mine"
        notes = world.inside.rows(world.inside.layer(NOTES))
        assert notes.by_gid(gid(5001)).values["text"] == "new"
