"""Taking a geodatabase: what is taken, and that a failure leaves nothing behind anywhere."""

import asyncio
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from engine import faults
from engine.errors import BadParameterError, EngineError
from engine.model import AttachmentSyncDirection, Envelope, QueryOption, SpatialReference
from engine.sync.geodatabase_sync_task import GeodatabaseSyncTask
from engine.sync.job import Narrator
from engine.sync.parameters import GenerateGeodatabaseParameters
from tests.engine.sync.fleet import (
    HYDRANTS,
    PIPES,
    VISITS,
    Device,
    Fleet,
    SyncModel,
    gid,
)
from tests.feature_service import Fault


def new_device(world: Fleet) -> Device:
    return Device(world.url, world.folder / "take" / "A.gpkg", SyncModel.PER_REPLICA)


async def parameters(
    device: Device, area: tuple[float, float, float, float] | None = None
) -> GenerateGeodatabaseParameters:
    extent = None
    if area is not None:
        xmin, ymin, xmax, ymax = area
        extent = Envelope(
            xmin=xmin,
            ymin=ymin,
            xmax=xmax,
            ymax=ymax,
            spatial_reference=SpatialReference.of(102100),
        )
    async with GeodatabaseSyncTask(device.url, clock=device.clock) as task:
        return await task.create_default_generate_geodatabase_parameters(extent)


async def assert_nothing_left(world: Fleet, device: Device) -> None:
    assert await world.client.get("replicas") == []
    left = list(device.path.parent.iterdir()) if device.path.parent.exists() else []
    assert not left, left


async def test_area_and_clause_and_related_rows(world: Fleet) -> None:
    device = new_device(world)
    device.path.parent.mkdir()
    wanted = await parameters(device, (50, 50, 650, 650))
    next(o for o in wanted.layer_options if o.layer_id == HYDRANTS).where_clause = "status = 2"

    await device.take(wanted)

    rows = await device.rows()
    assert set(rows[HYDRANTS]) == {gid(1), gid(3), gid(5)}
    assert set(rows[VISITS]) == {gid(1001), gid(1002)}
    assert set(rows[PIPES]) == {gid(2001), gid(2002), gid(2003)}


async def test_only_the_wanted_tables_without_attachments(world: Fleet) -> None:
    device = new_device(world)
    device.path.parent.mkdir()
    wanted = await parameters(device)
    wanted.layer_options = [o for o in wanted.layer_options if o.layer_id == HYDRANTS]
    wanted.layer_options[0].query_option = QueryOption.ALL
    wanted.return_attachments = False
    wanted.attachment_sync_direction = AttachmentSyncDirection.NONE

    await device.take(wanted)

    assert set(await device.rows()) == {HYDRANTS}
    assert await device.attachments() == {}


@pytest.mark.parametrize(
    "fault",
    [
        Fault(kind="status", operation="createReplica", status=400),
        Fault(kind="status", operation="createReplica", status=503),
        Fault(kind="drop-before-commit", operation="createReplica"),
        Fault(kind="drop-after-commit", operation="createReplica"),
        Fault(kind="status", operation="jobs", status=400, times=0),
        Fault(kind="job-failed", operation="createReplica"),
        Fault(kind="truncated-result", operation="replicafiles", at_byte=700),
        Fault(kind="corrupt-result", operation="replicafiles", at_byte=10),
        Fault(kind="expired-result", operation="replicafiles", times=0),
        Fault(kind="status", operation="layer", status=400),
        Fault(kind="status", operation="query", status=400),
    ],
    ids=lambda f: f"{f.kind}-{f.operation}-{f.status}",
)
async def test_failed_take_leaves_neither_file_nor_replica(world: Fleet, fault: Fault) -> None:
    device = new_device(world)
    device.path.parent.mkdir()
    world.server.faults.add(fault)

    with pytest.raises(EngineError):
        await device.take()

    world.server.faults.clear()
    await assert_nothing_left(world, device)


