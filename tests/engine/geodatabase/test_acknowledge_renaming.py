"""A service that gives rows GlobalIDs of its own: the row, what points at it and the log follow."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.geodatabase.acknowledge import (
    acknowledge,
    in_flight,
    record_sent,
    rename_global_ids,
    sent_edits,
)
from engine.geodatabase.change_log import pending_edits
from engine.geodatabase.layer_table import LayerTable
from tests.engine.geodatabase.log_oracle import attachments_of, create_file, insert_own, snapshot
from tests.engine.geodatabase.tree_rows import (
    G1,
    G2,
    G3,
    NOW,
    TREES,
    brief,
    cells,
    merge,
    tree,
    two_rows,
)

PHOTOS = attachments_of(TREES)
MINTED = "{DDDDDDDD-4444-4444-8444-444444444444}"


@pytest.fixture
def engine(tmp_path: Path, table: LayerTable) -> Iterator[sqlite3.Connection]:
    """Two rows of the service; a new row with two photos, its add on the way."""
    connection = create_file(tmp_path / "a.gpkg", table, PHOTOS)
    insert_own(connection, table, two_rows(table))
    connection.execute("INSERT INTO trees(GlobalID,id) VALUES(?,'new')", (G3,))
    for gid in (G1, G2):
        connection.execute(
            'INSERT INTO "trees__ATTACH"(GLOBALID,REL_GLOBALID) VALUES(?,?)', (gid, G3)
        )
    connection.execute("BEGIN IMMEDIATE")
    record_sent(connection, 1, pending_edits(connection, table))
    connection.execute("COMMIT")
    yield connection
    connection.close()


def rename(connection: sqlite3.Connection, table: LayerTable) -> None:
    connection.execute("BEGIN IMMEDIATE")
    rename_global_ids(connection, table, {G3: MINTED}, [(PHOTOS, "REL_GLOBALID")])
    connection.execute("COMMIT")


def confirm(connection: sqlite3.Connection, table: LayerTable, gid: str) -> None:
    connection.execute("BEGIN IMMEDIATE")
    assert acknowledge(connection, 1, table, [gid], now=NOW) == 1
    connection.execute("COMMIT")


def test_rename_when_the_add_is_confirmed_then_row_log_batch_and_keys_have_the_new_globalid(
    engine: sqlite3.Connection, table: LayerTable
) -> None:
    rename(engine, table)

    assert snapshot(engine, table).keys() == {G1, G2, MINTED}
    assert [e.global_id for e in sent_edits(engine, 1, [table])] == [MINTED]
    assert {row[1] for row in snapshot(engine, PHOTOS).values()} == {MINTED}
    assert [e.operation.value for e in pending_edits(engine, PHOTOS)] == ["add", "add"]
    confirm(engine, table, MINTED)
    assert brief(engine, table) == []


def test_rename_when_a_child_was_sent_with_the_old_key_then_the_new_one_is_an_update(
    engine: sqlite3.Connection, table: LayerTable
) -> None:
    engine.execute("BEGIN IMMEDIATE")
    record_sent(engine, 2, pending_edits(engine, PHOTOS)[:1])
    acknowledge(engine, 2, PHOTOS, [G1], now=NOW)
    engine.execute("COMMIT")

    rename(engine, table)

    found = [(e.operation.value, e.global_id, e.columns) for e in pending_edits(engine, PHOTOS)]
    assert ("update", G1, ("REL_GLOBALID",)) in found
    assert [operation for operation, _, _ in found].count("add") == 1


def test_rename_when_the_row_has_come_back_already_then_the_two_become_one(
    engine: sqlite3.Connection, table: LayerTable
) -> None:
    merge(engine, table, [tree(table, MINTED, OBJECTID=3, id="new", geom=None)])
    engine.execute("UPDATE trees SET key=5 WHERE GlobalID=?", (G3,))

    rename(engine, table)
    confirm(engine, table, MINTED)

    assert snapshot(engine, table).keys() == {G1, G2, MINTED}
    assert cells(engine, MINTED, "OBJECTID", "id", "key") == (3, "new", 5)
    assert brief(engine, table) == [("update", MINTED, ("key",))]
    assert in_flight(engine) == {}


def test_rename_when_the_row_was_deleted_here_then_the_delete_goes_to_the_new_globalid(
    engine: sqlite3.Connection, table: LayerTable
) -> None:
    merge(engine, table, [tree(table, MINTED, OBJECTID=3, id="new", geom=None)])
    engine.execute("DELETE FROM trees WHERE GlobalID=?", (G3,))

    rename(engine, table)
    confirm(engine, table, MINTED)

    assert snapshot(engine, table).keys() == {G1, G2}
    assert brief(engine, table) == [("delete", MINTED, ())]


def test_rename_when_old_and_new_are_the_same_then_nothing_happens(
    engine: sqlite3.Connection, table: LayerTable
) -> None:
    before = snapshot(engine, table)

    engine.execute("BEGIN IMMEDIATE")
    rename_global_ids(engine, table, {G3: G3})
    engine.execute("COMMIT")

    assert snapshot(engine, table) == before
