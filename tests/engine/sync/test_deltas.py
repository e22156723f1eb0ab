"""Delta files of one device: what is in them, when they are refused, what they never touch."""

import random
import sqlite3
import tracemalloc
from contextlib import closing
from pathlib import Path

import pytest

from engine import faults
from engine.atomic import ProcessLock
from engine.errors import (
    BadParameterError,
    DeltaError,
    DeltaMismatchError,
    GeodatabaseError,
    SyncInProgress,
    TransactionOpenError,
)
from engine.model import SyncDirection
from engine.sync.context import lock_path
from engine.sync.delta_file import DeltaFile, Piece
from engine.sync.delta_parts import CarriedEdit, DeltaContent
from engine.sync.geodatabase_sync_task import GeodatabaseSyncTask
from tests.engine.sync.carrying import export, push, take_back
from tests.engine.sync.fleet import HYDRANTS, Device, Fleet, found, gid
from tests.engine.sync.test_delta_story import make_edits
from tests.engine.sync.test_edits_meanwhile import foreign
from tests.feature_service import Fault


def dump(device: Device) -> list[str]:
    """All that is in the file, but for the note of which rows are in a file."""
    with closing(sqlite3.connect(device.path)) as connection:
        return [line for line in connection.iterdump() if "fieldsync_exported" not in line]


# --- export ---------------------------------------------------------------------------------------


async def test_exporting_changes_nothing_and_may_be_repeated(world: Fleet, tmp_path: Path) -> None:
    a = await world.device("A")
    await make_edits(world)
    before = dump(a)

    first = await export(a, tmp_path / "one.delta")
    second = await export(a, tmp_path / "two.delta")

    assert dump(a) == before
    one, two = (DeltaFile.open(tmp_path / f"{name}.delta") for name in ("one", "two"))
    assert list(one.edits()) == list(two.edits())
    assert one.id != two.id
    assert (first.edits, second.edits) == (5, 5)
    assert one.content is DeltaContent.EDITS
    assert (one.service_url, one.replica_id) == (world.url, one.header.replica)
    assert one.generations["replica"] == 1000
    assert first.seal == one.seal


async def test_without_edits_there_is_no_file(world: Fleet, tmp_path: Path) -> None:
    a = await world.device("A")

    async with a.open() as geodatabase:
        assert not await GeodatabaseSyncTask.export_delta(geodatabase, tmp_path / "a.delta")

    assert not (tmp_path / "a.delta").exists()


async def test_attachments_come_with_their_bytes(world: Fleet, tmp_path: Path) -> None:
    a = await world.device("A")
    photo = random.Random(3).randbytes(700_000)
    async with a.open() as geodatabase:
        await geodatabase.table(HYDRANTS).add_attachment(gid(1), "large.jpg", None, photo)

    await export(a, tmp_path / "a.delta")

    events = list(DeltaFile.open(tmp_path / "a.delta").edits())
    (edit,) = [e for e in events if isinstance(e, CarriedEdit)]
    pieces = [e for e in events if isinstance(e, Piece)]
    assert edit.size_bytes == len(photo)
    assert b"".join(piece.data for piece in pieces) == photo
    assert [piece.offset for piece in pieces] == [0, 262144, 524288]
    assert (tmp_path / "a.delta").stat().st_size < len(photo) + 2000


async def test_exporting_and_reading_a_large_attachment_takes_little_memory(
    world: Fleet, tmp_path: Path
) -> None:
    a = await world.device("A")
    (tmp_path / "film").write_bytes(random.Random(4).randbytes(12_000_000))
    async with a.open() as geodatabase:
        hydrants = geodatabase.table(HYDRANTS)
        await hydrants.add_attachment(gid(1), "film.mp4", None, tmp_path / "film")

    tracemalloc.start()
    await export(a, tmp_path / "a.delta")
    DeltaFile.open(tmp_path / "a.delta")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert peak < 6_000_000
    assert (tmp_path / "a.delta").stat().st_size > 12_000_000


