"""Registering, unregistering and relocating a geodatabase; copies of it; and who may when."""

import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from engine.atomic import ProcessLock
from engine.errors import (
    BadParameterError,
    GeodatabaseError,
    LinkError,
    ReplicaNotFoundError,
    SyncInProgress,
    TransactionOpenError,
)
from engine.geodatabase.geodatabase import Geodatabase
from engine.sync import batch_sizer, machine
from engine.sync.context import lock_path, spool_folder
from engine.sync.geodatabase_sync_task import GeodatabaseSyncTask
from engine.sync.parameters import PushChannel
from tests.engine.sync.fleet import HYDRANTS, Device, Fleet, fleet, gid
from tests.engine.sync.test_edits_meanwhile import foreign
from tests.engine.sync.test_recovery import (
    assert_recovered,
    edit_at_the_office,
    edit_everything,
    replicas,
    unregister,
)
from tests.engine.sync.test_uploads import PHOTO, break_off, device_with_a_photo, photos
from tests.feature_service import Fault

Work = Callable[[GeodatabaseSyncTask, Geodatabase], Awaitable[None]]


@pytest.fixture
async def task(world: Fleet) -> AsyncIterator[GeodatabaseSyncTask]:
    async with GeodatabaseSyncTask(world.url) as running:
        yield running


def copied(world: Fleet, original: Device, name: str) -> Device:
    """A copy of the device's file, as a copied card has it."""
    path = world.folder / f"{name}.gpkg"
    shutil.copy(original.path, path)  # nobody has it open
    device = Device(original.url, path, original.model)
    device.parameters = original.parameters
    world.devices[name] = device
    return device


@pytest.fixture
def move_to_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], None]:
    """What makes this process run on another machine."""

    def move(name: str) -> None:
        source = tmp_path / f"machine-{name}"
        source.write_text(f"{name}\n")
        monkeypatch.setattr(machine, "_SYSTEM", (source,))

    return move


# --- copies --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("channel", "is_supported"),
    [
        (PushChannel.APPLY_EDITS, True),
        (PushChannel.SYNCHRONIZE_REPLICA, True),
        (PushChannel.APPLY_EDITS, False),
    ],
)
async def test_copied_card_registers_itself_and_pending_edits_go_up_once(
    tmp_path: Path,
    move_to_machine: Callable[[str], None],
    channel: PushChannel,
    is_supported: bool,
) -> None:
    async with fleet(tmp_path) as world:
        if not is_supported:
            ability = {"supportsRegisteringExistingData": False}
            world.inside.service.document["syncCapabilities"] = ability
        move_to_machine("one")
        a = await world.device("A", channel=channel)
        await edit_everything(a)
        await edit_at_the_office(world)
        b = copied(world, a, "B")
        original = await replicas(world)

        move_to_machine("two")
        await b.sync()
        move_to_machine("one")
        await a.sync()

        assert await replicas(world) != original
        assert set(original) < set(await replicas(world))
        assert len(await replicas(world)) == 2
        foreign(a, f"UPDATE Hydrants SET name='from A' WHERE GlobalID='{gid(2)}'")
        await a.sync()
        move_to_machine("two")
        await b.sync()
        await world.assert_agreed()
        assert (await world.rows())[HYDRANTS][gid(2)]["name"] == "from A"


async def test_copied_card_sees_what_its_original_sent(
    world: Fleet, move_to_machine: Callable[[str], None]
) -> None:
    move_to_machine("one")
    a = await world.device("A", channel=PushChannel.SYNCHRONIZE_REPLICA)
    b = copied(world, a, "B")
    foreign(a, f"UPDATE Hydrants SET name='from A' WHERE GlobalID='{gid(2)}'")
    await a.sync()

    move_to_machine("two")
    await b.sync()

    await world.assert_agreed()


