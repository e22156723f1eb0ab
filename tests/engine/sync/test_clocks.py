"""Devices whose clocks are wrong by ten years do as others do: order comes from the service."""

from datetime import timedelta
from pathlib import Path

import pytest

from engine.model import SyncModel
from engine.sync.parameters import PushChannel
from tests.engine.sync.fleet import Device, HastyClock, Rows, fleet
from tests.engine.sync.test_recovery import unregister
from tests.engine.sync.test_two_devices import Story, play

TEN_YEARS = timedelta(days=3652)


async def told(folder: Path, channel: PushChannel, skews: tuple[timedelta, timedelta]) -> Rows:
    """What the service has after a story on two devices whose clocks go wrong by ``skews``."""
    folder.mkdir()
    async with fleet(folder) as world:
        for name, skew in zip("AB", skews, strict=True):
            clock = HastyClock()
            clock.start += skew
            device = Device(world.url, folder / f"{name}.gpkg", SyncModel.PER_REPLICA, clock)
            device.parameters.push_channel = channel
            await device.take()
            world.devices[name] = device
        story = Story(5)
        a, b = world.devices["A"], world.devices["B"]
        await play(world, story, a, b, rounds=1)
        await unregister(world, a)
        a.clock.start, b.clock.start = b.clock.start, a.clock.start  # and a clock may jump
        await play(world, story, a, b, rounds=1)
        await world.assert_agreed()
        story.assert_kept(await world.rows())
        return await world.rows()


@pytest.mark.parametrize(
    "channel",
    [
        PushChannel.APPLY_EDITS,
        pytest.param(PushChannel.SYNCHRONIZE_REPLICA, marks=pytest.mark.slow),
    ],
)
async def test_wrong_clocks_change_nothing(tmp_path: Path, channel: PushChannel) -> None:
    none = timedelta()

    right = await told(tmp_path / "right", channel, (none, none))
    wrong = await told(tmp_path / "wrong", channel, (TEN_YEARS, -TEN_YEARS))

    assert wrong == right