async def test_other_programs_edit_while_a_delta_is_written(world: Fleet, tmp_path: Path) -> None:
    a = await world.device("A")
    await make_edits(world)

    def another_edit(point: str) -> None:
        if point == "file.written":
            foreign(a, f"UPDATE Hydrants SET name='later' WHERE GlobalID='{gid(7)}'")

    with faults.armed(another_edit):
        exported = await export(a, tmp_path / "a.delta")

    assert exported.edits == 5
    assert sum((await a.pending()).values()) == 8


async def test_an_older_delta_is_replaced_and_nothing_else(world: Fleet, tmp_path: Path) -> None:
    a = await world.device("A")
    await make_edits(world)
    (tmp_path / "notes.txt").write_text("keep me", encoding="utf-8")
    await export(a, tmp_path / "a.delta")

    await export(a, tmp_path / "a.delta")
    for path in (tmp_path / "notes.txt", tmp_path, tmp_path / "no folder" / "a.delta"):
        with pytest.raises(BadParameterError):
            await export(a, path)

    assert (tmp_path / "notes.txt").read_text(encoding="utf-8") == "keep me"


# --- one at a time --------------------------------------------------------------------------------


async def test_while_another_program_has_the_lock_nothing_is_exported_or_imported(
    world: Fleet, tmp_path: Path
) -> None:
    a = await world.device("A")
    await make_edits(world)
    await export(a, tmp_path / "a.delta")
    await push(tmp_path / "a.delta", tmp_path / "ack.delta")
    with ProcessLock(lock_path(a.path)) as other:
        assert other.acquire()

        with pytest.raises(SyncInProgress):
            await export(a, tmp_path / "b.delta")
        with pytest.raises(SyncInProgress):
            await take_back(a, tmp_path / "ack.delta")


async def test_while_a_delta_is_written_nobody_syncs(world: Fleet, tmp_path: Path) -> None:
    a = await world.device("A")
    await make_edits(world)
    taken: list[bool] = []

    def another(point: str) -> None:
        if point == "file.written":
            with ProcessLock(lock_path(a.path)) as lock:
                taken.append(lock.acquire())

    with faults.armed(another):
        await export(a, tmp_path / "a.delta")

    assert taken == [False]


async def test_an_open_transaction_is_refused(world: Fleet, tmp_path: Path) -> None:
    a = await world.device("A")
    async with a.open() as geodatabase:
        await geodatabase.begin_transaction()

        with pytest.raises(TransactionOpenError):
            await GeodatabaseSyncTask.export_delta(geodatabase, tmp_path / "a.delta")
        with pytest.raises(TransactionOpenError):
            await GeodatabaseSyncTask.import_delta(geodatabase, tmp_path / "a.delta")


async def test_an_unregistered_geodatabase_is_not_exported(world: Fleet, tmp_path: Path) -> None:
    a = await world.device("A")
    await make_edits(world)
    async with a.open() as geodatabase, GeodatabaseSyncTask(a.url, clock=a.clock) as task:
        await task.unregister_geodatabase(geodatabase)

        with pytest.raises(GeodatabaseError, match="not registered"):
            await task.export_delta(geodatabase, tmp_path / "a.delta")


# --- damaged files --------------------------------------------------------------------------------


@pytest.fixture
async def carried(world: Fleet, tmp_path: Path) -> tuple[Device, Path, Path]:
    """A device with a few edits, their delta, and the acknowledgement of it."""
    a = await world.device("A")
    async with a.open() as geodatabase:
        hydrants = geodatabase.table(HYDRANTS)
        await hydrants.update_feature(gid(2), {"name": "mine"})
        await hydrants.add_attachment(gid(1), "a.jpg", None, b"bytes")
    await export(a, tmp_path / "a.delta")
    await push(tmp_path / "a.delta", tmp_path / "ack.delta")
    return a, tmp_path / "a.delta", tmp_path / "ack.delta"


