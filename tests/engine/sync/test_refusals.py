"""Edits and calls that the service refuses: the guilty edits are set aside, the others go up."""

import sqlite3
from pathlib import Path

import pytest

from engine.errors import EditRefusedError, EngineError, ServiceRefusedError
from engine.geodatabase.conflicts import Side
from engine.model import ConflictPolicy
from engine.sync.parameters import PushChannel
from tests.engine.sync.fleet import HYDRANTS, PIPES, VISITS, Device, Fleet, fleet, found, gid
from tests.engine.sync.test_edits_meanwhile import CHANNELS, foreign
from tests.feature_service import Fault, Profile


def bad(device: Device, number: int) -> None:
    """An edit that only the service refuses: a code that its domain does not have."""
    foreign(device, f"UPDATE Hydrants SET status=99 WHERE GlobalID='{gid(number)}'")


async def codes(device: Device) -> dict[str, str]:
    async with device.open() as geodatabase:
        return {q.global_id: q.code for q in await geodatabase.quarantine()}


@pytest.mark.parametrize("refuses_all", [False, True])
@pytest.mark.parametrize("channel", CHANNELS)
async def test_guilty_edits_are_alone_in_quarantine(
    tmp_path: Path, channel: PushChannel, refuses_all: bool
) -> None:
    async with fleet(tmp_path, Profile(one_bad_edit_refuses_all=refuses_all)) as world:
        a = await world.device("A", channel=channel)
        foreign(a, "UPDATE Hydrants SET name='good'")
        bad(a, 2)
        bad(a, 7)

        result = await a.sync()

        assert set(await codes(a)) == {gid(2), gid(7)}
        total = found(result)
        assert (total.found, total.applied, total.quarantined) == (9, 7, 2)
        names = {g: r["name"] for g, r in (await world.rows())[HYDRANTS].items()}
        assert sorted(g for g, n in names.items() if n != "good") == [gid(2), gid(7)]


@pytest.mark.parametrize("channel", CHANNELS)
async def test_lone_guilty_edit_is_set_aside_and_counted_again_by_the_next_sync(
    tmp_path: Path, channel: PushChannel
) -> None:
    async with fleet(tmp_path, Profile(one_bad_edit_refuses_all=True)) as world:
        a = await world.device("A", channel=channel)
        bad(a, 2)

        first, second = await a.sync(), await a.sync()

        assert set(await codes(a)) == {gid(2)}
        assert found(first).quarantined == found(second).quarantined == 1
        assert found(second).found == 1


async def test_corrected_row_is_sent(world: Fleet) -> None:
    a = await world.device("A")
    bad(a, 2)
    await a.sync()
    foreign(a, f"UPDATE Hydrants SET status=2, name='mended' WHERE GlobalID='{gid(2)}'")

    await a.sync()

    assert (await world.rows())[HYDRANTS][gid(2)]["name"] == "mended"
    assert not await codes(a)


@pytest.mark.parametrize("channel", CHANNELS)
async def test_infinity_of_a_foreign_writer_is_set_aside_alone(
    world: Fleet, channel: PushChannel
) -> None:
    a = await world.device("A", channel=channel)
    foreign(a, "UPDATE Hydrants SET name='good'")
    foreign(a, f"UPDATE Hydrants SET pressure=9e999 WHERE GlobalID='{gid(3)}'")

    result = await a.sync()

    assert await codes(a) == {gid(3): "no-wire-form"}
    assert (found(result).applied, found(result).quarantined) == (8, 1)


@pytest.mark.parametrize("channel", CHANNELS)
async def test_geometry_that_is_taken_away_is_empty_on_the_service(
    world: Fleet, channel: PushChannel
) -> None:
    a = await world.device("A", channel=channel)
    foreign(a, f"UPDATE Hydrants SET geom=NULL WHERE GlobalID='{gid(3)}'")
    foreign(a, f"UPDATE Pipes SET geom=NULL WHERE GlobalID='{gid(2001)}'")

    await a.sync()

    (hydrant,) = await world.features(HYDRANTS, f"GlobalID='{gid(3)}'")
    (pipe,) = await world.features(PIPES, f"GlobalID='{gid(2001)}'")
    assert (hydrant["geometry"]["x"], pipe["geometry"]["paths"]) == (None, [])
    assert not any((await a.pending()).values())
    assert not await codes(a)


@pytest.mark.parametrize("channel", CHANNELS)
async def test_geometry_that_the_service_keeps_is_told_as_refused(
    tmp_path: Path, channel: PushChannel
) -> None:
    async with fleet(tmp_path, Profile(empty_geometry="ignored")) as world:
        a = await world.device("A", channel=channel)
        foreign(a, f"UPDATE Hydrants SET geom=NULL, name='mine' WHERE GlobalID='{gid(3)}'")

        result = await a.sync()

        assert set(await codes(a)) == {gid(3)}
        assert found(result).quarantined == 1
        assert (await world.rows())[HYDRANTS][gid(3)]["name"] == "mine"
        assert (await a.rows())[HYDRANTS][gid(3)][""] is None


