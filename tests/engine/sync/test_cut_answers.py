"""A line that breaks at any byte of any answer of a sync: the next try ends where it would have."""

import random
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from engine.errors import EngineError
from tests.engine.sync.fleet import HYDRANTS, Device, Fleet, SyncModel, fleet, gid
from tests.fakes.cutting_proxy import CuttingProxy, cutting_proxy
from tests.feature_service import Profile


async def edit_both(world: Fleet, device: Device, number: int) -> None:
    """An add and an update on either side."""
    async with device.open() as geodatabase:
        table = geodatabase.table(HYDRANTS)
        await table.add_feature({"GlobalID": gid(8000 + number)}, {"x": number, "y": 1})
        await table.update_feature(gid(1), {"name": f"mine {number}"})
    new = {"attributes": {"GlobalID": gid(6000 + number)}, "geometry": {"x": 1, "y": number}}
    await world.edit(HYDRANTS, adds=[new])
    await world.change(HYDRANTS, gid(2), name=f"office {number}")


async def sync_over_a_cut(world: Fleet, device: Device, proxy: CuttingProxy, size: int) -> None:
    proxy.cut_after(size)
    with suppress(EngineError):
        await device.sync()
    proxy.cut_after(None)
    for _ in range(3):  # what was sent comes back, and what that changes
        await device.sync()
    await world.assert_agreed()


async def story(folder: Path, profile: Profile, count: int, seed: int) -> None:
    """Syncs of a small change each, cut at one byte after the other of all their answers."""
    async with (
        fleet(folder, profile) as world,
        cutting_proxy(urlsplit(world.url).port or 0) as (proxy, host),
    ):
        url = urlsplit(world.url)._replace(netloc=host).geturl()
        model = SyncModel.PER_REPLICA
        device = Device(url, folder / "A.gpkg", model)
        await device.take()
        world.devices["A"] = device
        before = len((await world.rows())[HYDRANTS])
        await edit_both(world, device, 0)
        proxy.cut_after(None)
        await device.sync()
        all_bytes = proxy.passed_bytes
        first = random.Random(seed).random() * all_bytes / count
        for number in range(1, count):
            await edit_both(world, device, number)
            size = int(first + number * all_bytes / count)
            try:
                await sync_over_a_cut(world, device, proxy, size)
            except BaseException as error:
                error.add_note(f"cut after {size} of about {all_bytes} bytes, cut {number}")
                raise
        rows = (await world.rows())[HYDRANTS]
        assert len(rows) == before + 2 * count, "something was doubled or lost"


@pytest.mark.parametrize("is_async", [False, True])
async def test_a_sync_cut_at_some_bytes_ends_as_if_it_were_not(
    tmp_path: Path, is_async: bool
) -> None:
    await story(tmp_path, Profile(job_polls=0, supports_async=is_async), 5, seed=int(is_async))


@pytest.mark.slow
@pytest.mark.parametrize("is_async", [False, True])
async def test_a_sync_cut_at_many_bytes_ends_as_if_it_were_not(
    tmp_path: Path, is_async: bool
) -> None:
    await story(tmp_path, Profile(job_polls=0, supports_async=is_async), 18, seed=2)