@pytest.mark.parametrize("point", ["replica.named", "replica.created", "geodatabase.finished"])
async def test_error_at_a_step_leaves_neither_file_nor_replica(world: Fleet, point: str) -> None:
    device = new_device(world)
    device.path.parent.mkdir()

    def fail(name: str) -> None:
        if name == point:
            raise EngineError("the step failed")

    with faults.armed(fail), pytest.raises(EngineError, match="the step failed"):
        await device.take()

    await assert_nothing_left(world, device)


async def test_cancelled_take_leaves_neither_file_nor_replica(world: Fleet) -> None:
    device = new_device(world)
    device.path.parent.mkdir()
    async with GeodatabaseSyncTask(device.url, clock=device.clock) as task:
        job = task.create_generate_geodatabase_job(await parameters(device), device.path)
        cancelled: list[asyncio.Task[bool]] = []

        def cancel(name: str) -> None:
            if name == "replica.created":
                cancelled.append(asyncio.get_running_loop().create_task(job.cancel()))

        with faults.armed(cancel):
            job.start()
            with pytest.raises(EngineError, match="cancelled"):
                await job.result()

    assert await cancelled[0]
    await assert_nothing_left(world, device)


@contextmanager
def largest_file(size_bytes: int) -> Iterator[None]:
    """No file of this process may become larger, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_take_on_a_full_disk_leaves_neither_file_nor_replica(world: Fleet) -> None:
    device = new_device(world)
    device.path.parent.mkdir()

    with largest_file(100_000), pytest.raises(EngineError):
        await device.take()

    await assert_nothing_left(world, device)


async def test_sync_on_a_full_disk_loses_nothing(world: Fleet) -> None:
    a = await world.device("A")
    async with a.open() as geodatabase:
        table = geodatabase.table(HYDRANTS)
        await table.add_attachment(gid(2), "a.jpg", None, b"x" * 200_000)
        await table.update_feature(gid(3), {"name": "mine"})

    with largest_file(150_000), pytest.raises(EngineError):
        await a.sync()

    await a.sync()
    await a.sync()
    await world.assert_agreed()
    assert (await world.rows())[HYDRANTS][gid(3)]["name"] == "mine"


async def test_existing_file_is_not_overwritten(world: Fleet) -> None:
    a = await world.device("A")
    before = a.path.read_bytes()

    with pytest.raises(BadParameterError, match="already exists"):
        await a.take()

    assert a.path.read_bytes() == before
    await a.sync()
    await world.assert_agreed()


async def test_replica_of_a_killed_take_is_unregistered_and_others_are_left(
    world: Fleet, tmp_path: Path
) -> None:
    b = await world.device("B")
    device = new_device(world)
    device.path.parent.mkdir()
    stop: Callable[[str], None] = _killed_at("replica.created")
    with faults.armed(stop), pytest.raises(_Killed):
        await _without_clean_up(device)
    assert len(await world.client.get("replicas")) == 2

    await device.take()

    assert len(await world.client.get("replicas")) == 2
    await b.sync()
    await device.sync()


class _Killed(BaseException):
    """Ends a step as a kill does; nothing may catch it."""


def _killed_at(point: str) -> Callable[[str], None]:
    def stop(name: str) -> None:
        if name == point:
            raise _Killed

    return stop


async def _without_clean_up(device: Device) -> None:
    """A take whose clean-up does not run, as if the process were gone."""
    async with GeodatabaseSyncTask(device.url, clock=device.clock) as task:
        generator = task.generator(await parameters(device), device.path)

        async def nothing(*_: object) -> None:
            return None

        generator._clean_up = nothing  # type: ignore[method-assign,assignment]  # as dead
        await generator.run(_silent())


def _silent() -> Narrator:
    async def breathe() -> None:
        return None

    return Narrator(lambda _: None, lambda *_: None, breathe)
