"""Related rows that are cut loose from their parent: they are in no replica any more, and stay as
they are on the service all the same, whatever a service tells of rows that leave one."""

from pathlib import Path
from typing import Literal
from unittest.mock import patch

import pytest

from engine.errors import LinkError
from engine.sync import pull, settlement
from engine.sync.parameters import PushChannel
from tests.engine.sync.fleet import HYDRANTS, VISITS, Device, Fleet, gid
from tests.engine.sync.loose_visits import loose, write_loose
from tests.engine.sync.stories import Story
from tests.engine.sync.test_edits_meanwhile import CHANNELS, foreign
from tests.feature_service import Profile
from tests.killing import kill_at_points

Leaving = Literal["delete", "update", "nothing"]
LEAVING: tuple[Leaving, ...] = ("delete", "update", "nothing")


def leaves(leaving: Leaving = "nothing") -> Profile:
    return Profile(rows_leaving=leaving)


async def assert_followed(world: Fleet, device: Device) -> None:
    """What becomes of the visits 1001 and 1002 on the service is seen on the device."""
    await world.assert_agreed()
    await world.change(VISITS, gid(1001), note="still told")
    await device.sync()
    await world.assert_agreed()
    await world.edit(VISITS, deletes=[gid(1001)])
    await device.sync()
    await world.assert_agreed()


@pytest.mark.parametrize("leaving", LEAVING)
async def test_row_cut_loose_by_others_is_followed(tmp_path: Path, leaving: Leaving) -> None:
    async with loose(tmp_path, leaves(leaving)) as world:
        a = await world.device("A")
        await world.edit(HYDRANTS, deletes=[gid(1)])

        result = await a.sync()

        assert result.layer(VISITS).downloaded.out_of_area == 2
        assert (await a.rows())[VISITS][gid(1002)]["hydrant"] is None
        await assert_followed(world, a)


@pytest.mark.parametrize("leaving", LEAVING)
@pytest.mark.parametrize("channel", CHANNELS)
async def test_row_cut_loose_by_this_device_is_followed(
    tmp_path: Path, leaving: Leaving, channel: PushChannel
) -> None:
    async with loose(tmp_path, leaves(leaving)) as world:
        a = await world.device("A", channel=channel)
        foreign(a, f"DELETE FROM Hydrants WHERE GlobalID='{gid(1)}'")

        await a.sync()

        await assert_followed(world, a)


@pytest.mark.parametrize("leaving", LEAVING)
async def test_row_that_is_sent_without_a_parent_is_followed(
    tmp_path: Path, leaving: Leaving
) -> None:
    async with loose(tmp_path, leaves(leaving)) as world:
        a = await world.device("A")
        foreign(
            a,
            f"UPDATE Visits SET hydrant=NULL WHERE GlobalID='{gid(1001)}'",
            f"INSERT INTO Visits(GlobalID,note) VALUES('{gid(5001)}','alone')",
        )
        await a.sync()
        await a.sync()
        await world.change(VISITS, gid(5001), note="still told")

        await a.sync()

        await assert_followed(world, a)


@pytest.mark.parametrize("leaving", ["delete", "update"])
async def test_row_that_others_take_from_its_parent_is_followed(
    tmp_path: Path, leaving: Leaving
) -> None:
    async with loose(tmp_path, leaves(leaving)) as world:
        a = await world.device("A")
        await world.change(VISITS, gid(1001), hydrant=None)

        await a.sync()

        await assert_followed(world, a)


async def test_row_that_gets_another_parent_is_inside_again(tmp_path: Path) -> None:
    async with loose(tmp_path, leaves()) as world:
        a = await world.device("A")
        await world.edit(HYDRANTS, deletes=[gid(1)])
        await a.sync()
        await world.change(VISITS, gid(1001), hydrant=gid(2))
        await world.change(VISITS, gid(1002), hydrant=gid(2))
        await a.sync()
        await world.assert_agreed()
        await world.change(HYDRANTS, gid(3), name="something")
        world.server.log.clear()

        await a.sync()

        assert world.server.log.count("query") == 0


async def test_row_that_was_edited_here_meets_what_cut_it_loose(tmp_path: Path) -> None:
    async with loose(tmp_path, leaves()) as world:
        a = await world.device("A")
        foreign(a, f"UPDATE Visits SET note='mine' WHERE GlobalID='{gid(1001)}'")
        foreign(a, f"UPDATE Visits SET hydrant='{gid(2)}' WHERE GlobalID='{gid(1002)}'")
        await world.edit(HYDRANTS, deletes=[gid(1)])

        await a.sync()

        await world.assert_agreed()
        rows = (await world.rows())[VISITS]
        assert (rows[gid(1001)]["note"], rows[gid(1001)]["hydrant"]) == ("mine", None)
        assert rows[gid(1002)]["hydrant"] == gid(2)


async def test_nothing_more_is_asked_when_nothing_was_deleted(tmp_path: Path) -> None:
    async with loose(tmp_path, leaves()) as world:
        a = await world.device("A")
        await world.change(VISITS, gid(1001), note="told")
        await world.change(HYDRANTS, gid(1), name="told")
        world.server.log.clear()

        await a.sync()

        assert world.server.log.count("query") == 0


async def test_row_cut_loose_is_followed_though_the_sync_broke_off_before_it_looked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def gone(*args: object) -> None:
        raise LinkError("the link is gone")

    async with loose(tmp_path, leaves()) as world:
        a = await world.device("A")
        foreign(a, f"DELETE FROM Hydrants WHERE GlobalID='{gid(1)}'")
        with monkeypatch.context() as context:
            context.setattr(settlement, "refresh_related", gone)
            with pytest.raises(LinkError):
                await a.sync()

        await a.sync()

        await assert_followed(world, a)


class Loosened(Story):
    """Both sides delete a hydrant with visits; all in slices of one row."""

    profile = Profile(job_polls=0, rows_leaving="nothing")

    def act(self, folder: Path) -> None:
        with patch.object(pull, "SLICE_S", 0.0), patch.object(pull, "PART_ROWS", 1):
            super().act(folder)

    async def _make(self, folder: Path) -> None:
        write_loose(folder / "service")
        async with self.fleet(folder) as world:
            a = self.device(folder)
            await a.take()
            foreign(a, f"DELETE FROM Hydrants WHERE GlobalID='{gid(8)}'")
            await world.edit(HYDRANTS, deletes=[gid(1), gid(2)])

    async def _act(self, folder: Path) -> None:
        async with self.fleet(folder):
            await self.device(folder).sync()

    async def _check(self, folder: Path, finished: bool) -> None:
        if not finished:
            return
        async with self.fleet(folder) as world:
            world.devices["A"] = a = self.device(folder)
            await world.assert_agreed()
            for number in (1001, 1003):
                await world.change(VISITS, gid(number), note="still told")
            await a.sync()
            await world.assert_agreed()


@pytest.mark.slow
def test_device_that_dies_anywhere_follows_the_rows_that_were_cut_loose(tmp_path: Path) -> None:
    points = kill_at_points(Loosened, tmp_path)

    assert {"slice.merged", "generation.moved", "related.merged"} <= set(points)
