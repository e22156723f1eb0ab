"""What ``info`` tells although nothing is wrong with the edits."""

import sqlite3
from contextlib import closing

import pytest

from engine.errors import LinkError
from engine.geodatabase import connection as module, notices as notice_module
from engine.sync import states
from tests.engine.sync.fleet import HYDRANTS, PIPES, Device, Fleet, gid
from tests.feature_service.mishap import change_schema
from tests.test_feature_service.world import field


async def told(device: Device) -> list[str]:
    async with device.open() as geodatabase:
        return await geodatabase.notices()


async def test_map_without_anything_special_has_no_notices(world: Fleet) -> None:
    a = await world.device("A")
    await a.sync()

    assert await told(a) == []


async def test_layer_that_is_new_on_the_service_is_told_and_changes_nothing(world: Fleet) -> None:
    whole = world.inside.service
    change_schema(world.inside, {"layer": PIPES, "drop": True})
    a = await world.device("A")
    world.inside.service = whole
    await world.change(HYDRANTS, gid(1), name="theirs")

    await a.sync()

    assert any("the new layer Pipes" in message for message in a.messages)
    assert await told(a) == ["the service has the new layer Pipes; take the map again to have it"]


async def test_values_that_are_still_to_be_fetched_are_told(
    world: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def cut(_context: object) -> None:
        raise LinkError("cut")

    a = await world.device("A")
    change_schema(world.inside, {"layer": HYDRANTS, "add": field("colour", "String")})
    with monkeypatch.context() as patch:
        patch.setattr(states, "fill_new_fields", cut)
        with pytest.raises(LinkError):
            await a.sync()

    assert await told(a) == ["Hydrants: the values of colour are still to be fetched; sync"]
    await a.sync()
    assert await told(a) == []


async def test_log_that_another_program_keeps_from_being_emptied_is_told(
    world: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WAL_WARNING_BYTES", 1)
    monkeypatch.setattr(notice_module, "WAL_WARNING_BYTES", 1)
    a = await world.device("A")
    await world.change(HYDRANTS, gid(1), name="theirs")
    async with a.open() as geodatabase:
        with closing(sqlite3.connect(a.path, isolation_level=None)) as other:
            other.execute("BEGIN")
            other.execute("SELECT count(*) FROM Hydrants").fetchone()
            await a.sync_open(geodatabase)
            assert any("keeps the write-ahead log" in message for message in a.messages)
            busy, large = await geodatabase.notices()
            assert "close it, then sync" in busy
            assert "the write-ahead log has" in large
        await world.change(HYDRANTS, gid(1), name="theirs again")
        await a.sync_open(geodatabase)

    assert await told(a) == []
