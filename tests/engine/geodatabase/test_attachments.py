"""Attachments are stored whole, read in pieces, logged as edits, and never held in memory."""

import resource
import sqlite3
from pathlib import Path

import pytest

from engine.errors import EditRefusedError, FeatureNotFoundError
from engine.geodatabase import attachments as module
from engine.geodatabase.attachments import PIECE_BYTES, Source, set_data
from engine.geodatabase.change_log import edit_of
from engine.geodatabase.geodatabase import Geodatabase
from engine.model import EditOperation
from tests.engine.geodatabase.made import ELM, OAK

NOWHERE = "{00000000-0000-4000-8000-0000000000FF}"


async def _data(geodatabase: Geodatabase, attachment_id: str) -> list[bytes]:
    return [piece async for piece in geodatabase.table(0).attachment_data(attachment_id)]


def _noise(size: int) -> bytes:
    return bytes(i * 7919 % 251 for i in range(size))


async def test_attachments_come_back_byte_for_byte(geodatabase: Geodatabase) -> None:
    table = geodatabase.table(0)
    data = _noise(2 * PIECE_BYTES + 3)

    added = await table.add_attachment(OAK, "photo.jpg", None, data)

    assert (added.name, added.content_type, added.size_bytes) == (
        "photo.jpg",
        "image/jpeg",
        len(data),
    )
    assert await table.attachments(OAK) == [added]
    assert await table.attachments(ELM) == []
    pieces = await _data(geodatabase, added.global_id)
    assert [len(p) for p in pieces] == [PIECE_BYTES, PIECE_BYTES, 3]
    assert b"".join(pieces) == data
    counts = await table.attachment_edit_counts()
    assert (counts.adds, counts.updates, counts.deletes) == (1, 0, 0)
    assert await table.has_local_edits()
    assert not (await table.edit_counts()).total


async def test_files_are_attached_in_pieces(geodatabase: Geodatabase, tmp_path: Path) -> None:
    source = tmp_path / "film.mp4"
    with open(source, "wb") as stream:
        for number in range(40):
            stream.write(bytes([number]) * 1_000_000)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    added = await geodatabase.table(0).add_attachment(OAK, source.name, "video/mp4", source)
    size = 0
    async for piece in geodatabase.table(0).attachment_data(added.global_id):
        size += len(piece)

    assert size == added.size_bytes == 40_000_000
    grown_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown_kb < 12_000


async def test_replacing_an_attachment_is_an_update_of_its_data(geodatabase: Geodatabase) -> None:
    table = geodatabase.table(0)
    attached = geodatabase.layers[0].attachments
    assert attached is not None
    added = await table.add_attachment(OAK, "a.txt", "text/plain", b"old")
    await _acknowledge(geodatabase)

    changed = await table.update_attachment(added.global_id, "b.txt", None, b"newer")

    assert (changed.name, changed.size_bytes) == ("b.txt", 5)
    assert await _data(geodatabase, added.global_id) == [b"newer"]
    edit = await geodatabase.database.read(edit_of, attached.table, added.global_id)
    assert edit is not None
    assert (edit.operation, edit.columns, edit.data_changed) == (
        EditOperation.UPDATE,
        ("ATT_NAME",),
        True,
    )


async def _acknowledge(geodatabase: Geodatabase) -> None:
    """As if the service had everything."""

    def forget(connection: sqlite3.Connection) -> None:
        connection.execute("DELETE FROM fieldsync_change")

    await geodatabase.database.write(forget)


async def test_data_from_the_service_is_no_edit(geodatabase: Geodatabase) -> None:
    table = geodatabase.table(0)
    attached = geodatabase.layers[0].attachments
    assert attached is not None

    def merge(connection: sqlite3.Connection) -> None:
        connection.execute(
            "INSERT INTO Trees__ATTACH (GLOBALID, REL_GLOBALID, ATT_NAME, DATA_SIZE) "
            "VALUES (?, ?, 'p.png', 3)",
            (NOWHERE, OAK),
        )

    await geodatabase.database.write(merge, applying=True)
    (waiting,) = await table.attachments(OAK)
    assert (waiting.is_here, waiting.size_bytes, waiting.content_type) == (False, 3, "image/png")
    with pytest.raises(FeatureNotFoundError, match="not on this device yet"):
        await _data(geodatabase, NOWHERE)

    await geodatabase.database.write(
        set_data, attached.table, NOWHERE, Source(b"PNG"), applying=True
    )

    assert await _data(geodatabase, NOWHERE) == [b"PNG"]
    assert not await table.has_local_edits()


async def test_deleting_an_attachment_is_logged(geodatabase: Geodatabase) -> None:
    table = geodatabase.table(0)
    added = await table.add_attachment(OAK, "a.txt", None, b"x")
    await _acknowledge(geodatabase)

    await table.delete_attachment(added.global_id)

    assert await table.attachments(OAK) == []
    assert (await table.attachment_edit_counts()).deletes == 1
    with pytest.raises(FeatureNotFoundError):
        await table.delete_attachment(added.global_id)


async def test_attachments_that_cannot_be_are_refused(
    geodatabase: Geodatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = geodatabase.table(0)
    with pytest.raises(EditRefusedError, match="an attachment of 0 bytes"):
        await table.add_attachment(OAK, "a.txt", None, b"")
    with pytest.raises(EditRefusedError, match=r"cannot attach .*none\.jpg: No such file"):
        await table.add_attachment(OAK, "a.txt", None, tmp_path / "none.jpg")
    with pytest.raises(EditRefusedError, match=r"'\.\./a' cannot be the name"):
        await table.add_attachment(OAK, "../a", None, b"x")
    with pytest.raises(FeatureNotFoundError, match="Trees has no row"):
        await table.add_attachment(NOWHERE, "a.txt", None, b"x")
    with pytest.raises(EditRefusedError, match="Inspections has no attachments"):
        await geodatabase.table(1).attachments(OAK)
    monkeypatch.setattr(module, "LARGEST_BYTES", 2)
    with pytest.raises(EditRefusedError, match="it must have 1 to 2"):
        await table.add_attachment(OAK, "a.txt", None, b"xyz")
    assert not await table.has_local_edits()


@pytest.mark.parametrize("change", [b"shorter", b"longer than it was before"])
async def test_a_file_that_changes_meanwhile_is_not_half_attached(
    geodatabase: Geodatabase, tmp_path: Path, change: bytes
) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"as it was first")
    source = Source(path)
    path.write_bytes(change)

    def attach(connection: sqlite3.Connection) -> None:
        attached = geodatabase.layers[0].attachments
        assert attached is not None
        module.add_attachment(connection, attached.table, OAK, "a.txt", "text/plain", source)

    with pytest.raises(EditRefusedError, match="changed while it was being attached"):
        await geodatabase.database.write(attach)

    assert await geodatabase.table(0).attachments(OAK) == []
