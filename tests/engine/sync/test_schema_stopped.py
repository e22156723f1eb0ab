"""Layers that are not on the service what they were, and altered files in other hands."""

import json
from typing import Any

import pytest

from engine import faults
from engine.errors import LinkError, SchemaChangedError
from engine.geodatabase import replica as replica_record
from engine.sync.parameters import PushChannel
from tests.engine.geodatabase import gdal
from tests.engine.sync.fleet import (
    HYDRANTS,
    PIPES,
    ZONES,
    Fleet,
    SyncModel,
    gid,
)
from tests.engine.sync.schema_steps import COLOUR, change, edit, name_there
from tests.feature_service.definition import checked_service

# --- changes it cannot follow --------------------------------------------------------------------

STOPPED: dict[str, tuple[dict[str, Any], str]] = {
    "another kind of values": ({"field": "label", "set": {"type": "esriFieldTypeDate"}}, "label"),
    "another geometry": ({"members": {"geometryType": "esriGeometryPoint"}}, "geometry"),
    "no GlobalID": ({"remove": "GlobalID", "members": {"globalIdField": ""}}, "GlobalID"),
    "other dimensions": ({"members": {"hasZ": False}}, "dimensions"),
}


@pytest.mark.parametrize("case", STOPPED)
async def test_layer_that_is_not_what_it_was_stops_alone_with_its_edits(
    world: Fleet, case: str
) -> None:
    what, word = STOPPED[case]
    a = await world.device("A")
    await edit(a, 2001, PIPES, label="mine")
    await edit(a, 1, name="mine")
    change(world, PIPES, **what)

    result = await a.sync()

    error = result.layer(PIPES).error
    assert isinstance(error, SchemaChangedError)
    assert word in error.message
    assert error.remedy
    counts = result.layer(PIPES).uploaded
    assert (counts.found, counts.pending) == (1, 1)
    assert await name_there(world, 1) == "mine"
    async with a.open() as geodatabase:
        assert (await geodatabase.table(PIPES).edit_counts()).updates == 1


async def test_sync_that_is_broken_off_after_a_layer_was_followed_counts_its_edits(
    world: Fleet,
) -> None:
    a = await world.device("A")
    await edit(a, 1, name="mine")
    change(world, HYDRANTS, remove="pressure")
    passed: list[str] = []

    def breaks_off(point: str) -> None:
        passed.append(point)
        if passed[-2:] == ["layer.altered", "transaction.committed"]:
            raise LinkError("the link went", remedy="")

    with faults.armed(breaks_off), pytest.raises(LinkError):
        await a.sync()

    assert await a.pending() == {**dict.fromkeys(await a.pending(), 0), "Hydrants": 1}


@pytest.mark.parametrize("model", [SyncModel.PER_LAYER, SyncModel.PER_REPLICA])
async def test_layer_that_is_gone_stops_alone_and_does_not_hold_up_the_others(
    world: Fleet, model: SyncModel
) -> None:
    a = await world.device("A", model=model)
    await edit(a, 2001, PIPES, label="mine")
    change(world, PIPES, drop=True)
    await world.change(HYDRANTS, gid(1), name="theirs")

    for _ in range(2):
        result = await a.sync()
        assert isinstance(result.layer(PIPES).error, SchemaChangedError)
        assert result.layer(PIPES).uploaded.pending == 1

    assert "nothing changed on either side" in a.messages
    async with a.open() as geodatabase:
        assert (await geodatabase.table(PIPES).edit_counts()).updates == 1
        name = (await geodatabase.table(HYDRANTS).feature(gid(1))).attributes["name"]
    assert name == "theirs"


@pytest.mark.parametrize(
    ("model", "channel"),
    [
        (SyncModel.PER_REPLICA, PushChannel.APPLY_EDITS),
        (SyncModel.PER_LAYER, PushChannel.SYNCHRONIZE_REPLICA),
    ],
)
async def test_layer_that_is_back_is_brought_to_what_it_is_now_and_synced_again(
    world: Fleet, model: SyncModel, channel: PushChannel
) -> None:
    a = await world.device("A", model=model, channel=channel)
    await edit(a, 2001, PIPES, label="mine")
    was = json.loads(json.dumps(world.inside.service.document))
    await world.change(PIPES, gid(2002), label="theirs")
    change(world, PIPES, drop=True)
    await world.change(HYDRANTS, gid(1), name="theirs")
    await a.sync()
    world.inside.service = checked_service(world.inside.service.name, was, "as it was")

    await a.sync()
    await world.change(PIPES, gid(2003), label="theirs")
    await a.sync()

    assert not any((await a.pending()).values())
    assert len(await world.client.get("replicas")) == 1
    await world.assert_agreed()


