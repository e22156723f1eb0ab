"""A service that clears what an update leaves out is found out by one row, which is mended."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from engine import faults
from engine.errors import LinkError
from engine.geodatabase.change_log import Edit
from engine.sync.batches import Batch
from engine.sync.canary_rows import Attributes
from engine.sync.case import Key
from engine.sync.parameters import PushChannel
from engine.sync.partial_updates import PartialUpdates
from tests.engine.sync.fleet import HYDRANTS, VISITS, Fleet, edit_inside, fleet, gid
from tests.engine.sync.test_edits_meanwhile import CHANNELS, foreign
from tests.engine.sync.test_lost_answers import link_dies_at
from tests.feature_service import Fault, Profile
from tests.feature_service.rows import Stamp

CLEARING = Profile(nulls_omitted_attributes=True)


@pytest.mark.parametrize("channel", CHANNELS)
async def test_no_attribute_is_lost(tmp_path: Path, channel: PushChannel) -> None:
    async with fleet(tmp_path, CLEARING) as world:
        a = await world.device("A", channel=channel)
        before = (await world.rows())[HYDRANTS]
        foreign(a, "UPDATE Hydrants SET name='mine'")

        await a.sync()

        after = (await world.rows())[HYDRANTS]
        for global_id, row in before.items():
            kept = ("status", "pressure", "serial", "")
            assert {n: after[global_id][n] for n in kept} == {n: row[n] for n in kept}
            assert after[global_id]["name"] == "mine"
        await world.assert_agreed()


@pytest.mark.parametrize("channel", CHANNELS)
async def test_only_one_row_is_ever_tried(tmp_path: Path, channel: PushChannel) -> None:
    async with fleet(tmp_path, CLEARING) as world:
        a = await world.device("A", channel=channel)
        foreign(a, "UPDATE Hydrants SET name='mine'")
        await a.sync()
        told = [m for m in a.messages if "clears attributes" in m]

        foreign(a, "UPDATE Hydrants SET name='again'")
        await a.sync()

        assert len(told) == 1
        assert not [m for m in a.messages if "clears attributes" in m]
        await world.assert_agreed()


async def test_newer_values_of_others_are_carried_in_whole_rows(tmp_path: Path) -> None:
    async with fleet(tmp_path, CLEARING) as world:
        a = await world.device("A")
        foreign(a, f"UPDATE Hydrants SET name='first' WHERE GlobalID='{gid(1)}'")
        await a.sync()
        await world.change(HYDRANTS, gid(2), serial=4711)
        foreign(a, f"UPDATE Hydrants SET name='mine' WHERE GlobalID='{gid(2)}'")

        await a.sync()

        row = (await world.rows())[HYDRANTS][gid(2)]
        assert (row["name"], row["serial"]) == ("mine", 4711)


@pytest.mark.parametrize("is_known", [False, True])
async def test_row_that_cannot_be_understood_is_not_cleared(tmp_path: Path, is_known: bool) -> None:
    async with fleet(tmp_path, CLEARING) as world:
        a = await world.device("A")
        if is_known:
            foreign(a, f"UPDATE Hydrants SET name='first' WHERE GlobalID='{gid(1)}'")
            await a.sync()
        rows = world.inside.rows(world.inside.layer(HYDRANTS))
        spoiled = rows.by_gid(gid(2))
        with world.inside.store.transaction():
            stamp = Stamp(generation=world.inside.store.next_generation(0), origin="")
            values = {**spoiled.values, "serial": "not a number"}
            rows.update(spoiled, values, json.loads(spoiled.shape), stamp, moved=False)
        foreign(a, f"UPDATE Hydrants SET name='mine' WHERE GlobalID='{gid(2)}'")

        await a.sync()

        row = (await world.rows())[HYDRANTS][gid(2)]
        assert (row["name"], row["status"], row["pressure"]) == ("mine", 1, 1.0)


async def test_all_or_nothing_loses_no_attribute(tmp_path: Path) -> None:
    async with fleet(tmp_path, CLEARING) as world:
        a = await world.device("A")
        foreign(a, "UPDATE Hydrants SET name='mine'")

        await a.sync(rollback_on_failure=True)

        rows = (await world.rows())[HYDRANTS]
        assert {r["serial"] for r in rows.values()} == set(range(1, 10))
        assert {r["name"] for r in rows.values()} == {"mine"}


async def test_all_or_nothing_goes_on_if_the_service_does_not_take_what_finds_out(
    world: Fleet,
) -> None:
    a = await world.device("A", channel=PushChannel.APPLY_EDITS)
    foreign(a, f"UPDATE Hydrants SET name='mine' WHERE GlobalID='{gid(1)}'")
    world.server.faults.add(Fault(kind="status", operation="applyEdits", status=400))

    await a.sync(rollback_on_failure=True)

    row = (await world.rows())[HYDRANTS][gid(1)]
    assert (row["name"], row["status"]) == ("mine", 2)
    assert not any((await a.pending()).values())


async def test_all_or_nothing_asks_for_rows_together_if_none_can_prove_it(world: Fleet) -> None:
    full = {"name": "H", "status": 1, "pressure": 1.5, "serial": 1, "checked": 0}
    for number in range(1, 10):
        await world.change(HYDRANTS, gid(number), **full)
    a = await world.device("A")
    foreign(a, "UPDATE Hydrants SET name='mine'")
    world.server.log.clear()

    await a.sync(rollback_on_failure=True)

    assert world.server.log.count("query") == 2  # before the call and after it
    await world.assert_agreed()


@pytest.mark.parametrize("channel", CHANNELS)
async def test_all_or_nothing_does_not_write_over_what_others_do_just_then(
    world: Fleet, monkeypatch: pytest.MonkeyPatch, channel: PushChannel
) -> None:
    a = await world.device("A", channel=channel)
    foreign(a, f"UPDATE Hydrants SET name='mine' WHERE GlobalID='{gid(1)}'")
    whole_rows = PartialUpdates.whole_rows

    async def read_and_be_overtaken(
        self: PartialUpdates, edits: Sequence[Edit]
    ) -> Mapping[Key, Attributes]:
        rows = await whole_rows(self, edits)
        theirs = {"GlobalID": gid(1), "pressure": 7.5, "serial": 99}
        edit_inside(world.inside, HYDRANTS, {"updates": [{"attributes": theirs}]})
        return rows

    monkeypatch.setattr(PartialUpdates, "whole_rows", read_and_be_overtaken)

    await a.sync(rollback_on_failure=True)

    row = (await world.rows())[HYDRANTS][gid(1)]
    assert (row["name"], row["pressure"], row["serial"]) == ("mine", 7.5, 99)
    monkeypatch.undo()
    await a.sync()
    await world.assert_agreed()


async def test_service_that_keeps_them_gets_changed_columns_only(tmp_path: Path) -> None:
    async with fleet(tmp_path) as world:
        a = await world.device("A")
        foreign(a, "UPDATE Hydrants SET name='mine'")
        first = await a.sync()
        foreign(a, "UPDATE Hydrants SET name='again'")

        second = await a.sync()

        assert second.totals.sent_bytes < first.totals.sent_bytes
        await world.assert_agreed()


async def test_values_that_others_emptied_meanwhile_are_not_brought_back(world: Fleet) -> None:
    b = await world.device("B")
    foreign(b, f"UPDATE Hydrants SET serial=77 WHERE GlobalID='{gid(1)}'")
    with faults.armed(link_dies_at(world, "canary.noted")), pytest.raises(LinkError):
        await b.sync()
    world.server.faults.clear()
    await world.change(HYDRANTS, gid(1), name="office", pressure=None)

    await b.sync()

    row = (await world.rows())[HYDRANTS][gid(1)]
    assert (row["name"], row["pressure"], row["serial"]) == ("office", None, 77)
    assert not [m for m in b.messages if "clears attributes" in m]


async def test_row_that_is_emptied_here_before_it_is_sent_stays_empty(
    world: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    a = await world.device("A")
    foreign(a, f"UPDATE Hydrants SET name='mine' WHERE GlobalID='{gid(1)}'")
    watch = PartialUpdates.watch

    async def watch_and_empty(self: PartialUpdates, edit: Edit) -> bool:
        is_readable = await watch(self, edit)
        foreign(a, f"UPDATE Hydrants SET status=NULL,pressure=NULL WHERE GlobalID='{gid(1)}'")
        return is_readable

    monkeypatch.setattr(PartialUpdates, "watch", watch_and_empty)

    await a.sync()

    row = (await world.rows())[HYDRANTS][gid(1)]
    assert (row["name"], row["status"], row["pressure"]) == ("mine", None, None)
    assert not [m for m in a.messages if "clears attributes" in m]


async def test_row_that_others_emptied_after_a_canary_that_never_arrived_stays_empty(
    world: Fleet,
) -> None:
    b = await world.device("B")
    foreign(b, f"UPDATE Hydrants SET serial=77,pressure=NULL WHERE GlobalID='{gid(1)}'")
    with faults.armed(link_dies_at(world, "canary.noted")), pytest.raises(LinkError):
        await b.sync()
    world.server.faults.clear()
    await world.change(HYDRANTS, gid(1), name=None, status=None, pressure=None)

    await b.sync()

    row = (await world.rows())[HYDRANTS][gid(1)]
    assert (row["name"], row["status"], row["serial"]) == (None, None, 77)


@pytest.mark.parametrize("channel", CHANNELS)
async def test_key_that_was_emptied_with_the_delete_of_its_parent_is_not_brought_back(
    world: Fleet, monkeypatch: pytest.MonkeyPatch, channel: PushChannel
) -> None:
    a = await world.device("A", channel=channel)
    # Beside its note a visit has only the key of its hydrant.
    foreign(a, f"UPDATE Visits SET note='mine' WHERE GlobalID='{gid(1001)}'")
    watch = PartialUpdates.watch

    async def watch_and_delete_parent(self: PartialUpdates, edit: Edit) -> bool:
        is_readable = await watch(self, edit)
        await world.change(VISITS, gid(1001), hydrant=None)
        await world.edit(HYDRANTS, deletes=[gid(1)])
        return is_readable

    monkeypatch.setattr(PartialUpdates, "watch", watch_and_delete_parent)

    await a.sync()

    row = (await world.rows())[VISITS][gid(1001)]
    assert (row["note"], row["hydrant"]) == ("mine", None)
    assert not [m for m in a.messages if "clears attributes" in m]


@pytest.mark.parametrize("channel", CHANNELS)
async def test_key_of_a_parent_that_is_there_is_mended(
    tmp_path: Path, channel: PushChannel
) -> None:
    async with fleet(tmp_path, CLEARING) as world:
        a = await world.device("A", channel=channel)
        foreign(a, f"UPDATE Visits SET note='mine' WHERE GlobalID='{gid(1001)}'")

        await a.sync()

        row = (await world.rows())[VISITS][gid(1001)]
        assert (row["note"], row["hydrant"]) == ("mine", gid(1))
        await world.assert_agreed()


@pytest.mark.parametrize("channel", CHANNELS)
async def test_row_that_others_emptied_just_when_it_was_sent_stays_empty(
    world: Fleet, monkeypatch: pytest.MonkeyPatch, channel: PushChannel
) -> None:
    b = await world.device("B", channel=channel)
    foreign(b, f"UPDATE Hydrants SET name='mine' WHERE GlobalID='{gid(1)}'")
    note = PartialUpdates.note

    async def note_and_empty(self: PartialUpdates, batch: Batch) -> None:
        await note(self, batch)
        edit_inside(world.inside, HYDRANTS, {"updates": [{"attributes": emptied}]})

    nullable = ["name", "status", "pressure", "checked"]
    emptied = {"GlobalID": gid(1), **dict.fromkeys(nullable)}
    monkeypatch.setattr(PartialUpdates, "note", note_and_empty)

    await b.sync()

    row = (await world.rows())[HYDRANTS][gid(1)]
    assert {n: row[n] for n in nullable} == {**dict.fromkeys(nullable), "name": "mine"}
    assert not [m for m in b.messages if "clears attributes" in m]
    await world.assert_agreed()


@pytest.mark.parametrize("channel", CHANNELS)
async def test_canary_is_judged_when_the_layer_of_its_parent_takes_no_part(
    tmp_path: Path, channel: PushChannel
) -> None:
    async with fleet(tmp_path, CLEARING) as world:
        a = await world.device("A", channel=channel)
        foreign(a, f"UPDATE Visits SET note='mine' WHERE GlobalID='{gid(1001)}'")
        # All layers at once, then the hydrants alone.
        world.server.faults.add(Fault(kind="expired-result", operation="layers"))
        world.server.faults.add(Fault(kind="expired-result", operation="layer"))

        result = await a.sync()

        assert [one.layer_id for one in result.layer_results if one.error] == [HYDRANTS]
        row = (await world.rows())[VISITS][gid(1001)]
        assert (row["note"], row["hydrant"]) == ("mine", gid(1))
        await a.sync()
        await world.assert_agreed()


SILENT = replace(CLEARING, results_place="none")
SYNCHRONIZE = PushChannel.SYNCHRONIZE_REPLICA


async def test_update_of_a_geometry_alone_shows_it_without_results(tmp_path: Path) -> None:
    async with fleet(tmp_path, SILENT) as world:
        a = await world.device("A", channel=SYNCHRONIZE)
        async with a.open() as geodatabase:
            hydrants = geodatabase.table(HYDRANTS)
            await hydrants.update_feature(gid(2), geometry={"x": 1.5, "y": 2.5})

        await a.sync()

        row = (await world.rows())[HYDRANTS][gid(2)]
        assert (row["name"], row["status"], row[""]) == ("H2", 1, [1.5, 2.5])
        await world.assert_agreed()


async def test_partial_updates_go_alone_until_one_has_shown_it(tmp_path: Path) -> None:
    async with fleet(tmp_path, SILENT) as world:
        a = await world.device("A", channel=SYNCHRONIZE)
        # The first could not show whether it arrived: what it sends is empty.
        foreign(
            a,
            f"UPDATE Hydrants SET pressure=NULL WHERE GlobalID='{gid(1)}'",
            f"UPDATE Hydrants SET name='mine' WHERE GlobalID='{gid(2)}'",
            f"UPDATE Visits SET note='mine' WHERE GlobalID='{gid(1003)}'",
        )

        await a.sync()

        rows = await world.rows()
        assert (rows[HYDRANTS][gid(2)]["name"], rows[HYDRANTS][gid(2)]["status"]) == ("mine", 1)
        row = rows[HYDRANTS][gid(1)]
        assert (row["name"], row["status"], row["pressure"]) == ("H1", 2, None)
        visit = rows[VISITS][gid(1003)]
        assert (visit["note"], visit["hydrant"]) == ("mine", gid(8))


async def test_row_with_nothing_that_could_be_cleared_proves_nothing(tmp_path: Path) -> None:
    async with fleet(tmp_path, CLEARING) as world:
        await world.change(HYDRANTS, gid(1), status=None, pressure=None, checked=None)
        a = await world.device("A")
        foreign(
            a,
            f"UPDATE Hydrants SET name='mine' WHERE GlobalID='{gid(1)}'",
            f"UPDATE Visits SET note='mine' WHERE GlobalID='{gid(1001)}'",
        )

        await a.sync()

        row = (await world.rows())[VISITS][gid(1001)]
        assert (row["note"], row["hydrant"]) == ("mine", gid(1))


async def test_row_that_others_filled_again_in_part_is_mended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with fleet(tmp_path, CLEARING) as world:
        a = await world.device("A")
        async with a.open() as geodatabase:
            hydrants = geodatabase.table(HYDRANTS)
            await hydrants.update_feature(gid(2), geometry={"x": 1.5, "y": 2.5})
        judge = PartialUpdates.judge

        async def fill_and_judge(self: PartialUpdates, *, taken: int | None = None) -> None:
            if taken is not None:
                await world.change(HYDRANTS, gid(2), name="office")
            await judge(self, taken=taken)

        monkeypatch.setattr(PartialUpdates, "judge", fill_and_judge)

        await a.sync()

        row = (await world.rows())[HYDRANTS][gid(2)]
        assert (row["name"], row["status"], row["pressure"]) == ("office", 1, 1.0)
        await world.assert_agreed()


async def test_call_that_is_taken_proves_nothing_of_one_that_was_refused(tmp_path: Path) -> None:
    profile = replace(CLEARING, one_bad_edit_refuses_all=True)
    async with fleet(tmp_path, profile) as world:
        a = await world.device("A", channel=SYNCHRONIZE)
        foreign(
            a,
            f"UPDATE Hydrants SET name='{'x' * 40}' WHERE GlobalID='{gid(1)}'",
            f"INSERT INTO Pipes(GlobalID,label) VALUES('{gid(5001)}','new')",
        )
        await a.sync()
        foreign(a, f"UPDATE Visits SET note='mine' WHERE GlobalID='{gid(1001)}'")

        await a.sync()

        row = (await world.rows())[VISITS][gid(1001)]
        assert (row["note"], row["hydrant"]) == ("mine", gid(1))


async def test_canary_that_others_overwrote_before_it_was_found_out_about_is_mended(
    tmp_path: Path,
) -> None:
    async with fleet(tmp_path, CLEARING) as world:
        a = await world.device("A")
        foreign(a, f"UPDATE Hydrants SET name='mine' WHERE GlobalID='{gid(2)}'")
        # The line dies with the answer.
        world.server.faults.add(Fault(kind="drop-after-commit", operation="applyEdits"))
        with faults.armed(link_dies_at(world, "batch.reconciling")), pytest.raises(LinkError):
            await a.sync()
        world.server.faults.clear()
        await world.change(HYDRANTS, gid(2), name="office")

        await a.sync()

        row = (await world.rows())[HYDRANTS][gid(2)]
        assert (row["name"], row["status"], row["pressure"]) == ("office", 1, 1.0)


async def test_refused_canary_is_not_taken_for_one_that_arrived_by_a_time_of_somebody_else(
    tmp_path: Path,
) -> None:
    """Somebody notes another time of the same hour in the row, at that moment."""
    async with fleet(tmp_path, CLEARING) as world:
        a = await world.device("A")
        foreign(a, f"UPDATE Hydrants SET checked='2024-05-01T12:00:00Z' WHERE GlobalID='{gid(1)}'")
        foreign(a, f"UPDATE Hydrants SET name='{'x' * 25}' WHERE GlobalID='{gid(1)}'")
        foreign(a, f"UPDATE Visits SET note='mine' WHERE GlobalID='{gid(1001)}'")
        (feature,) = await world.features(HYDRANTS, f"GlobalID='{gid(1)}'")
        feature["attributes"]["checked"] = 1714566000000  # 20 minutes past
        update = world.editable(HYDRANTS, feature)

        def office(point: str) -> None:
            if point == "canary.noted":
                edit_inside(world.inside, HYDRANTS, {"updates": [update]})

        with faults.armed(office):
            await a.sync()

        row = (await world.rows())[VISITS][gid(1001)]
        assert (row["note"], row["hydrant"]) == ("mine", gid(1))


async def test_newer_value_of_others_survives_a_proof_that_breaks_off_twice(
    tmp_path: Path,
) -> None:
    async with fleet(tmp_path, CLEARING) as world:
        a = await world.device("A")
        foreign(a, f"UPDATE Hydrants SET name='mine' WHERE GlobalID='{gid(2)}'")
        with faults.armed(link_dies_at(world, "canary.doubted")), pytest.raises(LinkError):
            await a.sync()
        world.server.faults.clear()
        await world.change(HYDRANTS, gid(2), name="office")
        world.server.faults.add(Fault(kind="drop-after-commit", operation="applyEdits"))
        with pytest.raises(LinkError):
            await a.sync()
        world.server.faults.clear()

        await a.sync()

        row = (await world.rows())[HYDRANTS][gid(2)]
        assert (row["name"], row["status"], row["pressure"]) == ("office", 1, 1.0)


async def test_edit_that_came_there_in_another_way_proves_nothing_of_a_canary(
    tmp_path: Path,
) -> None:
    """The first update through one channel never left; the same edit went up whole by another."""
    async with fleet(tmp_path, CLEARING) as world:
        a = await world.device("A", channel=PushChannel.APPLY_EDITS)
        foreign(a, f"UPDATE Hydrants SET name='mine' WHERE GlobalID='{gid(1)}'")
        with faults.armed(link_dies_at(world, "canary.noted")), pytest.raises(LinkError):
            await a.sync()
        world.server.faults.clear()
        await a.sync(push_channel=PushChannel.SYNCHRONIZE_REPLICA)
        foreign(a, f"UPDATE Hydrants SET name='mine, too' WHERE GlobalID='{gid(2)}'")

        await a.sync()

        row = (await world.rows())[HYDRANTS][gid(2)]
        assert (row["name"], row["serial"], row["pressure"]) == ("mine, too", 2, 1.0)
