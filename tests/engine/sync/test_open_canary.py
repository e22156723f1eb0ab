"""An update that was watched, and that only a later sync can judge."""

from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from engine import faults
from engine.errors import LinkError
from engine.model import SyncDirection
from engine.sync.parameters import PushChannel, SyncLayerOption
from tests.engine.sync.carrying import export, push
from tests.engine.sync.fleet import (
    HYDRANTS,
    VISITS,
    Device,
    Fleet,
    edit_inside,
    fleet,
    found,
    gid,
)
from tests.engine.sync.test_edits_meanwhile import foreign
from tests.engine.sync.test_lost_answers import link_dies_at
from tests.engine.sync.test_partial_updates import CLEARING, SYNCHRONIZE
from tests.feature_service import Fault
from tests.feature_service.mishap import change_schema


async def sent_unjudged(world: Fleet, device: Device, change: str) -> None:
    """Change a hydrant; the update arrives, and the link dies before anybody looks at its row."""
    foreign(device, f"UPDATE Hydrants SET {change} WHERE GlobalID='{gid(2)}'")
    with faults.armed(link_dies_at(world, "batch.fetched")), pytest.raises(LinkError):
        await device.sync()
    world.server.faults.clear()


async def test_row_is_mended_by_the_next_upload_if_it_is_found_out_about_by_a_download(
    tmp_path: Path,
) -> None:
    async with fleet(tmp_path, replace(CLEARING, sync_models="perLayer")) as world:
        a = await world.device("A", channel=SYNCHRONIZE)
        await sent_unjudged(world, a, "name='mine'")
        await a.sync(geodatabase_sync_direction=SyncDirection.DOWNLOAD)
        await a.sync(geodatabase_sync_direction=SyncDirection.DOWNLOAD)

        await a.sync()

        row = (await world.rows())[HYDRANTS][gid(2)]
        assert (row["name"], row["status"], row["pressure"]) == ("mine", 1, 1.0)
        await world.assert_agreed()


@pytest.mark.parametrize(
    "then",
    [{"push_channel": PushChannel.SYNCHRONIZE_REPLICA}, {"push_channel": PushChannel.APPLY_EDITS}],
    ids=["same", "other"],
)
@pytest.mark.parametrize("is_left_out", [False, True])
async def test_canary_without_an_answer_is_judged_later_and_through_the_other_channel_as_well(
    tmp_path: Path, then: dict[str, PushChannel], is_left_out: bool
) -> None:
    """Its layer takes no part in the next sync, which has another row to find out with."""
    async with fleet(tmp_path, replace(CLEARING, sync_models="perLayer")) as world:
        a = await world.device("A", channel=SYNCHRONIZE)
        await sent_unjudged(world, a, "name='mine'")
        if is_left_out:
            foreign(a, f"UPDATE Visits SET note='mine' WHERE GlobalID='{gid(1001)}'")
            visits = SyncLayerOption(layer_id=VISITS, sync_direction=SyncDirection.UPLOAD)
            await a.sync(layer_options=[visits], **then)
        await world.change(HYDRANTS, gid(2), name="office")

        await a.sync(**then)

        rows = await world.rows()
        row = rows[HYDRANTS][gid(2)]
        assert (row["name"], row["status"], row["pressure"]) == ("office", 1, 1.0)
        assert rows[VISITS][gid(1001)]["hydrant"] == gid(1)
        await world.assert_agreed()


async def test_row_of_which_a_field_was_closed_meanwhile_is_mended_without_it(
    tmp_path: Path,
) -> None:
    async with fleet(tmp_path, CLEARING) as world:
        a = await world.device("A")
        await sent_unjudged(world, a, "name='mine'")
        change_schema(
            world.inside, {"layer": HYDRANTS, "field": "pressure", "set": {"editable": False}}
        )

        await a.sync()

        row = (await world.rows())[HYDRANTS][gid(2)]
        assert (row["name"], row["status"]) == ("mine", 1)
        assert not any((await a.pending()).values())


@pytest.mark.parametrize("skip", range(2))
async def test_row_that_was_mended_without_an_answer_is_read_again(
    tmp_path: Path, skip: int
) -> None:
    """A download was told of the row while it was empty; of the device's own mending none tells."""
    async with fleet(tmp_path, CLEARING) as world:
        a = await world.device("A", channel=SYNCHRONIZE)
        await sent_unjudged(world, a, "name='mine'")
        for name in ("one", "two"):
            await world.change(HYDRANTS, gid(3), name=name)  # so that there is a download
            await a.sync(geodatabase_sync_direction=SyncDirection.DOWNLOAD)
        lost = Fault(kind="drop-after-commit", operation="synchronizeReplica", skip=skip)
        world.server.faults.add(lost)
        with suppress(LinkError):
            await a.sync()
        world.server.faults.clear()

        await a.sync()

        row = (await world.rows())[HYDRANTS][gid(2)]
        assert (row["name"], row["status"], row["pressure"]) == ("mine", 1, 1.0)
        await world.assert_agreed()