async def test_a_file_that_was_cut_anywhere_is_refused(
    carried: tuple[Device, Path, Path], tmp_path: Path
) -> None:
    broken = tmp_path / "broken.delta"
    for path in carried[1:]:
        whole = path.read_bytes()
        for size in range(0, len(whole), 7):
            broken.write_bytes(whole[:size])
            with pytest.raises(DeltaError):
                DeltaFile.open(broken)
        broken.write_bytes(whole + b"\0")
        with pytest.raises(DeltaError, match="something follows"):
            DeltaFile.open(broken)


async def test_a_file_with_any_bit_flipped_is_refused(
    carried: tuple[Device, Path, Path], tmp_path: Path
) -> None:
    broken, draw = tmp_path / "broken.delta", random.Random(5)
    for path in carried[1:]:
        whole = path.read_bytes()
        for at in range(0, len(whole), 7):
            data = bytearray(whole)
            data[at] ^= 1 << draw.randrange(8)
            broken.write_bytes(data)
            with pytest.raises(DeltaError):
                DeltaFile.open(broken)


async def test_importing_a_damaged_file_changes_nothing(
    carried: tuple[Device, Path, Path], tmp_path: Path
) -> None:
    device, _, answer = carried
    before, whole = dump(device), answer.read_bytes()
    for at in range(0, len(whole), len(whole) // 8):
        data = bytearray(whole)
        data[at] ^= 0x10
        (tmp_path / "broken.delta").write_bytes(data)

        with pytest.raises(DeltaError):
            await take_back(device, tmp_path / "broken.delta")

    assert dump(device) == before


async def test_files_for_another_device_or_another_use_are_refused(
    carried: tuple[Device, Path, Path], world: Fleet, tmp_path: Path
) -> None:
    device, delta, answer = carried
    b = await world.device("B")
    before = dump(b), dump(device)

    with pytest.raises(DeltaMismatchError, match="is for the replica"):
        await take_back(b, answer)
    with pytest.raises(DeltaMismatchError, match="on their way to the service"):
        await take_back(device, delta)
    with pytest.raises(DeltaMismatchError, match="not edits to be sent"):
        await push(answer, tmp_path / "other.delta")

    assert (dump(b), dump(device)) == before


# --- answers that come late -----------------------------------------------------------------------


async def test_a_row_edited_after_the_export_stays_pending_with_what_was_edited_since(
    carried: tuple[Device, Path, Path], world: Fleet
) -> None:
    device, _, answer = carried
    async with device.open() as geodatabase:
        await geodatabase.table(HYDRANTS).update_feature(gid(2), {"pressure": 9.5})

    result = await take_back(device, answer)

    assert found(result).applied == 2
    async with device.open() as geodatabase:
        edits = [e async for e in geodatabase.table(HYDRANTS).get_local_edits()]
    assert [(e.global_id, e.fields) for e in edits] == [(gid(2), ("pressure",))]
    await device.sync()
    await world.assert_agreed()


async def test_an_answer_to_an_edit_that_was_synced_since_changes_nothing(
    carried: tuple[Device, Path, Path], world: Fleet
) -> None:
    device, _, answer = carried
    await device.sync()
    async with device.open() as geodatabase:
        await geodatabase.table(HYDRANTS).update_feature(gid(2), {"name": "two"})
    await device.sync()
    async with device.open() as geodatabase:  # back to what the answer is about
        await geodatabase.table(HYDRANTS).update_feature(gid(2), {"name": "mine"})

    result = await take_back(device, answer)

    assert found(result).found == 0
    assert (await device.pending())["Hydrants"] == 1
    await device.sync()
    await world.assert_agreed()
    assert (await world.rows())[HYDRANTS][gid(2)]["name"] == "mine"


async def test_an_answer_is_not_taken_for_the_same_edit_made_anew(
    carried: tuple[Device, Path, Path], world: Fleet
) -> None:
    device, _, answer = carried
    await device.sync()
    await world.change(HYDRANTS, gid(2), name="H2")
    await device.sync()
    async with device.open() as geodatabase:
        await geodatabase.table(HYDRANTS).update_feature(gid(2), {"name": "mine"})

    await take_back(device, answer)

    assert (await device.pending())["Hydrants"] == 1
    await device.sync()
    assert (await world.rows())[HYDRANTS][gid(2)]["name"] == "mine"


async def test_rows_that_come_with_a_late_answer_do_not_undo_what_was_downloaded_since(
    world: Fleet, tmp_path: Path
) -> None:
    a = await world.device("A")
    async with a.open() as geodatabase:
        await geodatabase.table(HYDRANTS).update_feature(gid(2), {"name": "mine"})
    await export(a, tmp_path / "a.delta")
    await world.change(HYDRANTS, gid(2), name="theirs")
    await push(tmp_path / "a.delta", tmp_path / "ack.delta")
    await world.change(HYDRANTS, gid(2), pressure=9.5)
    await a.sync(geodatabase_sync_direction=SyncDirection.DOWNLOAD)

    await take_back(a, tmp_path / "ack.delta")

    assert (await a.rows())[HYDRANTS][gid(2)]["pressure"] == 9.5
    await a.sync()
    await world.assert_agreed()


async def test_an_old_file_does_not_undo_what_the_device_has_synced_since(
    carried: tuple[Device, Path, Path], world: Fleet, tmp_path: Path
) -> None:
    device, delta, _ = carried
    await device.sync()
    async with device.open() as geodatabase:
        await geodatabase.table(HYDRANTS).update_feature(gid(2), {"name": "newer"})
    await device.sync()

    await push(delta, tmp_path / "again.delta")
    await take_back(device, tmp_path / "again.delta")

    assert (await world.rows())[HYDRANTS][gid(2)]["name"] == "newer"
    await device.sync()
    await world.assert_agreed()


async def test_what_somebody_else_has_changed_is_left_alone_and_sent_after_the_import(
    world: Fleet, tmp_path: Path
) -> None:
    a = await world.device("A")
    async with a.open() as geodatabase:
        hydrants = geodatabase.table(HYDRANTS)
        await hydrants.update_feature(gid(2), {"name": "mine", "pressure": 9.5})
        await hydrants.update_feature(gid(3), {"name": "gone"})
        await hydrants.delete_feature(gid(4))
    await export(a, tmp_path / "a.delta")
    await world.change(HYDRANTS, gid(2), name="theirs")
    await world.change(HYDRANTS, gid(4), name="theirs")
    await world.edit(HYDRANTS, deletes=[gid(3)])

    pushed = await push(tmp_path / "a.delta", tmp_path / "ack.delta")
    rows = (await world.rows())[HYDRANTS]
    await take_back(a, tmp_path / "ack.delta")

    assert (rows[gid(2)]["name"], rows[gid(2)]["pressure"]) == ("theirs", 9.5)
    assert gid(4) in rows
    assert pushed.has_errors
    async with a.open() as geodatabase:
        conflicts = {c.global_id: c.kind.value for c in await geodatabase.conflicts()}
    assert conflicts == {gid(2): "updated", gid(3): "deleted_there", gid(4): "deleted_here"}
    await export(a, tmp_path / "a.delta")
    await push(tmp_path / "a.delta", tmp_path / "ack.delta")
    await take_back(a, tmp_path / "ack.delta")
    rows = (await world.rows())[HYDRANTS]
    assert rows[gid(2)]["name"] == "mine"
    assert gid(4) not in rows
    await a.sync()
    await world.assert_agreed()


async def test_a_field_that_the_service_has_no_more_is_a_clear_error(
    world: Fleet, tmp_path: Path
) -> None:
    a = await world.device("A")
    await make_edits(world)
    await export(a, tmp_path / "a.delta")
    change = {"layer": HYDRANTS, "remove": "pressure"}
    world.server.faults.add(Fault(kind="schema-changed", change=change))

    with pytest.raises(DeltaMismatchError, match="no field pressure"):
        await push(tmp_path / "a.delta", tmp_path / "ack.delta")

    assert not (tmp_path / "ack.delta").exists()
