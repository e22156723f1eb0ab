"""Edits that are on their way when their layer is left out of a sync wait for it."""

from contextlib import suppress
from pathlib import Path

import pytest

from engine import faults
from engine.errors import EngineError, LinkError
from engine.sync import batch_sizer
from engine.sync.parameters import PushChannel
from engine.sync.results import SyncGeodatabaseResult
from tests.engine.sync.fleet import HYDRANTS, PIPES, Device, Fleet, gid
from tests.engine.sync.stories import Story
from tests.engine.sync.test_edits_meanwhile import CHANNELS, foreign
from tests.feature_service import Fault
from tests.killing import kill_at_points


class Died(Exception):
    """The device is gone."""


async def dies_without_an_answer(world: Fleet, device: Device) -> None:
    """A sync whose edits arrive, and that dies before it finds out."""

    def die(point: str) -> None:
        if point == "batch.reconciling":
            raise Died

    world.server.faults.add(Fault(kind="drop-after-commit", operation="applyEdits"))
    with faults.armed(die), suppress(EngineError):
        await device.sync()


async def sync_without_hydrants(world: Fleet, device: Device) -> SyncGeodatabaseResult:
    """A sync in which the service does not tell what that layer is."""
    # All layers at once, then the hydrants alone.
    world.server.faults.add(Fault(kind="expired-result", operation="layers"))
    world.server.faults.add(Fault(kind="expired-result", operation="layer"))
    result = await device.sync()
    assert [one.layer_id for one in result.layer_results if one.error] == [HYDRANTS]
    return result


async def test_edit_without_an_answer_when_its_layer_is_left_out_then_it_is_found_out_later(
    world: Fleet,
) -> None:
    a = await world.device("A", channel=PushChannel.APPLY_EDITS)
    foreign(a, f"UPDATE Hydrants SET name='first' WHERE GlobalID='{gid(1)}'")
    await a.sync()  # which finds out what partial updates do
    foreign(
        a,
        f"UPDATE Hydrants SET name='mine' WHERE GlobalID='{gid(2)}'",
        f"UPDATE Pipes SET label='mine' WHERE GlobalID='{gid(2001)}'",
    )
    await dies_without_an_answer(world, a)
    result = await sync_without_hydrants(world, a)
    counts = [result.layer(layer_id).uploaded for layer_id in (HYDRANTS, PIPES)]
    assert [(c.found, c.pending, c.applied) for c in counts] == [(1, 1, 0), (1, 0, 1)]
    assert (await a.pending())["Pipes"] == 0
    assert (await a.pending())["Hydrants"] == 1
    await world.change(HYDRANTS, gid(2), name="office")
    await world.change(PIPES, gid(2001), label="office")
    await sync_without_hydrants(world, a)
    assert (await a.rows())[PIPES][gid(2001)]["label"] == "office"

    await a.sync()

    assert (await world.rows())[HYDRANTS][gid(2)]["name"] == "office"
    await world.assert_agreed()


class SyncLeavingOut(Story):
    """Of a batch without an answer a part is found out about, and a part has to wait."""

    only = frozenset({"batch.copied"})

    async def _make(self, folder: Path) -> None:
        async with self.fleet(folder) as world:
            a = self.device(folder)
            await a.take()
            foreign(a, f"UPDATE Hydrants SET name='first' WHERE GlobalID='{gid(1)}'")
            await a.sync()
            foreign(
                a,
                f"UPDATE Hydrants SET name='mine' WHERE GlobalID='{gid(2)}'",
                f"UPDATE Pipes SET label='mine' WHERE GlobalID='{gid(2001)}'",
            )
            await dies_without_an_answer(world, a)
            await world.change(HYDRANTS, gid(2), name="office")

    async def _act(self, folder: Path) -> None:
        async with self.fleet(folder) as world:
            await sync_without_hydrants(world, self.device(folder))

    async def _check(self, folder: Path, finished: bool) -> None:
        if not finished:
            return
        async with self.fleet(folder) as world:
            world.devices["A"] = self.device(folder)
            await world.devices["A"].sync()
            assert (await world.rows())[HYDRANTS][gid(2)]["name"] == "office"
            assert (await world.rows())[PIPES][gid(2001)]["label"] == "mine"
            await world.assert_agreed()


@pytest.mark.slow
def test_a_sync_that_leaves_a_layer_out_dies_anywhere(tmp_path: Path) -> None:
    assert kill_at_points(SyncLeavingOut, tmp_path) == ["batch.copied"]


@pytest.mark.parametrize("channel", CHANNELS)
async def test_upload_that_was_begun_when_its_layer_is_left_out_then_the_rest_is_synced(
    world: Fleet, channel: PushChannel, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, size in (("MIN_BYTES", 1000), ("START_BYTES", 4000), ("MAX_BYTES", 4000)):
        monkeypatch.setattr(batch_sizer, name, size)
    a = await world.device("A", channel=channel)
    async with a.open() as geodatabase:
        hydrants = geodatabase.table(HYDRANTS)
        await hydrants.add_attachment(gid(1), "new.jpg", "image/jpeg", b"photo" * 6000)
    lost = Fault(kind="drop-before-commit", operation="uploadPart", skip=3, times=0)
    world.server.faults.add(lost)
    with pytest.raises(LinkError):
        await a.sync()
    world.server.faults.clear()
    foreign(a, f"UPDATE Pipes SET label='mine' WHERE GlobalID='{gid(2001)}'")

    await sync_without_hydrants(world, a)

    assert (await world.rows())[PIPES][gid(2001)]["label"] == "mine"
    await a.sync()
    assert "new.jpg" in [name for _, name, _, _ in world.attachments().values()]
    await world.assert_agreed()
