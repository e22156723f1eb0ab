"""Devices whose clocks are wrong by ten years do as others do: order comes from the service."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from engine.model import SyncModel
from engine.sync.parameters import PushChannel
from tests.engine.sync.fleet import HYDRANTS, Device, Fleet, HastyClock, Rows, fleet, gid
from tests.engine.sync.test_edits_meanwhile import foreign
from tests.engine.sync.test_recovery import unregister
from tests.engine.sync.test_two_devices import Story, play

TEN_YEARS = timedelta(days=3652)


def agree_on_the_time(monkeypatch: pytest.MonkeyPatch, device: Device) -> None:
    """Let services say that it is what the device's clock says."""
    monkeypatch.setattr("engine.service.session.http_date", lambda text: device.clock.now())


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


async def test_what_lost_is_kept_until_device_and_service_agree_that_its_days_are_over(
    world: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    a = await world.device("A")
    there = a.clock.start
    monkeypatch.setattr("engine.service.session.http_date", lambda text: there)
    foreign(a, f"UPDATE Hydrants SET name='mine' WHERE GlobalID='{gid(1)}'")
    await world.change(HYDRANTS, gid(1), name="office")
    a.clock.start -= 5 * TEN_YEARS  # a device without a clock, before it has had a link
    await a.sync()

    kept = []
    for here_days, there_days in ((0, 0), (3652, 0), (80, 80), (0, 91), (91, 91)):
        there = a.clock.start = datetime(2024, 6, 1, tzinfo=UTC)
        there += timedelta(days=there_days)
        a.clock.start += timedelta(days=here_days)
        await a.sync()
        async with a.open() as geodatabase:
            kept.append(len(await geodatabase.conflicts(resolved=True)))

    assert kept == [1, 1, 1, 1, 0]