async def test_refused_canary_is_not_judged_by_what_others_make_of_its_row(tmp_path: Path) -> None:
    async with fleet(tmp_path, replace(CLEARING, one_bad_edit_refuses_all=True)) as world:
        a = await world.device("A", channel=SYNCHRONIZE)
        foreign(a, f"UPDATE Hydrants SET name='{21 * 'x'}' WHERE GlobalID='{gid(2)}'")
        result = await a.sync()
        assert found(result).quarantined == 1
        await world.change(HYDRANTS, gid(2), status=None, pressure=None)
        emptied = (await world.rows())[HYDRANTS][gid(2)]

        await a.sync()

        assert (await world.rows())[HYDRANTS][gid(2)] == emptied


async def test_row_that_was_deleted_and_added_again_is_not_mended(tmp_path: Path) -> None:
    async with fleet(tmp_path, CLEARING) as world:
        a = await world.device("A", channel=SYNCHRONIZE)
        await sent_unjudged(world, a, "name='mine'")
        await world.edit(HYDRANTS, deletes=[gid(2)])
        again = {"GlobalID": gid(2), "serial": 7, "name": "again"}
        await world.edit(HYDRANTS, adds=[{"attributes": again, "geometry": {"x": 5, "y": 6}}])

        await a.sync()

        row = (await world.rows())[HYDRANTS][gid(2)]
        assert (row["name"], row["serial"], row["pressure"]) == ("again", 7, None)


@pytest.mark.parametrize("is_asked_later", [False, True])
async def test_canary_that_was_answered_with_a_refusal_leaves_to_others_what_they_emptied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_asked_later: bool
) -> None:
    monkeypatch.setattr("engine.sync.channels.ASYNC_BYTES", 0)
    async with fleet(tmp_path, CLEARING) as world:
        a = await world.device("A", channel=SYNCHRONIZE)
        foreign(a, f"UPDATE Hydrants SET name='{21 * 'x'}' WHERE GlobalID='{gid(2)}'")
        emptied = {"GlobalID": gid(2), "name": "office", "status": None, "pressure": None}

        def office(name: str) -> None:
            if name == "canary.noted":
                edit_inside(world.inside, HYDRANTS, {"updates": [{"attributes": emptied}]})

        if is_asked_later:
            with faults.armed(link_dies_at(world, "batch.submitted")), suppress(LinkError):
                await a.sync()
            world.server.faults.clear()
            office("canary.noted")
            await a.sync()
        else:
            with faults.armed(office):
                await a.sync()

        row = (await world.rows())[HYDRANTS][gid(2)]
        assert (row["name"], row["status"], row["pressure"]) == ("office", None, None)


@pytest.mark.parametrize("refuses_all", [False, True])
async def test_row_that_cannot_be_mended_keeps_no_edit_waiting(
    tmp_path: Path, refuses_all: bool
) -> None:
    """Its values are not allowed any more; they are sent again by each sync."""
    profile = replace(CLEARING, one_bad_edit_refuses_all=refuses_all)
    async with fleet(tmp_path, profile) as world:
        a = await world.device("A", channel=SYNCHRONIZE)
        await sent_unjudged(world, a, "pressure=3.5")
        change_schema(world.inside, {"layer": HYDRANTS, "field": "name", "set": {"length": 1}})
        foreign(a, f"UPDATE Visits SET note='mine' WHERE GlobalID='{gid(1001)}'")

        await a.sync()

        told = [m for m in a.messages if "could not be mended" in m]
        assert told
        assert (await world.rows())[VISITS][gid(1001)]["note"] == "mine"
        change_schema(world.inside, {"layer": HYDRANTS, "field": "name", "set": {"length": 20}})
        await a.sync()
        row = (await world.rows())[HYDRANTS][gid(2)]
        assert (row["name"], row["pressure"]) == ("H2", 3.5)


async def test_row_that_another_machine_is_about_to_mend_is_read_again(tmp_path: Path) -> None:
    """It sends a file of the device through the device's replica, which is not told of that."""
    async with fleet(tmp_path, CLEARING) as world:
        a = await world.device("A", channel=SYNCHRONIZE)
        foreign(a, f"UPDATE Hydrants SET name='mine' WHERE GlobalID='{gid(2)}'")
        await export(a, tmp_path / "A.delta")
        with faults.armed(link_dies_at(world, "batch.fetched")), pytest.raises(LinkError):
            await push(tmp_path / "A.delta", tmp_path / "A.answer", channel=SYNCHRONIZE)
        world.server.faults.clear()
        foreign(a, f"UPDATE Hydrants SET name='newer' WHERE GlobalID='{gid(2)}'")
        await a.sync()
        await push(tmp_path / "A.delta", tmp_path / "A.answer", channel=SYNCHRONIZE)

        await a.sync()

        row = (await world.rows())[HYDRANTS][gid(2)]
        assert (row["name"], row["status"], row["pressure"]) == ("newer", 1, 1.0)
        await world.assert_agreed()
