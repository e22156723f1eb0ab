"""A row that was emptied when our update of it was sent: by the service, or by somebody else."""

import json
from contextlib import suppress
from pathlib import Path

import pytest

from engine import faults
from engine.errors import LinkError
from engine.geodatabase.layer_table import LayerTable
from engine.sync.canary_rows import Attributes
from engine.sync.parameters import PushChannel
from engine.sync.partial_updates import PartialUpdates
from tests.engine.sync.fleet import HYDRANTS, VISITS, Device, Fleet, edit_inside, fleet, gid
from tests.engine.sync.loose_visits import loose
from tests.engine.sync.test_edits_meanwhile import CHANNELS, foreign
from tests.engine.sync.test_lost_answers import link_dies_at
from tests.engine.sync.test_partial_updates import CLEARING
from tests.feature_service import Fault

KEPT = ("name", "status", "pressure", "serial")


async def move(world: Fleet, number: int, **attributes: object) -> None:
    """The office moves a hydrant, and sends all else as it is."""
    (feature,) = await world.features(HYDRANTS, f"GlobalID='{gid(number)}'")
    feature["geometry"] |= {"x": 5000.0, "y": 6000.0}
    feature["attributes"] |= attributes
    await world.edit(HYDRANTS, updates=[world.editable(HYDRANTS, feature)])


async def move_without_an_answer(world: Fleet, device: Device) -> None:
    """The device moves a hydrant, which arrives; nobody has looked at its row yet."""
    async with device.open() as geodatabase:
        await geodatabase.table(HYDRANTS).update_feature(gid(2), geometry={"x": 1.5, "y": 2.5})
    operation = device.parameters.push_channel.value
    world.server.faults.add(Fault(kind="drop-after-commit", operation=operation))
    with faults.armed(link_dies_at(world, "batch.reconciling")), pytest.raises(LinkError):
        await device.sync()
    world.server.faults.clear()


@pytest.mark.parametrize("channel", CHANNELS)
@pytest.mark.parametrize("breaks", ["never", "before the other row", "at the other row"])
async def test_canary_of_a_geometry_that_others_moved_before_it_was_found_out_about_is_mended(
    tmp_path: Path, channel: PushChannel, breaks: str
) -> None:
    async with fleet(tmp_path, CLEARING) as world:
        a = await world.device("A", channel=channel)
        before = (await world.rows())[HYDRANTS]
        await move_without_an_answer(world, a)
        await move(world, 2)
        if breaks == "before the other row":
            with faults.armed(link_dies_at(world, "canary.doubted")), pytest.raises(LinkError):
                await a.sync()
        elif breaks == "at the other row":
            world.server.faults.add(
                Fault(kind="drop-after-commit", operation=channel.value, times=0)
            )
            with pytest.raises(LinkError):
                await a.sync()
        world.server.faults.clear()

        await a.sync()

        for global_id, row in (await world.rows())[HYDRANTS].items():
            assert {n: row[n] for n in KEPT} == {n: before[global_id][n] for n in KEPT}
        await world.assert_agreed()


async def test_row_that_others_moved_and_emptied_when_it_was_sent_stays_empty(world: Fleet) -> None:
    a = await world.device("A", channel=PushChannel.APPLY_EDITS)
    before = (await world.rows())[HYDRANTS]
    await move_without_an_answer(world, a)
    await move(world, 2, name=None, status=None, pressure=None, checked=None)

    await a.sync()

    rows = (await world.rows())[HYDRANTS]
    row = rows.pop(gid(2))
    assert (row["name"], row["status"], row["pressure"]) == (None, None, None)
    for global_id, row in rows.items():
        assert {n: row[n] for n in KEPT} == {n: before[global_id][n] for n in KEPT}


@pytest.mark.parametrize("times", [1, 2, 3])
async def test_row_whose_parent_goes_while_it_is_tried_keeps_what_was_tried(
    tmp_path: Path, times: int
) -> None:
    async with loose(tmp_path, CLEARING) as world:
        a = await world.device("A", channel=PushChannel.APPLY_EDITS)
        foreign(a, f"UPDATE Visits SET note='mine' WHERE GlobalID='{gid(1001)}'")
        lost = Fault(kind="drop-after-commit", operation="applyEdits", times=times)
        world.server.faults.add(lost)
        with suppress(LinkError):
            await a.sync()
        world.server.faults.clear()
        await world.edit(HYDRANTS, deletes=[gid(1)])

        await a.sync()

        assert (await world.rows())[VISITS][gid(1001)]["note"] == "mine"
        await a.sync()
        await world.assert_agreed()


async def test_another_row_shows_it_if_the_first_one_is_deleted_meanwhile(tmp_path: Path) -> None:
    async with fleet(tmp_path, CLEARING) as world:
        a = await world.device("A", channel=PushChannel.APPLY_EDITS)
        before = (await world.rows())[HYDRANTS]
        await move_without_an_answer(world, a)
        await move(world, 2)
        with faults.armed(link_dies_at(world, "canary.doubted")), pytest.raises(LinkError):
            await a.sync()
        world.server.faults.clear()
        (note,) = tmp_path.glob("A.gpkg-spool/canary-*.json")
        tried = json.loads(note.read_text())["other_row"]["global_id"]
        await world.edit(HYDRANTS, deletes=[tried])

        await a.sync()

        for global_id, row in (await world.rows())[HYDRANTS].items():
            assert {n: row[n] for n in KEPT} == {n: before[global_id][n] for n in KEPT}
        await world.assert_agreed()


async def test_row_that_is_deleted_as_it_is_tried_shows_nothing(
    world: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    a = await world.device("A", channel=PushChannel.APPLY_EDITS)
    await move_without_an_answer(world, a)
    await move(world, 2, name=None, status=None, pressure=None, checked=None)
    update = PartialUpdates._update

    async def update_and_delete(
        self: PartialUpdates, table: LayerTable, attributes: Attributes, global_id: str
    ) -> None:
        await update(self, table, attributes, global_id)
        if global_id != gid(2):
            edit_inside(world.inside, HYDRANTS, {"deletes": [global_id]})

    monkeypatch.setattr(PartialUpdates, "_update", update_and_delete)

    await a.sync()

    row = (await world.rows())[HYDRANTS][gid(2)]
    assert (row["name"], row["status"], row["pressure"]) == (None, None, None)
