"""All rows fetched and compared: nothing is deleted, or held to be all, on the word of a file."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine import faults
from engine.errors import EngineError, FullDownloadRequired, ProtocolError, ServiceRefusedError
from engine.geodatabase.conflicts import Side
from engine.model import AttachmentSyncDirection, ConflictPolicy, SyncDirection, SyncModel
from engine.sync.parameters import PushChannel, SyncLayerOption
from engine.sync.recovery import speaks_of_generations
from tests.engine.sync.fleet import HYDRANTS, PIPES, VISITS, Device, Fleet, fleet, gid
from tests.engine.sync.test_edits_meanwhile import foreign
from tests.engine.sync.test_generate import parameters
from tests.engine.sync.test_recovery import (
    assert_recovered,
    edit_at_the_office,
    edit_everything,
    replicas,
    unregister,
)
from tests.feature_service import Fault, Profile
from tests.feature_service.mishap import strike

Json = dict[str, Any]


def altered(device: Device, change: Callable[[Json], None]) -> Callable[[str], None]:
    """A fault handler: the snapshot comes down as ``change`` makes it."""
    folder = device.path.with_name(f"{device.path.name}-spool")

    def handler(point: str) -> None:
        if point == "snapshot.fetched":
            path = folder / "download-all.json"
            value = json.loads(path.read_text())
            change(value)
            path.write_text(json.dumps(value))

    return handler


def layer_of(value: Json, layer_id: int) -> Json:
    found: Json = next(layer for layer in value["layers"] if layer["id"] == layer_id)
    return found


@pytest.mark.parametrize("way", ["gone", "forgotten"])
async def test_snapshot_with_fewer_rows_than_counted_is_refused(world: Fleet, way: str) -> None:
    a = await world.device("A")
    before = await a.rows()
    await world.change(HYDRANTS, gid(1), name="office")
    if way == "gone":
        await unregister(world, a)
    else:
        strike(world.inside, Fault(kind="generation-overtaken"))

    def cut(value: Json) -> None:
        del layer_of(value, HYDRANTS)["features"][5:]

    with faults.armed(altered(a, cut)), pytest.raises(ProtocolError, match="counts 9"):
        await a.sync()

    assert await a.rows() == before
    await a.sync()
    await world.assert_agreed()
    assert len(await replicas(world)) == 1


async def test_snapshot_that_says_rows_were_left_out_is_refused(world: Fleet) -> None:
    a = await world.device("A")
    await unregister(world, a)
    await world.change(HYDRANTS, gid(1), name="office")

    def limit(value: Json) -> None:
        value["exceededTransferLimit"] = True

    with faults.armed(altered(a, limit)), pytest.raises(ProtocolError, match="left rows out"):
        await a.sync()

    await a.sync()
    await world.assert_agreed()


async def test_row_that_a_snapshot_lacks_is_deleted_only_if_the_service_has_it_no_more(
    world: Fleet,
) -> None:
    a = await world.device("A")
    foreign(a, f"DELETE FROM Visits WHERE GlobalID='{gid(1003)}'")
    await world.edit(VISITS, deletes=[gid(1002)])
    await unregister(world, a)

    def hide(value: Json) -> None:
        layer_of(value, VISITS)["features"].clear()
        layer_of(value, HYDRANTS)["attachments"].clear()

    with faults.armed(altered(a, hide)):
        result = await a.sync()

    assert result.layer(VISITS).downloaded.deleted == 1
    await world.assert_agreed()
    assert set((await a.rows())[VISITS]) == {gid(1001)}
    assert len(await a.attachments()) == 1


async def test_photo_that_was_deleted_here_and_that_a_snapshot_lacks_does_not_come_back(
    world: Fleet,
) -> None:
    """Its feature, deleted with it, was changed by others, and is kept in the end."""
    a, b = await world.device("A"), await world.device("B")
    foreign(a, f"DELETE FROM Hydrants__ATTACH WHERE REL_GLOBALID='{gid(1)}'")
    foreign(a, f"UPDATE Hydrants SET name='mine' WHERE GlobalID='{gid(1)}'")
    b.parameters.conflict_policy = ConflictPolicy.MANUAL
    async with b.open() as geodatabase:
        await geodatabase.table(HYDRANTS).delete_feature(gid(1))
    await a.sync()
    strike(world.inside, Fault(kind="generation-overtaken"))
    await b.sync()

    async with b.open() as geodatabase:
        (conflict,) = await geodatabase.conflicts()
        await geodatabase.resolve_conflict(conflict.id, Side.THEIRS)
    await b.sync()

    await world.assert_agreed()
    assert (await b.rows())[HYDRANTS][gid(1)]["name"] == "mine"


async def test_row_of_a_snapshot_that_cannot_be_stored_stays_as_it_was(world: Fleet) -> None:
    a = await world.device("A")
    await unregister(world, a)
    await world.change(HYDRANTS, gid(1), name="office")

    def spoil(value: Json) -> None:
        for feature in layer_of(value, HYDRANTS)["features"]:
            feature["attributes"]["serial"] = "no number"

    with faults.armed(altered(a, spoil)):
        await a.sync()

    await a.sync()
    await world.assert_agreed()


@pytest.mark.parametrize("kind", ["truncated-result", "expired-result"])
async def test_damaged_snapshot_changes_nothing(world: Fleet, kind: str) -> None:
    a = await world.device("A")
    before = await a.rows()
    await world.change(HYDRANTS, gid(1), name="office")
    strike(world.inside, Fault(kind="generation-overtaken"))
    world.server.faults.add(
        Fault(kind=kind, operation="replicafiles", at_byte=1, times=0)  # type: ignore[arg-type]
    )

    with pytest.raises(EngineError):
        await a.sync()

    assert await a.rows() == before
    world.server.faults.clear()
    await a.sync()
    await world.assert_agreed()


@pytest.mark.parametrize("way", ["gone", "forgotten"])
async def test_thin_link_sends_edits_and_leaves_the_rows_for_later(world: Fleet, way: str) -> None:
    a = await world.device("A")
    await edit_everything(a)
    await edit_at_the_office(world)
    if way == "gone":
        await unregister(world, a)
    else:
        strike(world.inside, Fault(kind="generation-overtaken"))

    for _ in range(2):
        with pytest.raises(FullDownloadRequired):
            await a.sync(allow_full_download=False)
        assert not any((await a.pending()).values())
    assert (await world.rows())[HYDRANTS][gid(2)]["name"] == "mine"

    await a.sync()
    await world.assert_agreed()
    await assert_recovered(world, a)
    assert len(await replicas(world)) == 1


async def test_map_of_an_area_keeps_its_filter_and_rows_that_left_it(world: Fleet) -> None:
    a = Device(world.url, world.folder / "A.gpkg", SyncModel.PER_REPLICA)
    wanted = await parameters(a, (50, 50, 650, 650))
    next(o for o in wanted.layer_options if o.layer_id == HYDRANTS).where_clause = "status = 2"
    await a.take(wanted)
    assert set((await a.rows())[HYDRANTS]) == {gid(1), gid(3), gid(5)}
    foreign(a, f"UPDATE Hydrants SET name='mine' WHERE GlobalID='{gid(3)}'")
    await world.change(HYDRANTS, gid(1), status=1, name="left")
    await world.change(HYDRANTS, gid(2), status=2)
    await world.edit(HYDRANTS, deletes=[gid(5)])
    await unregister(world, a)

    result = await a.sync()

    rows = (await a.rows())[HYDRANTS]
    assert set(rows) == {gid(1), gid(2), gid(3)}
    assert rows[gid(1)]["name"] == "left"
    assert result.layer(HYDRANTS).downloaded.out_of_area == 1
    assert (await world.rows())[HYDRANTS][gid(3)]["name"] == "mine"
    await world.change(HYDRANTS, gid(1), name="outside, later")
    await world.change(HYDRANTS, gid(4), status=2)
    await a.sync()
    rows = (await a.rows())[HYDRANTS]
    assert (set(rows), rows[gid(1)]["name"]) == (
        {gid(1), gid(2), gid(3), gid(4)},
        "outside, later",
    )


@pytest.mark.parametrize("way", ["gone", "forgotten"])
async def test_generations_of_layers_recover(world: Fleet, way: str) -> None:
    model = SyncModel.PER_LAYER
    a = await world.device("A", model=model, channel=PushChannel.SYNCHRONIZE_REPLICA)
    await edit_everything(a)
    await edit_at_the_office(world)
    if way == "gone":
        await unregister(world, a)
    else:
        strike(world.inside, Fault(kind="generation-overtaken"))

    await a.sync()

    await world.assert_agreed()
    await assert_recovered(world, a)
    async with a.open() as geodatabase:
        assert geodatabase.sync_model is model


@pytest.mark.parametrize(
    ("direction", "can_choose"),
    [
        (AttachmentSyncDirection.UPLOAD, True),
        (AttachmentSyncDirection.UPLOAD, False),
        (AttachmentSyncDirection.NONE, True),
    ],
)
async def test_photos_that_do_not_come_down_are_not_deleted_by_a_snapshot(
    world: Fleet, direction: AttachmentSyncDirection, can_choose: bool
) -> None:
    a = Device(world.url, world.folder / "A.gpkg", SyncModel.PER_REPLICA)
    a.parameters.push_channel = PushChannel.SYNCHRONIZE_REPLICA
    wanted = await parameters(a, None)
    wanted.return_attachments = direction is AttachmentSyncDirection.UPLOAD
    wanted.attachment_sync_direction = direction
    await a.take(wanted)
    before = await a.attachments()
    if direction is AttachmentSyncDirection.UPLOAD:
        async with a.open() as geodatabase:
            await geodatabase.table(HYDRANTS).add_attachment(gid(2), "new.jpg", None, b"new")
    if not can_choose:
        ability = {"supportsAttachmentsSyncDirection": False}
        world.inside.service.document["syncCapabilities"] = ability
    await unregister(world, a)
    await world.change(PIPES, gid(2001), label="office")

    await a.sync()

    after = await a.attachments()
    assert before.keys() <= after.keys()
    uploaded = "new.jpg" in {name for _, name, _, _ in world.attachments().values()}
    assert uploaded is (direction is AttachmentSyncDirection.UPLOAD)
    assert (await a.rows())[PIPES][gid(2001)]["label"] == "office"


async def test_download_that_is_refused_again_and_again_is_gone_around(tmp_path: Path) -> None:
    async with fleet(tmp_path, Profile(supports_change_tracking=False)) as world:
        a = await world.device("A")
        foreign(a, f"UPDATE Hydrants SET name='mine' WHERE GlobalID='{gid(2)}'")
        await world.change(HYDRANTS, gid(1), name="office")
        world.server.faults.add(
            Fault(kind="status", operation="synchronizeReplica", status=400, times=3)
        )

        for _ in range(2):
            with pytest.raises(ServiceRefusedError):
                await a.sync()
        await a.sync()

        await world.assert_agreed()
        assert len(await replicas(world)) == 1


@pytest.mark.parametrize("status", [400, 403, 503])
async def test_replica_that_cannot_be_asked_for_is_not_taken_for_lost(
    world: Fleet, status: int
) -> None:
    a = await world.device("A")
    await unregister(world, a)
    await world.change(HYDRANTS, gid(1), name="office")
    world.server.faults.add(Fault(kind="status", operation="replicas", status=status, times=0))

    with pytest.raises(EngineError):
        await a.sync()

    world.server.faults.clear()
    assert await replicas(world) == []
    await a.sync()
    await world.assert_agreed()


async def test_service_that_never_lists_replicas_is_recovered_from_in_the_end(
    world: Fleet,
) -> None:
    a = await world.device("A", channel=PushChannel.SYNCHRONIZE_REPLICA)
    foreign(a, f"UPDATE Hydrants SET name='mine' WHERE GlobalID='{gid(2)}'")
    await unregister(world, a)
    await world.change(HYDRANTS, gid(1), name="office")
    world.server.faults.add(Fault(kind="status", operation="replicas", status=400, times=0))

    for _ in range(2):
        with pytest.raises(ServiceRefusedError):
            await a.sync()
    await a.sync()

    await world.assert_agreed()
    world.server.faults.clear()
    await world.change(HYDRANTS, gid(1), name="later")
    await a.sync()
    await world.assert_agreed()
    assert len(await replicas(world)) == 1


async def test_layers_that_take_no_part_do_not_make_others_be_fetched_again(world: Fleet) -> None:
    a = await world.device("A", model=SyncModel.PER_LAYER)
    await unregister(world, a)
    some = [SyncLayerOption(layer_id=HYDRANTS), SyncLayerOption(layer_id=PIPES)]
    await world.change(HYDRANTS, gid(1), name="office")
    await a.sync(layer_options=some)
    await world.change(HYDRANTS, gid(1), name="later")
    await world.edit(VISITS, deletes=[gid(1002)])
    world.server.log.clear()

    await a.sync(layer_options=some)

    assert "createReplica" not in world.server.log
    assert (await a.rows())[HYDRANTS][gid(1)]["name"] == "later"
    assert gid(1002) in (await a.rows())[VISITS]
    await a.sync()
    await world.assert_agreed()


def test_name_of_a_service_does_not_speak_of_generations() -> None:
    named = "https://example.org/PowerGeneration/FeatureServer/synchronizeReplica: refused: busy"
    spoken = "https://example.org/A/FeatureServer: refused: Invalid replicaServerGen 5"

    assert not speaks_of_generations(named)
    assert speaks_of_generations(spoken)


@pytest.mark.parametrize(("code", "shape"), [(404, "documented"), (500, "bare")])
async def test_lost_replica_is_known_whatever_the_error_is_like(
    tmp_path: Path, code: int, shape: str
) -> None:
    profile = Profile(unknown_replica_code=code, error_shape=shape)  # type: ignore[arg-type]
    async with fleet(tmp_path, profile) as world:
        a = await world.device("A")
        await world.change(HYDRANTS, gid(1), name="office")
        await unregister(world, a)

        await a.sync()

        await world.assert_agreed()


@pytest.mark.parametrize("way", ["gone", "changed there"])
async def test_photo_that_was_changed_here_is_not_overwritten_by_a_download(
    world: Fleet, way: str
) -> None:
    a = await world.device("A")
    async with a.open() as geodatabase:
        hydrants = geodatabase.table(HYDRANTS)
        (photo,) = await hydrants.attachments(gid(1))
        await hydrants.update_attachment(photo.global_id, "mine.jpg", None, b"mine")
    if way == "gone":
        await unregister(world, a)
        await world.change(HYDRANTS, gid(1), name="office")
    else:
        b = await world.device("B")
        async with b.open() as geodatabase:
            hydrants = geodatabase.table(HYDRANTS)
            await hydrants.update_attachment(photo.global_id, "theirs.jpg", None, b"their photo")
        await b.sync()

    await a.sync(geodatabase_sync_direction=SyncDirection.DOWNLOAD)

    assert [data for *_, data in (await a.attachments()).values()] == [b"mine"]
    for device in (a, *world.devices.values(), a):
        await device.sync()
    assert [data for *_, data in world.attachments().values()] == [b"mine"]
    await world.assert_agreed()


async def test_photo_that_was_renamed_there_is_fetched_again_by_a_snapshot(world: Fleet) -> None:
    a = await world.device("A")
    b = await world.device("B")
    async with b.open() as geodatabase:
        hydrants = geodatabase.table(HYDRANTS)
        (photo,) = await hydrants.attachments(gid(1))
        same_size = b"x" * len((await b.attachments())[photo.global_id][3])
        await hydrants.update_attachment(photo.global_id, "other.jpg", None, same_size)
    await b.sync()
    await unregister(world, a)

    await a.sync()

    await world.assert_agreed()
