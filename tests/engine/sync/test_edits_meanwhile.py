"""Edits that are made while a sync is running survive it, whichever instant they fall into."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from engine import faults
from engine.errors import EngineError
from engine.sync import settlement
from engine.sync.parameters import PushChannel
from tests.engine.sync.fleet import HYDRANTS, Device, Fleet, edit_inside, fleet, gid
from tests.feature_service import Profile

CHANNELS = (PushChannel.APPLY_EDITS, PushChannel.SYNCHRONIZE_REPLICA)


def foreign(device: Device, *statements: str) -> None:
    """What another program writes into the file, in one transaction."""
    connection = sqlite3.connect(device.path, timeout=10)
    with connection:
        for statement in statements:
            connection.execute(statement)
    connection.close()


def at(number: int, point: str, act: Callable[[], None]) -> tuple[Callable[[str], None], list[int]]:
    """A handler that acts when ``point`` is reached for that time, and how often it was reached."""
    reached: list[int] = []

    def handler(name: str) -> None:
        if name == point:
            reached.append(1)
            if len(reached) == number:
                act()

    return handler, reached


def office_edit(world: Fleet, **edits: object) -> None:
    """An edit on the service, made at once."""
    edit_inside(world.inside, HYDRANTS, edits)


@pytest.mark.parametrize("channel", CHANNELS)
async def test_another_programs_edits_between_any_two_transactions_survive(
    world: Fleet, channel: PushChannel
) -> None:
    a = await world.device("A", channel=channel)
    for number in count(1):
        await world.change(HYDRANTS, gid(4), name=f"office {number}")
        foreign(
            a,
            f"UPDATE Hydrants SET name='sent {number}', pressure=1.5 WHERE GlobalID='{gid(1)}'",
            f"UPDATE Hydrants SET name='changed back' WHERE GlobalID='{gid(2)}'",
            f"INSERT INTO Hydrants(GlobalID,name) VALUES('{gid(7000 + number)}','added')",
            f"INSERT INTO Hydrants(GlobalID,name) VALUES('{gid(8000 + number)}','to delete')",
        )

        def meanwhile(number: int = number) -> None:
            foreign(
                a,
                f"UPDATE Hydrants SET name='meanwhile {number}' WHERE GlobalID='{gid(1)}'",
                f"UPDATE Hydrants SET name='H2' WHERE GlobalID='{gid(2)}'",
                f"UPDATE Hydrants SET name='renamed' WHERE GlobalID='{gid(7000 + number)}'",
                f"DELETE FROM Hydrants WHERE GlobalID='{gid(8000 + number)}'",
                f"INSERT INTO Hydrants(GlobalID,name) VALUES('{gid(9000 + number)}','new')",
            )

        handler, reached = at(number, "transaction.committed", meanwhile)
        with faults.armed(handler):
            await a.sync()
        if len(reached) < number:
            break
        await a.sync()

        rows = (await world.rows())[HYDRANTS]
        assert rows[gid(1)]["name"] == f"meanwhile {number}", number
        assert rows[gid(1)]["pressure"] == 1.5, number
        assert rows[gid(2)]["name"] == "H2", number
        assert rows[gid(7000 + number)]["name"] == "renamed", number
        assert gid(8000 + number) not in rows, number
        assert rows[gid(9000 + number)]["name"] == "new", number
        assert rows[gid(4)]["name"] == f"office {number}", number
    await a.sync()
    await world.assert_agreed()
    assert number > 5


@pytest.mark.parametrize("missing", ["fail", "ignore", "insert"])
@pytest.mark.parametrize("channel", CHANNELS)
async def test_row_deleted_on_the_service_between_pull_and_push_is_kept_as_a_conflict(
    tmp_path: Path, channel: PushChannel, missing: str
) -> None:
    profile = Profile(update_of_missing=missing)  # type: ignore[arg-type]  # one of its values
    async with fleet(tmp_path, profile) as world:
        a = await world.device("A", channel=channel)
        await world.change(HYDRANTS, gid(9), name="news")
        foreign(a, f"UPDATE Hydrants SET name='mine' WHERE GlobalID='{gid(1)}'")

        handler, _ = at(1, "download.merged", lambda: office_edit(world, deletes=[gid(1)]))
        with faults.armed(handler):
            result = await a.sync()

        if missing == "insert" and channel is PushChannel.SYNCHRONIZE_REPLICA:
            assert (await world.rows())[HYDRANTS][gid(1)]["name"] == "mine"
        else:
            assert result.layer(HYDRANTS).uploaded.conflict == 1
            async with a.open() as geodatabase:
                (conflict,) = await geodatabase.conflicts()
            assert conflict.mine is not None
            assert conflict.mine["name"] == "mine"
        await a.sync()
        assert (await world.rows())[HYDRANTS].keys() == (await a.rows())[HYDRANTS].keys()


@pytest.mark.parametrize("channel", CHANNELS)
async def test_row_changed_on_the_service_between_pull_and_push_keeps_both_columns(
    world: Fleet, channel: PushChannel
) -> None:
    a = await world.device("A", channel=channel)
    await world.change(HYDRANTS, gid(9), name="news")
    foreign(a, f"UPDATE Hydrants SET name='mine' WHERE GlobalID='{gid(1)}'")
    theirs = {"attributes": {"GlobalID": gid(1), "serial": 77}}

    handler, _ = at(1, "download.merged", lambda: office_edit(world, updates=[theirs]))
    with faults.armed(handler):
        await a.sync()

    row = (await world.rows())[HYDRANTS][gid(1)]
    assert (row["name"], row["serial"]) == ("mine", 77)
    await a.sync()
    await world.assert_agreed()


@pytest.mark.parametrize("channel", CHANNELS)
async def test_row_deleted_on_the_service_between_its_answer_and_our_look_at_it_goes(
    world: Fleet, channel: PushChannel, monkeypatch: pytest.MonkeyPatch
) -> None:
    a = await world.device("A", channel=channel)
    foreign(a, f"INSERT INTO Hydrants(GlobalID,name) VALUES('{gid(7000)}','mine')")
    look = settlement._look

    async def be_late(*args: Any) -> Any:
        office_edit(world, deletes=[gid(7000)])
        monkeypatch.undo()
        return await look(*args)

    monkeypatch.setattr(settlement, "_look", be_late)

    await a.sync()
    await a.sync()

    await world.assert_agreed()
    assert gid(7000) not in (await a.rows())[HYDRANTS]


async def test_open_transaction_is_refused_before_any_traffic(world: Fleet) -> None:
    a = await world.device("A")
    calls = len(world.server.log)

    async with a.open() as geodatabase:
        await geodatabase.begin_transaction()
        sync = a.sync_open(geodatabase)
        with pytest.raises(EngineError, match="transaction is open"):
            await sync
        await geodatabase.rollback_transaction()

    new = world.server.log[calls:]
    assert "synchronizeReplica" not in new
    assert "applyEdits" not in new


@pytest.mark.parametrize(
    ("refused", "since", "left"),
    [
        (f"INSERT INTO Hydrants(GlobalID,status) VALUES('{gid(7001)}',99)", "DELETE", 0),
        (f"UPDATE Hydrants SET status=99 WHERE GlobalID='{gid(2)}'", "DELETE", 1),
        (f"UPDATE Hydrants SET status=99 WHERE GlobalID='{gid(2)}'", "UPDATE", 0),
    ],
)
async def test_refused_edit_that_is_taken_back_meanwhile_does_not_count_as_applied(
    world: Fleet, refused: str, since: str, left: int
) -> None:
    a = await world.device("A", channel=PushChannel.APPLY_EDITS)
    with closing(sqlite3.connect(a.path)) as connection:
        before = connection.execute("SELECT status FROM Hydrants WHERE fid=2").fetchone()
    foreign(a, refused)

    def take_back() -> None:
        if since == "DELETE":
            foreign(a, f"DELETE FROM Hydrants WHERE status=99 AND GlobalID>='{gid(2)}'")
        else:
            foreign(a, f"UPDATE Hydrants SET status={before[0]} WHERE status=99")

    passed: list[str] = []

    def handler(point: str) -> None:
        passed.append(point)
        if passed[-2:] == ["batch.fetched", "transaction.committed"]:
            take_back()

    with faults.armed(handler):
        result = await a.sync()

    counts = result.layer(HYDRANTS).uploaded
    assert (counts.found, counts.pending) == (left, left)
    await a.sync()
    await world.assert_agreed()
