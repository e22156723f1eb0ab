"""Both versions of a conflict stay readable, and either can be taken."""

import json
import sqlite3
from pathlib import Path

import pytest

from engine.errors import FeatureNotFoundError
from engine.geodatabase.change_log import has_pending, pending_edits
from engine.geodatabase.conflicts import (
    ConflictKind,
    Side,
    list_conflicts,
    resolve,
    store_deleted,
)
from engine.geodatabase.dependents import Dependent
from engine.geodatabase.fetch_queue import next_fetches
from engine.geodatabase.layer_table import LayerTable
from engine.model import ConflictPolicy
from tests.engine.geodatabase.log_oracle import attachments_of, create_file, insert_own, snapshot
from tests.engine.geodatabase.statement_mix import TEXTS
from tests.engine.geodatabase.tree_rows import (
    G1,
    G2,
    G3,
    MOVED,
    NOW,
    POINT,
    TREES,
    brief,
    cells,
    merge,
    tree,
    two_rows,
)

LAST, REMOTE, MANUAL = (
    ConflictPolicy.LAST_SYNCED,
    ConflictPolicy.REMOTE_WINS,
    ConflictPolicy.MANUAL,
)
MINE, THEIRS = Side.MINE, Side.THEIRS


def decide(connection: sqlite3.Connection, side: Side, *tables: LayerTable) -> None:
    (conflict,) = list_conflicts(connection, resolved=True)
    connection.execute("BEGIN IMMEDIATE")
    resolve(connection, conflict.id, tables, side, now=NOW)
    connection.execute("COMMIT")
    (after,) = list_conflicts(connection, resolved=True)
    assert (after.resolution, after.is_held) == (side.value, False)


@pytest.mark.parametrize(
    ("policy", "side", "value", "pending"),
    [
        (LAST, MINE, "mine", [("update", G1, ("geom", "id"))]),
        (LAST, THEIRS, "theirs", []),
        (REMOTE, MINE, "mine", [("update", G1, ("geom", "id"))]),
        (REMOTE, THEIRS, "theirs", []),
        (MANUAL, MINE, "mine", [("update", G1, ("geom", "id"))]),
        (MANUAL, THEIRS, "theirs", []),
    ],
)
def test_resolve_when_both_changed_a_row_then_the_chosen_side_stands(
    engine: sqlite3.Connection,
    table: LayerTable,
    policy: ConflictPolicy,
    side: Side,
    value: str,
    pending: list[object],
) -> None:
    mine = POINT[:-1] + b"\x41"
    engine.execute("UPDATE trees SET id='mine',geom=? WHERE fid=1", (mine,))
    merge(engine, table, [tree(table, G1, OBJECTID=1, id="theirs", geom=MOVED)], policy=policy)

    decide(engine, side, table)

    assert cells(engine, G1, "id", "geom") == (value, mine if side is MINE else MOVED)
    assert brief(engine, table) == pending


@pytest.mark.parametrize("side", Side)
def test_resolve_when_the_row_was_edited_again_then_that_edit_is_not_lost(
    engine: sqlite3.Connection, table: LayerTable, side: Side
) -> None:
    engine.execute("UPDATE trees SET id='mine' WHERE fid=1")
    merge(engine, table, [tree(table, G1, OBJECTID=1, id="theirs")], policy=MANUAL)
    engine.execute("UPDATE trees SET id='mine, later',key=5 WHERE fid=1")

    decide(engine, side, table)

    value = "mine, later" if side is MINE else "theirs"
    assert cells(engine, G1, "id", "key") == (value, 5)
    (conflict,) = list_conflicts(engine, resolved=True)
    assert conflict.mine is not None
    assert conflict.mine["id"] == "mine, later"


@pytest.mark.parametrize(
    ("policy", "side", "is_there", "pending"),
    [
        (LAST, MINE, False, [("delete", G1, ())]),
        (LAST, THEIRS, True, []),
        (REMOTE, MINE, False, [("delete", G1, ())]),
        (REMOTE, THEIRS, True, []),
        (MANUAL, MINE, False, [("delete", G1, ())]),
        (MANUAL, THEIRS, True, []),
    ],
)
def test_resolve_when_deleted_here_then_the_chosen_side_stands(
    engine: sqlite3.Connection,
    table: LayerTable,
    policy: ConflictPolicy,
    side: Side,
    is_there: bool,
    pending: list[object],
) -> None:
    theirs = tree(table, G1, OBJECTID=1, id="theirs", geom=MOVED)
    engine.execute("DELETE FROM trees WHERE fid=1")
    merge(engine, table, [theirs], policy=policy)

    decide(engine, side, table)

    assert snapshot(engine, table).get(G1) == (theirs if is_there else None)
    assert brief(engine, table) == pending
    if is_there:
        assert cells(engine, G1, "fid") == (1,)


