"""A take that was killed, or whose link broke, goes on where it was with the next one."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from engine import faults
from engine.errors import LinkError, PermissionDeniedError
from engine.model import AttachmentSyncDirection, SyncModel
from engine.sync.context import spool_folder
from engine.sync.geodatabase_sync_task import GeodatabaseSyncTask
from engine.sync.job import Narrator
from engine.sync.parameters import GenerateGeodatabaseParameters
from engine.sync.taking import Taking, is_begun, partial_path
from tests.engine.sync.fleet import HYDRANTS, Device, Fleet, fleet, gid
from tests.engine.sync.schema_steps import COLOUR, change
from tests.engine.sync.test_generate import new_device, parameters
from tests.engine.sync.test_recovery import unregister
from tests.feature_service import Fault, Profile

POINTS = ("replica.answered", "part.written", "replica.created", "rows.loaded", "photo.stored")


class Killed(BaseException):
    """Ends a step as a kill does; nothing may catch it."""


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is kept on the way begins at a size that the example world reaches."""
    monkeypatch.setattr("engine.service.download.CHUNK_BYTES", 1000)


@pytest.fixture
def device(world: Fleet) -> Device:
    new = new_device(world)
    new.path.parent.mkdir()
    return new


async def whole(device: Device) -> GenerateGeodatabaseParameters:
    """The parameters of a take of all that there is."""
    wanted = await parameters(device)
    wanted.sync_model = device.model
    wanted.return_attachments = True
    wanted.attachment_sync_direction = AttachmentSyncDirection.BIDIRECTIONAL
    return wanted


async def die(device: Device, point: str) -> None:
    """A take whose process dies there: what follows in it is not run."""

    def stop(name: str) -> None:
        if name == point:
            raise Killed

    async def nothing(*_: object) -> None:
        return None

    async with GeodatabaseSyncTask(device.url, clock=device.clock) as task:
        generator = task.generator(await whole(device), device.path)
        generator._clean_up = nothing  # type: ignore[method-assign,assignment]  # as dead
        with faults.armed(stop), pytest.raises(Killed):
            await generator.run(Narrator.silent())


async def assert_whole(world: Fleet, device: Device) -> None:
    """One replica, nothing beside the file, and all that the service has."""
    assert len(await world.client.get("replicas")) == 1
    assert {p.name for p in device.path.parent.iterdir()} <= {"A.gpkg", "A.gpkg.lock"}
    world.devices["A"] = device
    await world.assert_agreed()


@pytest.mark.parametrize("point", POINTS)
async def test_replica_of_a_killed_take_is_used_by_the_next(
    world: Fleet, device: Device, point: str
) -> None:
    await die(device, point)
    (made,) = await world.client.get("replicas")
    world.server.log.clear()

    await device.take()

    assert "createReplica" not in world.server.log
    assert (await world.client.get("replicas")) == [made]
    await assert_whole(world, device)


async def test_take_that_was_killed_twice_goes_on(world: Fleet, device: Device) -> None:
    for point in ("part.written", "part.written", "rows.loaded", "photo.stored"):
        await die(device, point)

    await device.take()

    await assert_whole(world, device)


async def test_rows_that_were_loaded_are_not_fetched_again(world: Fleet, device: Device) -> None:
    await die(device, "rows.loaded")
    world.server.log.clear()

    await device.take()

    assert not {"replicafiles", "jobs", "query"} & set(world.server.log)
    await assert_whole(world, device)


async def test_photos_that_have_come_are_not_fetched_again(world: Fleet, device: Device) -> None:
    async with (await world.device("B")).open() as geodatabase:
        for number in range(2, 6):
            data = bytes([number]) * 500
            table = geodatabase.table(HYDRANTS)
            await table.add_attachment(gid(number), f"{number}.jpg", "image/jpeg", data)
    await world.devices["B"].sync()
    await unregister(world, world.devices.pop("B"))
    world.server.log.clear()
    await die(device, "photo.stored")
    fetched = world.server.log.count("attachment")
    world.server.log.clear()

    await device.take()

    assert fetched + world.server.log.count("attachment") == 5
    await assert_whole(world, device)


def dead_after(operation: str, at_byte: int) -> list[Fault]:
    """The line breaks at that byte of those answers, again and again, and then for good."""
    return [
        Fault(kind="cut-response", operation=operation, at_byte=at_byte, times=2),
        Fault(kind="drop-before-commit", operation=operation, skip=2, times=0),
    ]