async def test_layer_that_has_stopped_holds_no_other_up_and_is_compared_when_it_is_mended(
    world: Fleet,
) -> None:
    a = await world.device("A", model=SyncModel.PER_REPLICA)
    await edit(a, 2001, PIPES, label="mine")
    was = json.loads(json.dumps(world.inside.service.document))
    await world.change(PIPES, gid(2002), label="theirs")
    change(world, PIPES, **STOPPED["other dimensions"][0])
    await a.sync()
    async with a.open() as geodatabase:
        await geodatabase.database.write(replica_record.forget_generations)  # as if it was lost
    await a.sync()
    world.server.log.clear()

    await world.change(HYDRANTS, gid(1), name="theirs")
    await a.sync()

    assert world.server.log.count("createReplica") == 0
    assert not [text for text in a.messages if "all rows" in text]
    world.inside.service = checked_service(world.inside.service.name, was, "as it was")
    await world.change(HYDRANTS, gid(1), name="later")
    await a.sync()
    await world.assert_agreed()
    await world.change(HYDRANTS, gid(1), name="last")
    await a.sync()
    assert not [text for text in a.messages if "all rows" in text]


async def test_attachments_switched_off_stay_unsent_and_the_rest_goes_on(world: Fleet) -> None:
    a = await world.device("A")
    async with a.open() as geodatabase:
        table = geodatabase.table(HYDRANTS)
        await table.add_attachment(gid(2), "a.jpg", None, b"data")
        await table.update_feature(gid(1), {"name": "mine"})
    change(world, HYDRANTS, members={"hasAttachments": False})

    for _ in range(2):
        await a.sync()
        assert any("stay unsent" in message for message in a.messages)

    assert await name_there(world, 1) == "mine"
    assert await a.pending() == {"Hydrants": 1, "Pipes": 0, "Zones": 0, "Visits": 0}


async def test_attachments_that_are_back_are_compared_and_sent(world: Fleet) -> None:
    a = await world.device("A")
    (old,) = world.attachments()
    async with a.open() as geodatabase:
        await geodatabase.table(HYDRANTS).add_attachment(gid(2), "a.jpg", None, b"data")
    new = {"globalId": gid(9001), "parentGlobalId": gid(3), "name": "b.jpg", "data": "AAAA"}
    await world.edit(HYDRANTS, attachments={"adds": [new], "deletes": [old]})
    was = json.loads(json.dumps(world.inside.service.document))
    change(world, HYDRANTS, members={"hasAttachments": False})
    for _ in range(2):
        await a.sync()
    world.inside.service = checked_service(world.inside.service.name, was, "as it was")
    await world.change(HYDRANTS, gid(1), name="theirs")

    await a.sync()

    assert len(world.attachments()) == 2
    await world.assert_agreed()
    assert len(await world.client.get("replicas")) == 1
    await world.change(HYDRANTS, gid(1), name="later")
    await a.sync()
    assert not [text for text in a.messages if "compare" in text]


@pytest.mark.parametrize("channel", [PushChannel.APPLY_EDITS, PushChannel.SYNCHRONIZE_REPLICA])
async def test_layer_that_can_only_be_read_now_refuses_its_edits_and_holds_up_no_other(
    world: Fleet, channel: PushChannel
) -> None:
    a = await world.device("A", channel=channel)
    await edit(a, 1, name="mine")
    await edit(a, 2001, PIPES, label="pipe")
    change(world, HYDRANTS, members={"capabilities": "Query,Sync"})

    result = await a.sync()

    assert result.layer(HYDRANTS).uploaded.quarantined == 1
    assert result.layer(PIPES).uploaded.applied == 1
    async with a.open() as geodatabase:
        (refused,) = await geodatabase.quarantine()
        assert not geodatabase.table(HYDRANTS).permissions.can_update
    assert (refused.global_id, bool(refused.reason)) == (gid(1), True)


async def test_service_that_takes_no_edits_now_is_read_all_the_same(world: Fleet) -> None:
    a = await world.device("A")
    await edit(a, 1, name="mine")
    await world.change(HYDRANTS, gid(2), name="theirs")
    before = world.inside.service
    document = {**before.document, "capabilities": "Query,Sync,ChangeTracking"}
    world.inside.service = checked_service(before.name, document, "the closed service")

    result = await a.sync()

    assert any("takes no edits now" in message for message in a.messages)
    assert result.layer(HYDRANTS).uploaded.pending == 1
    assert (await a.rows())[HYDRANTS][gid(2)]["name"] == "theirs"
    world.inside.service = before
    await a.sync()
    await world.assert_agreed()
    assert await name_there(world, 1) == "mine"


# --- the file, for others ------------------------------------------------------------------------


async def test_altered_file_when_gdal_looks_and_writes_then_all_is_well(world: Fleet) -> None:
    gdal.require()
    a = await world.device("A")
    change(world, HYDRANTS, add=COLOUR)
    change(world, HYDRANTS, remove="pressure")
    change(world, HYDRANTS, field="serial", set={"type": "esriFieldTypeBigInteger"})
    change(world, PIPES, members={"hasAttachments": True})
    change(world, ZONES, members={"capabilities": "Query,Sync,Create,Update,Delete,Editing"})
    await a.sync()

    gdal.validate(a.path)
    gdal.run("ogrinfo", a.path, "-sql", f"UPDATE Hydrants SET colour='x' WHERE GlobalID='{gid(1)}'")

    assert (await a.pending())["Hydrants"] == 1
    await a.sync()
    await world.assert_agreed()
