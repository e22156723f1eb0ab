"""``fieldsync repair``: damaged files are taken again, and it is told what became of edits."""

import sqlite3
from contextlib import closing

import pytest

from tests.device.conftest import TREES, Command, Taken, gid
from tests.device.test_verbs import counted


def edit(taken: Taken, note: str) -> None:
    """The service outlives a test, so each needs a ``note`` of its own."""
    with closing(sqlite3.connect(taken.geopackage)) as connection, connection:
        connection.execute("UPDATE Trees SET note=? WHERE GlobalID=?", (note, gid(3)))


def test_repair_of_a_whole_map_does_nothing(fieldsync: Command, taken: Taken) -> None:
    ended = fieldsync("repair", taken.folder)

    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith("Every file of the map is whole")


@pytest.mark.parametrize("verb", ["sync", "info"])
def test_damaged_file_is_told_with_the_way_out(fieldsync: Command, taken: Taken, verb: str) -> None:
    taken.geopackage.write_bytes(taken.geopackage.read_bytes()[:-8192])

    ended = fieldsync(verb, taken.folder, "--json")

    assert ended.code == 1
    assert ended.json["error"]["code"] == "geodatabase-damaged"
    assert f"fieldsync repair {taken.folder}" in ended.json["error"]["remedy"]


def test_repair_carries_the_edits_over_and_keeps_the_damaged_file(
    fieldsync: Command, taken: Taken
) -> None:
    edit(taken, "in the damaged file")
    content = bytearray(taken.geopackage.read_bytes())
    content[:100] = bytes(100)
    taken.geopackage.write_bytes(content)

    ended = fieldsync("repair", taken.folder, "--json")

    assert ended.code == 0, ended
    (one,) = ended.json["geodatabases"]
    assert one["saved"] == [{"table": "Trees", "global_id": gid(3), "operation": "update"}]
    assert (one["lost"], one["unreadable"], one["conflicts"]) == ([], {}, 0)
    (kept,) = taken.folder.glob("park.gpkg.broken-*")
    assert one["set_aside"] == str(kept)
    assert kept.read_bytes() == content
    assert counted(fieldsync("info", taken.folder, "--json").json)[TREES] == 12
    (sent,) = fieldsync("sync", taken.folder, "--json").json["geodatabases"]
    assert sent["layers"][0]["uploaded"]["applied"] == 1


def test_repair_again_takes_whole_files_too(fieldsync: Command, taken: Taken) -> None:
    edit(taken, "in the whole file")

    ended = fieldsync("repair", taken.folder, "--again")

    assert ended.code == 0
    assert "1 unsent edit carried over; sync to send it." in ended.out
    assert "The old file is kept as park.gpkg.broken-" in ended.out