async def test_copied_card_leaves_the_upload_that_its_original_began(
    world: Fleet, move_to_machine: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("MIN_BYTES", "START_BYTES", "MAX_BYTES"):
        monkeypatch.setattr(batch_sizer, name, 4000)
    move_to_machine("one")
    a = await device_with_a_photo(world, PushChannel.APPLY_EDITS)
    await break_off(world, a)
    b = copied(world, a, "B")
    shutil.copytree(spool_folder(a.path), spool_folder(b.path))

    move_to_machine("two")
    await b.sync()

    assert world.server.log.count("register") == 2
    assert photos(world) == [PHOTO]
    move_to_machine("one")
    await a.sync()
    await b.sync()
    await world.assert_agreed()


async def test_unregistering_a_copied_card_leaves_the_original_registered(
    world: Fleet, task: GeodatabaseSyncTask, move_to_machine: Callable[[str], None]
) -> None:
    move_to_machine("one")
    a = await world.device("A")
    b = copied(world, a, "B")
    before = await replicas(world)

    move_to_machine("two")
    async with b.open() as geodatabase:
        await task.unregister_geodatabase(geodatabase)
        assert not geodatabase.sync_id

    assert await replicas(world) == before


async def test_copy_on_the_same_device_is_registered_by_hand(
    world: Fleet, task: GeodatabaseSyncTask
) -> None:
    a = await world.device("A", channel=PushChannel.SYNCHRONIZE_REPLICA)
    b = copied(world, a, "B")
    async with b.open() as geodatabase:
        await task.register_sync_enabled_geodatabase(geodatabase)
        assert len({geodatabase.sync_id, *await replicas(world)}) == 2
    foreign(a, f"UPDATE Hydrants SET name='from A' WHERE GlobalID='{gid(2)}'")

    await a.sync()
    await b.sync()

    await world.assert_agreed()


def test_machine_is_another_one_only_if_both_are_known(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    system, board = tmp_path / "machine-id", tmp_path / "serial-number"
    monkeypatch.setattr(machine, "_SYSTEM", (system,))
    monkeypatch.setattr(machine, "_BOARD", (board,))
    system.write_text("0123456789abcdef\n")
    here = machine.machine_id()
    assert not machine.is_another_machine(here)
    assert not machine.is_another_machine("")

    board.write_bytes(b"10000000abcdef01\0")  # the same card in another Raspberry Pi

    assert machine.is_another_machine(here)
    system.unlink()
    assert not machine.is_another_machine(here)


# --- unregister and register ---------------------------------------------------------------------


async def test_unregistered_geodatabase_cannot_sync_until_it_is_registered_again(
    world: Fleet, task: GeodatabaseSyncTask
) -> None:
    a = await world.device("A", channel=PushChannel.SYNCHRONIZE_REPLICA)
    await edit_everything(a)
    await edit_at_the_office(world)
    async with a.open() as geodatabase:
        await task.unregister_geodatabase(geodatabase)
        with pytest.raises(GeodatabaseError, match="fieldsync register"):
            await a.sync_open(geodatabase)
        assert await replicas(world) == []

        await task.register_sync_enabled_geodatabase(geodatabase)

        assert await replicas(world) == [geodatabase.sync_id]
    await a.sync()
    await world.assert_agreed()
    await assert_recovered(world, a)
    assert len(await replicas(world)) == 1


async def test_unregister_without_a_link_says_that_it_is_still_registered(
    world: Fleet, task: GeodatabaseSyncTask
) -> None:
    a = await world.device("A")
    world.server.faults.add(Fault(kind="drop-before-commit", times=0))
    async with a.open() as geodatabase:
        async with GeodatabaseSyncTask(a.url, clock=a.clock) as offline:
            with pytest.raises(LinkError, match="still registered"):
                await offline.unregister_geodatabase(geodatabase)

        assert geodatabase.sync_id
        world.server.faults.clear()
        await task.unregister_geodatabase(geodatabase)
    assert await replicas(world) == []


@pytest.mark.parametrize("is_unregistered", [False, True])
async def test_unregister_takes_back_what_a_lost_answer_has_left(
    world: Fleet, task: GeodatabaseSyncTask, is_unregistered: bool
) -> None:
    a = await world.device("A")
    async with a.open() as geodatabase:
        if is_unregistered:
            await task.unregister_geodatabase(geodatabase)
        world.server.faults.add(Fault(kind="drop-after-commit", operation="createReplica"))
        with pytest.raises(LinkError):
            await task.register_sync_enabled_geodatabase(geodatabase)
        world.server.faults.add(Fault(kind="drop-before-commit", operation="replicas", times=0))
        async with GeodatabaseSyncTask(a.url, clock=a.clock) as offline:
            with pytest.raises(LinkError, match="still registered"):
                await offline.unregister_geodatabase(geodatabase)
        world.server.faults.clear()

        await task.unregister_geodatabase(geodatabase)

        assert await replicas(world) == []
        with pytest.raises(BadParameterError, match="not registered"):
            await task.unregister_geodatabase(geodatabase)


async def test_unregister_by_id_needs_no_file_and_takes_only_our_own(
    world: Fleet, task: GeodatabaseSyncTask
) -> None:
    a = await world.device("A")
    await world.client.post(
        "createReplica",
        replicaName="fieldsync-somebodyelse-1",
        layers="0",
        geometry="0,0,1,1",
        syncModel="perReplica",
        transportType="esriTransportTypeEmbedded",
    )
    others = [i for i in await replicas(world) if i != (await _sync_id(a))]

    await task.unregister_geodatabase((await _sync_id(a)).lower().strip("{}"))

    assert await replicas(world) == others
    with pytest.raises(BadParameterError, match="not made by this device"):
        await task.unregister_geodatabase(others[0])
    for unknown in ("*", gid(7), "x"):
        with pytest.raises(ReplicaNotFoundError):
            await task.unregister_geodatabase(unknown)
    assert await replicas(world) == others


async def _sync_id(device: Device) -> str:
    async with device.open() as geodatabase:
        return geodatabase.sync_id


async def test_replica_whose_answer_was_lost_is_taken_back_by_the_next_sync(
    world: Fleet, task: GeodatabaseSyncTask
) -> None:
    a = await world.device("A")
    await unregister(world, a)
    world.server.faults.add(Fault(kind="drop-after-commit", operation="createReplica"))
    async with a.open() as geodatabase:
        with pytest.raises(LinkError):
            await task.register_sync_enabled_geodatabase(geodatabase)
    (lost,) = await replicas(world)
    await world.change(HYDRANTS, gid(1), name="office")

    await a.sync()

    assert lost not in await replicas(world)
    assert await replicas(world) == [await _sync_id(a)]
    await world.assert_agreed()


# --- one at a time -------------------------------------------------------------------------------


async def register(task: GeodatabaseSyncTask, geodatabase: Geodatabase) -> None:
    await task.register_sync_enabled_geodatabase(geodatabase)


async def unregister_it(task: GeodatabaseSyncTask, geodatabase: Geodatabase) -> None:
    await task.unregister_geodatabase(geodatabase)


async def relocate(task: GeodatabaseSyncTask, geodatabase: Geodatabase) -> None:
    await task.relocate_geodatabase(geodatabase)


async def sync(task: GeodatabaseSyncTask, geodatabase: Geodatabase) -> None:
    parameters = await task.create_default_sync_geodatabase_parameters(geodatabase)
    job = task.create_sync_geodatabase_job(parameters, geodatabase)
    job.start()
    await job.result()


@pytest.mark.parametrize("work", [register, unregister_it, relocate, sync])
async def test_nothing_runs_beside_a_sync_or_inside_a_transaction(
    world: Fleet, task: GeodatabaseSyncTask, work: Work
) -> None:
    a = await world.device("A")
    before = await replicas(world)
    world.server.log.clear()
    async with a.open() as geodatabase:
        with ProcessLock(lock_path(a.path)) as lock:
            assert lock.acquire()
            with pytest.raises(SyncInProgress):
                await work(task, geodatabase)
        async with geodatabase.transaction():
            with pytest.raises(TransactionOpenError):
                await work(task, geodatabase)
    assert world.server.log == []
    assert await replicas(world) == before


async def test_another_service_than_its_own_is_refused(
    world: Fleet, task: GeodatabaseSyncTask
) -> None:
    a = await world.device("A")
    stranger = GeodatabaseSyncTask("http://127.0.0.1:9/x/FeatureServer")
    async with stranger, a.open() as geodatabase:
        for work in (register, unregister_it):
            with pytest.raises(BadParameterError, match="belongs to"):
                await work(stranger, geodatabase)
