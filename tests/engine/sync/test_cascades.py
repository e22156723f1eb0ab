"""A delete takes related rows along on the service, and its own device hears of that in no file."""

import pytest

from engine.errors import LinkError
from engine.sync import settlement
from engine.sync.parameters import PushChannel
from tests.engine.sync.fleet import VISITS, Fleet, gid
from tests.engine.sync.test_edits_meanwhile import CHANNELS, foreign


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
