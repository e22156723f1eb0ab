"""What an open geodatabase tells of its generation, its area and its edits."""

import pytest

from engine.model import SyncModel
from tests.engine.sync.fleet import HYDRANTS, PIPES, Device, Fleet, gid
from tests.engine.sync.test_generate import parameters

AREA = (50.0, 50.0, 650.0, 650.0)


@pytest.mark.parametrize("model", [SyncModel.PER_REPLICA, SyncModel.PER_LAYER])
async def test_server_generation_grows_with_what_was_fetched(
    world: Fleet, model: SyncModel
) -> None:
    a = await world.device("A", model=model)
    async with a.open() as geodatabase:
        before = geodatabase.server_generation
        await world.change(HYDRANTS, gid(1), name="theirs")
        await a.sync_open(geodatabase)
        await geodatabase.refresh()
        after = geodatabase.server_generation

    assert before is not None
    assert after is not None
    assert after >= before
    assert model is SyncModel.PER_LAYER or after > before


async def test_extent_is_the_area_that_was_taken(world: Fleet) -> None:
    a = Device(world.url, world.folder / "A.gpkg", SyncModel.PER_REPLICA)
    await a.take(await parameters(a, AREA))

    async with a.open() as geodatabase:
        extent = geodatabase.generate_geodatabase_extent

    assert extent is not None
    assert (extent.xmin, extent.ymin, extent.xmax, extent.ymax) == AREA


async def test_edits_since_a_sequence_are_those_of_rows_touched_later(world: Fleet) -> None:
    a = await world.device("A")
    async with a.open() as geodatabase:
        hydrants, pipes = geodatabase.table(HYDRANTS), geodatabase.table(PIPES)
        await hydrants.update_feature(gid(1), {"name": "early"})
        seen = await geodatabase.edit_sequence()
        assert await geodatabase.has_local_edits()
        assert not await geodatabase.has_local_edits(since=seen)

        await pipes.update_feature(gid(2001), {"label": "late"})

        assert await geodatabase.has_local_edits(since=seen)
        assert await pipes.has_local_edits(since=seen)
        assert not await hydrants.has_local_edits(since=seen)
        await hydrants.update_feature(gid(1), {"name": "again"})
        assert await hydrants.has_local_edits(since=seen)
