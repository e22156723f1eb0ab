"""Directions, read-only layers, generations, and what a sync costs when nothing changed."""

import sqlite3
from pathlib import Path

import pytest

from engine.errors import BadParameterError, EditRefusedError
from engine.model import SyncDirection, SyncModel
from engine.sync.parameters import PushChannel, SyncLayerOption
from tests.engine.sync.fleet import (
    HYDRANTS,
    LAYERS,
    PIPES,
    VISITS,
    ZONES,
    Device,
    Fleet,
    fleet,
    found,
    gid,
)
from tests.engine.sync.test_edits_meanwhile import foreign
from tests.feature_service import Profile
from tests.feature_service.definition import checked_service
from tests.test_feature_service.world import service_document, write_service


async def edit(device: Device, number: int, **attributes: object) -> None:
    async with device.open() as geodatabase:
        await geodatabase.table(HYDRANTS).update_feature(gid(number), attributes)


async def test_sync_without_news_asks_for_the_service_only(world: Fleet) -> None:
    a = await world.device("A")
    await a.sync()
    calls = len(world.server.log)

    result = await a.sync()

    assert world.server.log[calls:] in (["service"], ["service", "layers"], ["service"] * 2)
    assert found(result).found == 0


async def test_pull_is_left_out_only_if_the_service_tells_that_nothing_changed(
    tmp_path: Path,
) -> None:
    async with fleet(tmp_path, Profile(supports_change_tracking=False)) as world:
        a = await world.device("A")
        calls = len(world.server.log)

        await a.sync()

        assert "synchronizeReplica" in world.server.log[calls:]


async def test_download_leaves_edits_pending_and_counts_them(world: Fleet) -> None:
    a = await world.device("A")
    await edit(a, 1, name="mine")
    await world.change(HYDRANTS, gid(2), name="office")

    result = await a.sync(geodatabase_sync_direction=SyncDirection.DOWNLOAD)

    assert (await a.rows())[HYDRANTS][gid(2)]["name"] == "office"
    assert (found(result).found, found(result).pending) == (1, 1)
    assert (await world.rows())[HYDRANTS][gid(1)]["name"] == "H1"


@pytest.mark.parametrize("channel", [PushChannel.APPLY_EDITS, PushChannel.SYNCHRONIZE_REPLICA])
async def test_upload_does_not_move_the_generation(world: Fleet, channel: PushChannel) -> None:
    a = await world.device("A", channel=channel)
    await edit(a, 1, name="mine")
    await world.change(HYDRANTS, gid(2), name="office")

    await a.sync(geodatabase_sync_direction=SyncDirection.UPLOAD)

    assert (await world.rows())[HYDRANTS][gid(1)]["name"] == "mine"
    assert (await a.rows())[HYDRANTS][gid(2)]["name"] == "H2"
    await a.sync()
    await world.assert_agreed()


async def test_layers_have_their_own_directions_and_generations(world: Fleet) -> None:
    a = await world.device("A", model=SyncModel.PER_LAYER)
    await edit(a, 1, name="mine")
    async with a.open() as geodatabase:
        await geodatabase.table(PIPES).update_feature(gid(2001), {"label": "mine"})
    await world.change(HYDRANTS, gid(2), name="office")
    await world.change(PIPES, gid(2002), label="office")

    await a.sync(
        layer_options=[
            SyncLayerOption(layer_id=HYDRANTS, sync_direction=SyncDirection.DOWNLOAD),
            SyncLayerOption(layer_id=PIPES, sync_direction=SyncDirection.UPLOAD),
        ]
    )

    there, here = await world.rows(), await a.rows()
    assert there[HYDRANTS][gid(1)]["name"] == "H1"
    assert there[PIPES][gid(2001)]["label"] == "mine"
    assert here[HYDRANTS][gid(2)]["name"] == "office"
    assert here[PIPES][gid(2002)]["label"] == "P2"
    async with a.open() as geodatabase:
        generations = {x.layer_id: x.generation or 0 for x in geodatabase.replica.layers}
    assert generations[HYDRANTS] > generations[PIPES] == generations[VISITS]
    await a.sync()
    await world.assert_agreed()


async def test_upload_of_a_read_only_layer_is_an_error_of_that_layer(world: Fleet) -> None:
    a = await world.device("A", model=SyncModel.PER_LAYER)
    await edit(a, 1, name="mine")

    result = await a.sync(
        layer_options=[
            SyncLayerOption(layer_id=layer_id, sync_direction=SyncDirection.UPLOAD)
            for layer_id in LAYERS
        ]
    )

    assert isinstance(result.layer(ZONES).error, BadParameterError)
    assert result.layer(HYDRANTS).error is None
    assert (await world.rows())[HYDRANTS][gid(1)]["name"] == "mine"


async def test_edit_of_a_read_only_layer_is_refused_at_once(world: Fleet) -> None:
    a = await world.device("A")

    async with a.open() as geodatabase:
        zones = geodatabase.table(ZONES)
        with pytest.raises(EditRefusedError):
            await zones.update_feature(gid(3001), {"big": 1})

    with pytest.raises(sqlite3.Error):
        foreign(a, "UPDATE Zones SET big=1")


async def test_service_that_can_only_be_downloaded(tmp_path: Path) -> None:
    document = service_document()
    document["capabilities"] = "Query,Sync"
    feature = {
        "attributes": {"OBJECTID": 1, "GlobalID": gid(1), "name": "H1", "serial": 0},
        "geometry": {"x": 1.0, "y": 2.0},
    }
    write_service(tmp_path / "service" / "water", document, {HYDRANTS: [feature]})
    async with fleet(tmp_path) as world:
        a = await world.device("A")
        with pytest.raises(sqlite3.Error):
            foreign(a, "UPDATE Hydrants SET name='mine'")

        both = await a.sync()
        upload = await a.sync(geodatabase_sync_direction=SyncDirection.UPLOAD)

        assert not both.has_errors
        assert {type(r.error) for r in upload.layer_results} == {BadParameterError}


async def test_layer_that_was_removed_leaves_the_others_syncing(world: Fleet) -> None:
    a = await world.device("A", model=SyncModel.PER_LAYER)
    await edit(a, 1, name="mine")
    document = service_document()
    document["layers"] = [entry for entry in document["layers"] if entry["id"] != PIPES]
    inside = world.inside
    inside.service = checked_service(inside.service.name, document, "the changed service")

    result = await a.sync()

    assert result.layer(PIPES).error is not None
    assert (await a.pending())["Hydrants"] == 0
