"""What has changed, learned by extractChanges where synchronizeReplica cannot tell."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from engine.errors import EngineError, ServiceRefusedError
from engine.geodatabase.replica import Replica, ReplicaLayer
from engine.layer_schema import ServiceSchema
from engine.model import AttachmentSyncDirection, SpatialReference, SyncModel
from engine.sync.pull_channels import can_extract, extract_form
from tests.engine.sync.fleet import HYDRANTS, VISITS, Device, Fleet, fleet, gid
from tests.engine.sync.test_generate import parameters
from tests.feature_service import Fault, Profile

AREA = (50.0, 50.0, 650.0, 650.0)  # the hydrants 1 to 6
NEW, CHILD = gid(5001), gid(5002)


def refuse_downloads(world: Fleet, kind: str = "not-there") -> None:
    """From now on the first channel does not work."""
    if kind == "job-failed":
        world.server.faults.add(Fault(kind="job-failed", operation="synchronizeReplica", times=0))
    else:
        fault = Fault(kind="status", operation="synchronizeReplica", status=404, times=0)
        world.server.faults.add(fault)


async def edit_at_the_office(world: Fleet) -> None:
    """Rows and attachments of every kind change."""
    hydrant: dict[str, Any] = {
        "attributes": {"GlobalID": NEW, "name": "new"},
        "geometry": {"x": 333.0, "y": 333.0},
    }
    await world.edit(HYDRANTS, adds=[hydrant], deletes=[gid(4)])
    await world.change(HYDRANTS, gid(2), name="office")
    await world.edit(VISITS, adds=[{"attributes": {"GlobalID": CHILD, "hydrant": NEW}}])
    photo = {"globalId": gid(7001), "parentGlobalId": gid(2), "contentType": "image/png"}
    photo |= {"name": "office.png", "data": "b2ZmaWNl"}
    await world.edit(HYDRANTS, attachments={"adds": [photo]})


@pytest.mark.parametrize("kind", ["not-there", "job-failed"])
@pytest.mark.parametrize("model", [SyncModel.PER_REPLICA, SyncModel.PER_LAYER])
async def test_changes_of_every_kind_come_by_the_second_channel(
    world: Fleet, model: SyncModel, kind: str
) -> None:
    a = await world.device("A", model=model)
    await edit_at_the_office(world)
    async with a.open() as geodatabase:
        await geodatabase.table(HYDRANTS).update_feature(gid(3), {"name": "mine"})
    refuse_downloads(world, kind)

    await a.sync()

    assert "extractChanges" in world.server.log
    await world.assert_agreed()
    assert (await a.rows())[HYDRANTS][gid(3)]["name"] == "mine"
    await a.sync()  # our own edit comes back
    world.server.log.clear()
    await a.sync()
    assert "extractChanges" not in world.server.log, "its generation is known now"


@pytest.mark.parametrize("seed", range(6))
async def test_it_does_so_whatever_the_service_s_ways(tmp_path: Path, seed: int) -> None:
    profile = replace(Profile.random(seed), supports_change_tracking=True)
    print(profile)
    async with fleet(tmp_path, profile) as world:
        a = await world.device("A")
        await edit_at_the_office(world)
        refuse_downloads(world)

        await a.sync()

        assert "extractChanges" in world.server.log
        await world.assert_agreed()


async def test_the_replica_s_own_area_and_clause_are_asked_for(world: Fleet) -> None:
    a = Device(world.url, world.folder / "A.gpkg", SyncModel.PER_REPLICA)
    wanted = await parameters(a, AREA)
    wanted.layer_options[0].where_clause = "serial <> 5"
    await a.take(wanted)
    before = (await a.rows())[HYDRANTS].keys()
    await world.change(HYDRANTS, gid(1), name="inside")
    await world.change(HYDRANTS, gid(9), name="outside")
    await world.change(HYDRANTS, gid(2), serial=5)
    refuse_downloads(world)

    result = await a.sync()

    rows = (await a.rows())[HYDRANTS]
    assert rows.keys() == before
    assert rows[gid(1)]["name"] == "inside"
    assert rows[gid(2)]["serial"] == 5
    assert result.layer(HYDRANTS).downloaded.out_of_area == 1


async def test_a_replica_that_is_gone_is_not_gone_around(world: Fleet) -> None:
    a = await world.device("A")
    await world.change(HYDRANTS, gid(2), name="office")
    async with a.open() as geodatabase:
        done = await world.client.post("unRegisterReplica", replicaID=geodatabase.sync_id)
    assert done["success"]

    await a.sync(allow_full_download=True)

    assert "extractChanges" not in world.server.log
    await world.assert_agreed()


@pytest.mark.parametrize("second", [True, False])
async def test_what_both_refuse_ends_with_the_reason_of_the_first(
    tmp_path: Path, second: bool
) -> None:
    async with fleet(tmp_path, Profile(supports_change_tracking=second)) as world:
        a = await world.device("A")
        await world.change(HYDRANTS, gid(2), name="office")
        refuse_downloads(world, "job-failed")
        fault = Fault(kind="status", operation="extractChanges", status=404, times=0)
        world.server.faults.add(fault)

        with pytest.raises(ServiceRefusedError, match="Unable to complete") as caught:
            await a.sync()

    assert "extractChanges" not in str(caught.value)
    assert ("extractChanges" in world.server.log) is second


@pytest.mark.parametrize("extracts", [False, True])
async def test_a_row_that_cannot_be_stored_is_fetched_again_later(
    world: Fleet, extracts: bool
) -> None:
    """Its neighbours are merged, the generation moves, and a correction is not missed."""
    a = await world.device("A")
    bad = {"layer": HYDRANTS, "attributes": {"GlobalID": NEW, "serial": "many"}}
    world.server.faults.add(Fault(kind="strange-row", operation="service", change=bad))
    await world.client.get("")
    await world.change(HYDRANTS, gid(2), name="office")
    if extracts:
        refuse_downloads(world)

    result = await a.sync()

    assert result.layer(HYDRANTS).downloaded.undecodable == 1
    rows = (await a.rows())[HYDRANTS]
    assert NEW not in rows
    assert rows[gid(2)]["name"] == "office"
    async with a.open() as geodatabase:
        (kept,) = await geodatabase.quarantine()
    assert (kept.global_id, kept.code) == (NEW, "undecodable")

    await world.change(HYDRANTS, NEW, serial=7)
    await a.sync()

    assert (await a.rows())[HYDRANTS][NEW]["serial"] == 7
    async with a.open() as geodatabase:
        assert await geodatabase.quarantine() == []
    await world.assert_agreed()


# --- what is asked --------------------------------------------------------------------------------


def schema(**able: bool) -> ServiceSchema:
    value = {
        "capabilities": "Query,Sync,ChangeTracking",
        "layers": [{"id": 0, "name": "a"}, {"id": 2, "name": "b"}],
        "extractChangesCapabilities": able,
    }
    return ServiceSchema.from_json(value, "https://h.org/x/FeatureServer")


ALL = {"supportsReturnAttachments": True, "supportsLayerQueries": True, "supportsGeometry": True}
EXTENT = {"xmin": 1, "ymin": 2, "xmax": 3, "ymax": 4, "spatialReference": {"wkid": 4326}}


def record(**changes: object) -> Replica:
    plain = Replica(
        server_generation=7,
        attachment_direction=AttachmentSyncDirection.NONE,
        layers=(ReplicaLayer(layer_id=0), ReplicaLayer(layer_id=2, generation=9)),
    )
    return replace(plain, **changes)  # type: ignore[arg-type]  # members of Replica


PHOTOS = {"attachment_direction": AttachmentSyncDirection.BIDIRECTIONAL}
CLAUSE = {"layers": (ReplicaLayer(layer_id=0, options={"where": "a=1"}), ReplicaLayer(layer_id=2))}


@pytest.mark.parametrize(
    ("changes", "needed"),
    [
        ({}, ""),
        (PHOTOS, "supportsReturnAttachments"),
        (CLAUSE, "supportsLayerQueries"),
        ({"extent": EXTENT}, "supportsGeometry"),
    ],
)
def test_a_service_that_could_leave_something_out_is_not_asked(
    changes: dict[str, object], needed: str
) -> None:
    less = {name: True for name in ALL if name != needed}

    assert can_extract(record(**changes), schema(**ALL), [0, 2])
    assert can_extract(record(**changes), schema(**less), [0, 2]) is (not needed)


def test_related_rows_are_not_asked_for_without_the_layers_they_are_related_to() -> None:
    related = ReplicaLayer(layer_id=2, generation=9, options={"queryOption": "none"})
    one = record(layers=(ReplicaLayer(layer_id=0), related))

    assert can_extract(one, schema(**ALL), [0, 2])
    assert not can_extract(one, schema(**ALL), [2])


def test_the_other_name_for_a_spatial_filter_counts() -> None:
    able = schema(supportsSpatialFilter=True)

    assert can_extract(record(extent=EXTENT), able, [0, 2])


def test_without_a_generation_there_is_nothing_to_extract_from() -> None:
    assert not can_extract(record(server_generation=None), schema(**ALL), [0, 2])


def test_layers_and_generations_name_the_same_layers() -> None:
    form = extract_form(
        record(extent=EXTENT, **CLAUSE, **PHOTOS), SpatialReference.of(3857), [0, 2]
    )

    assert form["layers"] == "0,2"
    assert form["layerServerGens"] == '[{"id": 0, "serverGen": 7}, {"id": 2, "serverGen": 7}]'
    assert form["layerQueries"] == '{"0": {"where": "a=1"}}'
    assert form["geometry"] == "1.0,2.0,3.0,4.0"
    assert (form["inSR"], form["outSR"]) == ("4326", "3857")
    assert form["returnAttachments"] == "true"
    assert form["returnIdsOnly"] == "false"


async def test_credentials_are_not_taken_for_a_refusal(world: Fleet) -> None:
    a = await world.device("A")
    await world.change(HYDRANTS, gid(2), name="office")
    world.server.faults.add(
        Fault(kind="status", operation="synchronizeReplica", status=403, times=0)
    )

    with pytest.raises(EngineError, match="403"):
        await a.sync()

    assert "extractChanges" not in world.server.log