@pytest.mark.parametrize("before", ["", "UPDATE \"trees__ATTACH\" SET DATA='mine'"])
def test_resolve_when_a_photo_was_deleted_here_and_theirs_is_kept_then_its_bytes_are_to_be_fetched(
    tmp_path: Path, before: str
) -> None:
    photos = attachments_of(TREES)
    connection = create_file(tmp_path / "b.gpkg", TREES, photos)
    insert_own(connection, TREES, two_rows(TREES))
    insert_own(connection, photos, [(G2, G1, "old.jpg", 3)])
    connection.execute(before)
    connection.execute('DELETE FROM "trees__ATTACH"')
    merge(connection, photos, [(G2, G1, "new.jpg", 5)], policy=MANUAL)

    decide(connection, THEIRS, TREES, photos)

    (fetch,) = next_fetches(connection)
    assert (fetch.number, fetch.gid, fetch.size_bytes) == (photos.number, G2, 5)
    assert (fetch.url, fetch.spool_name) == (None, None)
    assert not has_pending(connection, photos, everything=True)
    connection.close()


def test_resolve_when_deleted_there_and_mine_is_kept_then_it_is_added_again(
    engine: sqlite3.Connection, table: LayerTable
) -> None:
    engine.execute("UPDATE trees SET id='mine',geom=? WHERE fid=1", (MOVED,))
    merge(engine, table, deletes=[G1])

    decide(engine, MINE, table)

    assert snapshot(engine, table)[G1] == tree(table, G1, id="mine", geom=MOVED)
    assert brief(engine, table) == [("add", G1, ())]


def test_resolve_when_deleted_there_and_theirs_is_kept_then_the_record_keeps_mine(
    engine: sqlite3.Connection, table: LayerTable
) -> None:
    engine.execute("UPDATE trees SET id='mine' WHERE fid=1")
    merge(engine, table, deletes=[G1])

    decide(engine, THEIRS, table)
    assert snapshot(engine, table).keys() == {G2}
    # A person may think again, as long as the record is kept.
    decide(engine, MINE, table)

    assert brief(engine, table) == [("add", G1, ())]


def test_resolve_when_the_row_has_come_back_from_the_service_then_mine_is_an_update(
    engine: sqlite3.Connection, table: LayerTable
) -> None:
    engine.execute("UPDATE trees SET id='mine' WHERE fid=1")
    merge(engine, table, deletes=[G1])
    merge(engine, table, [tree(table, G1, OBJECTID=8, id="restored there")])

    decide(engine, MINE, table)

    assert brief(engine, table) == [("update", G1, ("id",))]


def test_restore_when_photos_and_children_went_along_then_they_come_back_byte_for_byte(
    tmp_path: Path,
) -> None:
    photos = attachments_of(TREES)
    connection = create_file(tmp_path / "b.gpkg", TREES, photos)
    insert_own(connection, TREES, two_rows(TREES))
    insert_own(connection, photos, [(G2, G1, "old.jpg", 3)])
    connection.execute("UPDATE \"trees__ATTACH\" SET DATA=x'010203'")
    data = bytes(range(256)) * 400
    connection.execute(
        'INSERT INTO "trees__ATTACH"(GLOBALID,REL_GLOBALID,ATT_NAME,DATA) VALUES(?,?,?,?)',
        (G3, G1, "new.jpg", data),
    )
    parts = (Dependent(table=photos, key_column="REL_GLOBALID"),)
    merge(connection, TREES, deletes=[G1], dependents=parts)

    decide(connection, MINE, TREES, photos)

    assert brief(connection, TREES) == [("add", G1, ())]
    assert [e.operation.value for e in pending_edits(connection, photos)] == ["add", "add"]
    found = connection.execute('SELECT DATA FROM "trees__ATTACH" WHERE GLOBALID=?', (G3,))
    assert found.fetchone() == (data,)
    connection.close()


def test_store_deleted_when_the_row_is_missing_there_then_nothing_of_it_is_pending(
    engine: sqlite3.Connection, table: LayerTable
) -> None:
    engine.execute("UPDATE trees SET id='mine' WHERE fid=1")

    engine.execute("BEGIN IMMEDIATE")
    store_deleted(engine, table, G1, policy=LAST, now=NOW)
    engine.execute("COMMIT")

    assert not has_pending(engine, table, everything=True)
    (conflict,) = list_conflicts(engine)
    assert (conflict.kind, conflict.columns) == (ConflictKind.DELETED_THERE, ("id",))


@pytest.mark.parametrize(
    "value",
    [*TEXTS, None, 2**63 - 1, -(2**63), 5e-324, float("inf"), float("-inf"), b"", b"\0\xff"],
)
def test_conflict_when_stored_and_restored_then_every_value_survives(
    engine: sqlite3.Connection, table: LayerTable, value: int | float | str | bytes | None
) -> None:
    engine.execute('UPDATE trees SET "select"=?,lazy=9 WHERE fid=1', (value,))
    (before,) = pending_edits(engine, table)
    merge(engine, table, deletes=[G1])
    (conflict,) = list_conflicts(engine)
    json.dumps(conflict.mine, allow_nan=False)

    decide(engine, MINE, table)

    assert before.row is not None
    after = snapshot(engine, table)[G1]
    assert [(type(c), c) for c in after[3:]] == [(type(c), c) for c in before.row[3:]]


def test_resolve_when_there_is_no_such_conflict_then_it_says_so(
    engine: sqlite3.Connection, table: LayerTable
) -> None:
    with pytest.raises(FeatureNotFoundError, match="no conflict 7"):
        resolve(engine, 7, [table], MINE, now=NOW)