async def break_off(world: Fleet, device: Device, operation: str, at_byte: int) -> None:
    for fault in dead_after(operation, at_byte):
        world.server.faults.add(fault)
    with pytest.raises(LinkError):
        await device.take()
    world.server.faults.clear()
    world.server.log.clear()


async def test_download_goes_on_where_the_link_broke(world: Fleet, device: Device) -> None:
    await break_off(world, device, "replicafiles", 2500)
    (part,) = spool_folder(partial_path(device.path)).glob("*.part")
    there = part.stat().st_size
    assert there >= 2500

    await device.take()

    assert "createReplica" not in world.server.log
    await assert_whole(world, device)


async def test_job_that_was_waited_for_is_not_begun_twice(world: Fleet, device: Device) -> None:
    world.server.faults.add(Fault(kind="drop-before-commit", operation="jobs", times=0))
    with pytest.raises(LinkError):
        await device.take()
    world.server.faults.clear()
    world.server.log.clear()

    await device.take()

    assert "createReplica" not in world.server.log
    await assert_whole(world, device)


async def test_photo_that_breaks_off_is_left_for_the_first_sync(
    world: Fleet, device: Device
) -> None:
    b = await world.device("B")
    async with b.open() as geodatabase:
        data = bytes(range(256)) * 40
        await geodatabase.table(HYDRANTS).add_attachment(gid(1), "big.jpg", "image/jpeg", data)
    await b.sync()
    for fault in dead_after("attachment", 2500):
        world.server.faults.add(fault)

    await device.take()

    world.server.faults.clear()
    await device.sync()
    world.devices["A"] = device
    await world.assert_agreed()


async def test_result_that_has_expired_is_asked_for_anew(world: Fleet, device: Device) -> None:
    await break_off(world, device, "replicafiles", 2500)
    world.server.faults.add(Fault(kind="expired-result", operation="replicafiles", times=2))

    await device.take()

    assert world.server.log.count("createReplica") == 1
    await assert_whole(world, device)


async def other_clause(wanted: GenerateGeodatabaseParameters, device: Device) -> None:
    del device
    option = next(o for o in wanted.layer_options if o.layer_id == HYDRANTS)
    option.where_clause = "status = 2"


async def next_day(wanted: GenerateGeodatabaseParameters, device: Device) -> None:
    del wanted
    device.clock.start += timedelta(days=1, seconds=1)


async def clock_set_right(wanted: GenerateGeodatabaseParameters, device: Device) -> None:
    del wanted
    device.clock.start -= timedelta(days=9000)


async def spoiled_note(wanted: GenerateGeodatabaseParameters, device: Device) -> None:
    del wanted
    folder = spool_folder(partial_path(device.path))
    note = Taking.read(folder)
    assert note is not None
    replace(note, request="").write(folder)


@pytest.mark.parametrize("point", ["part.written", "rows.loaded"])
@pytest.mark.parametrize("meanwhile", [other_clause, next_day, clock_set_right, spoiled_note])
async def test_what_was_taken_of_something_else_is_taken_back(
    world: Fleet,
    device: Device,
    point: str,
    meanwhile: Callable[[GenerateGeodatabaseParameters, Device], Awaitable[None]],
) -> None:
    wanted = await whole(device)
    await die(device, point)
    (old,) = await world.client.get("replicas")
    await meanwhile(wanted, device)

    await device.take(wanted)

    (new,) = await world.client.get("replicas")
    assert new["replicaID"] != old["replicaID"]
    assert {p.name for p in device.path.parent.iterdir()} <= {"A.gpkg", "A.gpkg.lock"}


async def test_layer_that_has_changed_meanwhile_is_taken_as_it_is(
    world: Fleet, device: Device
) -> None:
    await die(device, "part.written")
    change(world, HYDRANTS, add=COLOUR)

    await device.take()

    await assert_whole(world, device)


async def test_error_before_anything_was_asked_leaves_what_there_was(
    world: Fleet, device: Device
) -> None:
    await die(device, "rows.loaded")
    world.server.faults.add(Fault(kind="status", operation="service", status=403))

    with pytest.raises(PermissionDeniedError):
        await device.take()

    assert is_begun(spool_folder(partial_path(device.path)))
    await device.take()
    await assert_whole(world, device)


async def test_take_per_layer_goes_on(tmp_path: Path) -> None:
    async with fleet(tmp_path, Profile(sync_models="perLayer")) as world:
        device = Device(world.url, world.folder / "take" / "A.gpkg", SyncModel.PER_LAYER)
        device.path.parent.mkdir()
        await die(device, "rows.loaded")

        await device.take()

        await assert_whole(world, device)
