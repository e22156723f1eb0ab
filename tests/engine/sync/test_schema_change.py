"""The layers of the service change under a device that has unsent edits."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from engine.errors import GeodatabaseError, LinkError
from engine.geodatabase.conflicts import ConflictKind, Side
from engine.model import ConflictPolicy
from engine.sync import states
from engine.sync.parameters import PushChannel
from tests.engine.sync.fleet import (
    HYDRANTS,
    PIPES,
    VISITS,
    ZONES,
    Device,
    Fleet,
    fleet,
    gid,
)
from tests.engine.sync.schema_steps import COLOUR, change, edit, name_there
from tests.feature_service import Fault, Faults
from tests.test_feature_service.world import field

STATE = {
    "type": "codedValue",
    "name": "State",
    "codedValues": [{"name": "Open", "code": 1}, {"name": "Gone", "code": 7}],
}


def columns(device: Device, table: str) -> dict[str, str]:
    with closing(sqlite3.connect(device.path)) as connection:
        return dict(connection.execute("SELECT name, type FROM pragma_table_info(?)", (table,)))


# --- a new field ---------------------------------------------------------------------------------


@pytest.mark.parametrize("channel", [PushChannel.APPLY_EDITS, PushChannel.SYNCHRONIZE_REPLICA])
async def test_new_field_when_edits_are_pending_then_both_devices_have_it_and_the_edits(
    world: Fleet, channel: PushChannel
) -> None:
    a, b = await world.device("A", channel=channel), await world.device("B", channel=channel)
    async with a.open() as geodatabase:
        table = geodatabase.table(HYDRANTS)
        await table.update_feature(gid(1), {"name": "mine"})
        await table.add_feature({"GlobalID": gid(5001), "name": "new"}, {"x": 1, "y": 2})
        await table.add_attachment(gid(2), "a.jpg", None, b"data")
        await table.delete_feature(gid(3))
    change(world, HYDRANTS, add=COLOUR)
    await world.change(HYDRANTS, gid(4), colour="blue")

    await a.sync()
    await edit(a, 5, colour="green")
    await a.sync()
    await b.sync()
    await a.sync()

    await world.assert_agreed()
    rows = (await b.rows())[HYDRANTS]
    assert [rows[gid(n)]["colour"] for n in (2, 4, 5)] == ["red", "blue", "green"]
    assert (rows[gid(1)]["name"], rows[gid(5001)]["name"]) == ("mine", "new")
    assert gid(3) not in rows


async def test_new_field_of_an_idle_service_is_noticed_the_next_day(world: Fleet) -> None:
    a = await world.device("A")
    await a.sync()
    change(world, HYDRANTS, add=COLOUR)

    await a.sync()
    assert "colour" not in columns(a, "Hydrants")
    await a.clock.sleep(86_400)
    await a.sync()

    assert (await a.rows())[HYDRANTS][gid(1)]["colour"] == "red"


async def test_new_field_edited_before_its_values_are_here_stays_an_edit(world: Fleet) -> None:
    a = await world.device("A")
    await a.sync()
    change(world, HYDRANTS, add=COLOUR)
    await edit(a, 1, name="mine")
    with pytest.raises(LinkError, match="cut"):
        await stopped_before_filling(a)
    await edit(a, 2, colour="mine too")
    await edit(a, 3, name="other")

    await a.sync()

    await world.assert_agreed()
    rows = (await world.rows())[HYDRANTS]
    assert [rows[gid(n)]["colour"] for n in (1, 2, 3)] == ["red", "mine too", "red"]


async def test_new_field_of_a_row_whose_delete_is_taken_back_has_its_value(world: Fleet) -> None:
    a = await world.device("A")
    await a.sync()
    async with a.open() as geodatabase:
        await geodatabase.table(HYDRANTS).delete_feature(gid(3))
    await world.change(HYDRANTS, gid(3), name="office")
    await a.sync(conflict_policy=ConflictPolicy.MANUAL)
    change(world, HYDRANTS, add=COLOUR)
    await world.change(HYDRANTS, gid(4), name="told")
    await a.sync(conflict_policy=ConflictPolicy.MANUAL)

    async with a.open() as geodatabase:
        (conflict,) = await geodatabase.conflicts()
        await geodatabase.resolve_conflict(conflict.id, Side.THEIRS)
    await a.sync()

    await world.assert_agreed()
    row = (await a.rows())[HYDRANTS][gid(3)]
    assert (row["name"], row["colour"]) == ("office", "red")


async def stopped_before_filling(device: Device) -> None:
    async def stop(_context: object) -> None:
        raise LinkError("cut")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(states, "fill_new_fields", stop)
        await device.sync()


async def test_new_field_when_a_program_added_that_column_then_its_values_are_kept(
    world: Fleet,
) -> None:
    a = await world.device("A")
    with closing(sqlite3.connect(a.path)) as connection:
        connection.execute("ALTER TABLE Hydrants ADD COLUMN Colour TEXT")
        connection.execute("UPDATE Hydrants SET Colour = 'seen'")
        connection.commit()
    change(world, HYDRANTS, add=COLOUR)

    await a.sync()

    with closing(sqlite3.connect(a.path)) as connection:
        found = set(connection.execute("SELECT colour, colour_local FROM Hydrants"))
    assert found == {("red", "seen")}
    assert any("colour_local" in message for message in a.messages)


async def test_new_field_reaches_an_application_that_holds_the_table(world: Fleet) -> None:
    a = await world.device("A")
    change(world, HYDRANTS, add=COLOUR)
    async with a.open() as geodatabase:
        table = geodatabase.table(HYDRANTS)

        await a.sync_open(geodatabase)
        await table.update_feature(gid(1), {"colour": "blue"})

        assert (await table.feature(gid(1))).attributes["colour"] == "blue"
        assert geodatabase.table(HYDRANTS) is table


async def test_new_field_when_another_program_writes_meanwhile_then_its_edit_is_noted(
    world: Fleet,
) -> None:
    a = await world.device("A")
    await a.sync()
    with closing(sqlite3.connect(a.path, isolation_level=None)) as other:
        statement = "UPDATE Hydrants SET name = ? WHERE GlobalID = ?"
        other.execute(statement, ("before", gid(1)))  # prepared, and kept by the connection
        change(world, HYDRANTS, add=COLOUR)
        await a.sync()

        other.execute(statement, ("after", gid(2)))

    assert (await a.pending())["Hydrants"] == 1
    await a.sync()
    await world.assert_agreed()


# --- a field that is gone, or closed -------------------------------------------------------------


async def test_removed_field_when_it_was_edited_then_the_edit_is_kept_and_not_sent(
    world: Fleet,
) -> None:
    a = await world.device("A")
    await edit(a, 1, name="mine", pressure=3.5)
    await edit(a, 2, pressure=4.5)
    change(world, HYDRANTS, remove="pressure")
    await world.change(HYDRANTS, gid(3), name="theirs")

    result = await a.sync()

    assert result.layer(HYDRANTS).downloaded.conflicts == 2
    assert "pressure" not in columns(a, "Hydrants")
    async with a.open() as geodatabase:
        kept = await geodatabase.conflicts()
        assert [(c.kind, c.columns) for c in kept] == [
            (ConflictKind.FIELD_CLOSED, ("pressure",))
        ] * 2
        assert [(c.base or {})["pressure"] for c in kept] == [0.5, 1.0]
        assert [(c.mine or {})["pressure"] for c in kept] == [3.5, 4.5]
        await geodatabase.resolve_conflict(kept[0].id, Side.THEIRS)
        assert len(await geodatabase.conflicts()) == 1
    await world.assert_agreed()


async def test_removed_field_when_an_own_row_has_a_value_then_that_is_kept(world: Fleet) -> None:
    a = await world.device("A")
    async with a.open() as geodatabase:
        table = geodatabase.table(HYDRANTS)
        await table.add_feature({"GlobalID": gid(5001), "pressure": 2.5}, {"x": 1, "y": 2})
        await table.add_feature({"GlobalID": gid(5002), "name": "plain"}, {"x": 1, "y": 2})
    change(world, HYDRANTS, remove="pressure")

    await a.sync()

    async with a.open() as geodatabase:
        (kept,) = await geodatabase.conflicts()
    assert (kept.global_id, (kept.mine or {})["pressure"]) == (gid(5001), 2.5)
    await world.assert_agreed()


async def test_removed_field_when_it_comes_back_then_my_value_can_be_taken(world: Fleet) -> None:
    a = await world.device("A")
    await edit(a, 1, pressure=3.5)
    change(world, HYDRANTS, remove="pressure")
    await a.sync()
    change(world, HYDRANTS, add=field("pressure", "Double"))
    await world.change(HYDRANTS, gid(2), name="something new")
    await a.sync()
    async with a.open() as geodatabase:
        (kept,) = await geodatabase.conflicts()

        await geodatabase.resolve_conflict(kept.id, Side.MINE)

    await a.sync()
    assert (await world.rows())[HYDRANTS][gid(1)]["pressure"] == 3.5
    await world.assert_agreed()


async def test_removed_field_when_an_edit_of_it_is_in_flight_then_the_rest_of_it_is_settled(
    tmp_path: Path,
) -> None:
    lost = Fault(kind="drop-before-commit", operation="applyEdits", times=9)
    async with fleet(tmp_path, faults=(faults := Faults([lost]))) as world:
        a = await world.device("A")
        await edit(a, 1, name="mine", pressure=3.5)
        with pytest.raises(LinkError):
            await a.sync()
        faults.clear()
        change(world, HYDRANTS, remove="pressure")

        await a.sync()

        await world.assert_agreed()
        assert await name_there(world, 1) == "mine"
        async with a.open() as geodatabase:
            (kept,) = await geodatabase.conflicts()
        assert (kept.mine or {})["pressure"] == 3.5


async def test_removed_key_field_ends_the_relationship(world: Fleet) -> None:
    a = await world.device("A")
    change(
        world,
        VISITS,
        remove="hydrant",
        members={"relationships": []},
    )
    await edit(a, 1001, VISITS, note="mine")

    await a.sync()

    await world.assert_agreed()
    with closing(sqlite3.connect(a.path)) as connection:
        views = connection.execute("SELECT mapping_table_name FROM gpkgext_relations").fetchall()
    assert views == [("fieldsync_relation_0_attachments",)]


async def test_closed_field_when_it_was_edited_then_the_edit_is_kept_and_the_rest_sent(
    world: Fleet,
) -> None:
    a = await world.device("A")
    await edit(a, 1, name="mine", pressure=3.5)
    change(world, HYDRANTS, field="pressure", set={"editable": False})

    await a.sync()

    async with a.open() as geodatabase:
        (kept,) = await geodatabase.conflicts()
    assert (kept.mine or {})["pressure"] == 3.5
    row = (await world.rows())[HYDRANTS][gid(1)]
    assert (row["name"], row["pressure"]) == ("mine", 0.5)
    await world.assert_agreed()


async def test_removed_field_that_a_view_needs_stays_but_is_no_part_of_the_layer(
    world: Fleet,
) -> None:
    a = await world.device("A")
    with closing(sqlite3.connect(a.path)) as connection:
        connection.execute("CREATE VIEW pressures AS SELECT fid, pressure FROM Hydrants")
    change(world, HYDRANTS, remove="pressure")
    await edit(a, 1, name="mine")

    await a.sync()

    with closing(sqlite3.connect(a.path)) as connection:
        connection.execute("UPDATE Hydrants SET pressure = 9")
        connection.commit()
    await world.assert_agreed()


# --- other changes a table can follow ------------------------------------------------------------


async def test_wider_field_takes_larger_values_both_ways(world: Fleet) -> None:
    a = await world.device("A")
    await edit(a, 2, serial=7)
    change(world, HYDRANTS, field="serial", set={"type": "esriFieldTypeBigInteger"})
    change(world, HYDRANTS, field="name", set={"length": 40})
    await world.change(HYDRANTS, gid(1), serial=2**40)

    await a.sync()
    await edit(a, 3, serial=2**41, name="a name of more than twenty characters")
    await a.sync()

    await world.assert_agreed()
    kinds = columns(a, "Hydrants")
    assert (kinds["serial"], kinds["name"]) == ("INTEGER", "TEXT(40)")


async def test_changed_domain_and_alias_are_told_to_other_programs(world: Fleet) -> None:
    a = await world.device("A")
    change(world, HYDRANTS, field="status", set={"domain": STATE, "alias": "State"})
    await a.sync()

    await edit(a, 1, status=7)
    await a.sync()
    await world.assert_agreed()
    with closing(sqlite3.connect(a.path)) as connection:
        name, constraint = connection.execute(
            "SELECT name, constraint_name FROM gpkg_data_columns WHERE column_name = 'status'"
        ).fetchone()
        codes = connection.execute(
            "SELECT value FROM gpkg_data_column_constraints WHERE constraint_name = ?",
            (constraint,),
        ).fetchall()
        others = connection.execute(
            "SELECT count(*) FROM gpkg_data_column_constraints WHERE constraint_name = 'Status'"
        ).fetchone()
    assert (name, codes, others) == ("State", [("1",), ("7",)], (0,))


async def test_attachments_switched_on_travel_both_ways(world: Fleet) -> None:
    a = await world.device("A")
    change(world, PIPES, members={"hasAttachments": True})
    await world.edit(PIPES, attachments={"adds": [photo(7001, 2001)]})
    await a.sync()
    async with a.open() as geodatabase:
        table = geodatabase.table(PIPES)
        (theirs,) = await table.attachments(gid(2001))
        data = b"".join([p async for p in table.attachment_data(theirs.global_id)])
        mine = await table.add_attachment(gid(2002), "mine.jpg", None, b"mine")

    await a.sync()

    assert data == b"theirs"
    held = world.inside.attachments(world.inside.layer(PIPES))
    assert mine.global_id in {x.gid for x in held._all("1=1")}


def photo(number: int, parent: int) -> dict[str, Any]:
    return {
        "globalId": gid(number),
        "parentGlobalId": gid(parent),
        "name": "a.jpg",
        "contentType": "image/jpeg",
        "data": "dGhlaXJz",
    }


async def test_abilities_taken_away_are_refused_at_the_next_edit(world: Fleet) -> None:
    a = await world.device("A")
    change(world, HYDRANTS, members={"capabilities": "Query,Sync,Create"})
    await a.sync()

    with (
        closing(sqlite3.connect(a.path)) as connection,
        pytest.raises(sqlite3.IntegrityError, match="allows no changed rows"),
    ):
        connection.execute("UPDATE Hydrants SET name = 'no'")


async def test_pending_edit_that_is_not_allowed_any_more_is_set_aside_with_the_reason(
    world: Fleet,
) -> None:
    a = await world.device("A")
    await edit(a, 1, name="mine")
    async with a.open() as geodatabase:
        await geodatabase.table(HYDRANTS).add_feature({"name": "new"}, {"x": 1, "y": 2})
    change(world, HYDRANTS, members={"capabilities": "Query,Sync,Create"})

    result = await a.sync()

    counts = result.layer(HYDRANTS).uploaded
    assert (counts.found, counts.applied, counts.quarantined) == (2, 1, 1)
    async with a.open() as geodatabase:
        (refused,) = await geodatabase.quarantine()
    assert refused.global_id == gid(1)
    assert refused.reason


async def test_layer_that_takes_edits_now_can_be_written_by_any_program(world: Fleet) -> None:
    a = await world.device("A")
    change(world, ZONES, members={"capabilities": "Query,Sync,Create,Update,Delete,Editing"})
    with closing(sqlite3.connect(a.path)) as connection:
        with pytest.raises(sqlite3.Error):
            connection.execute("UPDATE Zones SET weight = 2.5")
        connection.rollback()

    await a.sync()
    with closing(sqlite3.connect(a.path)) as connection:
        connection.execute("UPDATE Zones SET weight = 2.5")
        connection.commit()
    await a.sync()

    await world.assert_agreed()
    assert (await world.rows())[ZONES][gid(3001)]["weight"] == 2.5


async def test_application_of_another_process_is_told_that_the_table_was_changed(
    world: Fleet,
) -> None:
    a = await world.device("A")
    async with a.open() as other:
        table = other.table(HYDRANTS)
        change(world, HYDRANTS, remove="pressure")
        await a.sync()

        with pytest.raises(GeodatabaseError, match="changed by a sync") as caught:
            await table.update_feature(gid(1), {"pressure": 1.5})
        assert "refresh" in caught.value.remedy
        await other.refresh()

        assert (await table.update_feature(gid(1), {"name": "mine"})).attributes["name"] == "mine"
    await a.sync()
    await world.assert_agreed()
