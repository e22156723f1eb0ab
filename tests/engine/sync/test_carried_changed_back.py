"""A row that was edited here, left in a file, and was changed back before anybody sent the file."""

from pathlib import Path

import pytest

from engine.geodatabase.conflicts import Side
from engine.sync.parameters import PushChannel
from tests.engine.sync.carrying import export, push, take_back
from tests.engine.sync.fleet import HYDRANTS, Fleet, gid
from tests.engine.sync.test_edits_meanwhile import foreign


@pytest.mark.parametrize("is_deleted", [False, True])
async def test_row_that_was_changed_back_is_read_again_when_the_file_was_sent(
    world: Fleet, tmp_path: Path, is_deleted: bool
) -> None:
    """No download tells of it: it went up through the device's own replica."""
    channel = PushChannel.SYNCHRONIZE_REPLICA
    a = await world.device("A", channel=channel)
    one, other = gid(2), gid(3)
    foreign(a, f"CREATE TABLE kept AS SELECT * FROM Hydrants WHERE GlobalID='{one}'")
    edit = "DELETE FROM Hydrants" if is_deleted else "UPDATE Hydrants SET name='new'"
    foreign(a, f"{edit} WHERE GlobalID='{one}'")
    await export(a, tmp_path / "A.delta")
    foreign(a, "INSERT OR REPLACE INTO Hydrants SELECT * FROM kept")
    foreign(a, f"UPDATE Hydrants SET name='mine' WHERE GlobalID='{other}'")
    await a.sync()
    await push(tmp_path / "A.delta", tmp_path / "A.answer", channel=channel)

    await take_back(a, tmp_path / "A.answer")
    await a.sync()

    await world.assert_agreed()
    async with a.open() as geodatabase:
        (conflict,) = await geodatabase.conflicts(resolved=True)
        assert conflict.mine is not None
        assert conflict.mine["name"] == "H2"
        await geodatabase.resolve_conflict(conflict.id, Side.MINE)
    await a.sync()
    assert (await world.rows())[HYDRANTS][one]["name"] == "H2"
    await a.sync()
    await world.assert_agreed()


@pytest.mark.parametrize("is_deleted", [False, True])
async def test_row_that_was_changed_back_is_read_again_though_nobody_brings_the_answer(
    world: Fleet, tmp_path: Path, is_deleted: bool
) -> None:
    channel = PushChannel.SYNCHRONIZE_REPLICA
    a = await world.device("A", channel=channel)
    one = gid(2)
    foreign(a, f"CREATE TABLE kept AS SELECT * FROM Hydrants WHERE GlobalID='{one}'")
    edit = "DELETE FROM Hydrants" if is_deleted else "UPDATE Hydrants SET name='new'"
    foreign(a, f"{edit} WHERE GlobalID='{one}'")
    await export(a, tmp_path / "A.delta")
    foreign(a, "INSERT OR REPLACE INTO Hydrants SELECT * FROM kept")
    await a.sync()
    await a.sync()
    await push(tmp_path / "A.delta", tmp_path / "A.answer", channel=channel)

    await a.sync()

    await world.assert_agreed()
    assert (one in (await a.rows())[HYDRANTS]) is not is_deleted


@pytest.mark.parametrize("is_exported_again", [False, True])
async def test_row_of_which_part_was_changed_back_is_read_again(
    world: Fleet, tmp_path: Path, is_exported_again: bool
) -> None:
    """The file still has what the device did not send."""
    channel = PushChannel.SYNCHRONIZE_REPLICA
    a = await world.device("A", channel=channel)
    one = gid(2)
    old = (await a.rows())[HYDRANTS][one]["serial"]
    foreign(a, f"UPDATE Hydrants SET name='new', serial=77 WHERE GlobalID='{one}'")
    await export(a, tmp_path / "A.delta")
    foreign(a, f"UPDATE Hydrants SET serial={old} WHERE GlobalID='{one}'")
    if is_exported_again:
        await export(a, tmp_path / "again.delta")
    await a.sync()
    assert (await world.rows())[HYDRANTS][one]["serial"] == old
    await push(tmp_path / "A.delta", tmp_path / "A.answer", channel=channel)
    assert (await world.rows())[HYDRANTS][one]["serial"] == 77

    await a.sync()

    await world.assert_agreed()


async def test_row_that_was_edited_anew_after_its_edit_was_given_up_is_read_again(
    world: Fleet, tmp_path: Path
) -> None:
    channel = PushChannel.SYNCHRONIZE_REPLICA
    a = await world.device("A", channel=channel)
    one = gid(2)
    old = (await a.rows())[HYDRANTS][one]["serial"]
    foreign(a, f"UPDATE Hydrants SET name='{'long' * 9}', serial=77 WHERE GlobalID='{one}'")
    await export(a, tmp_path / "A.delta")
    await a.sync()
    async with a.open() as geodatabase:
        (refused,) = await geodatabase.quarantine()
        await geodatabase.discard_quarantined(refused.id)
    foreign(a, f"UPDATE Hydrants SET name='short' WHERE GlobalID='{one}'")
    await a.sync()
    assert (await world.rows())[HYDRANTS][one]["serial"] == old
    await push(tmp_path / "A.delta", tmp_path / "A.answer", channel=channel)
    assert (await world.rows())[HYDRANTS][one]["serial"] == 77

    await a.sync()

    await world.assert_agreed()


async def test_exported_edits_that_were_sent_are_not_asked_for_any_more(
    world: Fleet, tmp_path: Path
) -> None:
    a = await world.device("A")
    foreign(a, f"UPDATE Hydrants SET name='new' WHERE GlobalID='{gid(2)}'")
    await export(a, tmp_path / "A.delta")
    await a.sync()
    await a.sync()
    world.server.log.clear()

    await a.sync()

    assert world.server.log.count("query") == 0