@pytest.mark.parametrize("channel", CHANNELS)
async def test_rows_that_belong_to_a_refused_row_wait_with_it(
    world: Fleet, channel: PushChannel
) -> None:
    a = await world.device("A", channel=channel)
    parent, child = gid(5001), gid(5002)
    foreign(
        a,
        f"INSERT INTO Hydrants(GlobalID,name,status) VALUES('{parent}','bad',99)",
    )
    async with a.open() as geodatabase:
        await geodatabase.table(VISITS).add_feature({"GlobalID": child, "hydrant": parent})
        await geodatabase.table(HYDRANTS).add_attachment(parent, "a.jpg", None, b"data")
        result = await a.sync_open(geodatabase)

    assert (found(result).quarantined, found(result).held) == (1, 2)
    assert child not in (await world.rows())[VISITS]
    foreign(a, f"UPDATE Hydrants SET status=1 WHERE GlobalID='{parent}'")
    await a.sync()
    await a.sync()
    await world.assert_agreed()
    assert (await world.rows())[VISITS][child]["hydrant"] == parent


@pytest.mark.parametrize("channel", CHANNELS)
async def test_call_that_is_not_taken_leaves_all_edits_pending(
    world: Fleet, channel: PushChannel
) -> None:
    a = await world.device("A", channel=channel)
    foreign(a, "UPDATE Hydrants SET name='mine'")
    operation = channel.value
    refusal = Fault(kind="status", operation=operation, status=400, times=0, skip=0)
    world.server.faults.add(refusal)

    with pytest.raises(ServiceRefusedError):
        await a.sync()

    assert not await codes(a)
    assert (await a.pending())["Hydrants"] == 9
    world.server.faults.clear()
    await a.sync()
    await world.assert_agreed()


@pytest.mark.parametrize("count", [1, 9])
@pytest.mark.parametrize(
    ("channel", "kind"),
    [
        (PushChannel.APPLY_EDITS, "status"),
        (PushChannel.SYNCHRONIZE_REPLICA, "status"),
        (PushChannel.SYNCHRONIZE_REPLICA, "job-failed"),
    ],
)
async def test_call_that_is_refused_for_a_moment_sets_nothing_aside(
    world: Fleet, channel: PushChannel, kind: str, count: int
) -> None:
    a = await world.device("A", channel=channel)
    foreign(a, f"UPDATE Hydrants SET name='mine' WHERE fid<={count}")
    world.server.faults.add(
        Fault(kind=kind, operation=channel.value, status=400)  # type: ignore[arg-type]  # a kind
    )

    result = await a.sync()

    assert not await codes(a)
    assert (found(result).found, found(result).applied) == (count, count)
    await a.sync()
    await world.assert_agreed()


async def test_replica_that_is_gone_while_edits_go_up_sets_nothing_aside(world: Fleet) -> None:
    a = await world.device("A", channel=PushChannel.SYNCHRONIZE_REPLICA)
    foreign(a, "UPDATE Hydrants SET name='mine'")
    gone = Fault(kind="replica-unregistered", operation="synchronizeReplica", skip=1)
    world.server.faults.add(gone)

    result = await a.sync()

    assert not await codes(a)
    assert result.layer(HYDRANTS).uploaded.applied == 9
    await world.assert_agreed()


@pytest.mark.parametrize("channel", CHANNELS)
async def test_all_or_nothing_applies_nothing_and_sets_nothing_aside(
    world: Fleet, channel: PushChannel
) -> None:
    a = await world.device("A", channel=channel)
    foreign(a, "UPDATE Hydrants SET name='good'")
    bad(a, 2)

    with pytest.raises(ServiceRefusedError):
        await a.sync(rollback_on_failure=True)

    assert not await codes(a)
    assert (await a.pending())["Hydrants"] == 9
    assert "good" not in {r["name"] for r in (await world.rows())[HYDRANTS].values()}


@pytest.mark.parametrize("channel", CHANNELS)
async def test_all_or_nothing_sends_rows_and_attachments_in_one_call(
    world: Fleet, channel: PushChannel
) -> None:
    a = await world.device("A", channel=channel)
    async with a.open() as geodatabase:
        table = geodatabase.table(HYDRANTS)
        added = await table.add_feature({"name": "new"}, {"x": 1.0, "y": 2.0})
        await table.add_attachment(added.global_id, "a.jpg", None, b"data")

    calls = len(world.server.log)
    await a.sync(rollback_on_failure=True)

    assert world.server.log[calls:].count(channel.value) == 1
    await a.sync()
    await world.assert_agreed()


