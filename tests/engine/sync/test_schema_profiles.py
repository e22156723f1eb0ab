"""The layers change under two devices with unsent edits, whatever the service's ways are."""

from pathlib import Path

import pytest

from engine.geodatabase.conflicts import ConflictKind
from engine.sync.parameters import PushChannel
from tests.engine.sync.fleet import HYDRANTS, Device, fleet, gid
from tests.engine.sync.schema_steps import COLOUR, change, edit
from tests.feature_service import Profile

CHANNELS = (PushChannel.AUTO, PushChannel.APPLY_EDITS, PushChannel.SYNCHRONIZE_REPLICA)


async def fields_closed(device: Device) -> list[str]:
    """The rows whose edits of a field that is gone were kept."""
    async with device.open() as geodatabase:
        conflicts = await geodatabase.conflicts()
    return [c.global_id for c in conflicts if c.kind is ConflictKind.FIELD_CLOSED]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
async def test_two_devices_agree_after_the_schema_changed(tmp_path: Path, seed: int) -> None:
    async with fleet(tmp_path, Profile.random(seed)) as world:
        channel = CHANNELS[seed % len(CHANNELS)]
        a = await world.device("A", channel=channel)
        b = await world.device("B", channel=channel)
        async with a.open() as geodatabase:
            table = geodatabase.table(HYDRANTS)
            await table.update_feature(gid(1), {"name": "mine", "pressure": 3.5})
            await table.add_feature({"GlobalID": gid(5001), "name": "new"}, {"x": 1, "y": 2})
            await table.add_attachment(gid(2), "a.jpg", None, b"data")
            await table.delete_feature(gid(3))
        await edit(b, 5, serial=77)
        change(world, HYDRANTS, add=COLOUR)
        change(world, HYDRANTS, remove="pressure")
        change(world, HYDRANTS, field="serial", set={"type": "esriFieldTypeBigInteger"})
        await world.change(HYDRANTS, gid(4), colour="blue")

        await a.sync()
        await edit(a, 6, colour="green")
        for device in (b, a, b, a):
            await device.sync()

        await world.assert_agreed()
        rows = (await b.rows())[HYDRANTS]
        assert [rows[gid(n)]["colour"] for n in (2, 4, 6)] == ["red", "blue", "green"]
        assert (rows[gid(1)]["name"], rows[gid(5)]["serial"]) == ("mine", 77)
        assert await fields_closed(a) == [gid(1)]
