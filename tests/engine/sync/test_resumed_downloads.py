"""Downloads that one sync began and the next one ends."""

from pathlib import Path

import pytest

from engine.errors import LinkError, ProtocolError
from engine.geodatabase.geodatabase import Geodatabase
from engine.model import SyncDirection
from tests.engine.sync.fleet import HYDRANTS, Device, Fleet, fleet, gid
from tests.engine.sync.schema_steps import edit
from tests.engine.sync.test_open_canary import sent_unjudged
from tests.engine.sync.test_partial_updates import CLEARING, SYNCHRONIZE
from tests.feature_service import Fault

NEW = gid(5001)


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is kept on the way begins at a size that the example world reaches."""
    monkeypatch.setattr("engine.service.download.CHUNK_BYTES", 1000)


def spool(device: Device) -> set[str]:
    folder = device.path.with_name(f"{device.path.name}-spool")
    return {path.name for path in folder.iterdir()} if folder.exists() else set()


async def change_everything(world: Fleet) -> None:
    for number in range(1, 10):
        await world.change(HYDRANTS, gid(number), name=f"office {number}")


async def broken_sync(
    world: Fleet, device: Device, operation: str, at_byte: int, **parameters: object
) -> None:
    """A sync whose line breaks again and again at that byte of those answers."""
    fault = Fault(kind="cut-response", operation=operation, at_byte=at_byte, times=2)
    dead = Fault(kind="drop-before-commit", operation=operation, skip=2, times=0)
    world.server.faults.add(fault)
    world.server.faults.add(dead)
    with pytest.raises(LinkError):
        await device.sync(**parameters)
    world.server.faults.clear()
    world.server.log.clear()


async def test_the_next_sync_goes_on_with_the_changes_and_asks_for_later_ones(
    world: Fleet,
) -> None:
    a = await world.device("A")
    await change_everything(world)
    await broken_sync(world, a, "replicafiles", 2500)
    assert "download.json.part.json" in spool(a)
    await world.change(HYDRANTS, gid(1), name="later")

    await a.sync()

    log = world.server.log
    assert log.index("replicafiles") < log.index("synchronizeReplica")
    assert (await a.rows())[HYDRANTS][gid(1)]["name"] == "later"
    await world.assert_agreed()
    assert spool(a) == set()


async def test_changes_from_before_something_was_sent_are_asked_for_anew(world: Fleet) -> None:
    """The replica that sent it is not told of it again."""
    a = await world.device("A", channel=SYNCHRONIZE)
    await change_everything(world)
    await broken_sync(world, a, "replicafiles", 2500)
    await edit(a, 1, name="mine")
    await a.sync(geodatabase_sync_direction=SyncDirection.UPLOAD)

    await a.sync()

    assert (await a.rows())[HYDRANTS][gid(1)]["name"] == "mine"
    await world.assert_agreed()
    assert spool(a) == set()


async def test_changes_from_before_a_row_was_mended_are_asked_for_anew(tmp_path: Path) -> None:
    async with fleet(tmp_path, CLEARING) as world:
        a = await world.device("A", channel=SYNCHRONIZE)
        await sent_unjudged(world, a, "name='mine'")
        await a.sync(geodatabase_sync_direction=SyncDirection.DOWNLOAD)
        for number in range(1, 10):
            await world.change(HYDRANTS, gid(number), serial=number + 20)
        down = {"geodatabase_sync_direction": SyncDirection.DOWNLOAD}
        await broken_sync(world, a, "replicafiles", 2500, **down)
        await a.sync(geodatabase_sync_direction=SyncDirection.UPLOAD)

        await a.sync()

        await world.assert_agreed()


async def test_a_result_that_has_expired_is_asked_for_anew(world: Fleet) -> None:
    a = await world.device("A")
    await change_everything(world)
    await broken_sync(world, a, "replicafiles", 2500)
    world.server.faults.add(Fault(kind="expired-result", operation="replicafiles"))

    await a.sync()

    await world.assert_agreed()
    assert spool(a) == set()


async def test_a_photo_goes_on_where_it_broke(world: Fleet) -> None:
    a, b = await world.device("A"), await world.device("B")
    data = bytes(range(256)) * 40
    async with b.open() as geodatabase:
        await geodatabase.table(HYDRANTS).add_attachment(gid(1), "big.jpg", "image/jpeg", data)
    await b.sync()
    await broken_sync(world, a, "attachment", 2500)
    (part,) = (name for name in spool(a) if name.endswith(".part"))
    kept = a.path.with_name("A.gpkg-spool") / part
    there = kept.stat().st_size
    assert 2500 <= there <= 5000

    await a.sync()

    await b.sync()
    await world.assert_agreed()
    assert spool(a) == set()


async def test_a_file_that_was_spoiled_is_not_kept(world: Fleet) -> None:
    a = await world.device("A")
    await change_everything(world)
    world.server.faults.add(
        Fault(kind="truncated-result", operation="replicafiles", at_byte=2500, times=1)
    )
    fault = Fault(kind="status", operation="extractChanges", status=404, times=0)
    world.server.faults.add(fault)
    with pytest.raises(ProtocolError, match="something that is not JSON"):
        await a.sync()

    assert spool(a) == set()
    await a.sync()
    await world.assert_agreed()


async def test_a_copy_does_not_use_what_the_original_began(world: Fleet) -> None:
    """What is asked for names the replica and its generation."""
    a = await world.device("A")
    await change_everything(world)
    await broken_sync(world, a, "replicafiles", 2500)
    async with await Geodatabase.open(a.path) as geodatabase:
        await geodatabase.database.write(
            lambda c: c.execute("UPDATE fieldsync_replica SET server_generation=1 WHERE 1")
        )

    await a.sync()

    log = world.server.log
    assert log.index("synchronizeReplica") < log.index("replicafiles")
    await world.assert_agreed()