async def test_all_or_nothing_names_the_row_that_has_no_wire_form(world: Fleet) -> None:
    a = await world.device("A")
    foreign(a, f"UPDATE Hydrants SET pressure=9e999 WHERE GlobalID='{gid(3)}'")

    with pytest.raises(EditRefusedError, match="000000000003"):
        await a.sync(rollback_on_failure=True)

    assert not await codes(a)


async def test_layer_with_a_damaged_change_log_leaves_the_others_syncing(world: Fleet) -> None:
    a = await world.device("A")
    await world.change(HYDRANTS, gid(4), name="office")
    connection = sqlite3.connect(a.path)
    triggers = connection.execute(
        "SELECT name FROM sqlite_master WHERE type='trigger' AND tbl_name='Visits'"
    ).fetchall()
    connection.execute(f'DROP TRIGGER "{triggers[0][0]}"')
    connection.commit()
    connection.close()
    foreign(a, f"UPDATE Hydrants SET name='mine' WHERE GlobalID='{gid(1)}'")

    result = await a.sync()
    again = await a.sync()

    assert isinstance(result.layer(VISITS).error, EngineError)
    assert result.layer(HYDRANTS).error is None
    assert (await world.rows())[HYDRANTS][gid(1)]["name"] == "mine"
    assert (await a.rows())[HYDRANTS][gid(4)]["name"] == "office"
    # The one generation of all layers waits, so that the damaged layer misses nothing.
    assert again.layer(HYDRANTS).downloaded.unchanged > 0


SILENT = Profile(results_place="none")


async def test_edit_that_a_service_without_results_did_not_take_is_set_aside(
    tmp_path: Path,
) -> None:
    async with fleet(tmp_path, SILENT) as world:
        a = await world.device("A", channel=PushChannel.SYNCHRONIZE_REPLICA)
        foreign(a, "UPDATE Hydrants SET name='good'")
        bad(a, 2)

        result = await a.sync()

        assert await codes(a) == {gid(2): "not-applied"}
        assert (found(result).applied, found(result).quarantined) == (8, 1)


async def test_attachments_go_with_a_row_whose_delete_was_not_answered(tmp_path: Path) -> None:
    async with fleet(tmp_path, SILENT) as world:
        a = await world.device("A", channel=PushChannel.SYNCHRONIZE_REPLICA)
        foreign(a, f"DELETE FROM Hydrants WHERE GlobalID='{gid(1)}'")

        await a.sync()

        assert not world.attachments()
        await world.assert_agreed()


async def test_an_object_id_that_another_program_has_spoiled_stops_no_sync(world: Fleet) -> None:
    a = await world.device("A")
    foreign(a, f"UPDATE Hydrants SET OBJECTID='x' WHERE GlobalID='{gid(1)}'")
    foreign(a, f"UPDATE Hydrants SET name='mine' WHERE GlobalID='{gid(2)}'")

    result = await a.sync()

    assert found(result).applied == 1
    assert (await world.rows())[HYDRANTS][gid(2)]["name"] == "mine"


async def test_refused_row_that_is_taken_back_needs_nobody_any_more(world: Fleet) -> None:
    a = await world.device("A")
    foreign(a, f"INSERT INTO Hydrants(GlobalID,status) VALUES('{gid(5001)}',99)")
    await a.sync()
    assert set(await codes(a)) == {gid(5001)}
    foreign(a, f"DELETE FROM Hydrants WHERE GlobalID='{gid(5001)}'")

    await a.sync()

    assert not await codes(a)


async def test_row_that_went_with_its_parent_does_not_come_back_by_a_decision(
    world: Fleet,
) -> None:
    a = await world.device("A", channel=PushChannel.SYNCHRONIZE_REPLICA)
    a.parameters.conflict_policy = ConflictPolicy.MANUAL
    async with a.open() as geodatabase:
        await geodatabase.table(HYDRANTS).delete_feature(gid(1))
    await world.change(VISITS, gid(1001), note="news of a row that was deleted here")
    await a.sync()

    async with a.open() as geodatabase:
        for conflict in await geodatabase.conflicts():
            await geodatabase.resolve_conflict(conflict.id, Side.THEIRS)
    await a.sync()

    assert not (await world.rows())[VISITS].keys() & {gid(1001), gid(1002)}
    await world.assert_agreed()


async def test_row_deleted_on_both_sides_does_not_come_back_by_a_decision(tmp_path: Path) -> None:
    async with fleet(tmp_path, Profile(deletes_hold="objectIds")) as world:
        a = await world.device("A")
        a.parameters.conflict_policy = ConflictPolicy.MANUAL
        foreign(a, f"DELETE FROM Pipes WHERE GlobalID='{gid(2001)}'")
        await world.change(PIPES, gid(2001), label="news of a row that was deleted here")
        await a.sync()
        await world.edit(PIPES, deletes=[gid(2001)])
        await a.sync()

        async with a.open() as geodatabase:
            for conflict in await geodatabase.conflicts():
                await geodatabase.resolve_conflict(conflict.id, Side.THEIRS)
        await a.sync()

        await world.assert_agreed()
