"""Asking what a sync would bring: right, cheap, and without changing anything."""

import hashlib
from pathlib import Path

import pytest
from aiohttp import ClientSession

from engine.geodatabase import fetch_queue
from engine.geodatabase.fetch_queue import Fetch
from engine.geodatabase.replica import Replica, ReplicaLayer
from engine.model import OfflineUpdateAvailability, SyncModel
from engine.service.session import Session
from engine.sync.check import is_unchanged
from engine.sync.update_check import GeodatabaseUpdates, check_geodatabase
from tests.engine.geodatabase.schemas import service
from tests.engine.sync.fleet import HYDRANTS, Device, Fleet, fleet, gid
from tests.engine.sync.test_generate import parameters
from tests.feature_service import Fault, Profile

AREA = (50.0, 50.0, 650.0, 650.0)  # the hydrants 1 to 6
NONE = OfflineUpdateAvailability.NONE
AVAILABLE = OfflineUpdateAvailability.AVAILABLE
INDETERMINATE = OfflineUpdateAvailability.INDETERMINATE


async def check(device: Device) -> GeodatabaseUpdates:
    async with device.open() as geodatabase, Session(clock=device.clock) as session:
        return await check_geodatabase(session, geodatabase)


def test_service_that_tells_no_generation_is_not_at_one_that_nobody_knows() -> None:
    """A map whose rows are still to be fetched whole would take itself for current."""
    silent = service(changeTrackingInfo={"lastSyncDate": 1700000000000})

    assert not is_unchanged(silent, Replica(layers=(ReplicaLayer(layer_id=0),)), [0])


async def test_nothing_changed_is_told_without_asking_for_changes(world: Fleet) -> None:
    a = await world.device("A")

    assert (await check(a)).availability is NONE
    assert "extractChanges" not in world.server.log


@pytest.mark.parametrize("model", [SyncModel.PER_REPLICA, SyncModel.PER_LAYER])
async def test_what_would_come_is_counted_by_layer(world: Fleet, model: SyncModel) -> None:
    a = await world.device("A", model=model)
    await world.change(HYDRANTS, gid(1), name="office")
    await world.edit(HYDRANTS, deletes=[gid(2), gid(3)])

    found = await check(a)

    assert found.availability is AVAILABLE
    assert found.layers.keys() == {"Hydrants"}
    assert (found.layers["Hydrants"].rows, found.layers["Hydrants"].deletes) == (3, 2)


async def test_it_works_beside_pending_edits_and_changes_nothing(world: Fleet) -> None:
    a = await world.device("A")
    await world.change(HYDRANTS, gid(1), name="office")
    async with a.open() as geodatabase:
        await geodatabase.table(HYDRANTS).update_feature(gid(2), {"name": "mine"})
    before = hashlib.sha256(a.path.read_bytes()).hexdigest()
    replicas = await world.client.get("replicas")

    assert (await check(a)).availability is AVAILABLE

    assert hashlib.sha256(a.path.read_bytes()).hexdigest() == before
    assert await world.client.get("replicas") == replicas
    assert (await a.pending())["Hydrants"] == 1
    folder = a.path.with_name("A.gpkg-spool")
    assert not folder.exists() or not list(folder.iterdir())
    await a.sync()
    await a.sync()
    await world.assert_agreed()


async def test_a_change_outside_of_the_map_is_no_update(world: Fleet) -> None:
    a = Device(world.url, world.folder / "A.gpkg", SyncModel.PER_REPLICA)
    await a.take(await parameters(a, AREA))
    await world.change(HYDRANTS, gid(9), name="far away")

    found = await check(a)

    assert found.availability is INDETERMINATE, "no change is known, and none is ruled out"
    assert found.layers == {}


async def test_ids_alone_are_not_believed_when_there_are_none(tmp_path: Path) -> None:
    """As recorded: empty lists for thousands of changes."""
    async with fleet(tmp_path, Profile(ids_only="empty", no_changes="null")) as world:
        a = await world.device("A")
        await world.change(HYDRANTS, gid(1), name="office")

        found = await check(a)

        assert found.availability is AVAILABLE
        assert found.layers.keys() == {"Hydrants"}
        assert found.layers["Hydrants"].rows == 1
        assert world.server.log.count("extractChanges") == 2


async def test_without_change_tracking_nobody_can_tell(tmp_path: Path) -> None:
    async with fleet(tmp_path, Profile(supports_change_tracking=False)) as world:
        a = await world.device("A")

        assert (await check(a)).availability is INDETERMINATE


@pytest.mark.parametrize("operation", ["service", "extractChanges"])
async def test_a_service_that_does_not_answer_leaves_it_open(world: Fleet, operation: str) -> None:
    a = await world.device("A")
    await world.change(HYDRANTS, gid(1), name="office")
    world.server.faults.add(Fault(kind="drop-before-commit", operation=operation, times=0))

    assert (await check(a)).availability is INDETERMINATE


async def test_attachments_that_wait_are_something_to_fetch(world: Fleet) -> None:
    a = await world.device("A")
    async with a.open() as geodatabase:
        number = geodatabase.table(HYDRANTS).layer_id * 2 + 1
        waiting = Fetch(number=number, gid=gid(1), url="u", spool_name=None, size_bytes=1234)
        await geodatabase.database.write(fetch_queue.enqueue, [waiting])

    found = await check(a)

    assert found.availability is AVAILABLE
    assert found.layers["Hydrants"].attachments == 1
    assert found.layers["Hydrants"].size_bytes == 1234


@pytest.mark.parametrize("layer", ["Hydrants", "Pipes", "Visits"])
async def test_the_estimate_of_bytes_is_close(world: Fleet, layer: str) -> None:
    a = await world.device("A")
    async with a.open() as geodatabase:
        table = next(t for t in geodatabase.feature_tables if t.name == layer)
        gids = [f.global_id async for f in table.query_features()]
        for one in gids:
            await world.change(table.layer_id, one)
        (generation,) = await geodatabase.database.read(
            lambda c: c.execute("SELECT server_generation FROM fieldsync_replica").fetchone()
        )
    found = (await check(a)).layers[layer]

    answer = await world.client.post(
        "extractChanges",
        layers=[table.layer_id],
        serverGens=[generation],
        returnUpdates=True,
        outSR=102100,
        **{"async": False, "transportType": "esriTransportTypeUrl"},
    )
    async with ClientSession() as http, http.get(answer["URL"]) as response:
        actual = len(await response.read())
    assert found.rows == len(gids)
    assert found.size_bytes == pytest.approx(actual, rel=0.1, abs=300)
